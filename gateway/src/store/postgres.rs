//! The store in Postgres, for many gateways.

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::Rng;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgExecutor};
use tokio_util::task::AbortOnDropHandle;

use super::archive::{plan, sound};
use super::row::{self, FIND, FoundColumns, ROW, RowColumns};
use super::{Result, Store, StoreError, Written};
use crate::history::policy::{Past, Policy};
use crate::room::log::{Position, Row};

mod archive;
mod quarantine;

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Enforced by the server.
const STATEMENT_TIMEOUT: &str = "15s";
/// Enforced here as well: a server that vanished enforces nothing.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

/// The compare-and-set of a row, and whose writing has grown in it, in one statement: a checkpoint is mostly the way to
/// the database and back.
macro_rules! write_row {
    ($row:literal) => {
        concat!(
            "WITH written AS (",
            $row,
            " RETURNING id, rev), grown AS (INSERT INTO authors (document, client, clock, last_rev) \
             SELECT id, client, clock, rev FROM written, unnest($6::bigint[], $7::bigint[]) AS grown (client, clock) \
             ON CONFLICT (document, client) DO UPDATE \
             SET clock = excluded.clock, last_rev = excluded.last_rev, last_seen = now()) \
             SELECT count(*) FROM written"
        )
    };
}
const INSERT: &str = write_row!(
    "INSERT INTO documents (state, epoch, n, id, rev, checksum) VALUES ($1, $2, $3, $4, $5::bigint + 1, $8) \
     ON CONFLICT DO NOTHING"
);
const UPDATE: &str = write_row!(
    "UPDATE documents SET state = $1, epoch = $2, n = $3, rev = rev + 1, checksum = $8, updated_at = now() \
     WHERE id = $4 AND rev = $5 AND deleted_at IS NULL"
);

/// Checkpoints in a Postgres database. A write is as durable as the database's `synchronous_commit` makes it.
#[derive(Debug)]
pub struct PostgresStore {
    pool: PgPool,
    policy: Policy,
    migrated: Arc<AtomicBool>,
    _migration: AbortOnDropHandle<()>,
}

impl PostgresStore {
    /// Connects in the background, on the current runtime, and brings the tables up to date as soon as the database
    /// answers; until then every call is `Unavailable`. Of many gateways one migrates and the others wait.
    ///
    /// # Errors
    /// Only for a URL that is none.
    pub fn connect(url: &str, connections: u32) -> Result<Self> {
        // The URL is not in the message: it may hold a password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| StoreError::Unavailable(format!("the database URL is not valid: {error}")))?
            .application_name("editorcluster-gateway")
            .options([("statement_timeout", STATEMENT_TIMEOUT)]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Without these two the pool has no task that looks after idle connections. That task counts them while others take
            // and give back, the count may be below 0 for a moment, and then the task turns 2^64 times on a core of its own
            // (sqlx 0.9.0, seen). A connection is asked whether it lives before it is used, so none needs to be replaced.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        let migrated = Arc::<AtomicBool>::default();
        let migration = tokio::spawn(migrate(pool.clone(), migrated.clone()));
        Ok(Self { pool, policy: Policy::default(), migrated, _migration: AbortOnDropHandle::new(migration) })
    }

    /// Sets when versions are made and how long they stay.
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Also if it is in quarantine: a room that was open before goes on.
    async fn row(&self, db: impl PgExecutor<'_>, document: &str) -> Result<Option<Row>> {
        let query = sqlx::query_as::<_, RowColumns>(ROW);
        let columns = self.call(query.bind(document).fetch_optional(db)).await?;
        columns.map(|columns| row::read(document, columns)).transpose()
    }

    async fn call<T>(&self, call: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        if !self.migrated.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("its tables are not up to date yet".to_owned()));
        }
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)))) => {
                Err(StoreError::Corrupt(error.to_string()))
            }
            Ok(Err(error)) => Err(StoreError::Unavailable(error.to_string())),
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))),
        }
    }
}

async fn migrate(pool: PgPool, migrated: Arc<AtomicBool>) {
    let mut pause = BACKOFF.start;
    loop {
        // The connection is closed afterwards, with any outcome: a migration that failed half-way would otherwise
        // keep its advisory lock in the pool.
        let run = async {
            let mut connection = pool.acquire().await?.detach();
            let mut migrator = sqlx::migrate!("migrations/postgres");
            // What a newer gateway has done to the tables is additive; during a rollout this one goes on beside it.
            migrator.set_ignore_missing(true);
            migrator.run_direct(None, &mut connection, false).await
        };
        match tokio::time::timeout(CALL_TIMEOUT, run).await {
            Ok(Ok(())) => break migrated.store(true, Ordering::Release),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database's tables cannot be brought up to date; trying again")
            }
            Err(_) => tracing::warn!("the database does not answer; trying again"),
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(BACKOFF.end);
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, document: &str) -> Result<Option<Row>> {
        let query = sqlx::query_as::<_, FoundColumns>(FIND).bind(document);
        row::find(document, self.call(query.fetch_one(&self.pool)).await?)
    }

    async fn rev(&self, document: &str) -> Result<i64> {
        let query = sqlx::query_scalar("SELECT rev FROM documents WHERE id = $1");
        Ok(self.call(query.bind(document).fetch_optional(&self.pool)).await?.unwrap_or(0))
    }

    async fn write(&self, document: &str, expected: i64, state: Bytes, position: Option<Position>) -> Result<Written> {
        let (mut connection, past) = self
            .call(async {
                let mut connection = self.pool.acquire().await?;
                let past = if expected == 0 { None } else { archive::past(&mut connection, document).await? };
                Ok((connection, past))
            })
            .await?;
        let past = match past {
            None if expected == 0 => Past::default(),
            Some(past) if past.rev == expected => past,
            _ => return Ok(Written::Conflict),
        };
        let (replaced_at, plan) = (past.updated_at, plan(&self.policy, past, state.clone()).await?);
        let version = match plan.version {
            Some(authors) => {
                sound(document, self.pack_row(&mut connection, document).await)?.map(|packed| (authors, packed))
            }
            None => None,
        };

        let (epoch, n) = row::position_columns(position);
        let checksum = row::checksum(document, &state, (epoch, n), expected + 1);
        let (clients, clocks): (Vec<i64>, Vec<i64>) =
            plan.grown.iter().map(|(client, clock)| (client.cast_signed(), i64::from(*clock))).unzip();
        let query = sqlx::query_scalar::<_, i64>(if expected == 0 { INSERT } else { UPDATE })
            .bind(state.as_ref())
            .bind(epoch)
            .bind(n)
            .bind(document)
            .bind(expected)
            .bind(clients)
            .bind(clocks)
            .bind(checksum);
        let written = self
            .call(async {
                // One statement is a transaction of its own.
                let Some((authors, packed)) = version else { return query.fetch_one(&mut *connection).await };
                let mut transaction = connection.begin().await?;
                let written = query.fetch_one(&mut *transaction).await?;
                if written == 1 {
                    self.keep(&mut transaction, document, expected, replaced_at, &authors, packed).await?;
                }
                transaction.commit().await?;
                Ok(written)
            })
            .await?;
        Ok(if written == 1 { Written::Rev(expected + 1) } else { Written::Conflict })
    }

    async fn ping(&self) -> Result<()> {
        self.call(sqlx::query("SELECT 1").execute(&self.pool)).await.map(drop)
    }
}
