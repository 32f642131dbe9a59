//! A session: one socket, its task, and what the shard keeps for it.
//!
//! - `reading`: from the socket to the room
//! - `writing`: from the room to the socket, and the session's end

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Instant;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::inbound::Refusal;
use super::outbox::Outbox;
use super::state::Shared;
use super::vitals::{Care, Vitals};
use super::{NewSocket, Open};
use crate::protocol::websocket::Decoder;
use crate::room::SessionId;

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
    /// None once everything was written behind a close frame: dropping it has told the client.
    writer: Option<Rc<OwnedWriteHalf>>,
    blocked: bool,
    dirty: bool,
    /// None once nothing of what comes has a meaning any more.
    decoder: Option<Decoder>,
    /// The client's close frame has come.
    said_close: bool,
    /// The beginning of a frame. An idle session owns no buffer.
    rest: BytesMut,
    _open: Open,
}

impl Session {
    /// Whether the socket is read. A session that does not take what it is sent is not heard either: its answers
    /// would have no bound.
    pub(super) fn is_read(&self) -> bool {
        !self.paused && !self.outbox.is_full()
    }

    /// What its connection needs now.
    pub(super) fn care(&mut self, now: Instant) -> Option<Care> {
        let read = self.is_read();
        self.vitals.care(!self.outbox.is_empty(), read, now)
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
        writer: Some(Rc::new(writer)),
        blocked: false,
        dirty: false,
        decoder: Some(Decoder::new(shared.setup.max_message_bytes)),
        said_close: false,
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
