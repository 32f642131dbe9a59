//! A room's turns: each input is handled at once, or aside if it may take long. What comes for the room meanwhile waits, so
//! that a large document, or a long message, costs its own sessions time and no others.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Instant;

use tokio::task::spawn_local;

use super::risk::{is_heavy, risk};
use super::rooms::Slot;
use super::state::{Shared, State};
use crate::protocol::yjs::Message;
use crate::quarantine::marks::Marks;
use crate::room::{Effect, Input, Now, Room};

/// Bytes that may wait for a room before its sessions are no longer read.
const CROWDED_BYTES: usize = 1 << 20;

/// A room, and what waits for it.
pub(super) struct Turn {
    /// None while it is being worked on aside.
    room: Option<Room>,
    waiting: VecDeque<Input>,
    waiting_bytes: usize,
    /// About the memory that its document took when it was here last.
    memory: usize,
}

impl Turn {
    pub(super) fn new(room: Room) -> Self {
        Self { room: Some(room), waiting: VecDeque::new(), waiting_bytes: 0, memory: 0 }
    }

    pub(super) fn memory(&self) -> usize {
        self.memory + self.waiting_bytes
    }

    /// Whether the room's sessions have said more than may wait for it.
    pub(super) fn is_crowded(&self) -> bool {
        self.waiting_bytes > CROWDED_BYTES
    }

    fn wait(&mut self, input: Input) {
        self.waiting_bytes += size(&input);
        self.waiting.push_back(input);
    }
}

/// What an input takes while it waits.
fn size(input: &Input) -> usize {
    let body = match input {
        Input::Message { message: Message::Update(body) | Message::SyncStep2(body), .. } => body.len(),
        Input::Message { message: Message::Awareness(body) | Message::SyncStep1(body), .. } => body.len(),
        Input::Parts { parts, .. } => parts.iter().map(bytes::Bytes::len).sum(),
        Input::Entry(entry) => entry.update.len(),
        _ => 0,
    };
    size_of::<Input>() + body
}

impl Shared {
    /// Gives a room an input and carries out what it wants. Nothing happens if the room is not open.
    pub(super) fn input(self: &Rc<Self>, state: &mut State, document: &Rc<str>, input: Input) {
        let Some(slot) = state.rooms.get_mut(document) else { return };
        let Some(mut room) = slot.turn.room.take() else {
            slot.turn.wait(input);
            return self.pause(state, document);
        };
        let (now, is_read) = (self.now(), matches!(input, Input::Loaded { .. }));
        if is_heavy(&input, &room) {
            let incarnation = slot.incarnation;
            spawn_local(aside(self.clone(), document.clone(), incarnation, room, now, input));
            return;
        }
        let mut effects = std::mem::take(&mut state.effects);
        if handle(&mut room, &self.setup.marks, document, now, input, &mut effects) {
            self.put_back(slot, document, room, &effects, is_read);
            for effect in effects.drain(..) {
                self.carry_out(state, document, effect);
            }
            state.effects = effects;
        } else {
            effects.clear();
            state.effects = effects;
            self.fail(state, document);
        }
    }

    fn put_back(&self, slot: &mut Slot, document: &str, room: Room, effects: &[Effect], is_read: bool) {
        let is_stored = is_read || effects.iter().any(|effect| matches!(effect, Effect::Write { .. }));
        slot.pending.note(document, room.pending_bytes(), is_stored, &self.setup.metrics);
        slot.turn.memory = room.memory();
        slot.turn.room = Some(room);
    }

    /// The room has had its turn aside, and what waited for it has its own. None: the room failed.
    fn come_back(
        self: &Rc<Self>,
        document: &Rc<str>,
        incarnation: u64,
        handled: Option<(Room, Vec<Effect>)>,
        is_read: bool,
    ) {
        let state = &mut *self.state.borrow_mut();
        // The document may have been closed meanwhile.
        let Some(slot) = state.rooms.get_mut(document).filter(|slot| slot.incarnation == incarnation) else { return };
        let Some((room, effects)) = handled else { return self.fail(state, document) };
        state.received = Instant::now();
        let waiting = std::mem::take(&mut slot.turn.waiting);
        slot.turn.waiting_bytes = 0;
        self.put_back(slot, document, room, &effects, is_read);
        self.pause(state, document);
        // A room that is done may have been joined meanwhile.
        for effect in effects.into_iter().filter(|effect| !matches!(effect, Effect::Done)) {
            self.carry_out(state, document, effect);
        }
        for input in waiting {
            self.input(state, document, input);
        }
        let room = state.rooms.get(document).and_then(|slot| slot.turn.room.as_ref());
        if room.is_some_and(Room::is_done) {
            self.carry_out(state, document, Effect::Done);
        }
    }
}

/// A turn on another thread.
async fn aside(shared: Rc<Shared>, document: Rc<str>, incarnation: u64, mut room: Room, now: Now, input: Input) {
    let is_read = matches!(input, Input::Loaded { .. });
    let (marks, name) = (shared.setup.marks.clone(), document.to_string());
    let turn = shared.elsewhere.aside.spawn_blocking(move || {
        let mut effects = Vec::new();
        handle(&mut room, &marks, &name, now, input, &mut effects).then_some((room, effects))
    });
    // Without an answer the process is ending.
    let handled = turn.await.ok().flatten();
    shared.come_back(&document, incarnation, handled, is_read);
}

/// False: the room failed. A mistake of ours with a hostile update must not take the other documents along.
fn handle(room: &mut Room, marks: &Marks, document: &str, now: Now, input: Input, effects: &mut Vec<Effect>) -> bool {
    let _mark = risk(&input, room).and_then(|doing| marks.enter(document, doing));
    catch_unwind(AssertUnwindSafe(|| room.handle(now, input, effects))).is_ok()
}
