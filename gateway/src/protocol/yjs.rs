//! y-protocols 1.0: the messages that y-websocket and Hocuspocus carry.
//!
//! A frame of y-websocket is one or more of these, one behind the other.

use bytes::{Bytes, BytesMut};
use serde::de::IgnoredAny;

use editorcluster_core::lib0::{self, ReadError, Reader};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Sync 0: a state vector; asks for what it lacks.
    SyncStep1(Bytes),
    /// Sync 1: the answer to a Step1, an update.
    SyncStep2(Bytes),
    /// Sync 2: an update.
    Update(Bytes),
    /// `[n, (client id, clock, JSON) * n]`; the JSON `null` removes the client.
    Awareness(Bytes),
    QueryAwareness,
    /// Auth 0: the reason why the client may not. Sent by servers only.
    PermissionDenied(String),
}

/// Why a frame or an awareness body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not a y-protocols message: {0}")]
    Malformed(#[from] ReadError),
    #[error("message type {0} is unknown")]
    UnknownType(u64),
    #[error("sync message type {0} is unknown")]
    UnknownSync(u64),
    #[error("auth message type {0} is unknown")]
    UnknownAuth(u64),
    #[error("the frame is empty")]
    Empty,
    #[error("the state of client {0} is not JSON")]
    NotJson(u64),
    #[error("{0} bytes follow the end of the awareness update")]
    TrailingBytes(usize),
    #[error("the frame holds more than {MAX_MESSAGES} messages")]
    TooMany,
}

/// Messages of one frame at most. Clients send one; without a bound a frame of one-byte messages would take forty times
/// its size.
pub const MAX_MESSAGES: usize = 1024;

/// All the messages of one frame, or an error if any of it is not a message.
pub fn decode_all(frame: Bytes) -> Result<Vec<Message>, DecodeError> {
    if frame.is_empty() {
        return Err(DecodeError::Empty);
    }
    let mut reader = Reader::new(&frame);
    let mut messages = Vec::new();
    while !reader.is_empty() {
        if messages.len() == MAX_MESSAGES {
            return Err(DecodeError::TooMany);
        }
        messages.push(decode(&frame, &mut reader)?);
    }
    Ok(messages)
}

/// The next message; what it carries stays a part of the frame.
fn decode(frame: &Bytes, reader: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let body = |reader: &mut Reader<'_>| reader.var_bytes().map(|body| frame.slice_ref(body));
    Ok(match reader.var_uint()? {
        0 => match reader.var_uint()? {
            0 => Message::SyncStep1(body(reader)?),
            1 => Message::SyncStep2(body(reader)?),
            2 => Message::Update(body(reader)?),
            other => return Err(DecodeError::UnknownSync(other)),
        },
        1 => Message::Awareness(body(reader)?),
        2 => match reader.var_uint()? {
            0 => Message::PermissionDenied(reader.var_str()?.to_owned()),
            other => return Err(DecodeError::UnknownAuth(other)),
        },
        3 => Message::QueryAwareness,
        other => return Err(DecodeError::UnknownType(other)),
    })
}

/// A sync message that carries an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    Step2 = 1,
    Update = 2,
}

/// What stands before an update of this length in its message.
pub fn sync_head(kind: SyncKind, length: usize) -> BytesMut {
    let mut head = BytesMut::with_capacity(16);
    head.extend_from_slice(&[0, kind as u8]);
    lib0::write_var_uint(&mut head, length as u64);
    head
}

impl Message {
    pub fn encode(&self) -> Bytes {
        let (head, body) = self.parts();
        [&head[..], &body].concat().into()
    }

    /// The message in two parts, of which the second is what it carries, uncopied.
    pub fn parts(&self) -> (BytesMut, Bytes) {
        let (kind, body): (&[u8], _) = match self {
            Self::SyncStep1(body) => (&[0, 0], body.clone()),
            Self::SyncStep2(body) => (&[0, 1], body.clone()),
            Self::Update(body) => (&[0, 2], body.clone()),
            Self::Awareness(body) => (&[1], body.clone()),
            Self::PermissionDenied(reason) => (&[2, 0], Bytes::copy_from_slice(reason.as_bytes())),
            Self::QueryAwareness => return (BytesMut::from(&[3][..]), Bytes::new()),
        };
        let mut head = BytesMut::with_capacity(16);
        head.extend_from_slice(kind);
        lib0::write_var_uint(&mut head, body.len() as u64);
        (head, body)
    }
}

/// The presence of one client; the JSON `null` removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub client: u64,
    pub clock: u64,
    pub json: String,
}

/// The body of `Message::Awareness`. The JSON is passed on as it is, but it is JSON: clients throw at what is not.
pub fn decode_awareness(body: Bytes) -> Result<Vec<Presence>, DecodeError> {
    let mut reader = Reader::new(&body);
    let count = reader.var_uint()?;
    // No capacity from `count`: a client may claim any number.
    let mut list = Vec::new();
    for _ in 0..count {
        let (client, clock) = (reader.var_uint()?, reader.var_uint()?);
        let json = reader.var_str()?;
        if serde_json::from_str::<IgnoredAny>(json).is_err() {
            return Err(DecodeError::NotJson(client));
        }
        list.push(Presence { client, clock, json: json.to_owned() });
    }
    match reader.remaining() {
        0 => Ok(list),
        rest => Err(DecodeError::TrailingBytes(rest)),
    }
}

pub fn encode_awareness(list: &[Presence]) -> Bytes {
    let mut out = BytesMut::new();
    lib0::write_var_uint(&mut out, list.len() as u64);
    for presence in list {
        lib0::write_var_uint(&mut out, presence.client);
        lib0::write_var_uint(&mut out, presence.clock);
        lib0::write_var_string(&mut out, &presence.json);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_refused_unless_all_of_it_is_messages() {
        let malformed = |error| Err(DecodeError::Malformed(error));
        for (frame, expected) in [
            (&[][..], Err(DecodeError::Empty)),
            (&[3], Ok(vec![Message::QueryAwareness])),
            (&[0, 0, 1, 0, 3], Ok(vec![Message::SyncStep1(Bytes::from_static(&[0])), Message::QueryAwareness])),
            (&[0, 2, 2, 0], malformed(ReadError::Truncated)),
            (&[3, 0], malformed(ReadError::Truncated)),
            (&[0, 3, 0], Err(DecodeError::UnknownSync(3))),
            (&[2, 1, 0], Err(DecodeError::UnknownAuth(1))),
            (&[4, 0], Err(DecodeError::UnknownType(4))),
            (&[3, 9], Err(DecodeError::UnknownType(9))),
            (&[3; MAX_MESSAGES], Ok(vec![Message::QueryAwareness; MAX_MESSAGES])),
            (&[3; MAX_MESSAGES + 1], Err(DecodeError::TooMany)),
        ] {
            assert_eq!(decode_all(Bytes::copy_from_slice(frame)), expected, "{frame:?}");
        }
    }

    #[test]
    fn an_awareness_body_that_lies_about_its_length_is_refused() {
        let short = decode_awareness(Bytes::from_static(&[0xff, 0xff, 0xff, 0x7f]));
        assert_eq!(short, Err(DecodeError::Malformed(ReadError::Truncated)));
        assert_eq!(decode_awareness(Bytes::from_static(&[0, 7])), Err(DecodeError::TrailingBytes(1)));
    }

    #[test]
    fn a_presence_at_which_other_clients_would_throw_is_refused() {
        for (json, taken) in
            [("null", true), ("{\"a\":[1]}", true), ("", false), ("undefined", false), ("{} {}", false)]
        {
            let list = [Presence { client: 7, clock: 1, json: json.to_owned() }];
            let expected = if taken { Ok(list.to_vec()) } else { Err(DecodeError::NotJson(7)) };
            assert_eq!(decode_awareness(encode_awareness(&list)), expected, "{json}");
        }
    }

    fn message() -> impl Strategy<Value = Message> {
        let body = || any::<Vec<u8>>().prop_map(Bytes::from);
        prop_oneof![
            body().prop_map(Message::SyncStep1),
            body().prop_map(Message::SyncStep2),
            body().prop_map(Message::Update),
            body().prop_map(Message::Awareness),
            Just(Message::QueryAwareness),
            any::<String>().prop_map(Message::PermissionDenied),
        ]
    }

    proptest! {
        #[test]
        fn concatenated_messages_come_back(messages in prop::collection::vec(message(), 1..8)) {
            let frame: Vec<u8> = messages.iter().flat_map(|message| message.encode()).collect();
            prop_assert_eq!(decode_all(Bytes::from(frame)), Ok(messages));
        }

        #[test]
        fn awareness_comes_back(list: Vec<(u32, u32, String)>) {
            let list: Vec<Presence> = list
                .into_iter()
                .map(|(client, clock, name)| {
                    let json = serde_json::json!({ "name": name }).to_string();
                    Presence { client: client.into(), clock: clock.into(), json }
                })
                .collect();
            prop_assert_eq!(decode_awareness(encode_awareness(&list)), Ok(list));
        }
    }
}
