//! From the room to the socket, and the session's end.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use crate::metrics::Limited;
use crate::protocol::websocket::{self, Opcode};
use crate::protocol::yjs::Message;
use crate::room::{Input, SessionId};
use crate::shard::inbound::Refusal;
use crate::shard::outbox::Kind;
use crate::shard::state::{Shared, State};

/// Writes what a turn of the shard has queued. Tasks that were woken together run before this one, so their frames
/// leave in one write per socket.
pub(in crate::shard) async fn flush(shared: Rc<Shared>) {
    loop {
        shared.dirty.notified().await;
        let mut state = shared.state.borrow_mut();
        // A resync after a flush may queue more.
        while !state.dirty.is_empty() {
            for id in std::mem::take(&mut state.dirty) {
                if shared.flush(&mut state, id).is_err() {
                    shared.end(&mut state, id);
                }
            }
        }
    }
}

impl Shared {
    /// Queues a frame in its pieces; false: the session is gone, closing or behind.
    pub(in crate::shard) fn queue(
        &self,
        state: &mut State,
        id: SessionId,
        frame: impl IntoIterator<Item = Bytes>,
        kind: Kind,
    ) -> bool {
        let Some(session) = state.sessions.get_mut(&id) else { return false };
        if session.vitals.is_closing() {
            return false;
        }
        if session.outbox.is_empty() {
            session.vitals.progress(Instant::now());
        }
        let was_behind = session.outbox.is_behind();
        let queued = session.outbox.push(frame, kind);
        if !queued && !was_behind {
            self.setup.metrics.limited(Limited::Behind);
            // It is no longer read.
            session.wake.notify_one();
        }
        if !session.dirty && !session.blocked {
            session.dirty = true;
            if state.dirty.is_empty() {
                self.dirty.notify_one();
            }
            state.dirty.push(id);
        }
        queued
    }

    pub(in crate::shard) fn control(&self, state: &mut State, id: SessionId, opcode: Opcode, payload: &[u8]) {
        let header = websocket::header(opcode, payload.len());
        self.queue(state, id, [[&header[..], payload].concat().into()], Kind::Answer);
    }

    /// Closes a session from our side.
    pub(in crate::shard) fn close(self: &Rc<Self>, state: &mut State, id: SessionId, refusal: Refusal) {
        if state.sessions.get(&id).is_none_or(|session| session.vitals.is_closing()) {
            return;
        }
        self.setup.metrics.closed(refusal.code);
        if let Some(bad) = refusal.bad {
            self.setup.metrics.bad_message(bad);
            tracing::debug!(code = refusal.code, reason = refusal.text, "closed a session for what it sent");
        }
        self.finish(state, id, refusal.code, &refusal.text);
    }

    /// Sends the close frame and takes the session out of its room.
    pub(super) fn finish(self: &Rc<Self>, state: &mut State, id: SessionId, code: u16, text: &str) {
        self.control(state, id, Opcode::Close, &websocket::close_payload(code, text));
        let Some(session) = state.sessions.get_mut(&id) else { return };
        session.vitals.close(Instant::now());
        session.paused = false;
        // What it said before does not count any more.
        session.waiting = VecDeque::new();
        session.wake.notify_one();
        let document = session.document.clone();
        self.leave(state, &document, id);
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn flush(self: &Rc<Self>, state: &mut State, id: SessionId) -> io::Result<()> {
        let Some(session) = state.sessions.get_mut(&id) else { return Ok(()) };
        session.dirty = false;
        let was_read = session.is_read();
        let Some(writer) = &session.writer else { return Ok(()) };
        if session.outbox.write(|slices| writer.try_write_vectored(slices))? {
            session.vitals.progress(Instant::now());
        }
        if session.blocked == session.outbox.is_empty() {
            session.blocked = !session.blocked;
            session.wake.notify_one();
        }
        if let Some(delivered) = session.outbox.take_delivered() {
            let seconds = delivered.since.elapsed().as_secs_f64();
            for _ in 0..delivered.updates {
                state.delivery.observe(seconds);
            }
        }
        let streamed = session.streaming.take_if(|_| session.outbox.content_bytes() == 0);
        if session.outbox.is_empty() && session.vitals.is_closing() {
            session.writer = None;
            if session.said_close {
                self.end(state, id);
            }
        } else if session.outbox.take_caught_up() {
            // All that it may have missed, also while it was sent a stream; a client takes what it has already without harm.
            let document = session.document.clone();
            for message in [Message::SyncStep1(Bytes::from_static(&[0])), Message::QueryAwareness] {
                self.input(state, &document, Input::Message { session: id, message });
            }
        } else if let Some(as_of) = streamed {
            let document = session.document.clone();
            self.input(state, &document, Input::Streamed { session: id, as_of });
        }
        if let Some(session) = state.sessions.get(&id)
            && !was_read
            && session.is_read()
        {
            session.wake.notify_one();
        }
        Ok(())
    }

    /// Forgets a session whose connection is gone.
    pub(in crate::shard) fn end(self: &Rc<Self>, state: &mut State, id: SessionId) {
        if let Some(session) = state.sessions.remove(&id) {
            self.setup.metrics.unfinished_bytes.sub(session.unfinished as i64);
            session.wake.notify_one();
            self.gone.notify_waiters();
            self.leave(state, &session.document, id);
        }
    }
}
