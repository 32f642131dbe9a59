//! Who is in the room, and how what others wrote is told to each.
//!
//! An Update with the bytes that a session has sent is its acknowledgement. What others wrote may be the same bytes: what
//! the session's client wrote through another connection or another gateway, or a deletion that two people made at once.
//! So it is told as a Step2, which clients take in just as well and never for an acknowledgement, to whoever could mistake
//! it. A Step2 also says that the document is there now, so who has not been given it yet is told nothing: it will be in
//! what that session is given.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::SessionId;

#[derive(Debug, Default)]
pub(super) struct Members {
    sessions: BTreeSet<SessionId>,
    arriving: BTreeMap<SessionId, Arrival>,
}

/// A session whose first Step2 is not acknowledged: what it brings may come from somewhere else as well.
#[derive(Debug, Default)]
struct Arrival {
    /// It has been given the document.
    given: bool,
    step2: Option<Bytes>,
    acknowledged: bool,
}

/// Who is told of an update, and how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) as_update: Vec<SessionId>,
    pub(super) as_step2: Vec<SessionId>,
}

impl Members {
    pub(super) fn join(&mut self, session: SessionId) {
        self.sessions.insert(session);
        self.arriving.insert(session, Arrival::default());
    }

    /// Whether it was there.
    pub(super) fn leave(&mut self, session: SessionId) -> bool {
        self.arriving.remove(&session);
        self.sessions.remove(&session)
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.sessions.contains(&session)
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn all(&self) -> Vec<SessionId> {
        self.sessions.iter().copied().collect()
    }

    /// The session's Step1 was answered.
    pub(super) fn was_given(&mut self, session: SessionId) {
        if let Some(arrival) = self.arriving.get_mut(&session) {
            arrival.given = true;
        }
        self.settle(session);
    }

    /// Whether the session is there and has been given the document.
    pub(super) fn has_been_given(&self, session: SessionId) -> bool {
        self.contains(session) && self.arriving.get(&session).is_none_or(|arrival| arrival.given)
    }

    /// The session has said what the room lacked.
    pub(super) fn has_told(&mut self, session: SessionId, step2: &Bytes) {
        if let Some(arrival) = self.arriving.get_mut(&session) {
            arrival.step2.get_or_insert_with(|| step2.clone());
        }
    }

    /// Something that the session sent is acknowledged.
    pub(super) fn was_acknowledged(&mut self, session: SessionId, update: &Bytes) {
        if let Some(arrival) = self.arriving.get_mut(&session) {
            arrival.acknowledged |= arrival.step2.as_ref() == Some(update);
        }
        self.settle(session);
    }

    fn settle(&mut self, session: SessionId) {
        if self.arriving.get(&session).is_some_and(|arrival| arrival.given && arrival.acknowledged) {
            self.arriving.remove(&session);
        }
    }

    /// Who is told of an update that `author` wrote, or somebody elsewhere. `awaiting`: whose update of the same
    /// bytes is held.
    pub(super) fn audience(&self, author: Option<SessionId>, update: &[u8], awaiting: &[SessionId]) -> Audience {
        // Deletions do not say who made them.
        let only_deletes = update.first() == Some(&0);
        let mut audience = Audience::default();
        for &session in self.sessions.iter().filter(|session| Some(**session) != author) {
            let arrival = self.arriving.get(&session);
            if arrival.is_none() && !only_deletes && !awaiting.contains(&session) {
                audience.as_update.push(session);
            } else if arrival.is_none_or(|arrival| arrival.given) {
                audience.as_step2.push(session);
            }
        }
        audience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: SessionId = SessionId(1);
    const READER: SessionId = SessionId(2);
    const INSERTION: &[u8] = &[1, 1, 7, 0, 4, 1, 1, b't', 1, b'x', 0];
    const DELETION: &[u8] = &[0, 1, 7, 1, 0, 1];
    const STEP2: Bytes = Bytes::from_static(&[0, 0]);

    fn settled() -> Members {
        let mut members = Members::default();
        for session in [AUTHOR, READER] {
            members.join(session);
            members.was_given(session);
            members.has_told(session, &STEP2);
            members.was_acknowledged(session, &STEP2);
        }
        members
    }

    fn as_update(to: &[SessionId]) -> Audience {
        Audience { as_update: to.to_vec(), ..Audience::default() }
    }

    fn as_step2(to: &[SessionId]) -> Audience {
        Audience { as_step2: to.to_vec(), ..Audience::default() }
    }

    #[test]
    fn a_session_has_arrived_in_whichever_order_it_is_given_the_document_and_its_own_is_acknowledged() {
        let mut members = Members::default();
        members.join(READER);
        members.has_told(READER, &STEP2);
        members.was_acknowledged(READER, &STEP2);
        assert_eq!(members.audience(None, INSERTION, &[]), Audience::default());
        members.was_given(READER);
        assert_eq!(members.audience(None, INSERTION, &[]), as_update(&[READER]));
    }

    #[test]
    fn what_nobody_can_mistake_is_an_update() {
        assert_eq!(settled().audience(Some(AUTHOR), INSERTION, &[]), as_update(&[READER]));
        assert_eq!(settled().audience(None, INSERTION, &[]), as_update(&[AUTHOR, READER]));
    }

    #[test]
    fn what_looks_like_an_acknowledgement_is_a_step2() {
        assert_eq!(settled().audience(Some(AUTHOR), DELETION, &[]), as_step2(&[READER]));
        assert_eq!(settled().audience(Some(AUTHOR), INSERTION, &[READER]), as_step2(&[READER]));
    }

    #[test]
    fn a_session_on_its_way_is_told_nothing_then_step2s_and_updates_once_its_own_step2_is_acknowledged() {
        let mut members = Members::default();
        members.join(READER);
        assert_eq!(members.audience(None, INSERTION, &[]), Audience::default());
        members.was_given(READER);
        members.has_told(READER, &STEP2);
        assert_eq!(members.audience(None, INSERTION, &[]), as_step2(&[READER]));
        members.was_acknowledged(READER, &Bytes::from_static(INSERTION));
        assert_eq!(members.audience(None, INSERTION, &[]), as_step2(&[READER]));
        members.was_acknowledged(READER, &STEP2);
        assert_eq!(members.audience(None, INSERTION, &[]), as_update(&[READER]));
        assert!(members.leave(READER) && !members.leave(READER));
        assert_eq!(members.audience(None, INSERTION, &[]), Audience::default());
    }
}
