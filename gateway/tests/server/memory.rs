//! What a gateway does when its memory is short. A process of its own: the tests' memory must not count.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Client;
use crate::gateway_process::{DEADLINE, eventually, get};
use crate::process::Process;

/// More than a gateway without sessions uses, and less than with the documents below.
const MAX_MEMORY_BYTES: &str = "67108864";
const DOCUMENT_BYTES: usize = 2 << 20;
const DOCUMENTS: usize = 100;

struct Gateway(Process);

impl Gateway {
    /// The head's lines that answer a WebSocket's request.
    async fn asks_for_a_session(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(self.0.public).await.expect("the port is open");
        let request = "GET /yjs/another HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("the request is taken");
        let (mut lines, mut head) = (BufReader::new(stream).lines(), Vec::new());
        let read = async {
            while let Some(line) = lines.next_line().await.expect("the answer is text")
                && !line.is_empty()
            {
                head.push(line);
            }
        };
        timeout(DEADLINE, read).await.expect("the gateway answers");
        head
    }

    async fn takes_sessions(&self) -> bool {
        self.asks_for_a_session().await[0].contains(" 101 ")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_new_sessions_are_refused_the_ones_inside_stay_and_it_ends_when_they_leave() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--data-dir", data.path().to_str().unwrap(), "--max-memory-bytes", MAX_MEMORY_BYTES];
    let gateway = Gateway(Process::start(&flags).await);
    let text = "x".repeat(DOCUMENT_BYTES);
    let mut inside = Vec::new();
    while gateway.takes_sessions().await {
        assert!(inside.len() < DOCUMENTS, "the memory is never short: {}", get(gateway.0.admin, "/metrics").await.body);
        let mut client = Client::synced(gateway.0.public, &format!("document-{}", inside.len())).await;
        client.write(&text).await;
        client.acknowledged(1).await;
        inside.push(client);
    }
    let head = gateway.asks_for_a_session().await;
    assert!(head[0].contains(" 503 ") && head.iter().any(|line| line.starts_with("Retry-After: ")), "{head:?}");

    for client in &mut inside {
        client.write("!").await;
        client.acknowledged(2).await;
    }
    drop(inside);
    eventually("there is memory again", async || gateway.takes_sessions().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_most_memory_is_closed_before_the_rest_suffers() {
    let data = tempfile::tempdir().unwrap();
    let data_dir = data.path().to_str().unwrap();
    let flags = ["--data-dir", data_dir, "--max-memory-bytes", MAX_MEMORY_BYTES, "--max-document-bytes", "1000000000"];
    let gateway = Gateway(Process::start(&flags).await);
    let mut small = Client::synced(gateway.0.public, "small").await;
    let mut large = Client::synced(gateway.0.public, "large").await;
    // It goes on although the gateway is short of memory already, and the document may be as large as this.
    let text = "x".repeat(DOCUMENT_BYTES);
    let mut written = 0;
    while large.is_acknowledged(&text).await {
        written += 1;
        assert!(written < DOCUMENTS, "nobody is closed: {}", get(gateway.0.admin, "/metrics").await.body);
    }
    let metrics = get(gateway.0.admin, "/metrics").await.body;
    assert!(metrics.contains("editorcluster_limited_total{reason=\"shed\"} 1\n"), "{metrics}");
    assert!(small.is_acknowledged("still here").await);
}
