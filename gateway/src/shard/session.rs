//! A session: one socket, its task, and what the shard keeps for it.
//!
//! - `reading`: from the socket to the room; `budget`: how much of that; `presences`: whom it may tell of
//! - `writing`: from the room to the socket, and the session's end

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use self::budget::Budget;
use self::presences::Presences;
use super::inbound::Refusal;
use super::outbox::Outbox;
use super::state::Shared;
use super::vitals::{Care, Doing, Patience, Vitals};
use super::{NewSocket, Open};
use crate::protocol::websocket::Decoder;
use crate::protocol::yjs::Message;
use crate::room::SessionId;

pub(super) mod budget;
mod presences;
mod reading;
mod writing;

pub(super) use self::writing::flush;

pub(super) struct Session {
    pub(super) document: Rc<str>,
    pub(super) outbox: Outbox,
    /// Its room's backlog is full: it is not read.
    pub(super) paused: bool,
    /// Tells the task that what it must wait for has changed.
    pub(super) wake: Rc<Notify>,
    vitals: Vitals,
    pub(super) budget: Budget,
    /// A long message of it is being cut into parts, or an answer to it: it is heard again when that is done.
    pub(super) cutting: bool,
    /// It has asked too much: it is heard again then.
    rests_until: Option<Instant>,
    presences: Presences,
    /// It is being sent a stream: the document's state vector when that was made.
    pub(super) streaming: Option<Bytes>,
    /// None once everything was written behind a close frame: dropping it has told the client.
    writer: Option<Rc<OwnedWriteHalf>>,
    blocked: bool,
    dirty: bool,
    /// None once nothing of what comes has a meaning any more.
    decoder: Option<Decoder>,
    /// The client's close frame has come.
    said_close: bool,
    /// Messages that wait until the session has rested.
    waiting: VecDeque<Message>,
    /// The beginning of a frame, and all that came behind while the session rests. An idle session owns no buffer.
    rest: BytesMut,
    /// What of it counts as unfinished in the metrics.
    unfinished: usize,
    _open: Open,
}

impl Session {
    /// Whether the socket is read. A session that does not take what it is sent is not heard either: its answers
    /// would have no bound.
    pub(super) fn is_read(&self) -> bool {
        !self.paused && !self.outbox.is_full() && !self.is_resting()
    }

    /// Whether what has come from it waits.
    fn is_resting(&self) -> bool {
        self.cutting || self.rests_until.is_some()
    }

    /// Bytes that wait here: to be written, or to be read to their end.
    pub(super) fn held(&self) -> usize {
        self.outbox.queued() + self.unfinished
    }

    /// What its connection needs now.
    pub(super) fn care(&mut self, patience: Patience, now: Instant) -> Option<Care> {
        let doing = Doing { waiting: !self.outbox.is_empty(), read: self.is_read(), unfinished: self.unfinished };
        self.vitals.care(patience, doing, now)
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
        vitals: Vitals::new(now),
        budget: Budget::new(shared.setup.max_messages_per_second, now),
        cutting: false,
        rests_until: None,
        presences: Presences::default(),
        streaming: None,
        writer: Some(Rc::new(writer)),
        blocked: false,
        dirty: false,
        decoder: Some(Decoder::new(shared.setup.max_message_bytes)),
        said_close: false,
        waiting: VecDeque::new(),
        rest: BytesMut::new(),
        unfinished: 0,
        _open: socket.open,
    };
    state.sessions.insert(id, Box::new(session));
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
        let (read, writer, rests_until) = match shared.state.borrow().sessions.get(&id) {
            Some(session) => {
                (session.is_read(), session.writer.clone().filter(|_| session.blocked), session.rests_until)
            }
            None => return,
        };
        let writable = async {
            match &writer {
                Some(writer) => writer.writable().await,
                None => std::future::pending().await,
            }
        };
        let rested = async {
            match rests_until {
                // Boxed, so that a session which never rests does not carry a timer.
                Some(at) => Box::pin(tokio::time::sleep_until(at.into())).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = wake.notified() => false,
            () = rested => {
                shared.go_on(&mut shared.state.borrow_mut(), id);
                false
            }
            result = poll_fn(|cx| shared.poll_read(cx, id, &mut reader)), if read => !matches!(result, Ok(true)),
            result = writable => result.is_err() || shared.flush(&mut shared.state.borrow_mut(), id).is_err(),
        };
        if ended {
            shared.end(&mut shared.state.borrow_mut(), id);
        }
    }
}
