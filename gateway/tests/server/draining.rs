//! The end of a gateway.

use std::time::{Duration, Instant};

use gateway::drain;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;

use crate::client::Client;
use crate::gateway_process::{eventually, get, metric, request, start_embedded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_closes_every_session_with_1012_over_the_window_and_writes_every_document() {
    let (gateway, _data) = start_embedded(&["--checkpoint-after", "1h"]).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = Client::synced(gateway.public_addr, &format!("document-{}", number % 5)).await;
        client.write("x").await;
        clients.push(client);
    }
    let start = Instant::now();
    let closed = clients.iter_mut().map(async |client| (client.closed().await, start.elapsed()));
    let ((), closed) = tokio::join!(drain::run(&gateway), futures::future::join_all(closed));
    assert!(closed.iter().all(|(code, _)| *code == 1012), "{closed:?}");
    let last = closed.iter().map(|(_, at)| *at).max().unwrap();
    assert!(last > Duration::from_millis(500), "all at once: {closed:?}");
    assert_eq!(metric(&gateway, "editorcluster_connections").await, 0.0);
    assert_eq!(metric(&gateway, "editorcluster_documents").await, 0.0);
    assert_eq!(metric(&gateway, "editorcluster_closes_total{code=\"1012\"}").await, 20.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_accepted_until_the_settle_time_is_over_though_it_is_not_ready() {
    let (gateway, _data) = start_embedded(&["--settle", "1s"]).await;
    eventually("it is ready", async || get(gateway.admin_addr, "/readyz").await.status == 200).await;
    let during = async {
        eventually("it is draining", async || get(gateway.admin_addr, "/readyz").await.status == 503).await;
        assert_eq!(get(gateway.admin_addr, "/livez").await.status, 200);
        assert_eq!(metric(&gateway, "editorcluster_draining").await, 1.0);
        let mut late = Client::synced(gateway.public_addr, "notes").await;
        late.write("late").await;
        late.closed().await
    };
    let ((), code) = tokio::join!(drain::run(&gateway), during);
    assert_eq!(code, 1012);
    match connect_async(format!("ws://{}/yjs/notes", gateway.public_addr)).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 503),
        other => panic!("{other:?} instead of a refusal"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_sessions_does_not_wait_for_the_window() {
    let (gateway, _data) = start_embedded(&["--drain-window", "1h"]).await;
    tokio::time::timeout(Duration::from_secs(10), drain::run(&gateway)).await.expect("the drain ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_port_starts_a_drain() {
    let (gateway, _data) = start_embedded(&[]).await;
    assert_eq!(get(gateway.admin_addr, "/drain").await.status, 405);
    assert_eq!(request(gateway.admin_addr, "POST", "/drain").await.status, 202);
    tokio::time::timeout(Duration::from_secs(10), gateway.lifecycle.drain_requested()).await.expect("it is asked for");
}
