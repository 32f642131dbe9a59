//! Every limit: what is stopped by it, that it is counted, and that others do not notice.

use gateway::protocol::yjs::{Message, Presence, encode_awareness};
use gateway::server::Running;
use tokio::time::Instant;

use crate::client::Client;
use crate::gateway_process::{DEADLINE, eventually, get, metric, start, start_embedded};
use crate::raw::{Raw, UPGRADE, frame};

async fn limited(gateway: &Running, reason: &str) -> f64 {
    metric(gateway, &format!("editorcluster_limited_total{{reason=\"{reason}\"}}")).await
}

/// Two people edit as if nothing was.
async fn others_edit(gateway: &Running) {
    let mut ann = Client::synced(gateway.public_addr, "others").await;
    let mut bob = Client::synced(gateway.public_addr, "others").await;
    let words = format!("{} more", ann.text());
    ann.write(" more").await;
    bob.until("Ann's edit", |bob| bob.text() == words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_byte_by_byte_is_given_up() {
    let (gateway, _data) = start_embedded(&["--head-timeout", "1s"]).await;
    for beginning in ["", "GET /yjs/notes HTTP/1.1\r\nHost: test\r\nX: "] {
        let mut slow = Raw::connect(gateway.public_addr).await;
        slow.send(beginning.as_bytes()).await;
        assert!(slow.drip(b"a").await, "after `{beginning}`");
    }
    let mut silent = Raw::connect(gateway.public_addr).await;
    silent.send(b"G").await;
    assert_eq!(silent.closed().await, None);
    assert_eq!(limited(&gateway, "head_timeout").await, 3.0);
    assert_eq!(metric(&gateway, "editorcluster_handshakes").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unfinished_handshakes_pushes_out_its_own_and_nobody_else() {
    let (gateway, _data) = start_embedded(&["--max-handshakes", "16"]).await;
    let mut honest = Raw::connect_from("127.0.0.2", gateway.public_addr).await;
    let (first, last) = UPGRADE.split_at(30);
    honest.send(first.as_bytes()).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(Raw::connect_from("127.0.0.3", gateway.public_addr).await);
    }
    eventually("the flood is at its limit", async || limited(&gateway, "handshakes").await >= 185.0).await;
    assert!(metric(&gateway, "editorcluster_handshakes").await <= 16.0);
    honest.send(last.as_bytes()).await;
    honest.switched().await;
    others_edit(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_does_not_take_a_file_loses_the_place_to_the_next() {
    let web = tempfile::tempdir().unwrap();
    std::fs::write(web.path().join("index.html"), vec![b'x'; 16 << 20]).unwrap();
    // Places for 2 requests.
    let flags = ["--target", "web", "--max-handshakes", "32", "--web-root", web.path().to_str().unwrap()];
    let gateway = start(&flags).await;
    let mut greedy = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(gateway.public_addr).await;
        raw.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        greedy.push(raw);
    }
    eventually("the first has lost its place", async || limited(&gateway, "requests").await == 1.0).await;
    assert_eq!(get(gateway.public_addr, "/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_gone_without_a_word_is_asked_and_then_forgotten() {
    let (gateway, _data) = start_embedded(&["--idle-timeout", "2s"]).await;
    let mut here = Client::synced(gateway.public_addr, "notes").await;
    let gone = Raw::upgraded(gateway.public_addr).await;
    eventually("both are in", async || metric(&gateway, "editorcluster_connections").await == 2.0).await;
    // This one answers pings as long as it listens.
    here.until_limited("silent", &gateway).await;
    assert_eq!(metric(&gateway, "editorcluster_connections").await, 1.0);
    assert_eq!(gone.closed().await, None);
    here.write("still here").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_comes_byte_by_byte_is_given_up() {
    let (gateway, _data) = start_embedded(&["--idle-timeout", "1s"]).await;
    for beginning in [&[][..], &frame(0x02, b"a fragment"), &[0x82, 0xfe, 0x40, 0x00, 0, 0, 0, 0]] {
        let mut slow = Raw::upgraded(gateway.public_addr).await;
        slow.send(beginning).await;
        // As a frame: a pong's beginning, again and again, would be heard. As a payload: zeros.
        let bytes: &[u8] = if beginning.is_empty() { &[0x82, 0xfe, 0x40, 0x00, 0, 0, 0, 0] } else { &[0x00] };
        if beginning.first() == Some(&0x02) {
            // A fragment is followed by pings, which are heard but end nothing.
            assert!(slow.drip(&frame(0x89, b"")).await);
        } else {
            assert!(slow.drip(bytes).await, "{beginning:?}");
        }
    }
    assert_eq!(limited(&gateway, "slow_message").await, 3.0);
    eventually("its bytes are forgotten", async || metric(&gateway, "editorcluster_unfinished_bytes").await == 0.0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_claims_exabytes_is_refused_at_its_header() {
    let (gateway, _data) = start_embedded(&[]).await;
    for (length, code) in [(1u64 << 63, 1002), ((1 << 63) - 1, 1009), (1 << 62, 1009), ((16 << 20) + 1, 1009)] {
        let mut raw = Raw::upgraded(gateway.public_addr).await;
        raw.send(&[&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()).await;
        assert_eq!(raw.closed().await, Some(code), "{length}");
    }
    others_edit(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_end_at_the_message_limit_and_empty_ones_at_their_number() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut long = Raw::upgraded(gateway.public_addr).await;
    let fragment = frame(0x00, &[0; 64 << 10]);
    long.send(&frame(0x02, &[0; 1000])).await;
    let taken = long.flood(&fragment, 0, 1024 * fragment.len()).await;
    assert_eq!(long.closed().await, Some(1009), "after {taken} bytes");
    let mut empty = Raw::upgraded(gateway.public_addr).await;
    empty.send(&frame(0x02, b"")).await;
    let taken = empty.flood(&frame(0x00, b"").repeat(1000), 0, 64 << 20).await;
    assert_eq!(empty.closed().await, Some(1009), "after {taken} bytes");
    assert_eq!(metric(&gateway, "editorcluster_bad_messages_total{reason=\"too_many\"}").await, 1.0);
    others_edit(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_messages_of_all_sessions_have_one_bound() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut holding = Vec::new();
    // 17 x 15.9 MiB are more than the 256 MiB for all.
    let length = (16 << 20) - 100;
    let beginning = [&[0x82, 0xff][..], &(length as u64).to_be_bytes(), &[0; 4]].concat();
    for _ in 0..17 {
        let mut raw = Raw::upgraded(gateway.public_addr).await;
        raw.send(&beginning).await;
        raw.flood(&[0; 64 << 10], 0, length - (64 << 10)).await;
        holding.push(raw);
    }
    eventually("somebody had to give way", async || limited(&gateway, "unfinished").await >= 1.0).await;
    let held = metric(&gateway, "editorcluster_unfinished_bytes").await;
    assert!(held <= f64::from(257 << 20), "{held} bytes are held");
    others_edit(&gateway).await;
    drop(holding);
    eventually("all is forgotten", async || metric(&gateway, "editorcluster_unfinished_bytes").await == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_floods_and_never_reads_is_no_longer_read_and_then_closed() {
    let (gateway, _data) = start_embedded(&["--stuck-timeout", "2s", "--max-messages-per-second", "1000000"]).await;
    let step2 = Message::SyncStep2(vec![0, 0].into()).encode();
    for (what, bytes) in [
        ("pings", frame(0x89, &[7; 125]).repeat(100)),
        ("empty updates", frame(0x82, &step2).repeat(1000)),
        ("questions", frame(0x82, &[0, 0, 1, 0]).repeat(1000)),
    ] {
        let before = limited(&gateway, "stuck").await;
        let mut raw = Raw::upgraded(gateway.public_addr).await;
        let (mut taken, deadline) = (0, Instant::now() + DEADLINE);
        while limited(&gateway, "stuck").await == before {
            assert!(Instant::now() < deadline, "in vain: a flood of {what} is closed");
            taken = raw.flood(&bytes, taken, taken + bytes.len()).await;
        }
        assert!(taken < 128 << 20, "{taken} bytes of {what} were read though no answer was taken");
        others_edit(&gateway).await;
    }
    assert!(metric(&gateway, "editorcluster_closes_total{code=\"1013\"}").await >= 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_while_its_document_is_busy_is_closed_and_its_document_goes_on() {
    let (gateway, _data) = start_embedded(&["--stuck-timeout", "5s"]).await;
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    let mut stuck = Raw::upgraded(gateway.public_addr).await;
    stuck.send(&frame(0x82, &[0, 0, 1, 0])).await;
    let updates = |client: &Client| client.heard.iter().filter(|message| matches!(message, Message::Update(_))).count();
    // More than the kernel's buffers and the outbox's limit together.
    for count in 1..=30 {
        let edit = Message::Update(ann.write_offline(&"x".repeat(1 << 20)));
        ann.send(&[edit]).await;
        bob.until("Ann's edit", |bob| updates(bob) == count).await;
        ann.until("the acknowledgement", |ann| updates(ann) == count).await;
    }
    assert_eq!(limited(&gateway, "behind").await, 1.0);
    ann.until_limited("stuck", &gateway).await;
    eventually("it is gone", async || metric(&gateway, "editorcluster_connections").await == 2.0).await;
    ann.write("!").await;
    bob.until("the last edit", |bob| bob.text().ends_with('!')).await;
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_refused_one_after_the_other_leave_nothing_behind() {
    let (gateway, _data) = start_embedded(&[]).await;
    for _ in 0..500 {
        let mut raw = Raw::upgraded(gateway.public_addr).await;
        raw.send(&frame(0x82, &[0, 2, 3, 1, 2, 3])).await;
    }
    others_edit(&gateway).await;
    eventually("all are gone", async || metric(&gateway, "editorcluster_connections").await == 0.0).await;
    eventually("the documents are closed", async || metric(&gateway, "editorcluster_documents").await == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_says_too_much_waits_and_loses_nothing() {
    const EDITS: usize = 3000;
    let (gateway, _data) = start_embedded(&[]).await;
    let mut flood = Client::synced(gateway.public_addr, "notes").await;
    let mut reader = Client::synced(gateway.public_addr, "notes").await;
    let edits: Vec<_> = (0..EDITS).map(|_| Message::Update(flood.write_offline("x"))).collect();
    for edits in edits.chunks(1000) {
        flood.send(edits).await;
    }
    eventually("the flood has to wait", async || limited(&gateway, "rate").await >= 1.0).await;
    // Not behind the flood: 2 s of it wait still.
    others_edit(&gateway).await;
    reader.until("all that was said", |reader| reader.text().len() == EDITS).await;
    let acknowledged =
        |flood: &Client| flood.heard.iter().filter(|message| matches!(message, Message::Update(_))).count();
    flood.until("the acknowledgements", |flood| acknowledged(flood) == EDITS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_may_tell_of_many_people_but_not_of_ever_more() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut bob = Client::synced(gateway.public_addr, "notes").await;
    let mut mallory = Client::synced(gateway.public_addr, "notes").await;
    mallory.show_presence(1, 1, r#"{"name":"M"}"#).await;
    for first in (10..5000).step_by(100) {
        let crowd = (first..first + 100).map(|client| Presence { client, clock: 1, json: "{}".to_owned() });
        mallory.send(&[Message::Awareness(encode_awareness(&crowd.collect::<Vec<_>>()))]).await;
    }
    mallory.show_presence(1, 2, r#"{"name":"Mallory"}"#).await;
    bob.until("the own name", |bob| bob.presence(1).as_deref() == Some(r#"{"name":"Mallory"}"#)).await;
    assert!(limited(&gateway, "presences").await >= 39.0);
    assert_eq!((bob.presence(10).as_deref(), bob.presence(4000)), (Some("{}"), None));

    let huge = format!("\"{}\"", "x".repeat(70 << 10));
    mallory.show_presence(1, 3, &huge).await;
    assert_eq!(mallory.closed().await, 1009);
    bob.until("no ghost", |bob| bob.presence(1).as_deref() == Some("null")).await;
}
