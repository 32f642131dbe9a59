//! The store in a SQLite file, for one process.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

pub(crate) use self::damage::is_damage;
use self::damage::unavailable;
use self::health::Health;
use super::archive::{plan, sound};
use super::row::{self, FIND, FoundColumns};
use super::{Result, Store, StoreError, Written};
use crate::history::policy::{Past, Policy};
use crate::room::log::{Position, Row};

mod archive;
mod damage;
mod health;
mod quarantine;

const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// One writes at a time anyway; the others read.
const CONNECTIONS: u32 = 4;

/// Checkpoints in a SQLite file. A write has been synced to disk when it returns.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
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
        Ok(Self { health: Health::watch(pool.clone()), pool, policy: Policy::default() })
    }

    /// Sets when versions are made and how long they stay.
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }
}

/// Opens the file with the settings and tables that store and log share.
pub(crate) async fn open_pool(path: &Path, connections: u32) -> Result<SqlitePool> {
    // SQLite's migrations take no lock of their own, and store and log of one process open the file side by side.
    static MIGRATING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    let unavailable = |error: String| {
        StoreError::Unavailable(format!("{}: {error}; check --data-dir and its permissions", path.display()))
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT);
    let _one_at_a_time = MIGRATING.lock().await;
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Without these two the pool has no task that looks after idle connections. That task counts them while others take
        // and give back, the count may be below 0 for a moment, and then the task turns 2^64 times on a core of its own
        // (sqlx 0.9.0, seen). A connection is asked whether it lives before it is used, so none needs to be replaced.
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .map_err(|error| unavailable(error.to_string()))?;
    sqlx::migrate!("migrations/sqlite").run(&pool).await.map_err(|error| unavailable(error.to_string()))?;
    Ok(pool)
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
        let past = match expected {
            0 => Past::default(),
            _ => match self.past(document).await? {
                Some(past) if past.rev == expected => past,
                _ => return Ok(Written::Conflict),
            },
        };
        let (replaced_at, plan) = (past.updated_at, plan(&self.policy, past, state.clone()).await?);
        let version = match plan.version {
            Some(authors) => sound(document, self.pack_row(document).await)?.map(|packed| (authors, packed)),
            None => None,
        };

        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
        let (epoch, n) = row::position_columns(position);
        let query = if expected == 0 {
            "INSERT INTO documents (state, epoch, n, checksum, id, rev) VALUES (?, ?, ?, ?, ?, ? + 1) \
             ON CONFLICT DO NOTHING"
        } else {
            "UPDATE documents SET state = ?, epoch = ?, n = ?, checksum = ?, rev = rev + 1, updated_at = unixepoch() \
             WHERE id = ? AND rev = ? AND deleted_at IS NULL"
        };
        let checksum = row::checksum(document, &state, (epoch, n), expected + 1);
        let query = sqlx::query(query).bind(state.as_ref()).bind(epoch).bind(n).bind(checksum);
        let query = query.bind(document).bind(expected);
        let done = query.execute(&mut *transaction).await.map_err(unavailable)?;
        if done.rows_affected() != 1 {
            return Ok(Written::Conflict);
        }
        if let Some((authors, packed)) = version {
            self.keep(&mut transaction, document, expected, replaced_at, &authors, packed)
                .await
                .map_err(unavailable)?;
        }
        archive::note_authors(&mut transaction, document, &plan.grown, expected + 1).await.map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(Written::Rev(expected + 1))
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(unavailable)?;
        Ok(())
    }
}
