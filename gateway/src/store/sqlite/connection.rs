//! The connections to the file. The pool's are for what comes now and then. sqlx runs each statement on a thread of its
//! own, and the way there and back costs more than a short statement; so the two threads that write all the time, this
//! store's and the log's, call SQLite themselves.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::store::{Result, StoreError};

const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// More than the thread that writes has different ones.
const STATEMENTS: usize = 32;

/// Opens the file, which is made if it is missing, and brings its tables up to date.
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

/// A connection for a thread of its own, to a file that a pool has opened before, with the pool's settings.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(db)
}
