//! Updates that refer to what the room does not have. They come so when two tabs tell each other of edits before the
//! server, and from clients that wait for something themselves. An update is held for a short time, unacknowledged, while
//! its session is asked for all that the room lacks. The session's later acknowledgements wait behind it, since an
//! acknowledgement is for all that was sent before.

use std::collections::VecDeque;
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
    /// None: it was admitted, and its acknowledgement waits for those before it.
    waits_for: Option<Id>,
    until: Now,
}

impl Item {
    fn size(&self) -> usize {
        if self.waits_for.is_some() { self.update.len() } else { 0 }
    }
}

/// In the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Held(VecDeque<Item>);

impl Held {
    /// Whether something of the session is held.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.0.iter().any(|item| item.session == session)
    }

    /// Whose update has these bytes. Told them as an Update, they would take it for their acknowledgement.
    pub(super) fn awaiting(&self, update: &Bytes) -> Vec<SessionId> {
        self.0.iter().filter(|item| item.update == *update).map(|item| item.session).collect()
    }

    /// Holds an update, or only its acknowledgement if it waits for nothing.
    pub(super) fn hold(&mut self, now: Now, session: SessionId, update: Bytes, waits_for: Option<Id>) {
        self.0.push_back(Item { session, update, waits_for, until: now + HOLD_FOR });
        self.shrink(SESSION_BYTES, |item| item.session == session);
        self.shrink(ROOM_BYTES, |_| true);
    }

    fn shrink(&mut self, most: usize, of: impl Fn(&Item) -> bool) {
        let mut bytes: usize = self.0.iter().filter(|item| of(item)).map(Item::size).sum();
        self.0.retain(|item| {
            let drop = bytes > most && of(item) && item.waits_for.is_some();
            bytes -= if drop { item.size() } else { 0 };
            !drop
        });
    }

    /// The first update for which the document may have what it waits for.
    pub(super) fn due(&self, document: &Document) -> Option<usize> {
        self.0.iter().position(|item| item.waits_for.is_some_and(|id| document.knows(id)))
    }

    pub(super) fn at(&self, index: usize) -> (SessionId, Bytes) {
        (self.0[index].session, self.0[index].update.clone())
    }

    /// What an update waits for now.
    pub(super) fn settle(&mut self, index: usize, waits_for: Option<Id>) {
        self.0[index].waits_for = waits_for;
    }

    /// Whether an acknowledgement may be due.
    pub(super) fn has_settled(&self) -> bool {
        self.0.front().is_some_and(|item| item.waits_for.is_none())
    }

    /// Takes out what waits for nothing, and for no other update of its session.
    pub(super) fn take_settled(&mut self) -> Vec<(SessionId, Bytes)> {
        let (mut settled, mut kept) = (Vec::new(), VecDeque::new());
        for item in self.0.drain(..) {
            if item.waits_for.is_none() && !kept.iter().any(|kept: &Item| kept.session == item.session) {
                settled.push((item.session, item.update));
            } else {
                kept.push_back(item);
            }
        }
        self.0 = kept;
        settled
    }

    /// Drops what has waited too long. It is never acknowledged; its client tells it again when it comes back.
    pub(super) fn expire(&mut self, now: Now) {
        self.0.retain(|item| item.waits_for.is_none() || now < item.until);
    }

    pub(super) fn expires_at(&self) -> Option<Now> {
        self.0.iter().filter(|item| item.waits_for.is_some()).map(|item| item.until).min()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Item::size).sum()
    }

    pub(super) fn leave(&mut self, session: SessionId) {
        self.0.retain(|item| item.session != session);
    }
}
