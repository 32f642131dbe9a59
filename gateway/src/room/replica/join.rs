//! Join and live: how a replica gets to the log's end and stays there.

use std::collections::HashSet;

use bytes::Bytes;

use super::super::log::{Entry, Position, ReadReply, Row};
use super::super::{Effect, Failed, Now, Rule};
use super::look::Look;
use super::queue::Item;
use super::{Held, Replica};
use editorcluster_core::document::check;

/// How far the join is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Not joined, and nothing under way: waits for the connection or for `retry_at`.
    Apart,
    Subscribing {
        call: u64,
    },
    Reading {
        call: u64,
    },
    Loading {
        call: u64,
        reply: ReadReply,
    },
    Joined,
}

impl Replica {
    /// Starts over. What is in flight has an unknown outcome from now on and stays in the queue.
    pub(in super::super) fn join(&mut self, effects: &mut Vec<Effect>) {
        let call = self.call();
        self.stage = Stage::Subscribing { call };
        self.cut_off();
        self.buffer.clear();
        self.look = Look::default();
        effects.push(Effect::Subscribe { call });
    }

    /// The row is another one than what is known of it.
    pub(super) fn join_and_load(&mut self, effects: &mut Vec<Effect>) {
        self.row_due = true;
        self.join(effects);
    }

    pub(in super::super) fn subscribed(
        &mut self,
        now: Now,
        call: u64,
        result: Result<u64, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        if !matches!(self.stage, Stage::Subscribing { call: mine } if mine == call) {
            return;
        }
        match result {
            Ok(generation)
                if self.dead.is_none_or(|dead| generation > dead) || !self.keeps(Rule::ConnectionGeneration) =>
            {
                let call = self.call();
                self.stage = Stage::Reading { call };
                effects.push(Effect::Read { call });
            }
            _ => self.fall_apart(now),
        }
    }

    pub(in super::super) fn read(
        &mut self,
        now: Now,
        call: u64,
        result: Result<ReadReply, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        match (&self.stage, result) {
            (Stage::Reading { call: mine }, Ok(reply)) if *mine == call => {
                if self.needs_row(&reply) {
                    let call = self.call();
                    self.stage = Stage::Loading { call, reply };
                    effects.push(Effect::Load { call });
                } else {
                    self.finish_join(now, reply, None, effects);
                }
            }
            (Stage::Reading { call: mine }, Err(Failed)) if *mine == call => self.fall_apart(now),
            _ => {}
        }
    }

    /// The answer to the Load of a join.
    pub(super) fn loaded_for_join(
        &mut self,
        now: Now,
        call: u64,
        result: Result<Option<Row>, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        if !matches!(self.stage, Stage::Loading { call: mine, .. } if mine == call) {
            return;
        }
        let Stage::Loading { reply, .. } = std::mem::replace(&mut self.stage, Stage::Apart) else { return };
        match result {
            Ok(row) => {
                self.row_due = false;
                self.finish_join(now, reply, Some(row), effects);
            }
            // An open room goes on without the row; a first open cannot, it would serve an empty document.
            Err(Failed) if self.loaded => {
                self.row_due = true;
                self.finish_join(now, reply, None, effects);
            }
            Err(Failed) => self.fall_apart(now),
        }
    }

    fn needs_row(&self, reply: &ReadReply) -> bool {
        let (Some(position), Some(last)) = (self.position, reply.last) else { return true };
        let unknown_before = reply.entries.first().is_some_and(|first| first.position.n > position.n + 1)
            || reply.entries.is_empty() && last.n > position.n;
        !self.loaded
            || self.row_due
            || position.epoch != last.epoch
            || self.tenure.as_ref() != Some(&reply.tenure)
            || self.head != reply.head
            || unknown_before
    }

    fn finish_join(&mut self, now: Now, mut reply: ReadReply, row: Option<Option<Row>>, effects: &mut Vec<Effect>) {
        let in_stream: HashSet<Position> = reply.entries.iter().map(|entry| entry.position).collect();
        if !self.keeps(Rule::ReadWholeStream) {
            reply.entries.retain(|entry| reply.last.is_some_and(|last| last.epoch == entry.position.epoch));
        }
        // Within one epoch an entry that is no longer there was trimmed, so it was covered, and all who joined had it.
        let trimmed = |at: Position| reply.last.is_some_and(|last| last.epoch == at.epoch && at.n <= last.n);
        let old_tail = std::mem::take(&mut self.tail);
        let known: HashSet<Position> = old_tail.iter().map(|held| held.entry.position).collect();
        let lost: Vec<Entry> = old_tail
            .into_iter()
            .map(|held| held.entry)
            .filter(|entry| !in_stream.contains(&entry.position) && !trimmed(entry.position))
            .collect();

        let row_read = row.is_some();
        let row_shrank = row.as_ref().is_some_and(|row| self.row_shrank(row.as_ref()));
        let row = row.and_then(|row| self.take_row(row));
        let held = |at: Position| {
            known.contains(&at) || self.position.is_some_and(|mine| mine.epoch == at.epoch && at.n <= mine.n)
        };
        // Whoever wrote it had not looked. It has its position and nothing else: who would keep it would write it again.
        reply.entries.retain(|entry| {
            let decodes = check(&entry.update).is_ok();
            if !decodes && !held(entry.position) {
                effects.push(Effect::Skipped { position: entry.position });
            }
            decodes
        });
        let entries = reply.entries.iter().filter(|entry| !held(entry.position)).map(|entry| entry.update.clone());
        let entries: Vec<Bytes> = entries.collect();
        self.settle_cut_off(&reply);
        self.unite(row, entries);

        if reply.last.is_some() {
            // Also a stream that was trimmed to nothing expires only after somebody says that it is covered.
            self.log_grew();
        } else {
            // The log has expired or was lost: there is nothing to be told that it is covered, and to wait for that
            // would keep the room open for good.
            self.log_is_empty();
        }
        // When each was taken in first is not known any more.
        let seq = self.covered() + 1;
        let uncovered = reply.entries.into_iter().filter(|entry| !self.row_covers(entry.position));
        self.tail = uncovered.map(|entry| Held { entry, seq }).collect();
        self.position = reply.last;
        self.head = reply.head;
        self.tenure = Some(reply.tenure);
        self.requeue(lost);
        if row_shrank {
            // A database that failed over has lost checkpoints, or somebody deleted the row: all is to be written.
            self.owe_row();
        } else if row_read {
            self.count_covered();
        }
        self.stage = Stage::Joined;
        self.loaded = true;
        self.failures = 0;
        self.retry_at = None;
        self.look_later(now);
        for entry in std::mem::take(&mut self.buffer) {
            self.heard(entry, effects);
        }
    }

    /// What the stream lacks of what the room holds goes in front, as one item, and nothing is acknowledged before it
    /// is in the log. It is queued even if it is covered: a room that has read the row earlier would never hear of it.
    fn requeue(&mut self, mut lost: Vec<Entry>) {
        if !self.keeps(Rule::AppendWhatTheStreamLacks) {
            lost.retain(|entry| !self.row_covers(entry.position));
        }
        for entry in lost.into_iter().rev() {
            self.queue.push_front(Item { seq: 0, update: entry.update });
        }
    }

    /// Live: an entry by any gateway, in the order in which the log made them.
    pub(in super::super) fn heard(&mut self, entry: Entry, effects: &mut Vec<Effect>) {
        match self.stage {
            Stage::Joined => {}
            Stage::Apart => return,
            _ => return self.buffer.push(entry),
        }
        let next = match self.position {
            Some(mine) if mine.epoch == entry.position.epoch => mine.n + 1,
            _ => {
                // The notice of our own OPEN may come before its answer, which the join would make worthless: the
                // update would be appended, and relayed by the others, a second time.
                self.opened_by_notice(entry.position);
                return self.join(effects);
            }
        };
        if entry.position.n < next {
            return;
        }
        if entry.position.n > next {
            return self.join(effects);
        }
        self.position = Some(entry.position);
        self.log_grew();
        if self.tail.iter().rev().any(|known| known.entry.position == entry.position) {
            return;
        }
        let own = self.flight.as_ref().is_some_and(|flight| flight.update == entry.update);
        if !own {
            // What a row has brought before the log tells it is no news.
            let Ok(admitted) = self.document.take(&entry.update) else {
                return effects.push(Effect::Skipped { position: entry.position });
            };
            self.taken += 1;
            self.news.extend(admitted.news);
        }
        let seq = self.queue.front().filter(|_| own).map_or(self.taken, |item| item.seq);
        self.tail.push(Held { entry, seq });
    }

    pub(in super::super) fn disconnected(&mut self, now: Now, generation: u64) {
        if !self.joined() && !self.keeps(Rule::ConnectionGeneration) {
            return;
        }
        self.dead = self.dead.max(Some(generation));
        self.fall_apart(now);
    }

    pub(in super::super) fn connected(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_apart() && !self.keeps(Rule::ConnectionGeneration) {
            return;
        }
        self.join(effects);
    }

    pub(super) fn fall_apart(&mut self, now: Now) {
        self.stage = Stage::Apart;
        self.cut_off();
        self.look = Look::default();
        self.retry_later(now);
    }
}
