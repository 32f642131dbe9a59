//! The rest of a document in the database: its versions, its authors, its end.
//!
//! Both stores do the same: a checkpoint reads the past, plans (`history::policy`), compresses if the row is to become a
//! version, and then writes row, version and authors in one transaction behind the compare-and-set on `rev`. So of
//! several gateways' checkpoints one makes the version, and it is of just the row that was replaced.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::quarantine::Quarantine;
use super::{Result, StoreError};
use crate::history::archive::{compress, decompress};
use crate::history::policy::{ClientId, Past, Plan, Policy, clocks};

/// A document that is not deleted. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentInfo {
    pub id: String,
    /// Of its last checkpoint.
    pub bytes: i64,
    pub rev: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A document's columns, in the order of its fields.
pub(super) type DocumentColumns = (String, i64, i64, i64, i64);

impl From<DocumentColumns> for DocumentInfo {
    fn from((id, bytes, rev, created_at, updated_at): DocumentColumns) -> Self {
        Self { id, bytes, rev, created_at, updated_at }
    }
}

/// A version without its content. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// Grows with each version.
    pub id: i64,
    /// None: made automatically.
    pub name: Option<String>,
    /// When the content was written.
    pub created_at: i64,
    /// Who wrote since the automatic version before.
    pub authors: Vec<ClientId>,
    /// Of the state, not compressed.
    pub bytes: i64,
}

/// A version of another database. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adopted {
    /// None: made automatically.
    pub name: Option<String>,
    pub created_at: i64,
    pub authors: Vec<ClientId>,
}

/// One client's writing in a document. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub client: ClientId,
    /// Once somebody vouches for who it is.
    pub user: Option<String>,
    pub first_seen: i64,
    pub last_seen: i64,
}

/// An author's columns, in the order of its fields.
pub(super) type AuthorColumns = (i64, Option<String>, i64, i64);

impl From<AuthorColumns> for Author {
    fn from((client, user, first_seen, last_seen): AuthorColumns) -> Self {
        Self { client: client.cast_unsigned(), user, first_seen, last_seen }
    }
}

/// The store, seen by whoever looks after documents rather than editing them.
#[async_trait]
pub trait Archive: Quarantine {
    /// Documents in the order of their ids, from the first one behind `after`.
    async fn documents(&self, after: &str, limit: u32) -> Result<Vec<DocumentInfo>>;
    /// None: it was never checkpointed.
    async fn document(&self, document: &str) -> Result<Option<DocumentInfo>>;
    /// Takes content, versions, authors and strikes away and refuses the id from now on. False: it was deleted already.
    async fn delete(&self, document: &str) -> Result<bool>;
    /// Takes a deletion back, as far as the id goes: it may be used again. False: it was not deleted.
    async fn revive(&self, document: &str) -> Result<bool>;
    /// Versions, the newest first, from the first one older than `before`.
    async fn versions(&self, document: &str, before: i64, limit: u32) -> Result<Vec<VersionInfo>>;
    /// A version with its state. None: there is none by this number.
    async fn version(&self, document: &str, version: i64) -> Result<Option<(VersionInfo, Bytes)>>;
    /// Keeps this state under a name. None: the document has no row.
    async fn name_version(&self, document: &str, name: &str, state: Bytes) -> Result<Option<VersionInfo>>;
    /// Keeps a version that comes from elsewhere. None: the document has no row. It is listed as the newest, and never
    /// taken for what the row's own history last kept.
    async fn adopt_version(&self, document: &str, version: &Adopted, state: Bytes) -> Result<Option<VersionInfo>>;
    /// The authors, the last one to write first.
    async fn authors(&self, document: &str) -> Result<Vec<Author>>;
    /// Removes automatic versions, tombstones and strikes whose time is over. Returns how many.
    async fn tidy(&self) -> Result<u64>;
}

/// Strikes are shown for so long. They count much shorter; those of what is in quarantine stay.
pub(super) const STRIKES_KEEP_FOR: Duration = Duration::from_secs(24 * 3600);

/// A state that is ready to become a version.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) bytes: i64,
    pub(super) compressed: Vec<u8>,
}

/// Away from the runtime's threads: both take milliseconds for a large document.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Corrupt(format!("a document's state could not be worked on: {error}")))
}

pub(super) async fn plan(policy: &Policy, past: Past, state: Bytes) -> Result<Plan> {
    let policy = policy.clone();
    aside(move || policy.plan(&past, &clocks(&state))).await
}

/// Who wrote a state that is to be a version, given what was known before it.
pub(super) async fn authors_of(past: Past, state: Bytes) -> Result<Vec<ClientId>> {
    aside(move || {
        let mut authors = past.authors();
        authors.extend(past.grown(&clocks(&state)).into_iter().map(|(client, _)| client));
        authors.sort_unstable();
        authors.dedup();
        authors
    })
    .await
}

pub(super) async fn pack(state: Bytes) -> Result<Packed> {
    aside(move || pack_here(&state)).await?
}

/// For a thread that may take its time.
pub(super) fn pack_here(state: &[u8]) -> Result<Packed> {
    let compressed = compress(state).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(Packed { bytes: state.len() as i64, compressed })
}

/// A row that is to become a version. None: it was damaged, and becomes none. What replaces it has all that it had:
/// whoever writes that has read the row when it was whole.
pub(super) fn sound(document: &str, packed: Result<Packed>) -> Result<Option<Packed>> {
    match packed {
        Err(StoreError::Corrupt(damage)) => {
            tracing::error!(document, damage, "a row was damaged; it becomes no version");
            Ok(None)
        }
        packed => packed.map(Some),
    }
}

pub(super) async fn unpack(version: &VersionInfo, compressed: Vec<u8>) -> Result<Bytes> {
    let (id, bytes) = (version.id, version.bytes);
    aside(move || {
        let bytes = usize::try_from(bytes).unwrap_or_default();
        decompress(&compressed, bytes).map_err(|error| StoreError::Corrupt(format!("version {id}: {error}")))
    })
    .await?
}
