use proptest::prelude::*;

use super::*;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(Opcode::Binary, payload.len()).to_vec();
    out[0] = first;
    out[1] |= 0x80;
    let key = [1, 2, 3, 4];
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, max: usize) -> (Vec<Event>, Option<FrameError>) {
    let (mut decoder, mut input, mut events) = (Decoder::new(max), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(Event::Text)) => return (vec![Event::Text], None),
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

#[test]
fn the_accept_key_is_that_of_the_rfc() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn frames_that_break_the_protocol_are_refused_with_their_code() {
    for (bytes, code) in [
        (frame(0xc2, b""), 1002),
        (frame(0x83, b""), 1002),
        (frame(0x8b, b""), 1002),
        (frame(0x80, b""), 1002),
        (frame(0x09, b""), 1002),
        (frame(0x89, &[0; 126]), 1002),
        (frame(0x88, &[3]), 1002),
        (frame(0x88, &1005u16.to_be_bytes()), 1002),
        (frame(0x88, &[0x03, 0xe8, 0xff]), 1007),
        (vec![0x82, 0x00], 1002),
        (vec![0x82, 0xfe, 0, 125], 1002),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], 1009),
        ([frame(0x02, b"a"), frame(0x82, b"b")].concat(), 1002),
        ([frame(0x02, &[0; 60]), frame(0x80, &[0; 41])].concat(), 1009),
    ] {
        assert_eq!(run([&bytes[..]], 100).1.map(FrameError::code), Some(code), "{bytes:?}");
    }
}

#[test]
fn a_message_of_endless_empty_fragments_is_refused() {
    let stream = [frame(0x02, b""), frame(0x00, b"").repeat(MAX_FRAGMENTS)].concat();
    assert_eq!(run([&stream[..]], 100), (vec![], Some(FrameError::TooManyFragments)));
    let whole = [frame(0x02, b"a"), frame(0x00, b"").repeat(MAX_FRAGMENTS - 1), frame(0x80, b"b")].concat();
    let twice = [&whole[..], &whole[..]];
    assert_eq!(run(twice, 100), (vec![Event::Binary(Bytes::from_static(b"ab")); 2], None));
}

#[test]
fn text_is_told_and_a_close_without_a_code_is_taken() {
    assert_eq!(run([&frame(0x81, b"x")[..]], 100), (vec![Event::Text], None));
    assert_eq!(run([&frame(0x88, b"")[..]], 100), (vec![Event::Close(None)], None));
    assert_eq!(run([&frame(0x88, &close_payload(1001, "bye"))[..]], 100), (vec![Event::Close(Some(1001))], None));
}

#[test]
fn a_long_close_reason_is_cut_at_a_character() {
    let payload = close_payload(1000, &"é".repeat(100));
    assert_eq!(payload.len(), 124);
    assert!(std::str::from_utf8(&payload[2..]).is_ok());
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_messages(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5),
        step in 1usize..50,
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for message in messages {
            let (left, right) = message.split_at(message.len() / 2);
            stream.extend(frame(0x02, left));
            stream.extend(frame(0x89, b"p"));
            stream.extend(frame(0x80, right));
            expected.extend([Event::Ping(Bytes::from_static(b"p")), Event::Binary(Bytes::from(message))]);
        }
        prop_assert_eq!(run(stream.chunks(step), 300), (expected, None));
    }
}
