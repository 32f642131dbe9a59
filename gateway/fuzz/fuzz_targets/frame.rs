//! Frames: any bytes, cut at any places, decode as when they are whole, and what was decoded encodes to the same again.

#![no_main]

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use gateway::protocol::websocket::{Decoder, Event, FrameError, Opcode, close_payload, header};
use libfuzzer_sys::fuzz_target;

type Outcome = (Vec<Event>, Option<FrameError>);

fuzz_target!(|bytes: &[u8]| {
    // Bytes that run out are no input.
    let _ = run(Unstructured::new(bytes));
});

fn run(mut input: Unstructured<'_>) -> Result<()> {
    let max = usize::from(input.arbitrary::<u16>()?);
    let cuts: [u8; 4] = input.arbitrary()?;
    let stream = input.take_rest();
    let whole = decode([stream], max);
    assert_eq!(decode(pieces(stream, cuts), max), whole);
    assert_eq!(decode(stream.chunks(1), max), whole);
    for event in &whole.0 {
        check(event, max);
    }
    Ok(())
}

/// Pieces whose lengths go round.
fn pieces(mut rest: &[u8], lengths: [u8; 4]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    for length in lengths.into_iter().cycle() {
        let (piece, behind) = rest.split_at(rest.len().min(usize::from(length) + 1));
        pieces.push(piece);
        rest = behind;
        if rest.is_empty() {
            return pieces;
        }
    }
    pieces
}

/// As a session does: nothing is decoded behind a text, a close or an error.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, max: usize) -> Outcome {
    let (mut decoder, mut input, mut events) = (Decoder::new(max), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(event @ (Event::Text | Event::Close(_)))) => {
                    events.push(event);
                    return (events, None);
                }
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fn check(event: &Event, max: usize) {
    let (opcode, payload) = match event {
        Event::Text => return,
        Event::Binary(payload) => {
            assert!(payload.len() <= max);
            (Opcode::Binary, payload.clone())
        }
        Event::Ping(payload) => (Opcode::Ping, payload.clone()),
        Event::Pong(payload) => (Opcode::Pong, payload.clone()),
        Event::Close(None) => (Opcode::Close, Bytes::new()),
        Event::Close(Some(code)) => (Opcode::Close, close_payload(*code, "a reason")),
    };
    if opcode != Opcode::Binary {
        assert!(payload.len() <= 125);
    }
    let mut frame = header(opcode, payload.len()).to_vec();
    frame[1] |= 0x80;
    let key = [0xa5, 0x5a, 0x00, 0xff];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    assert_eq!(decode([&frame[..]], max), (vec![event.clone()], None));
}
