//! What is published.
//!
//! The first byte says what it is:
//!
//! | byte | then |
//! |---|---|
//! | `e` | the entry's id (`epoch-n`, decimal), a line feed, the update |
//! | `l` | the entry's id, a line feed: too large to publish, to be fetched from the stream |
//! | `c` | an id, a line feed: covered up to here; then the `rev` that goes with it, or nothing |
//! | `d` | nothing: the document was deleted |
//! | `a` | the sender's instance (8 bytes), awareness |
//! | `q` | the sender's instance (8 bytes): asks for awareness |
//!
//! `e`, `l`, `c` and `d` are made in `functions.lua`.

use bytes::Bytes;

use crate::room::log::{Epoch, Position};

/// A published message, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Entry(Position, Bytes),
    LargeEntry(Position),
    Covered(Position, Option<i64>),
    Deleted,
    Awareness { from: u64, update: Bytes },
    AwarenessQuery { from: u64 },
}

/// None: not something that a gateway of this version publishes.
pub(super) fn decode(payload: Bytes) -> Option<Notice> {
    let (&kind, _) = payload.split_first()?;
    let body = payload.slice(1..);
    match kind {
        b'e' => {
            let end = body.iter().position(|&byte| byte == b'\n')?;
            Some(Notice::Entry(position(&body[..end])?, body.slice(end + 1..)))
        }
        b'l' => Some(Notice::LargeEntry(position(body.strip_suffix(b"\n")?)?)),
        b'c' => {
            let (id, rev) = std::str::from_utf8(&body).ok()?.split_once('\n')?;
            let rev = if rev.is_empty() { None } else { Some(rev.parse().ok()?) };
            Some(Notice::Covered(position(id.as_bytes())?, rev))
        }
        b'd' => Some(Notice::Deleted),
        b'a' => {
            let (from, _) = body.split_first_chunk()?;
            Some(Notice::Awareness { from: u64::from_be_bytes(*from), update: body.slice(8..) })
        }
        b'q' => {
            let (from, _) = body.split_first_chunk()?;
            Some(Notice::AwarenessQuery { from: u64::from_be_bytes(*from) })
        }
        _ => None,
    }
}

pub(super) fn awareness(from: u64, update: &[u8]) -> Vec<u8> {
    [b"a", from.to_be_bytes().as_slice(), update].concat()
}

pub(super) fn awareness_query(from: u64) -> Vec<u8> {
    [b"q", from.to_be_bytes().as_slice()].concat()
}

/// The position that a stream id stands for.
pub(super) fn position(id: &[u8]) -> Option<Position> {
    let (epoch, n) = std::str::from_utf8(id).ok()?.split_once('-')?;
    Some(Position { epoch: Epoch(epoch.parse().ok()?), n: n.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_line_feeds_in_it_decodes() {
        let position = Position { epoch: Epoch(u64::MAX >> 1), n: 7 };
        let payload = Bytes::from(format!("e{}-7\nab\nc", u64::MAX >> 1));
        assert_eq!(decode(payload), Some(Notice::Entry(position, Bytes::from_static(b"ab\nc"))));
    }

    #[test]
    fn a_cover_may_name_its_rev() {
        let position = Position { epoch: Epoch(5), n: 2 };
        assert_eq!(decode(Bytes::from_static(b"c5-2\n")), Some(Notice::Covered(position, None)));
        assert_eq!(decode(Bytes::from_static(b"c5-2\n7")), Some(Notice::Covered(position, Some(7))));
    }

    #[test]
    fn a_deletion_has_no_body() {
        assert_eq!(decode(Bytes::from_static(b"d")), Some(Notice::Deleted));
    }

    #[test]
    fn awareness_keeps_its_sender() {
        let payload = Bytes::from(awareness(42, b"x"));
        assert_eq!(decode(payload), Some(Notice::Awareness { from: 42, update: Bytes::from_static(b"x") }));
        assert_eq!(decode(Bytes::from(awareness_query(42))), Some(Notice::AwarenessQuery { from: 42 }));
    }

    #[test]
    fn what_is_cut_short_or_foreign_is_none() {
        for payload in ["", "e1-2", "l1-2", "c1\n", "c1-2\nx", "a1234567", "q", "x", "e-1\n"] {
            assert_eq!(decode(Bytes::from(payload)), None, "{payload:?}");
        }
    }
}
