//! Write and acknowledge: the queue of local updates, one batch in flight, and who may be told what.

use bytes::Bytes;
use rand::Rng as _;

use super::super::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply};
use super::super::{Durability, Effect, Failed, Now, Rule, SessionId};
use super::queue::Item;
use super::{Held, Replica};
use editorcluster_core::document::{EMPTY_UPDATE, merge};

/// Merging costs more than it saves beyond this many updates.
const BATCH_UPDATES: usize = 128;
/// Nor beyond so many bytes, and an entry of the log should not be long.
const BATCH_BYTES: usize = 256 << 10;

/// A batch on its way to the log: the queue's first `items` as one update.
#[derive(Debug)]
pub(super) struct Flight {
    call: u64,
    items: usize,
    /// The epoch that it opens.
    opens: Option<Epoch>,
    pub(super) update: Bytes,
}

/// An acknowledgement that is not due yet.
#[derive(Debug)]
pub(super) struct Waiting {
    seq: u64,
    session: SessionId,
    update: Bytes,
}

impl Replica {
    /// Takes in what a session has written, which the document has already.
    pub(in super::super) fn local(&mut self, update: Bytes) {
        self.taken += 1;
        let item = Item { seq: self.taken, update };
        if self.keeps(Rule::QueueInOrder) {
            self.queue.push_back(item);
        } else {
            let busy = self.flight.as_ref().or(self.cut_off.as_ref()).map_or(0, |flight| flight.items);
            self.queue.insert(busy, item);
        }
    }

    /// Acknowledges a session's update once all that the room holds now is durable, whether or not it brought news.
    pub(in super::super) fn acknowledge_later(&mut self, session: SessionId, update: Bytes, brought_news: bool) {
        if !brought_news && !self.keeps(Rule::AcknowledgeAllHeld) {
            return self.acknowledged.push((session, update));
        }
        self.waiting.push_back(Waiting { seq: self.taken, session, update });
    }

    /// Bytes that are in no log yet.
    pub(in super::super) fn backlog(&self) -> usize {
        self.queue.bytes()
    }

    /// How many updates make the next entry of the log.
    fn batch(&self) -> usize {
        let mut bytes = 0;
        let fits = |item: &&Item| {
            bytes += item.update.len();
            bytes <= BATCH_BYTES
        };
        self.queue.iter().take(BATCH_UPDATES).take_while(fits).count().max(1)
    }

    pub(super) fn write(&mut self, effects: &mut Vec<Effect>) {
        if self.flight.is_some() || self.queue.is_empty() || !self.joined() {
            return;
        }
        let Some(tenure) = self.tenure.clone() else { return };
        let mut items = self.batch();
        let mut update = self.queue[0].update.clone();
        if items > 1 && self.keeps(Rule::QueueInOrder) {
            match merge(self.queue.iter().take(items).map(|item| &item.update[..])) {
                Ok(merged) => update = merged,
                Err(_) => items = 1,
            }
        } else {
            items = 1;
        }
        let call = self.call();
        let current = self.head.as_ref().filter(|head| head.tenure == tenure && self.is_at(head));
        let opens = match current {
            Some(head) => {
                effects.push(Effect::Append { call, epoch: head.epoch, update: update.clone() });
                None
            }
            None => {
                let epochs = [self.head.as_ref().map(|head| head.epoch), self.position.map(|at| at.epoch)];
                let known = epochs.into_iter().chain([self.row_position().map(|at| at.epoch)]).flatten();
                let generation = known.map(Epoch::generation).max().unwrap_or(0).saturating_add(1);
                let epoch = Epoch::new(generation, self.random.random());
                let expected = self.head.clone();
                effects.push(Effect::Open { call, expected, epoch, tenure, update: update.clone() });
                Some(epoch)
            }
        };
        self.flight = Some(Flight { call, items, opens, update });
    }

    /// Whether the stream is head's. One of the two may be missing: a server that is short of memory may evict any key.
    pub(super) fn is_at(&self, head: &Head) -> bool {
        self.position.is_some_and(|at| at.epoch == head.epoch)
    }

    /// Opens an epoch with nothing new in it: a stream without its head takes no COVER, and would never expire.
    pub(super) fn open_for_cover(&mut self, effects: &mut Vec<Effect>) {
        self.queue.push_back(Item { seq: 0, update: Bytes::from_static(EMPTY_UPDATE) });
        self.write(effects);
    }

    pub(in super::super) fn opened(
        &mut self,
        now: Now,
        call: u64,
        result: Result<Opened, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.flight.take_if(|flight| flight.call == call) else { return };
        match (result, flight.opens) {
            (Ok(Opened::Opened), Some(epoch)) => {
                self.logged(Position { epoch, n: 0 }, flight);
                self.join(effects);
            }
            (Ok(_), _) => self.join(effects),
            (Err(Failed), _) => self.fall_apart(now),
        }
    }

    /// An entry was heard; if it is the one that our flight opens its epoch with, that has succeeded.
    pub(super) fn opened_by_notice(&mut self, position: Position) {
        if position.n == 0
            && let Some(flight) = self.flight.take_if(|flight| flight.opens == Some(position.epoch))
        {
            self.logged(position, flight);
        }
    }

    /// What is in flight has an unknown outcome from now on and stays in the queue.
    pub(super) fn cut_off(&mut self) {
        self.cut_off = self.flight.take().or(self.cut_off.take());
    }

    /// A join shows whether the flight that was cut off has come to the log. If it has, it is not written again: the
    /// others would relay it twice. A stream of an earlier tenure proves nothing, since it may not be written to.
    pub(super) fn settle_cut_off(&mut self, reply: &ReadReply) {
        let Some(flight) = self.cut_off.take() else { return };
        let current = reply.head.as_ref().is_some_and(|head| head.tenure == reply.tenure);
        if current && reply.entries.iter().any(|entry| entry.update == flight.update) {
            self.queue.remove_front(flight.items);
        }
    }

    pub(in super::super) fn appended(
        &mut self,
        now: Now,
        call: u64,
        result: Result<Appended, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.flight.take_if(|flight| flight.call == call) else { return };
        match result {
            // It acknowledges; the position moves when the entry is heard, in order.
            Ok(Appended::At(position)) => {
                if !self.keeps(Rule::ContiguousPosition) {
                    self.position = Some(position);
                }
                self.logged(position, flight);
            }
            Ok(Appended::Refused) => self.join(effects),
            Err(Failed) => self.fall_apart(now),
        }
    }

    fn logged(&mut self, position: Position, flight: Flight) {
        let seq = self.queue.front().map_or(self.taken, |item| item.seq);
        self.queue.remove_front(flight.items);
        self.log_grew();
        if !self.tail.iter().rev().any(|held| held.entry.position == position) {
            self.tail.push(Held { entry: Entry { position, update: flight.update }, seq });
        }
    }

    /// Moves what is durable enough from `waiting` to `acknowledged`, in order.
    pub(super) fn acknowledge(&mut self) {
        let durable = match self.limits.durability {
            Durability::Database => self.covered(),
            Durability::Log if !self.joined() => self.covered(),
            Durability::Log => {
                let logged = self.queue.front().map_or(self.taken, |item| item.seq.saturating_sub(1));
                logged.max(self.covered())
            }
        };
        if !self.keeps(Rule::QueueInOrder) {
            return self.acknowledge_each(durable);
        }
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.seq <= durable) {
            self.acknowledged.push((waiting.session, waiting.update));
        }
    }

    /// What goes with a queue without an order: each update is acknowledged as soon as it is in the log itself.
    fn acknowledge_each(&mut self, durable: u64) {
        let logged = self.joined() && self.limits.durability == Durability::Log;
        let mut held = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let queued = self.queue.iter().any(|item| item.seq == waiting.seq);
            let due = waiting.seq <= durable || logged && !queued;
            if due && !held.contains(&waiting.session) {
                self.acknowledged.push((waiting.session, waiting.update));
            } else {
                held.push(waiting.session);
                self.waiting.push_back(waiting);
            }
        }
    }
}
