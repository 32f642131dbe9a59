//! Databases of every released schema are brought forward with what they hold, and gateways of the schema before go on
//! beside newer ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use bytes::Bytes;
use e2e_servers::Postgres;
use gateway::room::log::{Epoch, Position, Row};
use gateway::store::archive::Archive;
use gateway::store::postgres::PostgresStore;
use gateway::store::sqlite::SqliteStore;
use gateway::store::{Store, StoreError, Written};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::ready::reached;

mod ready;

/// The last migration of each schema that was released, the present one left out.
const SQLITE_RELEASED: [i64; 3] = [2, 3, 4];
const POSTGRES_RELEASED: [i64; 3] = [1, 2, 3];

const POSITION: Position = Position { epoch: Epoch(5 << 32), n: 7 };

/// The migrations that a gateway of that release had.
fn released(all: &Migrator, last: i64) -> Migrator {
    Migrator::with_migrations(all.iter().filter(|migration| migration.version <= last).cloned().collect())
}

/// What the row is after the database was brought forward, and that history begins with it.
async fn goes_on(store: &dyn Archive) {
    let row = Row { state: Bytes::from_static(b"old"), position: Some(POSITION), rev: 1 };
    assert_eq!(store.load("kept").await.unwrap(), Some(row));
    assert_eq!(store.versions("kept", i64::MAX, 9).await.unwrap(), []);
    assert_eq!(store.write("kept", 1, Bytes::from_static(b"new"), None).await.unwrap(), Written::Rev(2));
    assert!(store.name_version("kept", "first", Bytes::from_static(b"new")).await.unwrap().is_some());
    assert!(store.delete("gone").await.unwrap());
}

async fn sqlite(path: &std::path::Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).create_if_missing(true)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_of_every_released_schema_is_brought_forward_with_its_data() {
    for last in SQLITE_RELEASED {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let old = sqlite(&path).await;
        released(&sqlx::migrate!("migrations/sqlite"), last).run(&old).await.unwrap();
        // The released statements, as they were.
        let insert =
            "INSERT INTO documents (state, epoch, n, id, rev) VALUES (?, ?, ?, ?, ? + 1) ON CONFLICT DO NOTHING";
        let update = "UPDATE documents SET state = ?, epoch = ?, n = ?, rev = rev + 1, updated_at = unixepoch() \
                      WHERE id = ? AND rev = ?";
        let select = "SELECT state, epoch, n, rev FROM documents WHERE id = ?";
        let write = async |statement: &'static str, id: &str, rev: i64| {
            let query = sqlx::query(statement).bind(&b"old"[..]).bind(POSITION.epoch.0.cast_signed()).bind(7);
            query.bind(id).bind(rev).execute(&old).await.map(|done| done.rows_affected())
        };
        for id in ["kept", "gone"] {
            assert_eq!(write(insert, id, 0).await.unwrap(), 1);
        }
        let store = SqliteStore::open(&path).await.unwrap();
        goes_on(&store).await;

        // The gateway of the old schema does not know what has happened.
        assert_eq!(write(update, "kept", 1).await.unwrap(), 0);
        assert_eq!(write(update, "kept", 2).await.unwrap(), 1);
        assert_eq!(write(insert, "made by the old one", 0).await.unwrap(), 1);
        let (state, _, _, rev): (Vec<u8>, Option<i64>, Option<i64>, i64) =
            sqlx::query_as(select).bind("kept").fetch_one(&old).await.unwrap();
        assert_eq!((&state[..], rev), (&b"old"[..], 3));
        assert_eq!(store.load("kept").await.unwrap().unwrap().rev, 3);
        // It cannot bring a deleted document back: not as a new one, and not at the `rev` that it reads.
        assert_eq!(write(insert, "gone", 0).await.unwrap(), 0);
        let refused = write(update, "gone", 2).await.unwrap_err();
        assert!(refused.to_string().contains("the document was deleted"), "{refused}");
        assert!(matches!(store.load("gone").await, Err(StoreError::Deleted)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_database_of_every_released_schema_is_brought_forward_with_its_data() {
    for last in POSTGRES_RELEASED {
        let server = Postgres::start().unwrap();
        let old = PgPool::connect(&server.url()).await.unwrap();
        released(&sqlx::migrate!("migrations/postgres"), last).run(&old).await.unwrap();
        // The released statements, as they were.
        let insert = "INSERT INTO documents (state, epoch, n, id, rev) VALUES ($1, $2, $3, $4, $5::bigint + 1) \
                      ON CONFLICT DO NOTHING";
        let update = "UPDATE documents SET state = $1, epoch = $2, n = $3, rev = rev + 1, updated_at = now() \
                      WHERE id = $4 AND rev = $5";
        let select = "SELECT state, epoch, n, rev FROM documents WHERE id = $1";
        let write = async |statement: &'static str, id: &str, rev: i64| {
            let query = sqlx::query(statement).bind(&b"old"[..]).bind(POSITION.epoch.0.cast_signed()).bind(7_i64);
            query.bind(id).bind(rev).execute(&old).await.map(|done| done.rows_affected())
        };
        for id in ["kept", "gone"] {
            assert_eq!(write(insert, id, 0).await.unwrap(), 1);
        }
        let store = PostgresStore::connect(&server.url(), 2).unwrap();
        reached(&store).await;
        goes_on(&store).await;

        assert_eq!(write(update, "kept", 1).await.unwrap(), 0);
        assert_eq!(write(update, "kept", 2).await.unwrap(), 1);
        assert_eq!(write(insert, "made by the old one", 0).await.unwrap(), 1);
        let (state, _, _, rev): (Vec<u8>, Option<i64>, Option<i64>, i64) =
            sqlx::query_as(select).bind("kept").fetch_one(&old).await.unwrap();
        assert_eq!((&state[..], rev), (&b"old"[..], 3));
        assert_eq!(store.load("kept").await.unwrap().unwrap().rev, 3);
        assert_eq!(write(insert, "gone", 0).await.unwrap(), 0);
        let refused = write(update, "gone", 2).await.unwrap_err();
        assert!(refused.to_string().contains("the document was deleted"), "{refused}");
        assert!(matches!(store.load("gone").await, Err(StoreError::Deleted)));
    }
}

/// A pod that starts again in the middle of a rollout, after a newer gateway has migrated.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_on_a_postgres_database_that_a_newer_one_has_migrated() {
    let server = Postgres::start().unwrap();
    reached(&PostgresStore::connect(&server.url(), 2).unwrap()).await;
    let newer = PgPool::connect(&server.url()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999999, 'of a newer gateway', true, '', 0)",
    )
    .execute(&newer)
    .await
    .unwrap();
    let store = PostgresStore::connect(&server.url(), 2).unwrap();
    reached(&store).await;
    assert_eq!(store.write("d", 0, Bytes::from_static(b"1"), None).await.unwrap(), Written::Rev(1));
}
