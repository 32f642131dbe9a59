//! A large document on its way to somebody who has little of it: in messages that its client applies one after the
//! other. In one message, a client on a slow link would hear nothing for longer than it waits (30 s in y-websocket),
//! give up and begin again. All but the last are Updates: a client takes a Step2 for the end of the first sync.
//!
//! What finds the messages takes long for a large document, and is done once for all who are given the same, on another
//! thread. When a session has taken all of it, its room tells it what came meanwhile.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use editorcluster_core::document::{EMPTY_VECTOR, Refused, split};
use tokio::task::spawn_local;

use super::cut::CUTTING;
use super::outbox::Kind;
use super::session::{Session, budget};
use super::state::{Shared, State};
use crate::protocol::websocket::{self, Opcode};
use crate::protocol::yjs::{SyncKind, sync_head};
use crate::quarantine::marks::Doing;
use crate::room::{Input, SessionId};

/// About the size of one message; 0.3 s over 1 MiB/s.
const PART: usize = 256 << 10;

/// Who is to be given a stream, and the document's state vector when it was made.
type Waiting = (SessionId, Bytes);

/// The streams of a room: the last one, and those that are being cut.
#[derive(Debug, Default)]
pub(super) struct Streams {
    cutting: Vec<Cutting>,
    /// The frames' bytes, for all who are given the same.
    last: Option<(u64, Rc<[Bytes]>)>,
}

/// A stream that is being cut, or waits for that.
#[derive(Debug)]
struct Cutting {
    stream: u64,
    /// The answer's.
    bytes: usize,
    waiting: Vec<Waiting>,
}

impl Streams {
    /// Bytes of answers that are being cut.
    pub(super) fn memory(&self) -> usize {
        self.cutting.iter().map(|cutting| cutting.bytes).sum()
    }

    /// Who waits for a stream, which is not being cut any more.
    fn take(&mut self, stream: u64) -> Option<Vec<Waiting>> {
        let index = self.cutting.iter().position(|cutting| cutting.stream == stream)?;
        Some(self.cutting.swap_remove(index).waiting)
    }

    /// The document has changed much, or was written: nobody asks for the last one any more.
    pub(super) fn renew(&mut self) {
        self.last = None;
    }
}

impl Shared {
    /// Gives a session a stream. `answer`: its bytes, if nobody was given it before.
    pub(super) fn stream(
        self: &Rc<Self>,
        state: &mut State,
        document: &Rc<str>,
        stream: u64,
        to: Waiting,
        answer: Option<Bytes>,
    ) {
        let Some(slot) = state.rooms.get_mut(document) else { return };
        if let Some(cutting) = slot.streams.cutting.iter_mut().find(|cutting| cutting.stream == stream) {
            self.wait_for_stream(&mut state.sessions, to.0);
            return cutting.waiting.push(to);
        }
        let last = slot.streams.last.as_ref().filter(|(number, _)| *number == stream);
        match (last.map(|(_, frames)| frames.clone()), answer) {
            (Some(frames), _) => self.give(state, to, &frames),
            (None, Some(answer)) => {
                self.wait_for_stream(&mut state.sessions, to.0);
                let (bytes, waiting) = (answer.len(), vec![to]);
                slot.streams.cutting.push(Cutting { stream, bytes, waiting });
                let incarnation = slot.incarnation;
                spawn_local(cut(self.clone(), document.clone(), incarnation, stream, answer));
            }
            (None, None) => self.give_whole(state, document, to.0),
        }
    }

    /// The session is not heard before it is given the stream: so none has more than one cut at a time.
    fn wait_for_stream(&self, sessions: &mut HashMap<SessionId, Box<Session>>, id: SessionId) {
        if let Some(session) = sessions.get_mut(&id) {
            session.cutting = true;
        }
    }

    fn give(&self, state: &mut State, (id, as_of): Waiting, frames: &[Bytes]) {
        // A session that is behind asks again when it has taken what is queued.
        if self.queue(state, id, frames.iter().cloned(), Kind::Content)
            && let Some(session) = state.sessions.get_mut(&id)
        {
            session.streaming = Some(as_of);
            let bytes = frames.iter().map(Bytes::len).sum();
            session.budget.spend(self.setup.max_messages_per_second, budget::bytes(bytes), state.received);
        }
    }

    /// Whether anybody who waits for a stream is still there. If not, it is forgotten.
    fn is_awaited(&self, document: &Rc<str>, incarnation: u64, stream: u64) -> bool {
        let state = &mut *self.state.borrow_mut();
        let Some(slot) = state.rooms.get_mut(document).filter(|slot| slot.incarnation == incarnation) else {
            return false;
        };
        let waiting = slot.streams.cutting.iter().find(|cutting| cutting.stream == stream);
        let is_awaited = waiting
            .is_some_and(|cutting| cutting.waiting.iter().any(|(session, _)| state.sessions.contains_key(session)));
        if !is_awaited {
            slot.streams.take(stream);
        }
        is_awaited
    }

    /// The answer as one message, which can always be made.
    fn give_whole(self: &Rc<Self>, state: &mut State, document: &Rc<str>, session: SessionId) {
        self.input(state, document, Input::Streamed { session, as_of: Bytes::from_static(EMPTY_VECTOR) });
    }
}

/// Cuts an answer into frames, and gives them to all who wait for it by then.
async fn cut(shared: Rc<Shared>, document: Rc<str>, incarnation: u64, stream: u64, answer: Bytes) {
    // The semaphore is never closed; without a permit there is only less order.
    let permit = CUTTING.acquire().await.ok();
    if !shared.is_awaited(&document, incarnation, stream) {
        return;
    }
    let (marks, name) = (shared.setup.marks.clone(), document.to_string());
    let cut = shared.elsewhere.aside.spawn_blocking(move || {
        let _mark = marks.enter(&name, Doing::Streaming);
        frames(&answer)
    });
    let cut = cut.await;
    drop(permit);
    let state = &mut *shared.state.borrow_mut();
    let Some(slot) = state.rooms.get_mut(&document).filter(|slot| slot.incarnation == incarnation) else { return };
    let Some(waiting) = slot.streams.take(stream) else { return };
    let sessions: Vec<SessionId> = waiting.iter().map(|(session, _)| *session).collect();
    match cut {
        Ok(Ok(frames)) => {
            let frames = Rc::<[Bytes]>::from(frames);
            slot.streams.last = Some((stream, frames.clone()));
            waiting.into_iter().for_each(|to| shared.give(state, to, &frames));
        }
        // The thread has panicked, or the document's own bytes are no update.
        _ => waiting.into_iter().for_each(|(session, _)| shared.give_whole(state, &document, session)),
    }
    for id in sessions {
        if let Some(session) = state.sessions.get_mut(&id) {
            session.cutting = false;
            session.wake.notify_one();
            shared.go_on(state, id);
        }
    }
}

fn frames(answer: &Bytes) -> Result<Vec<Bytes>, Refused> {
    let parts = split(answer, PART)?;
    let last = parts.len() - 1;
    let mut frames = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        let length = part.iter().map(Bytes::len).sum();
        let head = sync_head(if number == last { SyncKind::Step2 } else { SyncKind::Update }, length);
        let header = websocket::header(Opcode::Binary, head.len() + length);
        frames.push([&header[..], &head].concat().into());
        frames.extend(part);
    }
    Ok(frames)
}
