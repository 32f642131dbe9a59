//! What goes into a room and what comes out of it.

use std::time::Duration;

use bytes::Bytes;
use editorcluster_core::document::{Document, Refused};

use super::Rule;
use super::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Row, Tenure, Tip};
use crate::protocol::yjs::Message;

/// Names a session within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Time since the process started.
pub type Now = Duration;

/// What a room is allowed. Beyond `backlog_bytes` of updates that are in no log yet, the room stops acknowledging and
/// asks for its sessions not to be read (`Effect::Pause`); nothing is dropped.
#[derive(Clone, Debug)]
pub struct Limits {
    pub document_bytes: usize,
    pub backlog_bytes: usize,
    /// What a room takes in of what waits before other rooms have their turn. It may be exceeded by one message or part.
    pub turn_bytes: usize,
    /// Longer answers are streamed (`Effect::Stream`).
    pub stream_bytes: usize,
    /// A checkpoint is made at the latest this long after an update, and at once when the last session has left.
    pub checkpoint_after: Duration,
    pub durability: Durability,
    /// Takes a rule out, for tests that show what it is for.
    #[doc(hidden)]
    pub without: Option<Rule>,
}

/// What must have happened before an edit is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is in the log, and so is all that the room held when it was taken in.
    Log,
    /// It is in the database, and so is all that the room held when it was taken in.
    Database,
}

/// The call to the log or the database did not answer; its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// What happens to a room. Answers carry the `call` number of the effect that asked.
#[derive(Clone, Debug)]
pub enum Input {
    Join {
        session: SessionId,
    },
    /// One message of a session. A message of a session that has been told to close is ignored.
    Message {
        session: SessionId,
        message: Message,
    },
    /// An update or Step2 of a session in parts, which together are it: it is too long to be taken in at once. It is
    /// acknowledged as a whole.
    Parts {
        session: SessionId,
        parts: Vec<Bytes>,
        message: Message,
    },
    /// The session has been sent all of a stream; `as_of`: as in `Effect::Stream`.
    Streamed {
        session: SessionId,
        as_of: Bytes,
    },
    Leave {
        session: SessionId,
    },
    /// Nobody advances the document's log: bring it to the database and end.
    Sweep,

    /// The subscription is confirmed on the connection of this generation.
    Subscribed {
        call: u64,
        result: Result<u64, Failed>,
    },
    Read {
        call: u64,
        result: Result<ReadReply, Failed>,
    },
    Peeked {
        call: u64,
        result: Result<Tip, Failed>,
    },
    /// 0: there is no row.
    RevRead {
        call: u64,
        result: Result<i64, Failed>,
    },
    /// The row that the next `Loaded` brings, already read, since that may take long. Only a room that is being opened
    /// has a use for it.
    Prepared(Box<Document>),
    Loaded {
        call: u64,
        result: Result<Option<Row>, Failed>,
    },
    Opened {
        call: u64,
        result: Result<Opened, Failed>,
    },
    Appended {
        call: u64,
        result: Result<Appended, Failed>,
    },
    /// The new `rev`, or None: the row was not at the expected `rev`.
    Written {
        call: u64,
        result: Result<Option<i64>, Failed>,
    },
    /// False: refused.
    CoverDone {
        call: u64,
        result: Result<bool, Failed>,
    },

    /// From the subscription: an entry by any gateway, this one included.
    Entry(Entry),
    /// From the subscription: the database holds everything of this epoch up to here. With a `rev`: and the row of that
    /// `rev` holds nothing besides that the row before it did not.
    Covered {
        position: Position,
        rev: Option<i64>,
    },
    /// From the subscription: awareness of another gateway's sessions.
    RemoteAwareness(Bytes),
    /// From the subscription: another gateway wants our sessions' awareness.
    AwarenessQuery,
    /// The log's connection of this generation is gone.
    Disconnected {
        generation: u64,
    },
    /// The log's connection is there (again).
    Connected {
        generation: u64,
    },

    /// Time has passed; due at the latest when `Effect::WakeAt` asked for it.
    Tick,
    /// The process is draining: checkpoint as soon as there is something to write.
    Flush,
}

/// What the shard must do. Calls are answered by the input of the same name and the same `call`, always.
#[derive(Clone, Debug)]
pub enum Effect {
    /// One message to one or more sessions, encoded once.
    Send {
        to: Vec<SessionId>,
        message: Message,
    },
    /// A long answer to one session, which is to be sent in several messages and is over with `Input::Streamed`.
    Stream {
        session: SessionId,
        /// Names the answer.
        stream: u64,
        /// None: that of the effect before with the same number.
        answer: Option<Bytes>,
        /// The document's state vector when the answer was made.
        as_of: Bytes,
    },
    /// What others wrote, encoded once for each of the two. As a Step2 for sessions that could take an Update for the
    /// acknowledgement of something that they sent themselves.
    Tell {
        as_update: Vec<SessionId>,
        as_step2: Vec<SessionId>,
        update: Bytes,
    },
    /// All that the session sent up to and including this update is as durable as was promised. y-websocket: an echo.
    Acknowledge {
        session: SessionId,
        update: Bytes,
    },
    /// The session misbehaved, or the room cannot serve it; the room has forgotten it already.
    Close {
        session: SessionId,
        reason: CloseReason,
    },
    /// Stop (true) or go on (false) reading from this room's sessions: the backlog is full.
    Pause(bool),

    Subscribe {
        call: u64,
    },
    Read {
        call: u64,
    },
    /// The log's end, without its entries.
    Peek {
        call: u64,
    },
    Load {
        call: u64,
    },
    /// The row's `rev` alone.
    Rev {
        call: u64,
    },
    Open {
        call: u64,
        expected: Option<Head>,
        epoch: Epoch,
        tenure: Tenure,
        update: Bytes,
    },
    Append {
        call: u64,
        epoch: Epoch,
        update: Bytes,
    },
    /// The compare-and-set of the row; `expected` 0: there is none yet.
    Write {
        call: u64,
        expected: i64,
        state: Bytes,
        position: Option<Position>,
    },
    /// `rev`: as in `Input::Covered`.
    Cover {
        call: u64,
        position: Position,
        rev: Option<i64>,
    },
    PublishAwareness(Bytes),
    QueryAwareness,

    /// The log's entry here is no update. It was left out, and is never written again.
    Skipped {
        position: Position,
    },

    /// Call back with `Input::Tick` at this time or before; replaces what was asked before.
    WakeAt(Now),
    /// The room has no session and nothing that is not covered: unsubscribe and drop it.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// An awareness update that does not decode (1007).
    Undecodable,
    /// An update or a state vector that the document refuses (1007).
    Refused(Refused),
    /// The update would take the document over its limit (1009).
    DocumentTooLarge,
}
