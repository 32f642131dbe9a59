//! A gateway dies after it has acknowledged an edit, and nobody opens the document again: another one brings the edit
//! from the log to the database.

use e2e_servers::{Postgres, Redis};
use gateway::server::Running;
use gateway::store::Store;
use gateway::store::postgres::PostgresStore;
use gateway::store::sqlite::SqliteStore;

use crate::client::{Client, text_of};
use crate::gateway_process::{eventually, metric, start};
use crate::process::Process;

/// An edit is acknowledged by a gateway, which then dies.
async fn edit_and_die(flags: &[&str], document: &str) {
    // It never makes a checkpoint while somebody is there.
    let gateway = Process::start(&[flags, &["--checkpoint-after", "1h"]].concat()).await;
    Client::synced(gateway.public, document).await.write_acknowledged("only in the log").await;
    gateway.kill().await;
}

async fn stored_text(store: &dyn Store, document: &str) -> Option<String> {
    let row = store.load(document).await.expect("the database answers")?;
    Some(text_of(&row.state))
}

async fn is_swept_up(gateway: &Running, store: &dyn Store) {
    eventually("the edit is in the database", async || {
        stored_text(store, "left").await.as_deref() == Some("only in the log")
    })
    .await;
    assert!(metric(gateway, "editorcluster_swept_total").await >= 1.0);
    eventually("the room is closed", async || metric(gateway, "editorcluster_documents").await == 0.0).await;
}

const QUICK: [&str; 4] = ["--sweep-every", "200ms", "--checkpoint-after", "50ms"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_in_redis_gets_to_the_database_though_nobody_opens_it() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let (log, database) = (redis.url(), postgres.url());
    let flags = ["--target", "socket", "--redis-url", &log, "--database-url", &database, "--settle", "0s"];
    let store = PostgresStore::connect(&database, 1).unwrap();
    eventually("the tables are there", async || store.ping().await.is_ok()).await;
    edit_and_die(&flags, "left").await;
    assert_eq!(stored_text(&store, "left").await, None, "there was no need of a sweep");
    let gateway = start(&[&flags[..], &QUICK].concat()).await;
    is_swept_up(&gateway, &store).await;
    let ttl = redis.command(&["TTL", "ec:{left}:log"]).unwrap();
    assert!(!ttl.starts_with(":-"), "the log is not covered: {ttl}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_in_the_embedded_log_gets_to_the_database_though_nobody_opens_it() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--data-dir", directory.path().to_str().unwrap()];
    edit_and_die(&flags, "left").await;
    let store = SqliteStore::open(&directory.path().join("editorcluster.db")).await.unwrap();
    assert_eq!(stored_text(&store, "left").await, None, "there was no need of a sweep");
    let gateway = start(&[&flags[..], &QUICK].concat()).await;
    is_swept_up(&gateway, &store).await;
}
