//! The store in a SQLite file, for one process.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{mpsc, oneshot};

use self::checkpoint::Checkpoint;
pub(crate) use self::connection::{connect, open_pool};
pub(crate) use self::damage::SqliteError;
use self::damage::unavailable;
use self::health::Health;
use self::writer::{Call, Writer};
use super::row::{self, FIND, FoundColumns};
use super::{Result, Store, StoreError, Written};
use crate::history::policy::Policy;
use crate::room::log::{Position, Row};

mod archive;
mod checkpoint;
mod connection;
mod damage;
mod health;
mod past;
mod quarantine;
mod writer;

/// They read; what they write is rare.
const CONNECTIONS: u32 = 4;

/// Checkpoints in a SQLite file. A write has been synced to disk when it returns.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
    writer: mpsc::UnboundedSender<Call>,
    policy: Policy,
    health: Health,
}

impl SqliteStore {
    /// Opens the file, which is made if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or was made by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let pool = open_pool(path, CONNECTIONS).await?;
        let writer = Writer::start(path)?;
        Ok(Self { health: Health::watch(pool.clone()), pool, writer, policy: Policy::default() })
    }

    /// Sets when versions are made and how long they stay.
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, document: &str) -> Result<Option<Row>> {
        let query = sqlx::query_as::<_, FoundColumns>(FIND).bind(document);
        let row = row::find(document, query.fetch_one(&self.pool).await.map_err(unavailable)?)?;
        if row.is_none() {
            self.health.vouches_for_what_is_missing().await?;
        }
        Ok(row)
    }

    async fn rev(&self, document: &str) -> Result<i64> {
        let query = sqlx::query_scalar("SELECT rev FROM documents WHERE id = ?");
        Ok(query.bind(document).fetch_optional(&self.pool).await.map_err(unavailable)?.unwrap_or(0))
    }

    async fn write(&self, document: &str, expected: i64, state: Bytes, position: Option<Position>) -> Result<Written> {
        let ended = || StoreError::Unavailable("the store's thread has ended".to_owned());
        let (document, policy) = (document.to_owned(), self.policy.clone());
        let (answer, answered) = oneshot::channel();
        let checkpoint = Checkpoint { document, expected, state, position, policy };
        self.writer.send(Call { checkpoint, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(unavailable)?;
        Ok(())
    }
}
