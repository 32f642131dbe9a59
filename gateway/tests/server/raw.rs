//! A socket without a library behind it: for what no client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::gateway_process::DEADLINE;

pub(crate) const UPGRADE: &str = "GET /yjs/notes HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(gateway: SocketAddr) -> Self {
        Self(TcpStream::connect(gateway).await.expect("the port is open"))
    }

    /// From another address of this machine.
    pub(crate) async fn connect_from(address: &str, gateway: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from: SocketAddr = format!("{address}:0").parse().expect("an address");
        socket.bind(from).expect("an address of the loopback network");
        Self(socket.connect(gateway).await.expect("the port is open"))
    }

    /// With a WebSocket to the document `notes` and nothing said yet.
    pub(crate) async fn upgraded(gateway: SocketAddr) -> Self {
        let mut raw = Self::connect(gateway).await;
        raw.send(UPGRADE.as_bytes()).await;
        raw.switched().await;
        raw
    }

    /// Waits for the 101, and returns all of its head.
    pub(crate) async fn switched(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(DEADLINE, self.0.read_u8()).await.expect("the gateway answers").expect("an answer");
            head.push(byte);
        }
        let head = String::from_utf8(head).expect("a head is ASCII");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        head
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.0.write_all(bytes)).await.expect("the gateway reads").expect("the socket is open");
    }

    /// Sends the bytes again and again, of which it has sent `taken` in all before, until that is `most`, or the gateway
    /// has taken nothing for half a second, or it has ended the connection. Returns what `taken` is then.
    pub(crate) async fn flood(&mut self, bytes: &[u8], mut taken: usize, most: usize) -> usize {
        while taken < most {
            match timeout(Duration::from_millis(500), self.0.write(&bytes[taken % bytes.len()..])).await {
                Ok(Ok(count)) => taken += count,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        taken
    }

    /// Reads to the end of the connection: the code of the close frame if there was one. What comes before it must be
    /// whole frames.
    pub(crate) async fn closed(mut self) -> Option<u16> {
        let mut bytes = Vec::new();
        // A reset says the same as an end here.
        let _ = timeout(DEADLINE, self.0.read_to_end(&mut bytes)).await.expect("the gateway ends the connection");
        let mut rest = &bytes[..];
        while let &[first, second, ref tail @ ..] = rest {
            let (extra, length) = match second {
                126 => (2, u16::from_be_bytes([tail[0], tail[1]]).into()),
                127 => (8, u64::from_be_bytes(tail[..8].try_into().expect("eight bytes")) as usize),
                short => (0, usize::from(short)),
            };
            let payload = &tail[extra..extra + length];
            if first == 0x88 {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
            rest = &tail[extra + length..];
        }
        None
    }

    /// Sends a byte each 100 ms until the connection ends; true: it did.
    pub(crate) async fn drip(&mut self, bytes: &[u8]) -> bool {
        let end = Instant::now() + DEADLINE;
        for byte in bytes.iter().cycle() {
            if self.0.write_all(&[*byte]).await.is_err() {
                return true;
            }
            let mut answer = [0; 256];
            match timeout(Duration::from_millis(100), self.0.read(&mut answer)).await {
                Ok(Ok(0) | Err(_)) => return true,
                _ if Instant::now() > end => return false,
                _ => {}
            }
        }
        false
    }
}

/// A client's frame with a mask of zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}
