//! Whatever one client sends, it costs only its own session.

use gateway::protocol::yjs::Message;
use rand::{Rng, SeedableRng};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::client::Client;
use crate::gateway_process::{eventually, metric, start_embedded};

fn binary(bytes: &[u8]) -> Frame {
    Frame::Binary(bytes.to_vec().into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_message_closes_its_own_session_with_the_right_code() {
    let (gateway, _data) = start_embedded(&["--max-message-bytes", "4096"]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    for (frame, code, reason) in [
        (Frame::Text("hello".into()), 1003, "text"),
        (binary(&[9, 1, 2]), 1003, "unknown_type"),
        (binary(&[0, 2, 200, 1, 7]), 1007, "undecodable"),
        (binary(&[0, 2, 3, 1, 2, 3]), 1007, "undecodable"),
        (binary(&[1, 3, 255, 255, 255]), 1007, "undecodable"),
        (binary(&[1, 5, 1, 7, 1, 1, b'x']), 1007, "undecodable"),
        (binary(&[0, 0, 1]), 1007, "undecodable"),
        (binary(&[]), 1007, "undecodable"),
        (binary(&[0; 4097]), 1009, "too_large"),
    ] {
        let shown = format!("{frame:?}");
        let counters = [
            format!("editorcluster_bad_messages_total{{reason=\"{reason}\"}}"),
            format!("editorcluster_closes_total{{code=\"{code}\"}}"),
        ];
        let before = [metric(&gateway, &counters[0]).await, metric(&gateway, &counters[1]).await];
        let mut mallory = Client::synced(gateway.public_addr, "notes").await;
        mallory.send_frame(frame).await;
        assert_eq!(mallory.closed().await, code, "{shown}");
        for (counter, before) in counters.iter().zip(before) {
            assert_eq!(metric(&gateway, counter).await, before + 1.0, "{counter} after {shown}");
        }
    }
    ann.write("still here").await;
    bob.until_text("still here").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_over_its_limit_closes_the_session_that_made_it_grow() {
    let (gateway, _data) = start_embedded(&["--max-document-bytes", "20000"]).await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    ann.write("small").await;
    bob.until_text("small").await;
    ann.write(&"x".repeat(30_000)).await;
    assert_eq!(ann.closed().await, 1009);
    bob.write(" and alive").await;
    let mut cid = Client::synced(gateway.public_addr, "notes").await;
    cid.until_text("small and alive").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_questions_in_one_message_are_answered_once_the_first_answers_are_taken() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let words = "x".repeat(1 << 20);
    ann.write(&words).await;
    let mut asking = Client::synced(gateway.public_addr, "notes").await;
    asking.until("the document", |asking| asking.text() == words).await;
    asking.heard.clear();
    asking.send(&vec![Message::SyncStep1(vec![0].into()); 1000]).await;
    // Others are served meanwhile.
    ann.write("!").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    bob.until("the last edit", |bob| bob.text().ends_with('!')).await;
    asking.until("the last edit", |asking| asking.text().ends_with('!')).await;
    let answers = asking.heard.iter().filter(|message| matches!(message, Message::SyncStep2(_))).count();
    assert!((2..20).contains(&answers), "{answers} answers of 1 MiB were queued for one client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_is_answered_to_the_last_one() {
    const PINGS: usize = 20_000;
    let (gateway, _data) = start_embedded(&["--max-messages-per-second", "10000"]).await;
    let mut flood = Client::synced(gateway.public_addr, "notes").await;
    for _ in 0..PINGS / 100 {
        flood.ping(100).await;
    }
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    ann.write("hello").await;
    // Which of the two is last depends on how far the gateway had read the pings when the edit came.
    flood.until("every pong, and an edit", |flood| flood.pongs == PINGS && flood.text() == "hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_frames_hurt_nobody_else() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    let seed: u64 = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("seed {seed}; replay with SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    for _ in 0..200 {
        let body: Vec<u8> = (0..random.random_range(0..64)).map(|_| random.random()).collect();
        let message = match random.random_range(0..4) {
            0 => Message::Update(body.into()),
            1 => Message::SyncStep2(body.into()),
            2 => Message::Awareness(body.into()),
            _ => Message::SyncStep1(body.into()),
        };
        let mut mallory = Client::connect(gateway.public_addr, "notes").await;
        mallory.send(&[message]).await;
    }
    ann.write("still here").await;
    bob.until("Ann's edit", |bob| bob.text().contains("still here")).await;
    drop((ann, bob));
    eventually("all sessions are gone", async || metric(&gateway, "editorcluster_connections").await == 0.0).await;
}
