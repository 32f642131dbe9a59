//! What a gateway does when its memory is short. A process of its own: the tests' memory must not count.

use std::net::SocketAddr;
use std::process::Stdio;

use e2e_servers::free_port;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::client::Client;
use crate::gateway_process::{DEADLINE, eventually, get};

/// More than a gateway without sessions uses, and less than with the documents below.
const MAX_MEMORY_BYTES: &str = "67108864";
const DOCUMENT_BYTES: usize = 2 << 20;
const DOCUMENTS: usize = 100;

struct Process {
    _child: Child,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    async fn start(data: &str) -> Self {
        let [public, admin] =
            [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port().expect("there is a free port"))));
        let child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", &public.to_string(), "--admin-listen", &admin.to_string(), "--data-dir", data])
            .args(["--log-level", "error", "--max-memory-bytes", MAX_MEMORY_BYTES])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        eventually("the process is ready", async || {
            TcpStream::connect(admin).await.is_ok() && get(admin, "/readyz").await.status == 200
        })
        .await;
        Self { _child: child, public, admin }
    }

    /// The head's lines that answer a WebSocket's request.
    async fn asks_for_a_session(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(self.public).await.expect("the port is open");
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
    let gateway = Process::start(data.path().to_str().unwrap()).await;
    let text = "x".repeat(DOCUMENT_BYTES);
    let mut inside = Vec::new();
    while gateway.takes_sessions().await {
        assert!(inside.len() < DOCUMENTS, "the memory is never short: {}", get(gateway.admin, "/metrics").await.body);
        let mut client = Client::synced(gateway.public, &format!("document-{}", inside.len())).await;
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
