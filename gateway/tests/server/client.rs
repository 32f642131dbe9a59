//! A y-websocket client with a Yjs document of its own.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use gateway::protocol::yjs::{Message, Presence, decode_all, decode_awareness, encode_awareness};
use gateway::server::Running;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

use crate::gateway_process::{DEADLINE, eventually, metric};

/// The text of a whole document.
pub(crate) fn text_of(state: &[u8]) -> String {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    doc.transact_mut().apply_update(Update::decode_v1(state).expect("an update")).expect("an update that applies");
    text.get_string(&doc.transact())
}

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    doc: Doc,
    /// Everything the gateway has sent, in order.
    pub(crate) heard: Vec<Message>,
    synced: bool,
    pub(crate) pongs: usize,
}

impl Client {
    /// Connects and says what its (empty) document holds; does not wait for an answer.
    pub(crate) async fn connect(gateway: SocketAddr, document: &str) -> Self {
        let url = format!("ws://{gateway}/yjs/{document}");
        // A browser has no limit either.
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let connecting = connect_async_with_config(url, Some(config), true);
        let connected = timeout(DEADLINE, connecting).await.expect("the gateway answers");
        let (socket, _) = connected.expect("the gateway takes the session");
        let mut client = Self { socket, doc: Doc::new(), heard: Vec::new(), synced: false, pongs: 0 };
        client.send(&[client.step1()]).await;
        client
    }

    /// Connects and waits until it holds what the gateway holds.
    pub(crate) async fn synced(gateway: SocketAddr, document: &str) -> Self {
        let mut client = Self::connect(gateway, document).await;
        client.until("the first sync", |client| client.synced).await;
        client
    }

    /// Connects, and holds what the gateway holds, unless that closes the session: then the code.
    pub(crate) async fn open(gateway: SocketAddr, document: &str) -> Result<Self, u16> {
        let mut client = Self::connect(gateway, document).await;
        let listen = async {
            while !client.synced {
                if let Some(code) = client.step().await {
                    return Err(code);
                }
            }
            Ok(())
        };
        timeout(DEADLINE, listen).await.expect("the gateway serves the document or closes the session")?;
        Ok(client)
    }

    fn step1(&self) -> Message {
        Message::SyncStep1(self.doc.transact().state_vector().encode_v1().into())
    }

    /// Sends the messages as one frame.
    pub(crate) async fn send(&mut self, messages: &[Message]) {
        let frame: Vec<u8> = messages.iter().flat_map(|message| message.encode()).collect();
        self.send_frame(Frame::Binary(frame.into())).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: Frame) {
        timeout(DEADLINE, self.socket.send(frame)).await.expect("the gateway reads").expect("the socket is open");
    }

    /// Sends so many pings in a row.
    pub(crate) async fn ping(&mut self, count: usize) {
        for _ in 0..count {
            timeout(DEADLINE, self.socket.feed(Frame::Ping("?".into())))
                .await
                .expect("time")
                .expect("the socket is open");
        }
        timeout(DEADLINE, self.socket.flush()).await.expect("the gateway reads").expect("the socket is open");
    }

    /// Writes at the end of the document; returns the update that it sends.
    pub(crate) async fn write(&mut self, words: &str) -> Bytes {
        let update = self.write_offline(words);
        self.send(&[Message::Update(update.clone())]).await;
        update
    }

    /// Writes at the end of the document, and waits until the gateway has acknowledged it.
    pub(crate) async fn write_acknowledged(&mut self, words: &str) {
        let update = self.write(words).await;
        self.until("the acknowledgement", |client| client.heard.contains(&Message::Update(update.clone()))).await;
    }

    /// Writes at the end of the document. False: the connection ended before this was acknowledged.
    pub(crate) async fn is_acknowledged(&mut self, words: &str) -> bool {
        let message = Message::Update(self.write_offline(words));
        let exchange = async {
            if self.socket.send(Frame::Binary(message.encode())).await.is_err() {
                return false;
            }
            while !self.heard.contains(&message) {
                if self.step().await.is_some() {
                    return false;
                }
            }
            self.heard.clear();
            true
        };
        timeout(DEADLINE, exchange).await.expect("the gateway acknowledges or ends")
    }

    /// Writes without sending.
    pub(crate) fn write_offline(&mut self, words: &str) -> Bytes {
        let text = self.doc.get_or_insert_text("text");
        let mut edit = self.doc.transact_mut();
        text.push(&mut edit, words);
        edit.encode_update_v1().into()
    }

    pub(crate) fn text(&self) -> String {
        let text = self.doc.get_or_insert_text("text");
        text.get_string(&self.doc.transact())
    }

    pub(crate) async fn show_presence(&mut self, client: u64, clock: u64, json: &str) {
        let presence = Presence { client, clock, json: json.to_owned() };
        self.send(&[Message::Awareness(encode_awareness(&[presence]))]).await;
    }

    /// The last that was heard of a client's presence.
    pub(crate) fn presence(&self, client: u64) -> Option<String> {
        let bodies = self.heard.iter().filter_map(|message| match message {
            Message::Awareness(body) => Some(decode_awareness(body.clone()).expect("awareness decodes")),
            _ => None,
        });
        bodies.flatten().filter(|presence| presence.client == client).last().map(|presence| presence.json)
    }

    /// Takes what the gateway sends until it is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let listen = async {
            while !is_so(self) {
                if let Some(code) = self.step().await {
                    panic!("closed with {code} instead of: {what}");
                }
            }
        };
        if timeout(DEADLINE, listen).await.is_err() {
            panic!("in vain: {what}; the text has {} bytes", self.text().len());
        }
    }

    pub(crate) async fn until_text(&mut self, text: &str) {
        self.until(&format!("the text `{text}`"), |client| client.text() == text).await;
    }

    /// Takes what the gateway sends until so many of its own updates have come back: that is their acknowledgement.
    pub(crate) async fn acknowledged(&mut self, count: usize) {
        let updates =
            |client: &Self| client.heard.iter().filter(|message| matches!(message, Message::Update(_))).count();
        self.until(&format!("{count} acknowledgements"), |client| updates(client) >= count).await;
    }

    /// Takes what the gateway sends, and answers its pings, until a limit has stopped somebody.
    pub(crate) async fn until_limited(&mut self, reason: &str, gateway: &Running) {
        let name = format!("editorcluster_limited_total{{reason=\"{reason}\"}}");
        tokio::select! {
            () = eventually(reason, async || metric(gateway, &name).await >= 1.0) => {}
            code = self.closed() => panic!("closed with {code} instead of somebody else for: {reason}"),
        }
    }

    /// Takes what the gateway sends until it closes, and returns the close code (1006: none).
    pub(crate) async fn closed(&mut self) -> u16 {
        let listen = async {
            loop {
                if let Some(code) = self.step().await {
                    return code;
                }
            }
        };
        timeout(DEADLINE, listen).await.expect("the gateway closes the session")
    }

    /// Takes one frame; the code if it was the last.
    async fn step(&mut self) -> Option<u16> {
        match self.socket.next().await {
            Some(Ok(Frame::Binary(frame))) => {
                for message in decode_all(frame).expect("the gateway speaks y-protocols") {
                    self.take(&message).await;
                    self.heard.push(message);
                }
                None
            }
            Some(Ok(Frame::Close(reason))) => {
                // The answer to it leaves with the next read, as in a browser.
                while let Some(Ok(_)) = self.socket.next().await {}
                Some(reason.map_or(1005, |reason| reason.code.into()))
            }
            Some(Ok(Frame::Pong(_))) => {
                self.pongs += 1;
                None
            }
            Some(Ok(_)) => None,
            Some(Err(_)) | None => Some(1006),
        }
    }

    async fn take(&mut self, message: &Message) {
        match message {
            Message::SyncStep1(vector) => {
                let vector = StateVector::decode_v1(vector).expect("a state vector");
                let lacking = self.doc.transact().encode_state_as_update_v1(&vector);
                self.send(&[Message::SyncStep2(lacking.into())]).await;
            }
            Message::SyncStep2(update) | Message::Update(update) => {
                let decoded = Update::decode_v1(update).expect("an update");
                self.doc.transact_mut().apply_update(decoded).expect("an update that applies");
                self.synced |= matches!(message, Message::SyncStep2(_));
            }
            _ => {}
        }
    }
}
