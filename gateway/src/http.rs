//! The public port: takes connections, reads the head of the first request, and hands WebSockets to their document's
//! shard. Everything else is served here by the HTTP router.
//!
//! - `head`: what a request asks for
//! - `lobby`, `places`: how many connections may be no session, and who goes first
//! - `rewind`: gives the bytes read so far to the router

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::{Bytes, BytesMut};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use self::head::{Head, MAX_HEAD_BYTES};
use self::places::{Place, Places};
use self::rewind::Rewind;
use crate::drain::Lifecycle;
use crate::memory::Memory;
use crate::metrics::{Limited, Metrics};
use crate::protocol::websocket;
use crate::shard::{Command, NewSocket, Shards};

pub mod head;
mod lobby;
mod places;
mod rewind;

/// A request must be answered, and its answer taken, within this time: the editor's files over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// For each so many handshakes that may wait, one request to the router may be under way: it holds a file in memory.
const HANDSHAKES_PER_REQUEST: usize = 16;
/// So many connections that are no session are ended when a new one cannot be taken.
const CLEAR: usize = 64;
/// After an error of accept, such as too many open files: waiting is better than spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Public {
    pub(crate) router: Router,
    /// None: this process serves no sessions.
    pub(crate) shards: Option<Arc<Shards>>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_connections: usize,
    pub(crate) memory: Arc<Memory>,
    /// Connections that may wait for the head of their request.
    pub(crate) max_handshakes: usize,
    /// A client has this long to send it.
    pub(crate) head_timeout: Duration,
}

/// Takes connections until the process ends.
pub(crate) async fn serve(listener: TcpListener, public: Public) {
    let metrics = &public.metrics;
    let (count, gauge) = (public.max_handshakes, metrics.handshakes.clone());
    let handshakes = Places::new(count, Limited::Handshakes, Some(gauge), metrics.clone());
    let requests = Places::new(count.div_ceil(HANDSHAKES_PER_REQUEST), Limited::Requests, None, metrics.clone());
    let public = Arc::new(public);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (public, requests) = (public.clone(), requests.clone());
                let place = handshakes.take(peer.ip());
                tokio::spawn(async move {
                    // A client that goes away is no event.
                    let _ = public.connection(stream, peer.ip(), place, &requests).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                handshakes.clear(CLEAR);
                requests.clear(CLEAR);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Public {
    async fn connection(
        &self,
        mut stream: TcpStream,
        peer: IpAddr,
        mut place: Place,
        requests: &Arc<Places>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut read = BytesMut::new();
        let head = tokio::select! {
            () = place.lost() => return Ok(()),
            head = timeout(self.head_timeout, read_head(&mut stream, &mut read)) => head,
        };
        drop(place);
        let Ok(head) = head else {
            self.metrics.limited(Limited::HeadTimeout);
            return Ok(());
        };
        match head? {
            Head::Incomplete => Ok(()),
            Head::Other => {
                let mut place = requests.take(peer);
                tokio::select! {
                    () = place.lost() => Ok(()),
                    served = timeout(REQUEST_TIMEOUT, self.http(Rewind::new(read.freeze(), stream))) => match served {
                        Ok(served) => served,
                        Err(_) => {
                            self.metrics.limited(Limited::Requests);
                            Ok(())
                        }
                    },
                }
            }
            Head::OtherVersion => {
                refuse(stream, "426 Upgrade Required", VERSION, "this server speaks version 13 of WebSocket").await
            }
            Head::Bad(sentence) => refuse(stream, "400 Bad Request", "", sentence).await,
            Head::Session { document, key, length } => {
                let Some(shards) = &self.shards else {
                    return refuse(stream, "404 Not Found", "", "this process serves no documents").await;
                };
                if !self.lifecycle.accepts_sessions() {
                    return refuse(stream, UNAVAILABLE, RETRY, "this gateway is ending; connect again").await;
                }
                if self.metrics.connections.get() >= self.max_connections as i64 {
                    self.metrics.limited(Limited::Connections);
                    return refuse(stream, UNAVAILABLE, RETRY, "this gateway has as many connections as it may").await;
                }
                if self.memory.is_short() {
                    self.metrics.limited(Limited::Memory);
                    return refuse(stream, UNAVAILABLE, RETRY, "this gateway has no memory for more connections").await;
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
            .header_read_timeout(self.head_timeout)
            // The connection carries one request, so that a later WebSocket request on it cannot reach the router.
            .keep_alive(false)
            .serve_connection(TokioIo::new(io), service)
            .await
            .map_err(io::Error::other)
    }
}

const UNAVAILABLE: &str = "503 Service Unavailable";
/// What a client of another version may come back with.
const VERSION: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
const RETRY: &str = "Retry-After: 1\r\n";

async fn read_head(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<Head> {
    loop {
        let before = read.len();
        if stream.read_buf(read).await? == 0 {
            return Ok(Head::Incomplete);
        }
        // A head ends with a line. One that comes byte by byte is not judged from its beginning at every byte.
        if before > 0 && read.len() < MAX_HEAD_BYTES && !read[before..].contains(&b'\n') {
            continue;
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
