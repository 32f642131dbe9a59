//! A session: one socket, its task, and what the shard keeps for it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::inbound::{self, Inbound, Refusal};
use super::outbox::{Kind, Outbox};
use super::state::{Shared, State};
use super::{NewSocket, Open};
use crate::protocol::websocket::{self, Decoder, Event, Opcode};
use crate::protocol::yjs::Message;
use crate::room::{Input, SessionId};

/// What one read takes from a socket at most.
const READ_BYTES: usize = 64 << 10;

pub(super) struct Session {
    pub(super) document: Rc<str>,
    pub(super) outbox: Outbox,
    /// Its room's backlog is full: it is not read.
    pub(super) paused: bool,
    /// Tells the task that what it must wait for has changed.
    pub(super) wake: Rc<Notify>,
    /// Set when our close frame is queued: the session is out of its room, and only waits for the client's end.
    pub(super) closing: Option<Instant>,
    pub(super) last_heard: Instant,
    pub(super) last_progress: Instant,
    pub(super) pinged: bool,
    /// None once everything was written behind a close frame: dropping it has told the client.
    writer: Option<Rc<OwnedWriteHalf>>,
    blocked: bool,
    dirty: bool,
    decoder: Decoder,
    /// The beginning of a frame. An idle session owns no buffer.
    rest: BytesMut,
    _open: Open,
}

impl Session {
    /// Whether the socket is read. A session that does not take what it is sent is not heard either: its answers
    /// would have no bound.
    pub(super) fn is_read(&self) -> bool {
        !self.paused && !self.outbox.is_behind()
    }
}

/// Takes over a socket.
pub(super) fn start(shared: &Rc<Shared>, socket: NewSocket) {
    let stream = socket.stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket.stream));
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot take over a socket"),
    };
    let (reader, writer) = stream.into_split();
    let (document, wake, now) = (Rc::<str>::from(socket.document), Rc::new(Notify::new()), Instant::now());
    let mut state = shared.state.borrow_mut();
    let id = SessionId(state.next_id());
    let session = Session {
        document: document.clone(),
        outbox: Outbox::default(),
        paused: false,
        wake: wake.clone(),
        closing: None,
        last_heard: now,
        last_progress: now,
        pinged: false,
        writer: Some(Rc::new(writer)),
        blocked: false,
        dirty: false,
        decoder: Decoder::new(shared.setup.max_message_bytes),
        rest: BytesMut::new(),
        _open: socket.open,
    };
    state.sessions.insert(id, session);
    if state.closing {
        shared.close(&mut state, id, Refusal::restart());
    } else {
        shared.join(&mut state, &document, id);
        state.received = now;
        shared.receive(&mut state, id, &mut BytesMut::from(socket.first));
    }
    drop(state);
    spawn_local(drive(shared.clone(), id, reader, wake));
}

/// The session's task: waits for what the session needs now, until it is gone.
async fn drive(shared: Rc<Shared>, id: SessionId, mut reader: OwnedReadHalf, wake: Rc<Notify>) {
    loop {
        let (read, writer) = match shared.state.borrow().sessions.get(&id) {
            Some(session) => (session.is_read(), session.writer.clone().filter(|_| session.blocked)),
            None => return,
        };
        let writable = async {
            match &writer {
                Some(writer) => writer.writable().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = wake.notified() => false,
            result = poll_fn(|cx| shared.poll_read(cx, id, &mut reader)), if read => !matches!(result, Ok(true)),
            result = writable => result.is_err() || shared.flush(&mut shared.state.borrow_mut(), id).is_err(),
        };
        if ended {
            shared.end(&mut shared.state.borrow_mut(), id);
        }
    }
}

/// Writes what a turn of the shard has queued. Tasks that were woken together run before this one, so their frames
/// leave in one write per socket.
pub(super) async fn flush(shared: Rc<Shared>) {
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
    /// Reads into the shard's scratch buffer and handles it at once. False: the client has ended.
    fn poll_read(
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
    fn receive(self: &Rc<Self>, state: &mut State, id: SessionId, input: &mut BytesMut) {
        let received = state.received;
        let Some(session) = state.sessions.get_mut(&id) else { return };
        session.last_heard = received;
        session.pinged = false;
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
        if let Some(session) = state.sessions.get_mut(&id).filter(|session| session.closing.is_none()) {
            session.rest = left;
        }
    }

    /// Takes the whole frames out of `input`. What comes behind our close frame is not looked at: the socket is only
    /// read on so that the client gets that frame and not a reset.
    fn decode(self: &Rc<Self>, state: &mut State, id: SessionId, input: &mut BytesMut) {
        while let Some(session) = state.sessions.get_mut(&id).filter(|session| session.closing.is_none()) {
            let event = match session.decoder.next(input).transpose() {
                // An own copy: a room may keep a slice of it, which must not keep the whole buffer.
                Some(Ok(Event::Binary(frame))) => Ok(Event::Binary(Bytes::copy_from_slice(&frame))),
                Some(event) => event,
                None => return,
            };
            self.act(state, id, inbound::judge(event));
        }
    }

    fn act(self: &Rc<Self>, state: &mut State, id: SessionId, inbound: Inbound) {
        match inbound {
            Inbound::Messages(messages) => {
                let Some(document) = state.sessions.get(&id).map(|session| session.document.clone()) else { return };
                for message in messages {
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

    /// Queues a frame; false: the session is gone, closing or behind.
    pub(super) fn queue(&self, state: &mut State, id: SessionId, frame: Bytes, kind: Kind) -> bool {
        let Some(session) = state.sessions.get_mut(&id) else { return false };
        if session.closing.is_some() {
            return false;
        }
        if session.outbox.is_empty() {
            session.last_progress = Instant::now();
        }
        let queued = session.outbox.push(frame, kind);
        if !queued {
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

    pub(super) fn control(&self, state: &mut State, id: SessionId, opcode: Opcode, payload: &[u8]) {
        let header = websocket::header(opcode, payload.len());
        self.queue(state, id, [&header[..], payload].concat().into(), Kind::Answer);
    }

    /// Closes a session from our side.
    pub(super) fn close(self: &Rc<Self>, state: &mut State, id: SessionId, refusal: Refusal) {
        if state.sessions.get(&id).is_none_or(|session| session.closing.is_some()) {
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
    fn finish(self: &Rc<Self>, state: &mut State, id: SessionId, code: u16, text: &str) {
        self.control(state, id, Opcode::Close, &websocket::close_payload(code, text));
        let Some(session) = state.sessions.get_mut(&id) else { return };
        session.closing = Some(Instant::now());
        session.paused = false;
        session.wake.notify_one();
        let document = session.document.clone();
        self.leave(state, &document, id);
    }

    /// Writes what is queued, as far as the socket takes it.
    fn flush(self: &Rc<Self>, state: &mut State, id: SessionId) -> io::Result<()> {
        let Some(session) = state.sessions.get_mut(&id) else { return Ok(()) };
        session.dirty = false;
        let Some(writer) = &session.writer else { return Ok(()) };
        if session.outbox.write(|slices| writer.try_write_vectored(slices))? {
            session.last_progress = Instant::now();
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
        if session.outbox.is_empty() && session.closing.is_some() {
            session.writer = None;
        } else if session.outbox.take_caught_up() {
            // All that it may have missed; a client takes what it has already without harm.
            let document = session.document.clone();
            for message in [Message::SyncStep1(Bytes::from_static(&[0])), Message::QueryAwareness] {
                self.input(state, &document, Input::Message { session: id, message });
            }
        }
        Ok(())
    }

    /// Forgets a session whose connection is gone.
    pub(super) fn end(self: &Rc<Self>, state: &mut State, id: SessionId) {
        if let Some(session) = state.sessions.remove(&id) {
            session.wake.notify_one();
            self.gone.notify_waiters();
            self.leave(state, &session.document, id);
        }
    }
}
