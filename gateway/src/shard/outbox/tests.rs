use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn drain(outbox: &mut Outbox) -> Vec<u8> {
    let mut out = Vec::new();
    let written = outbox.write(|slices| {
        let before = out.len();
        slices.iter().for_each(|slice| out.extend_from_slice(slice));
        Ok(out.len() - before)
    });
    written.unwrap();
    out
}

#[test]
fn a_partial_write_goes_on_where_it_stopped() {
    let mut outbox = Outbox::default();
    for frame in ["abc", "de", "fgh"] {
        outbox.push([Bytes::from(frame)], Kind::Live);
    }
    let mut room = [4, 0].into_iter();
    let mut first = Vec::new();
    let progress = outbox.write(|slices| match room.next().unwrap() {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        limit => {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            first.extend_from_slice(&all[..limit]);
            Ok(limit)
        }
    });
    assert!(progress.unwrap());
    assert_eq!((first.as_slice(), drain(&mut outbox).as_slice()), (&b"abcd"[..], &b"efgh"[..]));
}

#[test]
fn a_session_that_is_behind_is_resynced_once_it_has_taken_everything() {
    let mut outbox = Outbox::default();
    assert!(outbox.push([vec![0; LIMIT_BYTES + 1].into()], Kind::Live));
    assert!(!outbox.push([Bytes::from_static(b"late")], Kind::Live));
    assert!(outbox.push([Bytes::from_static(b"pong")], Kind::Answer));
    assert!(!outbox.take_caught_up());
    assert!(drain(&mut outbox).ends_with(b"pong"));
    assert!(outbox.take_caught_up());
    assert!(!outbox.take_caught_up());
    assert!(outbox.push([Bytes::from_static(b"live again")], Kind::Live));
}

#[test]
fn a_large_document_does_not_put_a_session_behind_but_asking_for_it_again_does() {
    let mut outbox = Outbox::default();
    assert!(outbox.push([vec![0; 2 * LIMIT_BYTES].into()], Kind::Content));
    assert!(outbox.push([Bytes::from_static(b"live")], Kind::Live));
    assert!(!outbox.is_full());
    assert!(!outbox.push([vec![0; 2 * LIMIT_BYTES].into()], Kind::Content));
    assert!(outbox.is_full());
    drain(&mut outbox);
    assert!(outbox.take_caught_up());
    assert!(!outbox.is_full());
}

#[test]
fn a_flood_of_small_answers_makes_the_outbox_full_until_it_is_taken() {
    let mut outbox = Outbox::default();
    for _ in 0..=LIMIT_PIECES {
        assert!(!outbox.is_full());
        assert!(outbox.push([Bytes::from_static(b"pong")], Kind::Answer));
    }
    assert!(outbox.is_full());
    drain(&mut outbox);
    assert!(!outbox.is_full());
}

#[test]
fn a_few_large_answers_make_the_outbox_full_until_they_are_taken() {
    let mut outbox = Outbox::default();
    assert!(outbox.push([vec![0; LIMIT_BYTES].into()], Kind::Answer));
    assert!(outbox.is_full());
    assert!(outbox.push([Bytes::from_static(b"live")], Kind::Live));
    drain(&mut outbox);
    assert!(!outbox.is_full());
}

#[test]
fn many_small_edits_put_a_session_behind_though_their_bytes_are_few() {
    let mut outbox = Outbox::default();
    let taken = (0..LIMIT_BYTES).take_while(|_| outbox.push([Bytes::from_static(b"x")], Kind::Live)).count();
    assert!(taken <= LIMIT_BYTES / PIECE_BYTES + 1);
}

#[test]
fn updates_are_delivered_when_the_last_byte_has_left() {
    let (mut outbox, received) = (Outbox::default(), Instant::now());
    outbox.push([Bytes::from_static(b"update")], Kind::Live);
    outbox.note_update(received);
    assert_eq!(outbox.take_delivered(), None);
    drain(&mut outbox);
    assert_eq!(outbox.take_delivered(), Some(Delivered { since: received, updates: 1 }));
    assert_eq!(outbox.take_delivered(), None);
}

/// What happens to an outbox.
#[derive(Clone, Debug)]
enum Step {
    /// A frame of so many bytes in each piece.
    Push(Kind, Vec<usize>),
    /// The socket takes so many bytes, a call each, and then nothing more.
    Write(Vec<usize>),
    /// The socket takes all.
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(Kind::Live), Just(Kind::Content), Just(Kind::Answer)];
    let length = prop_oneof![1..200_usize, (1 << 20)..(5_usize << 20)];
    prop_oneof![
        6 => (kind, prop::collection::vec(length.clone(), 1..3)).prop_map(|(kind, pieces)| Step::Push(kind, pieces)),
        4 => prop::collection::vec(length, 0..4).prop_map(Step::Write),
        1 => Just(Step::Drain),
    ]
}

/// What an outbox must do, without a limit's arithmetic: frames whole and in order, and who was told what.
#[derive(Default)]
struct Model {
    queued: VecDeque<(Kind, Bytes)>,
    behind: bool,
}

/// Others than at any other place nearby.
fn some_bytes(seed: usize, length: usize) -> Bytes {
    static PATTERN: LazyLock<Bytes> =
        LazyLock::new(|| (0..6_u32 << 20).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect());
    let from = seed * 7919 % (1 << 20);
    PATTERN.slice(from..from + length)
}

impl Model {
    fn bytes(&self, kind: Kind) -> usize {
        self.queued.iter().filter(|(of, _)| *of == kind).map(|(_, rest)| rest.len()).sum()
    }

    /// The socket has taken these.
    fn took(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (_, rest) = self.queued.front_mut().expect("it writes only what was queued");
            let count = rest.len().min(bytes.len());
            assert!(rest[..count] == bytes[..count], "other bytes than were queued");
            bytes = &bytes[count..];
            rest.advance(count);
            if rest.is_empty() {
                self.queued.pop_front();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_socket_takes_frames_leave_whole_and_in_order_and_a_session_is_behind_once_at_a_time(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let (mut outbox, mut model) = (Outbox::default(), Model::default());
        for (index, step) in steps.into_iter().chain([Step::Drain]).enumerate() {
            match step {
                Step::Push(kind, pieces) => {
                    let pieces: Vec<Bytes> = pieces.into_iter().map(|length| some_bytes(index, length)).collect();
                    let over = model.bytes(kind) > LIMIT_BYTES;
                    let taken = outbox.push(pieces.clone(), kind);
                    match (kind, taken) {
                        (Kind::Answer, _) => prop_assert!(taken, "an answer was left out"),
                        (_, true) => prop_assert!(!model.behind && !over, "taken beyond the limit"),
                        (_, false) => {
                            // Only its places can have put it over the limit earlier than its bytes.
                            let places = outbox.pieces.len() * PIECE_BYTES;
                            prop_assert!(model.behind || model.bytes(kind) + places > LIMIT_BYTES, "left out too early");
                            model.behind = true;
                        }
                    }
                    if taken {
                        model.queued.extend(pieces.into_iter().map(|piece| (kind, piece)));
                    }
                }
                Step::Write(takes) => {
                    let (mut takes, mut out) = (takes.into_iter(), Vec::new());
                    let written = outbox.write(|slices| {
                        let most = takes.next().ok_or(io::ErrorKind::WouldBlock)?;
                        let (before, end) = (out.len(), out.len() + most);
                        for slice in slices {
                            let count = slice.len().min(end - out.len());
                            out.extend_from_slice(&slice[..count]);
                        }
                        Ok(out.len() - before)
                    });
                    prop_assert_eq!(written.unwrap(), !out.is_empty());
                    model.took(&out);
                }
                Step::Drain => {
                    let out = drain(&mut outbox);
                    model.took(&out);
                }
            }
            prop_assert_eq!(outbox.is_empty(), model.queued.is_empty());
            prop_assert_eq!(outbox.is_behind(), model.behind);
            prop_assert!(outbox.is_full() || model.bytes(Kind::Answer) <= LIMIT_BYTES);
            let caught_up = outbox.take_caught_up();
            prop_assert_eq!(caught_up, model.behind && model.queued.is_empty());
            model.behind &= !caught_up;
            prop_assert!(!outbox.take_caught_up(), "caught up twice");
            for kind in [Kind::Live, Kind::Content, Kind::Answer] {
                let (counted, queued) = (outbox.bytes[kind as usize], model.bytes(kind));
                prop_assert!(queued <= counted && counted <= queued + outbox.pieces.len() * PIECE_BYTES);
            }
        }
        prop_assert_eq!(outbox.bytes, [0; 3]);
    }
}
