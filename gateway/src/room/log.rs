//! The words of the log protocol: what a document's log holds and what its functions answer.
//!
//! Pure data. The bus carries it, the room decides on it; neither knows the other. The protocol itself and the
//! reason for each rule are in `docs/log.md`.

use std::fmt;

use bytes::Bytes;

/// One tenure of a document's log: generation in the high 32 bits, 31 random bits below. Never reused, compared for
/// equality only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of `generation` with `random`'s low 31 bits.
    pub fn new(generation: u32, random: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(random & 0x7fff_ffff))
    }

    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an entry stands in its document's log. `n` counts from 0 without gaps within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub epoch: Epoch,
    pub n: u64,
}

/// Names one uninterrupted reign of one log server (Redis: `master_replid`, new at each restart and promotion).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure(pub String);

/// What the log says of itself: the epoch that may be appended to, and the tenure in which it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub epoch: Epoch,
    pub tenure: Tenure,
}

/// One update in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    /// A Yjs update, encoding v1.
    pub update: Bytes,
}

/// The answer of READ: the whole stream and what is needed to join it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReply {
    pub entries: Vec<Entry>,
    /// The last position ever given out in the stream that exists now, also when it was trimmed to nothing.
    pub last: Option<Position>,
    pub head: Option<Head>,
    pub tenure: Tenure,
}

/// READ without the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    pub last: Option<Position>,
    pub head: Option<Head>,
    pub tenure: Tenure,
}

/// The answer of OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The epoch is open and the bytes are its entry 0.
    Opened,
    /// Head or tenure is not as expected; nothing was written.
    Refused,
}

/// The answer of APPEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The bytes are the entry at this position.
    At(Position),
    /// Stream, head or tenure is not as expected; nothing was written.
    Refused,
}

/// A document's row in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// A Yjs update, encoding v1, with pending structs and delete sets.
    pub state: Bytes,
    /// The state holds every entry of this epoch up to this position.
    pub position: Option<Position>,
    /// Counts the writes; the first one makes it 1.
    pub rev: i64,
}
