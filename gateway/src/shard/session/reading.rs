//! From the socket to the room.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use crate::protocol::websocket::{Event, Opcode};
use crate::protocol::yjs::Message;
use crate::room::{Input, SessionId};
use crate::shard::inbound::{self, Inbound};
use crate::shard::state::{Shared, State};

/// What one read takes from a socket at most.
const READ_BYTES: usize = 64 << 10;

impl Shared {
    /// Reads into the shard's scratch buffer and handles it at once. False: the client has ended.
    pub(super) fn poll_read(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        id: SessionId,
        reader: &mut OwnedReadHalf,
    ) -> Poll<io::Result<bool>> {
        let state = &mut *self.state.borrow_mut();
        let mut scratch = std::mem::take(&mut state.scratch);
        scratch.reserve(READ_BYTES);
        // The future has no state of its own, so that one for each poll is as good as one for all.
        let read = pin!(reader.read_buf(&mut scratch)).poll(cx);
        if let Poll::Ready(Ok(1..)) = read {
            state.received = Instant::now();
            self.receive(state, id, &mut scratch);
        }
        scratch.clear();
        state.scratch = scratch;
        read.map_ok(|length| length > 0)
    }

    /// Handles what a session's socket has given.
    pub(super) fn receive(self: &Rc<Self>, state: &mut State, id: SessionId, input: &mut BytesMut) {
        let received = state.received;
        let Some(session) = state.sessions.get_mut(&id) else { return };
        session.vitals.hear(received);
        let mut rest = std::mem::take(&mut session.rest);
        let left = if rest.is_empty() {
            self.decode(state, id, input);
            BytesMut::from(&input[..])
        } else {
            rest.extend_from_slice(input);
            self.decode(state, id, &mut rest);
            // A long rest is not copied at every read; a short one does not keep a long buffer.
            if rest.len() < READ_BYTES { BytesMut::from(&rest[..]) } else { rest }
        };
        if let Some(session) = state.sessions.get_mut(&id) {
            session.rest = left;
        }
    }

    /// Takes the whole frames out of `input`. Behind our close frame only the client's is looked for: the socket is
    /// read on so that the client gets our frame and not a reset.
    fn decode(self: &Rc<Self>, state: &mut State, id: SessionId, input: &mut BytesMut) {
        loop {
            let Some(session) = state.sessions.get_mut(&id) else { return };
            let Some(decoder) = &mut session.decoder else { return input.clear() };
            let event = match decoder.next(input).transpose() {
                // An own copy: a room may keep a slice of it, which must not keep the whole buffer.
                Some(Ok(Event::Binary(frame))) => Ok(Event::Binary(Bytes::copy_from_slice(&frame))),
                Some(event) => event,
                None => return,
            };
            if matches!(event, Ok(Event::Text | Event::Close(_)) | Err(_)) {
                // Nothing behind it has a meaning.
                session.decoder = None;
                session.said_close = matches!(event, Ok(Event::Close(_)));
            }
            if !session.vitals.is_closing() {
                self.act(state, id, inbound::judge(event));
            } else if session.said_close && session.writer.is_none() {
                return self.end(state, id);
            }
        }
    }

    fn act(self: &Rc<Self>, state: &mut State, id: SessionId, inbound: Inbound) {
        match inbound {
            Inbound::Messages(messages) => {
                let Some(document) = state.sessions.get(&id).map(|session| session.document.clone()) else { return };
                for message in messages {
                    let asks = matches!(message, Message::SyncStep1(_) | Message::QueryAwareness);
                    if asks && state.sessions.get(&id).is_some_and(|session| session.outbox.is_behind()) {
                        // The resync answers. A message may ask a thousand times, and each answer takes time to make.
                        continue;
                    }
                    if matches!(message, Message::Update(_)) {
                        self.setup.metrics.updates_received.inc();
                    }
                    self.input(state, &document, Input::Message { session: id, message });
                }
            }
            Inbound::Ping(payload) => {
                self.control(state, id, Opcode::Pong, &payload);
            }
            Inbound::Pong => {}
            Inbound::Closing(code) => self.finish(state, id, code, ""),
            Inbound::Refused(refusal) => self.close(state, id, refusal),
        }
    }
}
