//! Stored edits that wait for others which nobody has told.

use bytes::Bytes;
use gateway::protocol::yjs::Message;
use gateway::store::Store;
use gateway::store::sqlite::SqliteStore;
use yrs::{Doc, Text, Transact};

use crate::client::Client;
use crate::gateway_process::{eventually, metric_at};
use crate::process::Process;
use crate::rest::get;

const GAUGE: &str = "editorcluster_pending_bytes";

/// Two edits of one author, of which the second refers to the first.
fn edits() -> [Bytes; 2] {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    ["first ", "second"].map(|words| {
        let mut edit = doc.transact_mut();
        text.push(&mut edit, words);
        edit.encode_update_v1().into()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_and_waits_is_reported_until_what_it_waits_for_has_come() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&data.path().join("editorcluster.db")).await.unwrap();
    let [first, second] = edits();
    store.write("notes", 0, second, None).await.unwrap();
    store.write("sound", 0, first.clone(), None).await.unwrap();

    let gateway = Process::start(&["--data-dir", data.path().to_str().unwrap(), "--api", "admin"]).await;
    let asked = async |document: &str| {
        let answer = get(gateway.admin, &format!("/api/v1/documents/{document}")).await;
        answer.json()["pending_bytes"].as_u64().expect("a number")
    };
    let told = || gateway.log().lines().filter(|line| line.contains("stored edits wait for others")).count();
    let gauge = async || metric_at(gateway.admin, GAUGE).await;

    let waiting = asked("notes").await;
    assert!(waiting > 0 && asked("sound").await == 0, "{waiting}");
    assert_eq!(gauge().await, 0.0, "nobody has it open");
    let mut reader = Client::synced(gateway.public, "notes").await;
    let another = Client::synced(gateway.public, "notes").await;
    let sound = Client::synced(gateway.public, "sound").await;
    assert_eq!((reader.text(), sound.text()), (String::new(), "first ".to_owned()));
    assert_eq!((gauge().await, told()), (waiting as f64, 1));
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("stored edits wait")).unwrap();
    assert!(line.contains("WARN") && line.contains("notes") && line.contains(&format!("bytes={waiting}")), "{line}");

    // It is written with the rest, and said once for each time that the document is opened.
    reader.write_acknowledged("other ").await;
    drop((reader, another, sound));
    eventually("all is in the database", async || metric_at(gateway.admin, "editorcluster_documents").await == 0.0)
        .await;
    assert_eq!((gauge().await, told(), asked("notes").await), (0.0, 1, waiting));
    let mut author = Client::synced(gateway.public, "notes").await;
    assert_eq!((gauge().await, told()), (waiting as f64, 2));

    author.send(&[Message::Update(first)]).await;
    author.until("all of it", |author| author.text().contains("first second")).await;
    assert_eq!((gauge().await, asked("notes").await), (0.0, 0));
}
