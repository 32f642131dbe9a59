//! The public port: takes connections, reads the head of the first request, and hands WebSockets to their document's
//! shard. Everything else is served here by the HTTP router.
//!
//! - `head`: what a request asks for
//! - `rewind`: gives the bytes read so far to the router

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::{Bytes, BytesMut};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use self::head::Head;
use self::rewind::Rewind;
use crate::drain::Lifecycle;
use crate::metrics::Metrics;
use crate::protocol::websocket;
use crate::shard::{Command, NewSocket, Shards};

pub(crate) mod head;
mod rewind;

/// A client has this long to send the head of its request, so that half-open connections do not pile up.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error of accept, such as too many open files: waiting is better than spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Public {
    pub(crate) router: Router,
    /// None: this process serves no sessions.
    pub(crate) shards: Option<Arc<Shards>>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_connections: usize,
}

/// Takes connections until the process ends.
pub(crate) async fn serve(listener: TcpListener, public: Public) {
    let public = Arc::new(public);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let public = public.clone();
                tokio::spawn(async move {
                    // A client that goes away is no event.
                    let _ = public.connection(stream).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Public {
    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut read = BytesMut::new();
        let Ok(head) = timeout(HEAD_TIMEOUT, read_head(&mut stream, &mut read)).await else { return Ok(()) };
        match head? {
            Head::Incomplete => Ok(()),
            Head::Other => self.http(Rewind::new(read.freeze(), stream)).await,
            Head::Bad(sentence) => refuse(stream, "400 Bad Request", "", sentence).await,
            Head::Session { document, key, length } => {
                let Some(shards) = &self.shards else {
                    return refuse(stream, "404 Not Found", "", "this process serves no documents").await;
                };
                if !self.lifecycle.accepts_sessions() {
                    return refuse(stream, UNAVAILABLE, RETRY, "this gateway is ending; connect again").await;
                }
                if self.metrics.connections.get() >= self.max_connections as i64 {
                    return refuse(stream, UNAVAILABLE, RETRY, "this gateway has as many connections as it may").await;
                }
                let accept = websocket::accept_key(&key);
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await?;
                let first: Bytes = read.split_off(length).freeze();
                let socket = NewSocket::new(document, stream.into_std()?, first, self.metrics.clone());
                shards.of(&socket.document).send(Command::Socket(socket));
                Ok(())
            }
        }
    }

    async fn http(&self, io: Rewind) -> io::Result<()> {
        let service = TowerToHyperService::new(self.router.clone());
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            // The connection carries one request, so that a later WebSocket request on it cannot reach the router.
            .keep_alive(false)
            .serve_connection(TokioIo::new(io), service)
            .await
            .map_err(io::Error::other)
    }
}

const UNAVAILABLE: &str = "503 Service Unavailable";
const RETRY: &str = "Retry-After: 1\r\n";

async fn read_head(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<Head> {
    loop {
        if stream.read_buf(read).await? == 0 {
            return Ok(Head::Incomplete);
        }
        match head::judge(read) {
            Head::Incomplete => {}
            head => return Ok(head),
        }
    }
}

async fn refuse(mut stream: TcpStream, status: &str, headers: &str, sentence: &str) -> io::Result<()> {
    let length = sentence.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\n{headers}\r\n{sentence}\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
