//! The rooms of a shard: inputs in, effects carried out.

use std::collections::HashSet;
use std::fmt::Display;
use std::rc::Rc;

use bytes::Bytes;

use super::calls;
use super::inbound::Refusal;
use super::outbox::Kind;
use super::pending::Pending;
use super::state::{Shared, State};
use super::stream::Streams;
use super::turns::Turn;
use crate::bus::Event;
use crate::protocol::websocket::{self, Opcode};
use crate::protocol::yjs::Message;
use crate::room::{Effect, Input, Now, Room, SessionId};

/// A room and what its shard knows of it.
pub(super) struct Slot {
    pub(super) turn: Turn,
    /// Tells the answers to this room's calls from those to an earlier room of the same document.
    pub(super) incarnation: u64,
    sessions: HashSet<SessionId>,
    /// The room wants its sessions not to be read, and whether they are not.
    wants_pause: bool,
    paused: bool,
    wake: Option<Now>,
    pub(super) streams: Streams,
    pub(super) pending: Pending,
}

impl Slot {
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.iter().copied().collect()
    }

    /// Whether the room still wants to be called back at `at`; if so, it does no longer.
    pub(super) fn take_wake(&mut self, at: Now) -> bool {
        let wanted = self.wake == Some(at);
        if wanted {
            self.wake = None;
        }
        wanted
    }
}

impl Shared {
    /// Opens the document's room if it is not open, and puts the session into it.
    pub(super) fn join(self: &Rc<Self>, state: &mut State, document: &Rc<str>, session: SessionId) {
        if !state.rooms.contains_key(document) {
            self.open(state, document);
        }
        if let Some(slot) = state.rooms.get_mut(document) {
            slot.sessions.insert(session);
            let paused = slot.paused;
            if let Some(session) = state.sessions.get_mut(&session) {
                session.paused = paused;
            }
        }
        self.input(state, document, Input::Join { session });
    }

    /// Opens a room with nobody in it, which brings the document's log to the database and ends. A room that is open
    /// does that anyway.
    pub(super) fn sweep(self: &Rc<Self>, state: &mut State, document: &Rc<str>) {
        if state.closing || state.rooms.contains_key(document) {
            return;
        }
        self.open(state, document);
        self.setup.metrics.swept.inc();
        self.input(state, document, Input::Sweep);
    }

    fn open(&self, state: &mut State, document: &Rc<str>) {
        let room = Room::new(self.setup.limits.clone(), rand::random()).with(self.setup.empty_document(document));
        let slot = Slot {
            turn: Turn::new(room),
            incarnation: state.next_id(),
            sessions: HashSet::new(),
            wants_pause: false,
            paused: false,
            wake: None,
            streams: Streams::default(),
            pending: Pending::default(),
        };
        state.rooms.insert(document.clone(), slot);
        self.setup.metrics.documents.inc();
    }

    /// Takes the session out of its room.
    pub(super) fn leave(self: &Rc<Self>, state: &mut State, document: &Rc<str>, session: SessionId) {
        let Some(slot) = state.rooms.get_mut(document) else { return };
        if slot.sessions.remove(&session) {
            self.input(state, document, Input::Leave { session });
        }
    }

    /// The answer to a call. One to a room that is gone is nobody's.
    pub(super) fn answer(self: &Rc<Self>, document: &Rc<str>, incarnation: u64, input: Input) {
        let mut state = self.state.borrow_mut();
        if state.rooms.get(document).is_some_and(|slot| slot.incarnation == incarnation) {
            state.received = std::time::Instant::now();
            self.input(&mut state, document, input);
        }
    }

    pub(super) fn heard(self: &Rc<Self>, state: &mut State, event: Event) {
        let (document, input) = match event {
            Event::Entry { document, entry } => (document, Input::Entry(entry)),
            Event::Covered { document, position, rev } => (document, Input::Covered { position, rev }),
            Event::Awareness { document, update } => (document, Input::RemoteAwareness(update)),
            Event::AwarenessQuery { document } => (document, Input::AwarenessQuery),
            Event::Deleted { document } => return calls::check_deleted(self, state, &Rc::from(document)),
            Event::Connected { generation } => return self.input_all(state, &Input::Connected { generation }),
            Event::Disconnected { generation } => return self.input_all(state, &Input::Disconnected { generation }),
        };
        self.input(state, &Rc::from(document), input);
    }

    pub(super) fn input_all(self: &Rc<Self>, state: &mut State, input: &Input) {
        let documents: Vec<Rc<str>> = state.rooms.keys().cloned().collect();
        for document in documents {
            self.input(state, &document, input.clone());
        }
    }

    pub(super) fn carry_out(self: &Rc<Self>, state: &mut State, document: &Rc<str>, effect: Effect) {
        match effect {
            Effect::Stream { session, stream, answer, as_of } => {
                self.stream(state, document, stream, (session, as_of), answer);
            }
            Effect::Send { to, message } => self.send(state, &to, &message),
            Effect::Tell { as_update, as_step2, update } => {
                if !as_step2.is_empty() {
                    self.tell(state, &as_step2, &Message::SyncStep2(update.clone()));
                }
                self.tell(state, &as_update, &Message::Update(update));
            }
            Effect::Acknowledge { session, update } => {
                if !self.acknowledge_edit(state, document, session) {
                    let frame = frame(&Message::Update(update));
                    self.queue(state, session, frame, Kind::Answer);
                }
            }
            Effect::Close { session, reason } => {
                if let Some(slot) = state.rooms.get_mut(document) {
                    slot.sessions.remove(&session);
                }
                self.dismiss(state, session, reason.into());
            }
            Effect::Pause(paused) => {
                if let Some(slot) = state.rooms.get_mut(document) {
                    slot.wants_pause = paused;
                }
                self.pause(state, document);
            }
            Effect::WakeAt(at) => {
                if let Some(slot) = state.rooms.get_mut(document)
                    && slot.wake.replace(at) != Some(at)
                    && state.wakes.add(at, document.clone())
                {
                    self.earlier.notify_one();
                }
            }
            Effect::Skipped { position } => {
                self.setup.metrics.skipped_entries.inc();
                let (epoch, n) = (position.epoch, position.n);
                tracing::error!(document = &**document, %epoch, n, "an entry of the log is no update; it was left out");
            }
            Effect::Done => {
                self.remove(state, document);
                calls::unsubscribe(self, state, document);
            }
            Effect::PublishAwareness(_)
            | Effect::QueryAwareness
            | Effect::Subscribe { .. }
            | Effect::Read { .. }
            | Effect::Peek { .. }
            | Effect::Rev { .. }
            | Effect::Load { .. }
            | Effect::Open { .. }
            | Effect::Append { .. }
            | Effect::Write { .. }
            | Effect::Cover { .. } => {
                if let Some(slot) = state.rooms.get_mut(document) {
                    let incarnation = slot.incarnation;
                    if matches!(effect, Effect::Write { .. }) {
                        slot.streams.renew();
                    }
                    calls::start(self, state, document, incarnation, effect);
                }
            }
        }
    }

    fn send(&self, state: &mut State, to: &[SessionId], message: &Message) {
        let kind = match message {
            Message::Awareness(_) => Kind::Live,
            _ => Kind::Content,
        };
        let frame = frame(message);
        for &session in to {
            self.queue(state, session, frame.clone(), kind);
        }
    }

    fn tell(&self, state: &mut State, to: &[SessionId], message: &Message) {
        let frame = frame(message);
        let (received, mut sent) = (state.received, 0);
        for &session in to {
            if self.queue(state, session, frame.clone(), Kind::Live) {
                sent += 1;
                if let Some(session) = state.sessions.get_mut(&session) {
                    session.outbox.note_update(received);
                }
            }
        }
        self.setup.metrics.updates_sent.inc_by(sent);
    }

    /// Reads the room's sessions or not, as the room and what waits for it want it.
    pub(super) fn pause(&self, state: &mut State, document: &Rc<str>) {
        let Some(slot) = state.rooms.get_mut(document) else { return };
        let paused = slot.wants_pause || slot.turn.is_crowded();
        if std::mem::replace(&mut slot.paused, paused) == paused {
            return;
        }
        for id in &slot.sessions {
            if let Some(session) = state.sessions.get_mut(id) {
                session.paused = paused;
                session.wake.notify_one();
            }
        }
    }

    /// The room cannot go on. Its sessions come back to a new one, which joins the log again.
    pub(super) fn fail(self: &Rc<Self>, state: &mut State, document: &Rc<str>) {
        tracing::error!(document = &**document, "a room failed; its sessions are closed and can come back");
        self.end_room(state, document, Refusal::room_failed);
    }

    /// The document was deleted. Whoever comes back is told the same by the database.
    pub(super) fn deleted(self: &Rc<Self>, document: &Rc<str>, incarnation: u64) {
        let state = &mut *self.state.borrow_mut();
        if state.rooms.get(document).is_some_and(|slot| slot.incarnation == incarnation) {
            self.end_room(state, document, Refusal::deleted);
        }
    }

    /// What is stored of the document is damaged. Nothing is written over it.
    pub(super) fn damaged(self: &Rc<Self>, document: &Rc<str>, incarnation: u64, damage: &dyn Display) {
        self.setup.metrics.damaged.inc();
        tracing::error!(document = &**document, %damage, "a document is damaged and not served; restore it");
        let state = &mut *self.state.borrow_mut();
        if state.rooms.get(document).is_some_and(|slot| slot.incarnation == incarnation) {
            self.end_room(state, document, Refusal::damaged);
        }
    }

    /// Processes died or stalled in it. What of it is in the log alone stays there.
    pub(super) fn quarantined(self: &Rc<Self>, document: &Rc<str>, incarnation: u64) {
        self.setup.metrics.quarantined.inc();
        tracing::error!(document = &**document, "the document is in quarantine and not opened");
        let state = &mut *self.state.borrow_mut();
        if state.rooms.get(document).is_some_and(|slot| slot.incarnation == incarnation) {
            self.end_room(state, document, Refusal::quarantined);
        }
    }

    fn end_room(self: &Rc<Self>, state: &mut State, document: &Rc<str>, refusal: fn() -> Refusal) {
        let Some(slot) = self.remove(state, document) else { return };
        for session in slot.sessions {
            self.dismiss(state, session, refusal());
        }
        calls::unsubscribe(self, state, document);
    }

    fn remove(&self, state: &mut State, document: &Rc<str>) -> Option<Slot> {
        let mut slot = state.rooms.remove(document)?;
        self.setup.metrics.documents.dec();
        std::mem::take(&mut slot.pending).end(&self.setup.metrics);
        self.gone.notify_waiters();
        Some(slot)
    }
}

/// A longer body is not copied into its frame. It is the document itself, most often, and a thousand may join it at once.
const SHARED_FROM: usize = 16 << 10;

/// A message as one frame in one or two pieces, for any number of receivers.
fn frame(message: &Message) -> impl Iterator<Item = Bytes> + Clone + use<> {
    let (head, body) = message.parts();
    let header = websocket::header(Opcode::Binary, head.len() + body.len());
    let copied = if body.len() < SHARED_FROM { &body[..] } else { &[] };
    let first = Bytes::from([&header[..], &head, copied].concat());
    std::iter::once(first).chain((body.len() >= SHARED_FROM).then_some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_shared_by_all_its_receivers_and_the_frame_is_the_same() {
        for length in [0, 1, 120, SHARED_FROM - 1, SHARED_FROM, SHARED_FROM + 1, 70_000] {
            let body = Bytes::from((0..length).map(|at| at as u8).collect::<Vec<u8>>());
            let message = Message::SyncStep2(body.clone());
            let pieces: Vec<Bytes> = frame(&message).collect();
            let payload = message.encode();
            let expected = [websocket::header(Opcode::Binary, payload.len()), payload].concat();
            assert_eq!(pieces.concat(), expected, "{length}");
            let shared = pieces.get(1).map(|piece| piece.as_ptr());
            assert_eq!(shared, (length >= SHARED_FROM).then_some(body.as_ptr()), "{length}");
        }
    }
}
