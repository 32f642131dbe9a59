//! The sessions of the room, and what it owes them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use editorcluster_core::document::{Document, check};
use gateway::protocol::yjs::Message;
use gateway::room::SessionId;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{Doc, ReadTxn as _, StateVector, Text as _, Transact as _};

/// Somebody with a document of their own, who only writes. Nothing that others do can make their edits wait.
pub(crate) struct Person {
    client: u64,
    doc: Doc,
    pub(crate) session: Option<SessionId>,
    /// This session has sent what is no update of theirs.
    bad: bool,
    /// What the room has taken from this session and not acknowledged, with the clock that it then owes.
    unacknowledged: VecDeque<(Bytes, u32)>,
    /// All clocks below are the room's to keep, acknowledged or not.
    pub(crate) given: u32,
}

pub(crate) struct People(pub(crate) Vec<Person>);

impl Person {
    fn new(client: u64) -> Self {
        let (doc, unacknowledged) = (Doc::with_client_id(client), VecDeque::new());
        Self { client, doc, session: None, bad: false, unacknowledged, given: 0 }
    }

    fn clock(&self) -> u32 {
        self.doc.transact().state_vector().get(&self.doc.client_id())
    }

    pub(crate) fn edit(&mut self, at: u32, delete: bool) -> Bytes {
        let text = self.doc.get_or_insert_text("t");
        let mut edit = self.doc.transact_mut();
        let length = text.len(&edit);
        if delete && length > 0 {
            text.remove_range(&mut edit, at % length, 1);
        } else {
            text.insert(&mut edit, at % (length + 1), "ab");
        }
        edit.encode_update_v1().into()
    }

    pub(crate) fn state(&self) -> Bytes {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default()).into()
    }

    pub(crate) fn vector(&self) -> Bytes {
        self.doc.transact().state_vector().encode_v1().into()
    }

    pub(crate) fn leave(&mut self) -> Option<SessionId> {
        self.bad = false;
        self.unacknowledged.clear();
        self.session.take()
    }

    /// Notes what is about to be sent. `own`: made by this person's document, and all of it so far.
    pub(crate) fn sends(&mut self, message: &Message, own: bool) {
        self.bad |= !own;
        if let Message::Update(update) | Message::SyncStep2(update) = message
            && check(update).is_ok()
        {
            let owed = if own { self.clock() } else { self.given };
            // Behind what is bad the session may be closed, and then nothing more is taken from it.
            if !self.bad {
                self.given = owed;
            }
            self.unacknowledged.push_back((update.clone(), owed));
        }
    }
}

impl People {
    pub(crate) fn new() -> Self {
        Self((1..=3).map(Person::new).collect())
    }

    pub(crate) fn of(&mut self, session: SessionId) -> &mut Person {
        let person = self.0.iter_mut().find(|person| person.session == Some(session));
        person.expect("only sessions that are in the room are told anything")
    }

    pub(crate) fn closed(&mut self, session: SessionId) {
        let person = self.of(session);
        assert!(person.bad, "a session was closed that has done nothing wrong");
        person.leave();
    }

    /// In order, and nothing that was not sent. What refers to nothing that is known is dropped in the end, and never
    /// acknowledged. Returns the client and what the room must hold of it.
    pub(crate) fn acknowledged(&mut self, session: SessionId, update: &Bytes) -> (u64, u32) {
        let person = self.of(session);
        let (mut sent, mut owed) = person.unacknowledged.pop_front().expect("an update was sent");
        while person.bad && sent != update {
            (sent, owed) = person.unacknowledged.pop_front().expect("the update was sent");
        }
        assert_eq!(sent, update);
        person.given = person.given.max(owed);
        (person.client, owed)
    }

    /// What whoever has all that people gave must hold.
    pub(crate) fn given(&self) -> BTreeMap<u64, u32> {
        self.0.iter().map(|person| (person.client, person.given)).collect()
    }
}

/// The clocks of what updates hold together.
pub(crate) fn clocks<'a>(updates: impl IntoIterator<Item = &'a Bytes>) -> StateVector {
    let mut document = Document::default();
    for update in updates {
        // As in the room: an entry that is no update is left out.
        let _ = document.take(update);
    }
    StateVector::decode_v1(&document.state_vector()).expect("a document has a state vector")
}
