//! A gateway dies after it has acknowledged an edit, and nobody opens the document again: another one brings the edit
//! from the log to the database.

use std::net::SocketAddr;
use std::process::Stdio;

use e2e_servers::{Postgres, Redis};
use gateway::protocol::yjs::Message;
use gateway::server::Running;
use gateway::store::Store;
use gateway::store::postgres::PostgresStore;
use gateway::store::sqlite::SqliteStore;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, Transact, Update};

use crate::client::Client;
use crate::gateway_process::{DEADLINE, eventually, metric, start};

/// A gateway in a process of its own, which never makes a checkpoint while somebody is there.
async fn spawn(flags: &[&str]) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--checkpoint-after", "1h", "--shards", "1"])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the gateway starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let greeting = timeout(DEADLINE, lines.next_line()).await.expect("time").expect("its output").expect("a greeting");
    let address = greeting.split("://").nth(1).expect("a URL in the greeting").split('/').next().expect("an address");
    (child, address.parse().expect("an address in the greeting"))
}

/// An edit is acknowledged by a gateway, which then dies.
async fn edit_and_die(flags: &[&str], document: &str) {
    let (mut gateway, address) = spawn(flags).await;
    let mut client = Client::synced(address, document).await;
    let update = client.write("only in the log").await;
    let echo = |message: &Message| matches!(message, Message::Update(echoed) if *echoed == update);
    client.until("the acknowledgement", |client| client.heard.iter().any(echo)).await;
    gateway.kill().await.expect("it can be killed");
}

async fn stored_text(store: &dyn Store, document: &str) -> Option<String> {
    let row = store.load(document).await.expect("the database answers")?;
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    doc.transact_mut().apply_update(Update::decode_v1(&row.state).expect("an update")).expect("it applies");
    Some(text.get_string(&doc.transact()))
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
