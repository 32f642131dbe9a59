//! WebSocket as a client speaks it, in as little time as it can: the load generator shares the machine with its subject.

use anyhow::{Result, bail};

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The request that opens a WebSocket.
pub fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// The length of the answer's head once it is whole.
///
/// # Errors
/// The server does not switch protocols.
pub fn head_length(read: &[u8]) -> Result<Option<usize>> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let line = read.split(|&byte| byte == b'\r').next().unwrap_or_default();
    if !line.starts_with(b"HTTP/1.1 101") {
        bail!("the server answers `{}`", String::from_utf8_lossy(line));
    }
    Ok(Some(end + 4))
}

/// Appends one masked frame.
pub fn write(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
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
    let mask = [0x4d, 0x61, 0x73, 0x6b];
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// The first whole frame of `read`: opcode, payload, bytes used.
///
/// # Errors
/// A fragmented frame, which no subject sends.
pub fn parse(read: &[u8]) -> Result<Option<(u8, &[u8], usize)>> {
    let &[first, second, ref rest @ ..] = read else { return Ok(None) };
    if first & 0x80 == 0 || first & 0x0f == 0 {
        bail!("the server fragments its messages");
    }
    let (header, length) = match second & 0x7f {
        126 => match rest {
            &[a, b, ..] => (4, u64::from(u16::from_be_bytes([a, b]))),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(&length) => (10, u64::from_be_bytes(length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    let end = header + usize::try_from(length)?;
    Ok(read.get(header..end).map(|payload| (first & 0x0f, payload, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_parsed_only_when_it_is_whole() {
        for length in [0, 125, 126, 0xffff, 0x1_0000] {
            let payload = vec![7; length];
            let mut frame = Vec::new();
            write(BINARY, &payload, &mut frame);
            // What a server sends has no mask.
            let header = frame.len() - length - 4;
            frame[1] &= 0x7f;
            frame.drain(header..);
            frame.extend_from_slice(&payload);
            assert_eq!(parse(&frame[..frame.len() - 1]).unwrap(), None);
            assert_eq!(parse(&frame).unwrap(), Some((BINARY, &payload[..], frame.len())));
        }
    }
}
