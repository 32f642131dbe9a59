//! RFC 6455, the server's side, sans-IO: bytes in, events out; frames are built as a header and a shared payload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use sha1::{Digest as _, Sha1};

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(digest)
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole binary message.
    Binary(Bytes),
    /// A text message has begun; this protocol has none (1003).
    Text,
    Ping(Bytes),
    Pong(Bytes),
    /// None: the close frame has no code.
    Close(Option<u16>),
}

/// Why the connection must be closed; `code` is the close code to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("WebSocket protocol: {0}")]
    Protocol(&'static str),
    #[error("the reason in a close frame is not UTF-8")]
    NotUtf8,
    #[error("the message is larger than this server takes")]
    TooLarge,
    #[error("the message has more than {MAX_FRAGMENTS} fragments")]
    TooManyFragments,
}

impl FrameError {
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge | Self::TooManyFragments => 1009,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// The header of an unfragmented, unmasked frame whose payload has `length` bytes.
pub fn header(opcode: Opcode, length: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(10);
    out.extend_from_slice(&[0x80 | opcode as u8]);
    match length {
        0..=125 => out.extend_from_slice(&[length as u8]),
        126..=0xffff => {
            out.extend_from_slice(&[126]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.freeze()
}

/// A close payload; a reason that does not fit into a control frame is cut at a character.
pub fn close_payload(code: u16, reason: &str) -> Bytes {
    let mut out = BytesMut::from(&code.to_be_bytes()[..]);
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&reason.as_bytes()[..end]);
    out.freeze()
}

/// Fragments of one message at most: of the largest message in pieces of 4 KiB. Without a bound one of empty fragments
/// would never end.
const MAX_FRAGMENTS: usize = 4 << 10;

/// Takes the frames of one client out of its byte stream. After an error it must not be used again.
#[derive(Debug)]
pub struct Decoder {
    max_message: usize,
    /// The fragments so far of a message that is not yet whole.
    partial: Option<BytesMut>,
    fragments: usize,
}

impl Decoder {
    /// Messages of more than `max_message` bytes are refused as soon as a header says so.
    pub fn new(max_message: usize) -> Self {
        Self { max_message, partial: None, fragments: 0 }
    }

    /// Bytes of a message whose last fragment has not come; None: there is no such message.
    pub fn partial(&self) -> Option<usize> {
        self.partial.as_ref().map(BytesMut::len)
    }

    /// The next event at the front of `input`; None: more bytes are needed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        loop {
            let (Some(&first), Some(&second)) = (input.first(), input.get(1)) else { return Ok(None) };
            let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
            self.check_start(first, second)?;
            let (extra, length) = match second & 0x7f {
                126 if input.len() < 4 => return Ok(None),
                126 => (2, u64::from((&input[2..]).get_u16())),
                127 if input.len() < 10 => return Ok(None),
                127 => (8, (&input[2..]).get_u64()),
                short => (0, u64::from(short)),
            };
            if length >> 63 != 0 {
                return Err(FrameError::Protocol("the top bit of a 64-bit length is set"));
            }
            if (extra == 2 && length < 126) || (extra == 8 && length <= 0xffff) {
                return Err(FrameError::Protocol("a length is not in its shortest form"));
            }
            if opcode == 1 {
                return Ok(Some(Event::Text));
            }
            let held = self.partial.as_ref().map_or(0, BytesMut::len);
            let length = usize::try_from(length).map_err(|_| FrameError::TooLarge)?;
            if opcode < 8 && length > self.max_message.saturating_sub(held) {
                return Err(FrameError::TooLarge);
            }
            let start = 2 + extra + 4;
            if input.len() < start + length {
                return Ok(None);
            }
            let key = [input[start - 4], input[start - 3], input[start - 2], input[start - 1]];
            input.advance(start);
            let mut payload = if length == 0 { BytesMut::new() } else { input.split_to(length) };
            unmask(&mut payload, key);
            if opcode >= 8 {
                return control(opcode, payload.freeze()).map(Some);
            }
            let message = match self.partial.take() {
                Some(mut partial) => {
                    partial.extend_from_slice(&payload);
                    partial
                }
                None => payload,
            };
            if fin {
                self.fragments = 0;
                return Ok(Some(Event::Binary(message.freeze())));
            }
            self.fragments += 1;
            if self.fragments > MAX_FRAGMENTS {
                return Err(FrameError::TooManyFragments);
            }
            // An own copy: a few bytes must not keep the whole buffer that they came in.
            let kept = self.fragments > 1;
            self.partial = Some(if kept { message } else { BytesMut::from(&message[..]) });
        }
    }

    fn check_start(&self, first: u8, second: u8) -> Result<(), FrameError> {
        let protocol = |text| Err(FrameError::Protocol(text));
        if first & 0x70 != 0 {
            return protocol("a reserved bit is set");
        }
        if second & 0x80 == 0 {
            return protocol("a client's frame is not masked");
        }
        match first & 0x0f {
            0 if self.partial.is_none() => protocol("a continuation of nothing"),
            1 | 2 if self.partial.is_some() => protocol("a new message within a fragmented one"),
            0..=2 => Ok(()),
            8..=10 if first & 0x80 == 0 => protocol("a control frame is fragmented"),
            8..=10 if second & 0x7f > 125 => protocol("a control frame is longer than 125 bytes"),
            8..=10 => Ok(()),
            _ => protocol("a reserved opcode"),
        }
    }
}

/// In blocks, so that the compiler takes wide registers: a long message must not cost more than to read it.
fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let mut wide = [0; 16];
    wide.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte = *key);
    let mut blocks = payload.chunks_exact_mut(wide.len());
    for block in &mut blocks {
        block.iter_mut().zip(&wide).for_each(|(byte, key)| *byte ^= key);
    }
    blocks.into_remainder().iter_mut().zip(&wide).for_each(|(byte, key)| *byte ^= key);
}

fn control(opcode: u8, payload: Bytes) -> Result<Event, FrameError> {
    match opcode {
        9 => return Ok(Event::Ping(payload)),
        10 => return Ok(Event::Pong(payload)),
        _ => {}
    }
    match payload.len() {
        0 => return Ok(Event::Close(None)),
        1 => return Err(FrameError::Protocol("a close frame of one byte")),
        _ => {}
    }
    let code = u16::from_be_bytes([payload[0], payload[1]]);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(FrameError::Protocol("a close code that may not be sent"));
    }
    std::str::from_utf8(&payload[2..]).map_err(|_| FrameError::NotUtf8)?;
    Ok(Event::Close(Some(code)))
}

#[cfg(test)]
mod tests;
