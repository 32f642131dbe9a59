//! What the subjects' clients say: y-websocket, Hocuspocus, and Socket.IO with the events of `peers/socketio.mjs`.

use anyhow::{Context as _, Result};

use crate::edit::{self, Cursor, write_bytes, write_var};
use crate::wire::{self, BINARY, TEXT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    YWebsocket,
    Hocuspocus,
    SocketIo,
}

/// What a message means for the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A Yjs update; the first one that answers the client's own Step1 ends the opening.
    Update {
        update: &'a [u8],
        synced: bool,
    },
    /// Socket.IO: author and number.
    Edit {
        author: u64,
        clock: u32,
    },
    /// An awareness update.
    Awareness(&'a [u8]),
    /// In the document, with nothing to hand over.
    Synced,
    /// To be answered with this text.
    Answer(String),
    Nothing,
}

const SYNC: u8 = 0;
const AWARENESS: u8 = 1;
const STEP2: u64 = 1;
const HOCUSPOCUS_AUTH: u8 = 2;
const HOCUSPOCUS_SYNC_REPLY: u64 = 4;

impl Dialect {
    pub fn path(self, document: &str) -> String {
        match self {
            Self::YWebsocket => format!("/yjs/{document}"),
            Self::Hocuspocus => "/".to_owned(),
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        }
    }

    /// Appends the frames with which a client begins.
    pub fn open(self, document: &str, out: &mut Vec<u8>) {
        match self {
            Self::SocketIo => {}
            Self::YWebsocket => self.message(document, &[SYNC, 0, 1, 0], out),
            Self::Hocuspocus => {
                self.message(document, &[HOCUSPOCUS_AUTH, 0, 0], out);
                self.message(document, &[SYNC, 0, 1, 0], out);
            }
        }
    }

    /// Appends one edit.
    pub fn edit(self, document: &str, author: u64, clock: u32, out: &mut Vec<u8>) {
        if self == Self::SocketIo {
            return wire::write(TEXT, format!("42[\"edit\",[{author},{clock},\"x\"]]").as_bytes(), out);
        }
        let mut update = Vec::with_capacity(32);
        edit::encode(author, clock, &mut update);
        self.update(document, &update, out);
    }

    /// Appends a Yjs update.
    pub fn update(self, document: &str, update: &[u8], out: &mut Vec<u8>) {
        let mut message = vec![SYNC, 2];
        write_bytes(&mut message, update);
        self.message(document, &message, out);
    }

    /// Appends the presence of one client: a name, a colour and a cursor.
    pub fn presence(self, document: &str, client: u64, clock: u32, out: &mut Vec<u8>) {
        let json = format!(
            "{{\"user\":{{\"name\":\"Person {client}\",\"color\":\"#30bced\"}},\"cursor\":{{\"anchor\":{clock},\"head\":{clock}}}}}"
        );
        self.presence_of(document, client, clock, &json, out);
    }

    /// Appends the presence of one client with this state.
    pub fn presence_of(self, document: &str, client: u64, clock: u32, json: &str, out: &mut Vec<u8>) {
        let mut body = vec![1];
        write_var(&mut body, client);
        write_var(&mut body, clock.into());
        write_bytes(&mut body, json.as_bytes());
        let mut message = vec![AWARENESS];
        write_bytes(&mut message, &body);
        self.message(document, &message, out);
    }

    /// Appends a Step1 of about `length` bytes: what a client knows of a document with many authors.
    pub fn question(self, document: &str, length: usize, out: &mut Vec<u8>) {
        let authors = length as u64 / 6;
        let mut vector = Vec::with_capacity(length);
        write_var(&mut vector, authors);
        for author in 0..authors {
            write_var(&mut vector, (1 << 31) + author);
            write_var(&mut vector, 1);
        }
        let mut message = vec![SYNC, 0];
        write_bytes(&mut message, &vector);
        self.message(document, &message, out);
    }

    fn message(self, document: &str, message: &[u8], out: &mut Vec<u8>) {
        if self == Self::YWebsocket {
            return wire::write(BINARY, message, out);
        }
        let mut named = Vec::with_capacity(document.len() + message.len() + 1);
        write_bytes(&mut named, document.as_bytes());
        named.extend_from_slice(message);
        wire::write(BINARY, &named, out);
    }

    /// What a data frame says. `None` at the end.
    ///
    /// # Errors
    /// When it is not what the dialect's servers send.
    pub fn read<'a>(self, document: &str, payload: &'a [u8], mut each: impl FnMut(Incoming<'a>)) -> Result<()> {
        if self == Self::SocketIo {
            let text = std::str::from_utf8(payload)?;
            each(socket_io(document, text)?);
            return Ok(());
        }
        let mut at = Cursor(payload);
        if self == Self::Hocuspocus {
            if payload.len() < 2 {
                return Ok(());
            }
            at.bytes()?;
        }
        while !at.0.is_empty() {
            match at.var()? {
                kind if kind == u64::from(SYNC) || (self == Self::Hocuspocus && kind == HOCUSPOCUS_SYNC_REPLY) => {
                    let step = at.var()?;
                    let update = at.bytes()?;
                    if step != 0 {
                        each(Incoming::Update { update, synced: step == STEP2 });
                    }
                }
                kind if kind == u64::from(AWARENESS) => each(Incoming::Awareness(at.bytes()?)),
                // Authenticated, sync status and their like: nothing to do.
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}

fn socket_io(document: &str, text: &str) -> Result<Incoming<'static>> {
    Ok(if let Some(edit) = text.strip_prefix("42[\"edit\",[") {
        let mut numbers = edit.split(',');
        let mut number = || numbers.next().context("an edit without its numbers");
        Incoming::Edit { author: number()?.parse()?, clock: number()?.parse()? }
    } else if text.starts_with("42[\"joined\"") {
        Incoming::Synced
    } else if text.starts_with('0') {
        Incoming::Answer("40".to_owned())
    } else if text.starts_with("40") {
        Incoming::Answer(format!("42[\"join\",\"{document}\"]"))
    } else if text == "2" {
        Incoming::Answer("3".to_owned())
    } else {
        Incoming::Nothing
    })
}
