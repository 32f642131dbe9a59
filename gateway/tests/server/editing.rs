//! People edit, with embedded storage.

use gateway::drain;
use gateway::protocol::yjs::Message;

use crate::client::Client;
use crate::gateway_process::{eventually, metric, start, start_embedded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_see_each_others_edits_and_a_third_one_all_of_them() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    ann.write("hello ").await;
    bob.until_text("hello ").await;
    bob.write("world").await;
    ann.until_text("hello world").await;
    assert_eq!(Client::synced(gateway.public_addr, "notes").await.text(), "hello world");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_apart() {
    let (gateway, _data) = start_embedded(&["--shards", "3"]).await;
    for name in ["a", "b", "c", "d", "e"] {
        let mut client = Client::synced(gateway.public_addr, name).await;
        let update = client.write(name).await;
        client.until("the acknowledgement", |client| client.heard.contains(&Message::Update(update.clone()))).await;
    }
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(Client::synced(gateway.public_addr, name).await.text(), name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_that_were_made_offline_arrive() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::connect(gateway.public_addr, "notes").await;
    ann.write_offline("on the train");
    ann.until("the gateway asks for it", |client| {
        client.heard.iter().any(|message| matches!(message, Message::SyncStep1(_)))
    })
    .await;
    let mut bob = Client::connect(gateway.public_addr, "notes").await;
    bob.until_text("on the train").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_messages_in_one_frame_are_all_taken() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    let messages = ["a", "b", "c"].map(|letter| Message::Update(ann.write_offline(letter)));
    ann.send(&messages).await;
    bob.until_text("abc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_edit_is_there_after_a_drain_and_after_a_crash() {
    let (gateway, data) = start_embedded(&[]).await;
    let mut client = Client::synced(gateway.public_addr, "notes").await;
    let update = client.write("drained ").await;
    client.until("the acknowledgement", |client| client.heard.contains(&Message::Update(update.clone()))).await;
    tokio::join!(drain::run(&gateway), client.closed());
    drop(gateway);

    let directory = data.path().to_str().unwrap();
    let gateway = start(&["--data-dir", directory, "--checkpoint-after", "1h"]).await;
    let mut client = Client::synced(gateway.public_addr, "notes").await;
    assert_eq!(client.text(), "drained ");
    let update = client.write("crashed").await;
    client.until("the acknowledgement", |client| client.heard.contains(&Message::Update(update.clone()))).await;
    // Nothing was written to the database: the checkpoint is due in an hour, and no drain asks for one.
    drop(gateway);

    let gateway = start(&["--data-dir", directory]).await;
    assert_eq!(Client::synced(gateway.public_addr, "notes").await.text(), "drained crashed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_goes_with_its_session() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    ann.show_presence(7, 1, r#"{"name":"Ann"}"#).await;
    bob.until("Ann's cursor", |bob| bob.presence(7).as_deref() == Some(r#"{"name":"Ann"}"#)).await;
    let mut cid = Client::connect(gateway.public_addr, "notes").await;
    cid.until("Ann's cursor for a late-comer", |cid| cid.presence(7).is_some()).await;
    drop(ann);
    bob.until("no ghost of Ann", |bob| bob.presence(7).as_deref() == Some("null")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_documents_and_updates_are_counted() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    ann.write("x").await;
    bob.until_text("x").await;
    assert_eq!(metric(&gateway, "editorcluster_connections").await, 2.0);
    assert_eq!(metric(&gateway, "editorcluster_documents").await, 1.0);
    assert_eq!(metric(&gateway, "editorcluster_updates_received_total").await, 1.0);
    assert!(metric(&gateway, "editorcluster_updates_sent_total").await >= 1.0);
    eventually("the delivery is in the histogram", async || {
        metric(&gateway, "editorcluster_delivery_seconds_count").await >= 1.0
    })
    .await;
    drop((ann, bob));
    eventually("the sessions are gone and the document is closed", async || {
        metric(&gateway, "editorcluster_connections").await == 0.0
            && metric(&gateway, "editorcluster_documents").await == 0.0
    })
    .await;
    assert_eq!(metric(&gateway, "editorcluster_log_errors_total").await, 0.0);
    assert_eq!(metric(&gateway, "editorcluster_store_errors_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_up_nobody_and_misses_nothing() {
    const EDITS: usize = 96;
    // Ann writes as fast as the gateway can.
    let flags = ["--checkpoint-after", "1h", "--max-messages-per-second", "1000000"];
    let (gateway, _data) = start_embedded(&flags).await;
    let mut slow = Client::synced(gateway.public_addr, "notes").await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    // More than the kernel's buffers and the outbox's limit together.
    let words = "x".repeat(256 << 10);
    let updates = |client: &Client| client.heard.iter().filter(|message| matches!(message, Message::Update(_))).count();
    let writing = async {
        for count in 1..=EDITS {
            ann.write(&words).await;
            ann.until("the acknowledgement", |ann| updates(ann) == count).await;
        }
    };
    tokio::join!(writing, bob.until("all of Ann's edits", |bob| updates(bob) == EDITS));
    slow.until("all of Ann's edits, late", |slow| slow.text().len() == EDITS * words.len()).await;
    let behind = metric(&gateway, "editorcluster_limited_total{reason=\"behind\"}").await;
    assert_eq!(behind, 1.0, "the client was never behind: this test proved nothing");
    ann.write("!").await;
    slow.until("the next edit: it is live again", |slow| slow.text().ends_with('!')).await;
}
