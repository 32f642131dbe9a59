//! A deletion is final everywhere: in every gateway, in the log, in the database, and for clients with copies.

use e2e_servers::{Postgres, Redis};
use gateway::drain;
use gateway::protocol::yjs::Message;

use crate::client::Client;
use crate::gateway_process::{eventually, start_embedded};
use crate::rest::{get, send};
use crate::two_gateways::pod;

const NOTES: &str = "/api/v1/documents/notes";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_document_is_gone_from_two_gateways_and_no_copy_brings_it_back() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let flags = ["--api", "admin"];
    let (left, right) = (pod(&redis, &postgres, &flags).await, pod(&redis, &postgres, &flags).await);
    let mut ann = Client::synced(left.public_addr, "notes").await;
    let mut bob = Client::synced(right.public_addr, "notes").await;
    let mut other = Client::synced(right.public_addr, "other").await;
    ann.write("a secret").await;
    bob.until_text("a secret").await;
    other.write("another").await;

    assert_eq!(send(left.admin_addr, "DELETE", NOTES, "", b"").await.status, 204);
    assert_eq!(ann.closed().await, 4404);
    assert_eq!(bob.closed().await, 4404);
    let keys = || redis.command(&["KEYS", "ec:{notes}*"]).unwrap();
    assert_eq!(keys().trim(), "*0", "the log is still there");

    // Both come back with all that they hold, as y-websocket does.
    for (gateway, mut client) in [(&left, bob), (&right, ann)] {
        let copy = client.write_offline(" and more");
        let mut again = Client::connect(gateway.public_addr, "notes").await;
        again.send(&[Message::Update(copy)]).await;
        assert_eq!(again.closed().await, 4404);
        assert_eq!(again.text(), "");
        let (status, detail) = get(gateway.admin_addr, NOTES).await.problem();
        assert_eq!(status, 410, "{detail}");
        assert_eq!(get(gateway.admin_addr, &format!("{NOTES}/export")).await.status, 410);
    }
    assert_eq!(send(right.admin_addr, "DELETE", NOTES, "", b"").await.status, 204, "a second time");
    let list = get(left.admin_addr, "/api/v1/documents").await.json();
    assert!(list["documents"].as_array().unwrap().iter().all(|document| document["id"] != "notes"), "{list}");
    other.write("!").await;
    Client::synced(left.public_addr, "other").await.until_text("another!").await;

    drop(other);
    tokio::join!(drain::run(&left), drain::run(&right));
    assert_eq!(keys().trim(), "*0", "a client has begun a log again");
}

/// A gateway that was cut off when the document was deleted, and that has an edit for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_did_not_hear_of_it_finds_out_when_it_writes() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let gateway = pod(&redis, &postgres, &["--checkpoint-after", "20ms"]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    ann.write("a").await;
    let store = gateway::store::postgres::PostgresStore::connect(&postgres.url(), 2).unwrap();
    eventually("the database is reached", async || gateway::store::Store::ping(&store).await.is_ok()).await;
    eventually("the checkpoint", async || {
        gateway::store::Store::load(&store, "notes").await.unwrap().is_some_and(|row| !row.state.is_empty())
    })
    .await;
    gateway::store::archive::Archive::delete(&store, "notes").await.unwrap();
    ann.write("b").await;
    assert_eq!(ann.closed().await, 4404);
    eventually("its log is gone too", async || redis.command(&["KEYS", "ec:{notes}*"]).unwrap().trim() == "*0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_document_comes_back_only_on_purpose() {
    let (gateway, _data) = start_embedded(&["--api", "admin"]).await;
    let api = gateway.admin_addr;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    ann.write_acknowledged("words").await;
    let export = get(api, &format!("{NOTES}/export")).await;
    assert_eq!(export.status, 200);
    // It was never checkpointed: it is in the log alone.
    assert_eq!(send(api, "DELETE", NOTES, "", b"").await.status, 204);
    assert_eq!(ann.closed().await, 4404);

    let import = format!("{NOTES}/import");
    assert_eq!(send(api, "POST", &import, "", &export.body).await.problem().0, 410);
    assert_eq!(send(api, "POST", &format!("{import}?revive=true"), "", &export.body).await.status, 204);
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    bob.until_text("words").await;
    // Into an open document, too.
    let mut other = Client::synced(gateway.public_addr, "elsewhere").await;
    let more = other.write_offline("more");
    assert_eq!(send(api, "POST", &import, "", &more).await.status, 204);
    bob.until("both", |bob| bob.text().contains("words") && bob.text().contains("more")).await;
}
