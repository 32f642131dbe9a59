//! Updates that refer to what the room does not have. They come so when two tabs tell each other of edits before the
//! server, and from clients that wait for something themselves. An update is held for a short time, unacknowledged, while
//! its session is asked for all that the room lacks. The session's later acknowledgements wait behind it, since an
//! acknowledgement is for all that was sent before.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use editorcluster_core::document::{Document, Id};

use super::{Now, SessionId};

/// Bytes of one session's updates that are held. Beyond it the oldest are dropped.
const SESSION_BYTES: usize = 64 << 10;
/// Bytes of all sessions' updates that are held in a room. Beyond it the oldest are dropped.
const ROOM_BYTES: usize = 1 << 20;
/// A client answers within a round trip.
const HOLD_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Item {
    session: SessionId,
    update: Bytes,
    /// Whether it is a message, or the last part of one.
    is_end: bool,
    /// What is acknowledged then.
    acknowledges: Option<Bytes>,
    /// None: it was admitted, and its acknowledgement waits for those before it.
    waits_for: Option<Id>,
    until: Now,
}

impl Item {
    fn size(&self) -> usize {
        if self.waits_for.is_some() { self.update.len() } else { 0 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Held {
    /// In the order in which they came.
    items: VecDeque<Item>,
    /// Sessions of which a part was dropped while the rest of its message was still to come. That is not acknowledged.
    torn: BTreeSet<SessionId>,
}

impl Held {
    /// Whether something of the session is held.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.torn.contains(&session) || self.items.iter().any(|item| item.session == session)
    }

    /// Who waits for these bytes as an acknowledgement. Told them as an Update, they would take them for it.
    pub(super) fn awaiting(&self, update: &Bytes) -> Vec<SessionId> {
        let awaits = |item: &&Item| item.acknowledges.as_ref() == Some(update);
        self.items.iter().filter(awaits).map(|item| item.session).collect()
    }

    /// Holds an update, or only its acknowledgement if it waits for nothing. `acknowledges`: None for a part of a message
    /// of which more is to come.
    pub(super) fn hold(
        &mut self,
        now: Now,
        session: SessionId,
        update: Bytes,
        acknowledges: Option<Bytes>,
        waits_for: Option<Id>,
    ) {
        let is_end = acknowledges.is_some();
        let acknowledges = acknowledges.filter(|_| !self.torn.remove(&session));
        self.items.push_back(Item { session, update, is_end, acknowledges, waits_for, until: now + HOLD_FOR });
        self.shrink(SESSION_BYTES, |item| item.session == session);
        self.shrink(ROOM_BYTES, |_| true);
    }

    fn shrink(&mut self, most: usize, of: impl Fn(&Item) -> bool) {
        let mut bytes: usize = self.items.iter().filter(|item| of(item)).map(Item::size).sum();
        self.drop_where(|item| {
            let drop = bytes > most && of(item) && item.waits_for.is_some();
            bytes -= if drop { item.size() } else { 0 };
            drop
        });
    }

    /// Drops updates. What was a part of a longer message takes the acknowledgement of that along.
    fn drop_where(&mut self, mut drops: impl FnMut(&Item) -> bool) {
        let mut torn = BTreeSet::new();
        self.items.retain_mut(|item| {
            let drop = drops(item);
            if item.is_end && torn.remove(&item.session) {
                item.acknowledges = None;
            } else if drop && !item.is_end {
                torn.insert(item.session);
            }
            !drop
        });
        self.torn.append(&mut torn);
    }

    /// The first update for which the document may have what it waits for.
    pub(super) fn due(&self, document: &Document) -> Option<usize> {
        self.items.iter().position(|item| item.waits_for.is_some_and(|id| document.knows(id)))
    }

    pub(super) fn at(&self, index: usize) -> (SessionId, Bytes) {
        (self.items[index].session, self.items[index].update.clone())
    }

    /// What an update waits for now.
    pub(super) fn settle(&mut self, index: usize, waits_for: Option<Id>) {
        self.items[index].waits_for = waits_for;
    }

    /// Whether an acknowledgement may be due.
    pub(super) fn has_settled(&self) -> bool {
        self.items.front().is_some_and(|item| item.waits_for.is_none())
    }

    /// Takes out what waits for nothing, and for no other update of its session. Returns what is to be acknowledged.
    pub(super) fn take_settled(&mut self) -> Vec<(SessionId, Bytes)> {
        let (mut settled, mut kept) = (Vec::new(), VecDeque::new());
        for item in self.items.drain(..) {
            if item.waits_for.is_none() && !kept.iter().any(|kept: &Item| kept.session == item.session) {
                settled.extend(item.acknowledges.map(|update| (item.session, update)));
            } else {
                kept.push_back(item);
            }
        }
        self.items = kept;
        settled
    }

    /// Drops what has waited too long. It is never acknowledged; its client tells it again when it comes back.
    pub(super) fn expire(&mut self, now: Now) {
        if self.expires_at().is_some_and(|at| at <= now) {
            self.drop_where(|item| item.waits_for.is_some() && item.until <= now);
        }
    }

    pub(super) fn expires_at(&self) -> Option<Now> {
        self.items.iter().filter(|item| item.waits_for.is_some()).map(|item| item.until).min()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.items.iter().map(Item::size).sum()
    }

    pub(super) fn leave(&mut self, session: SessionId) {
        self.items.retain(|item| item.session != session);
        self.torn.remove(&session);
    }
}
