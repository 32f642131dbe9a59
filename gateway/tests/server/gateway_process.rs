//! Starts gateways and asks their HTTP ports.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use gateway::cli::Args;
use gateway::config::Config;
use gateway::server::{self, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Everything in these tests is over within this time or has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A gateway on ports of the system's choosing, with these flags besides.
pub(crate) async fn start(flags: &[&str]) -> Running {
    try_start(flags).await.expect("the gateway starts")
}

pub(crate) async fn try_start(flags: &[&str]) -> anyhow::Result<Running> {
    let mut all = vec!["gateway", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    if !flags.contains(&"--drain-window") {
        all.extend(["--drain-window", "1s"]);
    }
    all.extend(flags);
    let args = Args::try_parse_from(all).expect("there are such flags");
    let mut config = Config::try_from(args).expect("the flags are valid");
    // This process is the tests', and not the gateway's.
    config.readers.program = env!("CARGO_BIN_EXE_gateway").into();
    server::run(config).await
}

/// A gateway with embedded storage in a directory that goes with the returned guard.
pub(crate) async fn start_embedded(flags: &[&str]) -> (Running, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory for the data");
    let data = directory.path().to_str().expect("a path in UTF-8").to_owned();
    (start(&[&["--data-dir", &data], flags].concat()).await, directory)
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends these bytes and reads until the server ends the connection.
pub(crate) async fn raw(address: SocketAddr, request: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("the port is open");
        stream.write_all(request.as_bytes()).await.expect("the request is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the answer is text");
        answer
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await.expect("the server answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("the answer has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("the head has a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) async fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    raw(address, &format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).await
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path).await
}

/// The value of a metric, with its labels if it has any; 0 while it is not there.
pub(crate) async fn metric(gateway: &Running, name: &str) -> f64 {
    metric_at(gateway.admin_addr, name).await
}

pub(crate) async fn metric_at(admin: SocketAddr, name: &str) -> f64 {
    let page = get(admin, "/metrics").await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

/// Asks again and again until it is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !timeout_at(deadline, is_so()).await.unwrap_or_else(|_| panic!("in vain: {what}")) {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
