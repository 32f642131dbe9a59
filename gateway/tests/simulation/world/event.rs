//! What happens in the world, and when.

use std::cmp::Reverse;

use gateway::protocol::yjs::Message;
use gateway::room::log::Position;
use gateway::room::{Effect, Input, Now, SessionId};

use crate::calls::Wire;
use crate::faults::Fault;
use crate::redis::Notice;

pub(crate) enum Up {
    Join,
    Message(Message),
    /// All of a stream was sent to it.
    Streamed(bytes::Bytes),
    Leave,
}

pub(crate) enum Down {
    Message(Message),
    Acknowledge(bytes::Bytes),
}

pub(crate) enum Event {
    Connect(usize),
    Edit(usize),
    /// A stranger comes or does something.
    Stranger(usize),
    Up {
        gateway: usize,
        process: u64,
        session: SessionId,
        what: Up,
    },
    Down {
        client: usize,
        session: SessionId,
        what: Down,
    },
    Wake {
        gateway: usize,
        life: u64,
        at: Now,
    },
    Request {
        wire: Wire,
        effect: Box<Effect>,
        silent: bool,
    },
    Answer {
        wire: Wire,
        of_log: bool,
        answer: Box<Input>,
        failed: Box<Input>,
    },
    Notice {
        gateway: usize,
        life: u64,
        generation: u64,
        notice: Notice,
    },
    TimedOut {
        gateway: usize,
        generation: u64,
    },
    Disconnected {
        gateway: usize,
        generation: u64,
    },
    Reconnect(usize),
    ServerUp(usize),
    OnePrimary(usize),
    DatabaseUp,
    Sweep,
    /// A sweep has seen a log that ends there without a time to live.
    Orphan {
        gateway: usize,
        end: Position,
    },
    Fault {
        fault: Fault,
        gateway: usize,
    },
}

impl Event {
    /// The gateway whose process it happens to.
    pub(super) fn process(&self) -> Option<usize> {
        match self {
            Self::Up { gateway, .. }
            | Self::Wake { gateway, .. }
            | Self::Notice { gateway, .. }
            | Self::TimedOut { gateway, .. }
            | Self::Disconnected { gateway, .. }
            | Self::Reconnect(gateway)
            | Self::Orphan { gateway, .. } => Some(*gateway),
            Self::Answer { wire, .. } => Some(wire.gateway),
            _ => None,
        }
    }
}

pub(super) struct Scheduled(pub(super) Reverse<(Now, u64)>, pub(super) Event);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
