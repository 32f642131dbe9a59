//! From the socket to the room.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::spawn_local;

use super::budget;
use super::presences::Judgement;
use crate::metrics::Limited;
use crate::protocol::websocket::{Decoder, Event, Opcode};
use crate::protocol::yjs::Message;
use crate::room::{CloseReason, Input, SessionId};
use crate::shard::cut;
use crate::shard::inbound::{self, Inbound, Refusal};
use crate::shard::state::{Shared, State};

/// What one read takes from a socket at most.
const READ_BYTES: usize = 64 << 10;
/// Of the usual rate, while the memory is nearly used up.
const SCARCE_SHARE: f64 = 0.1;
/// Bytes of unfinished messages of all sessions, beyond which nobody's may grow: room for sixteen of the largest.
const UNFINISHED_BYTES: i64 = 256 << 20;
/// Except one that is no longer than this, so that people can type while somebody fills that.
const UNFINISHED_SPARED: usize = 64 << 10;

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
        session.budget.spend(self.setup.max_messages_per_second, budget::bytes(input.len()), received);
        let mut rest = std::mem::take(&mut session.rest);
        if rest.is_empty() {
            let ended = self.decode(state, id, input);
            self.keep(state, id, BytesMut::from(&input[..]), ended);
        } else {
            rest.extend_from_slice(input);
            let ended = self.decode(state, id, &mut rest);
            // A long rest is not copied at every read; a short one does not keep a long buffer.
            let rest = if rest.len() < READ_BYTES { BytesMut::from(&rest[..]) } else { rest };
            self.keep(state, id, rest, ended);
        }
    }

    /// Handles what has waited while the session had to rest.
    pub(in crate::shard) fn go_on(self: &Rc<Self>, state: &mut State, id: SessionId) {
        let Some(session) = state.sessions.get_mut(&id) else { return };
        session.rests_until = None;
        state.received = Instant::now();
        let mut input = std::mem::take(&mut session.rest);
        let ended = self.decode(state, id, &mut input);
        self.keep(state, id, input, ended);
    }

    /// Keeps what could not be handled yet. `ended`: a message has come to its end in what was handled.
    fn keep(self: &Rc<Self>, state: &mut State, id: SessionId, rest: BytesMut, ended: bool) {
        let (metrics, received) = (&self.setup.metrics, state.received);
        let Some(session) = state.sessions.get_mut(&id) else { return };
        session.rest = rest;
        let partial = session.decoder.as_ref().and_then(Decoder::partial);
        let before = session.unfinished;
        // What waits for the session to rest is bounded by one read and one message, and was paid for.
        session.unfinished = if session.is_resting() { 0 } else { session.rest.len() + partial.unwrap_or(0) };
        session.vitals.message(ended, session.unfinished > 0 || partial.is_some(), received);
        if before != session.unfinished {
            metrics.unfinished_bytes.add(session.unfinished as i64 - before as i64);
            let (all, own) = (metrics.unfinished_bytes.get(), session.unfinished);
            if own > before && own > UNFINISHED_SPARED && all > UNFINISHED_BYTES {
                metrics.limited(Limited::Unfinished);
                metrics.unfinished_bytes.sub(own as i64);
                // Nothing that comes now has a meaning: it is the rest of the message.
                (session.decoder, session.rest, session.unfinished) = (None, BytesMut::new(), 0);
                self.close(state, id, Refusal::unfinished());
            }
        }
    }

    /// Handles what waits, and then the whole frames in `input`, until the session has to rest. Returns whether a message
    /// has come to its end.
    ///
    /// Behind our close frame only the client's is looked for: the socket is read on so that the client gets our frame
    /// and not a reset.
    fn decode(self: &Rc<Self>, state: &mut State, id: SessionId, input: &mut BytesMut) -> bool {
        let rate = self.rate();
        let (mut ended, mut begun) = (false, Instant::now());
        loop {
            let Some(session) = state.sessions.get_mut(&id) else { return ended };
            if session.cutting {
                return ended;
            }
            if let Some(at) = session.budget.rest_until(rate, begun) {
                self.setup.metrics.limited(Limited::Rate);
                session.rests_until = Some(at);
                return ended;
            }
            match session.waiting.pop_front() {
                Some(message) => {
                    if session.waiting.is_empty() {
                        session.waiting = VecDeque::new();
                    }
                    self.say(state, id, message);
                }
                None => {
                    let Some(decoder) = &mut session.decoder else {
                        input.clear();
                        return ended;
                    };
                    let event = match decoder.next(input).transpose() {
                        // An own copy: a room may keep a slice of it, which must not keep the whole buffer.
                        Some(Ok(Event::Binary(frame))) => Ok(Event::Binary(Bytes::copy_from_slice(&frame))),
                        Some(event) => event,
                        None => return ended,
                    };
                    if matches!(event, Ok(Event::Text | Event::Close(_)) | Err(_)) {
                        // Nothing behind it has a meaning.
                        session.decoder = None;
                        session.said_close = matches!(event, Ok(Event::Close(_)));
                    }
                    ended |= matches!(event, Ok(Event::Binary(_)));
                    if !session.vitals.is_closing() {
                        self.act(state, id, inbound::judge(event));
                    } else if session.said_close && session.writer.is_none() {
                        self.end(state, id);
                        return ended;
                    }
                }
            }
            let now = Instant::now();
            if let Some(session) = state.sessions.get_mut(&id) {
                session.budget.spend(rate, budget::message(now - begun), now);
            }
            begun = now;
        }
    }

    fn act(self: &Rc<Self>, state: &mut State, id: SessionId, inbound: Inbound) {
        match inbound {
            Inbound::Messages(messages) => {
                let mut messages = messages.into_iter();
                if let Some(first) = messages.next() {
                    if messages.len() > 0
                        && let Some(session) = state.sessions.get_mut(&id)
                    {
                        session.waiting.extend(messages);
                    }
                    self.say(state, id, first);
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

    /// Messages a second that a session may send on average. Fewer while the memory is nearly used up.
    fn rate(&self) -> f64 {
        let slowed = if self.setup.memory.is_scarce() { SCARCE_SHARE } else { 1.0 };
        self.setup.max_messages_per_second * slowed
    }

    /// Gives a session's message to its room.
    fn say(self: &Rc<Self>, state: &mut State, id: SessionId, message: Message) {
        let (rate, received) = (self.rate(), state.received);
        let Some(session) = state.sessions.get_mut(&id) else { return };
        match &message {
            // The resync answers. A message may ask a thousand times, and each answer takes time to make.
            Message::SyncStep1(_) | Message::QueryAwareness if session.outbox.is_behind() => return,
            Message::Update(_) => self.setup.metrics.updates_received.inc(),
            Message::Awareness(body) => {
                session.budget.spend(rate, budget::presence(body.len()), received);
                match session.presences.judge(body) {
                    Judgement::Take => {}
                    Judgement::Skip => return self.setup.metrics.limited(Limited::Presences),
                    Judgement::TooLarge => return self.close(state, id, Refusal::huge_presence()),
                }
            }
            _ => {}
        }
        if cut::is_long(&message) {
            session.cutting = true;
            spawn_local(say_in_parts(self.clone(), session.document.clone(), id, message));
            return;
        }
        let (document, before) = (session.document.clone(), session.outbox.content_bytes());
        self.input(state, &document, Input::Message { session: id, message });
        if let Some(session) = state.sessions.get_mut(&id) {
            let answered = session.outbox.content_bytes().saturating_sub(before);
            session.budget.spend(rate, budget::bytes(answered), received);
        }
    }
}

/// Gives a session's long message to its room, and goes on with the session.
async fn say_in_parts(shared: Rc<Shared>, document: Rc<str>, id: SessionId, message: Message) {
    let cut = cut::cut(&shared, &document, id, message).await;
    let state = &mut *shared.state.borrow_mut();
    let Some(session) = state.sessions.get_mut(&id) else { return };
    session.cutting = false;
    match cut {
        Ok(input) => shared.input(state, &document, input),
        Err(refused) => shared.close(state, id, CloseReason::Refused(refused).into()),
    }
    shared.go_on(state, id);
    // It may be read again.
    if let Some(session) = state.sessions.get(&id) {
        session.wake.notify_one();
    }
}
