//! The store: documents' checkpoints in a database. SQLite (embedded) or Postgres, with the same tests.
//!
//! `Store` is what a room needs, `archive` the rest: versions, authors, deletion; `quarantine`: what is not opened.

use async_trait::async_trait;
use bytes::Bytes;

use crate::room::log::{Position, Row};

pub mod archive;
pub(crate) mod checksum;
pub mod postgres;
pub mod quarantine;
pub(crate) mod row;
pub mod sqlite;

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    #[error("the database holds what it never should: {0}")]
    Corrupt(String),
    /// For good, as far as a room is concerned: its sessions are closed, and nothing is written any more.
    #[error("the document was deleted")]
    Deleted,
    /// Processes died or stalled in it: it is not opened until somebody releases it.
    #[error("the document is in quarantine; `gateway quarantine show` says why")]
    Quarantined,
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// The outcome of a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The row has this `rev` now.
    Rev(i64),
    /// The row is not at the expected `rev`; nothing was written.
    Conflict,
}

#[async_trait]
pub trait Store: Send + Sync {
    /// The document's row; None for a document that was never checkpointed.
    ///
    /// # Errors
    /// `Deleted` for a document that was deleted, `Quarantined` for one that must not be opened, among others.
    async fn load(&self, document: &str) -> Result<Option<Row>>;
    /// The row's `rev` alone; 0 without a row.
    async fn rev(&self, document: &str) -> Result<i64>;
    /// Writes the row if its `rev` still is `expected` (0: there is no row yet), and with it what the checkpoint means
    /// for the document's history. A deleted document's row is never at the `rev` that a room knows.
    async fn write(&self, document: &str, expected: i64, state: Bytes, position: Option<Position>) -> Result<Written>;
    /// Whether the database answers now.
    async fn ping(&self) -> Result<()>;
}
