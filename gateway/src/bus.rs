//! The bus: a document's log and the notices that go with it.
//!
//! The functions on the log (READ, OPEN, APPEND, COVER, and PEEK, which is READ without the entries), what a sweep asks,
//! and presence, which is only passed on. Two of them: `redis` for many gateways, `sqlite` for one process with embedded
//! storage. Keys and channels are in `bus/redis.rs`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure, Tip};

pub mod redis;
pub mod sqlite;

/// Something that the bus heard. Events of one document arrive in the order in which the log made them.
#[derive(Clone, Debug)]
pub enum Event {
    /// An entry was written by any gateway, this one included.
    Entry { document: String, entry: Entry },
    /// The database holds everything of this epoch up to here; `rev` as in `room::Input::Covered`.
    Covered { document: String, position: Position, rev: Option<i64> },
    /// Awareness from another gateway: the body of a y-protocols awareness message.
    Awareness { document: String, update: Bytes },
    /// A gateway that opens the document asks the others for their sessions' awareness.
    AwarenessQuery { document: String },
    /// The document was deleted; its log is gone.
    Deleted { document: String },
    /// A connection was made (again); every subscription before it is gone. Generations only grow.
    Connected { generation: u64 },
    /// The connection of this generation is gone: what was published meanwhile is lost.
    Disconnected { generation: u64 },
}

/// Why a bus function has no answer. Its outcome is unknown: the function may have run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BusError {
    #[error("the log cannot be reached: {0}")]
    Unavailable(String),
    #[error("the log answered what it never should: {0}")]
    Malformed(String),
    /// For good: to ask again does not help.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
}

pub type Result<T> = std::result::Result<T, BusError>;

/// One shard's way to the logs. Calls may run side by side; each is one round trip.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Hears a document's events from now on. Returns the generation of the connection on which the subscription is
    /// confirmed; a READ after that misses nothing.
    async fn subscribe(&self, document: &str) -> Result<u64>;
    async fn unsubscribe(&self, document: &str) -> Result<()>;
    async fn read(&self, document: &str) -> Result<ReadReply>;
    async fn peek(&self, document: &str) -> Result<Tip>;
    /// Opens `epoch` with `update` as its entry 0, if head is `expected` and `tenure` is current.
    async fn open(
        &self,
        document: &str,
        expected: Option<&Head>,
        epoch: Epoch,
        tenure: &Tenure,
        update: Bytes,
    ) -> Result<Opened>;
    async fn append(&self, document: &str, epoch: Epoch, update: Bytes) -> Result<Appended>;
    /// Says that the database holds everything up to `position`. False: refused, head has another epoch.
    async fn cover(&self, document: &str, position: Position, rev: Option<i64>) -> Result<bool>;
    /// Whether this gateway is the one that sweeps now; of many that ask within `every`, one is.
    async fn is_my_sweep(&self, every: Duration) -> Result<bool>;
    /// The next few of the documents whose log may hold what the database lacks. A document may come twice.
    async fn uncovered(&self, from: Cursor) -> Result<Page>;
    /// Where such a log ends. None: the database holds all of it.
    async fn uncovered_end(&self, document: &str) -> Result<Option<Position>>;
    /// Passes awareness on to the other gateways. Best effort.
    async fn publish_awareness(&self, document: &str, update: Bytes) -> Result<()>;
    /// Asks the other gateways for their sessions' awareness. Best effort.
    async fn query_awareness(&self, document: &str) -> Result<()>;
    /// Removes a deleted document's log and tells everybody who has it open. Harmless when it is repeated.
    async fn delete(&self, document: &str) -> Result<()>;
    /// Whether the log server answers now.
    async fn ping(&self) -> Result<()>;
}

/// How far a walk through all logs is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The server, if there are several.
    server: usize,
    at: u64,
}

/// A step of such a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub documents: Vec<String>,
    /// None: that was the last one.
    pub next: Option<Cursor>,
}

/// Where a bus puts its events. Unbounded: the room's limits apply behind it, and dropping one loses an edit.
pub type Events = mpsc::UnboundedSender<Event>;
