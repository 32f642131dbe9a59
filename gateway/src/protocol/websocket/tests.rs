use proptest::prelude::*;

use super::*;

const KEY: [u8; 4] = [1, 2, 3, 4];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, KEY)
}

fn masked(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = header(Opcode::Binary, payload.len()).to_vec();
    out[0] = first;
    out[1] |= 0x80;
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// What the shard does with a stream: nothing behind a text, a close or an error has a meaning.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, max: usize) -> (Vec<Event>, Option<FrameError>) {
    let (mut decoder, mut input, mut events) = (Decoder::new(max), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(event)) => {
                    let last = matches!(event, Event::Text | Event::Close(_));
                    events.push(event);
                    if last {
                        return (events, None);
                    }
                }
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fn code(bytes: &[u8]) -> Option<u16> {
    run([bytes], 1 << 20).1.map(FrameError::code)
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

#[test]
fn each_rule_of_the_rfc_for_a_frame_is_kept() {
    let ok = None;
    let start = frame(0x02, b"a");
    let behind = |next: Vec<u8>| [start.clone(), next].concat();
    for (section, bytes, expected) in [
        ("5.1 a client's frame is masked", vec![0x82, 0x01, b'x'], Some(1002)),
        ("5.1 also a control frame", vec![0x89, 0x00], Some(1002)),
        ("5.2 RSV1 without an extension", frame(0xc2, b""), Some(1002)),
        ("5.2 RSV2", frame(0xa2, b""), Some(1002)),
        ("5.2 RSV3", frame(0x92, b""), Some(1002)),
        ("5.2 RSV1 of a control frame", frame(0xc9, b""), Some(1002)),
        ("5.4 a whole message", frame(0x82, b"x"), ok),
        ("5.4 a continuation without a start", frame(0x80, b"x"), Some(1002)),
        ("5.4 its first fragment too", frame(0x00, b"x"), Some(1002)),
        ("5.4 a continuation behind a whole message", [frame(0x82, b"x"), frame(0x80, b"y")].concat(), Some(1002)),
        ("5.4 fragments", behind([frame(0x00, b"b"), frame(0x80, b"c")].concat()), ok),
        ("5.4 empty fragments", behind([frame(0x00, b""), frame(0x80, b"")].concat()), ok),
        ("5.4 a new message within one", behind(frame(0x82, b"b")), Some(1002)),
        ("5.4 a text within one", behind(frame(0x81, b"b")), Some(1002)),
        ("5.4 a control frame within one", behind([frame(0x89, b"p"), frame(0x80, b"")].concat()), ok),
        ("5.5 a fragmented ping", frame(0x09, b""), Some(1002)),
        ("5.5 a fragmented pong", frame(0x0a, b""), Some(1002)),
        ("5.5 a fragmented close", frame(0x08, b""), Some(1002)),
        ("5.5 the longest ping", frame(0x89, &[0; 125]), ok),
        ("5.5 a longer ping", frame(0x89, &[0; 126]), Some(1002)),
        ("5.5 a longer pong", frame(0x8a, &[0; 126]), Some(1002)),
        ("5.5 a longer close", frame(0x88, &[&[3, 232][..], &[b'x'; 124]].concat()), Some(1002)),
        ("5.5.1 a close of one byte", frame(0x88, &[3]), Some(1002)),
        ("8.1 a reason that is not UTF-8", frame(0x88, &[3, 232, 0xc3]), Some(1007)),
    ] {
        assert_eq!(code(&bytes), expected, "{section}");
    }
    for opcode in (3..=7).chain(11..=15) {
        assert_eq!(code(&frame(0x80 | opcode, b"")), Some(1002), "5.2 the reserved opcode {opcode}");
    }
}

#[test]
fn a_close_has_a_code_that_may_be_sent() {
    let closed = |code: u16| run([&frame(0x88, &[&code.to_be_bytes()[..], "é".as_bytes()].concat())[..]], 100);
    for good in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4404, 4999]) {
        assert_eq!(closed(good), (vec![Event::Close(Some(good))], None), "{good}");
    }
    // 1004 has no meaning; 1005, 1006 and 1015 say what was seen and are never sent.
    for bad in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 0x8000, u16::MAX] {
        assert_eq!(closed(bad).1.map(FrameError::code), Some(1002), "{bad}");
    }
}

#[test]
fn a_length_is_written_and_read_in_its_shortest_form_alone() {
    for (length, extra) in [(0, 0), (1, 0), (125, 0), (126, 2), (127, 2), (0xffff, 2), (0x1_0000, 8), (0x1_0001, 8)] {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let head = header(Opcode::Binary, length);
        assert_eq!((head.len(), head[1] & 0x80), (2 + extra, 0), "a server's frame is not masked");
        let event = Event::Binary(Bytes::from(payload.clone()));
        assert_eq!(run([&frame(0x82, &payload)[..]], length), (vec![event], None), "{length}");
        if length > 0 {
            let refused = run([&frame(0x82, &payload)[..]], length - 1);
            assert_eq!(refused, (vec![], Some(FrameError::TooLarge)), "{length}");
        }
        let long = |form: u8, bytes: &[u8]| [&[0x82, 0x80 | form], bytes, &KEY, &payload].concat();
        if extra < 8 {
            assert_eq!(code(&long(127, &(length as u64).to_be_bytes())), Some(1002), "{length} in eight bytes");
        }
        if extra < 2 {
            assert_eq!(code(&long(126, &(length as u16).to_be_bytes())), Some(1002), "{length} in two bytes");
        }
    }
}

/// A client's frame as it is meant.
#[derive(Clone, Debug)]
struct Plain {
    fin: bool,
    rsv: u8,
    opcode: u8,
    masked: bool,
    key: [u8; 4],
    payload: Vec<u8>,
}

impl Plain {
    fn encode(&self) -> Vec<u8> {
        let first = u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode;
        if self.masked {
            return masked(first, &self.payload, self.key);
        }
        let mut out = header(Opcode::Binary, self.payload.len()).to_vec();
        out[0] = first;
        out.extend_from_slice(&self.payload);
        out
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let opcode = prop_oneof![
        10 => Just(0_u8), 10 => Just(2), 8 => Just(9), 4 => Just(10), 1 => Just(8), 1 => Just(1), 1 => 3..16_u8,
    ];
    let length = prop_oneof![4 => 0..20_usize, 2 => 120..130_usize, 1 => 65_530..65_540_usize];
    let rare = |odd: u8| prop_oneof![60 => Just(0_u8), 1 => Just(odd)];
    let close = prop_oneof![Just(1000_u16), Just(1005), Just(4000), any::<u16>()];
    (opcode, length, any::<(bool, [u8; 4], u8)>(), rare(1), rare(4), close).prop_map(
        |(opcode, length, (fin, key, seed), unmasked, rsv, code)| {
            let mut payload: Vec<u8> = (0..length).map(|at| seed.wrapping_add(at as u8)).collect();
            if opcode == 8 && length > 1 {
                payload[..2].copy_from_slice(&code.to_be_bytes());
            }
            // Most control frames are whole.
            let fin = fin || opcode >= 8 && seed > 8;
            Plain { fin, rsv, opcode, masked: unmasked == 0, key, payload }
        },
    )
}

/// The RFC's rules for a list of frames, without bytes: the events, and the code with which it ends, if it does.
fn meaning(frames: &[Plain], max: usize) -> (Vec<Event>, Option<u16>) {
    let (mut events, mut open): (Vec<Event>, Option<Vec<u8>>) = (Vec::new(), None);
    for frame in frames {
        let (control, payload) = (frame.opcode >= 8, &frame.payload);
        let known = matches!(frame.opcode, 0..=2 | 8..=10);
        let in_order = control || (frame.opcode == 0) == open.is_some();
        let short = !control || frame.fin && payload.len() <= 125;
        if frame.rsv != 0 || !frame.masked || !known || !in_order || !short {
            return (events, Some(1002));
        }
        match frame.opcode {
            1 => {
                events.push(Event::Text);
                return (events, None);
            }
            8 if payload.is_empty() => {
                events.push(Event::Close(None));
                return (events, None);
            }
            8 => {
                let code = payload.get(..2).map(|code| u16::from(code[0]) << 8 | u16::from(code[1]));
                let code = code.filter(|code| {
                    matches!(code, 1000..=4999) && ![1004, 1005, 1006].contains(code) && !(1015..=2999).contains(code)
                });
                return match code {
                    None => (events, Some(1002)),
                    Some(_) if String::from_utf8(payload[2..].to_vec()).is_err() => (events, Some(1007)),
                    Some(code) => {
                        events.push(Event::Close(Some(code)));
                        (events, None)
                    }
                };
            }
            9 => events.push(Event::Ping(payload.clone().into())),
            10 => events.push(Event::Pong(payload.clone().into())),
            _ => {
                let mut message = open.take().unwrap_or_default();
                message.extend_from_slice(payload);
                if message.len() > max {
                    return (events, Some(1009));
                }
                if frame.fin { events.push(Event::Binary(message.into())) } else { open = Some(message) }
            }
        }
    }
    (events, None)
}

/// The stream in pieces that end at `cuts`, and at the stream's end.
fn pieces<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([0, stream.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

proptest! {
    #[test]
    fn frames_mean_what_the_rfc_says_however_the_stream_is_cut(
        frames in prop::collection::vec(plain(), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        max in prop_oneof![Just(30_usize), Just(130), Just(200_000)],
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(Plain::encode).collect();
        let (events, error) = run(pieces(&stream, &cuts), max);
        prop_assert_eq!((events, error.map(FrameError::code)), meaning(&frames, max));
    }

    /// Also where it ends in the middle of a frame, or is none at all. One byte at a time is the finest cut.
    #[test]
    fn any_bytes_give_the_same_events_and_the_same_error_however_they_are_cut(
        frames in prop::collection::vec(plain(), 0..4),
        junk in prop::collection::vec(any::<u8>(), 0..40),
        end in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut stream: Vec<u8> = frames.iter().flat_map(Plain::encode).chain(junk).collect();
        stream.truncate(end.index(stream.len() + 1));
        let whole = run([&stream[..]], 200);
        prop_assert_eq!(run(pieces(&stream, &cuts), 200), whole.clone());
        prop_assert_eq!(run(stream.chunks(1), 200), whole);
    }

    #[test]
    fn unmasking_is_byte_by_byte_with_the_key_again_and_again(payload: Vec<u8>, key: [u8; 4]) {
        let mut wide = payload.clone();
        unmask(&mut wide, key);
        let plain: Vec<u8> = payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
        prop_assert_eq!(wide, plain);
    }
}
