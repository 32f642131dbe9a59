//! A struct, or a part of one, on its way into the bytes of a document.

use std::ops::Range;

use super::refused::Refused;
use super::structs::{ANY, DELETED, GC, HAS_ORIGIN, HAS_PARENT_SUB, HAS_RIGHT_ORIGIN, Id, JSON, KIND, STRING, Struct};
use super::value;
use crate::lib0::{Reader, write_var_uint};

/// U+FFFD: what Yjs writes on both sides when it cuts a surrogate pair.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// The first byte, without the bits for origins.
    pub(super) info: u8,
    pub(super) origin: Option<Id>,
    pub(super) right: Option<Id>,
    place: &'a [u8],
    pub(super) length: u32,
    body: Body<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Body<'a> {
    /// Nothing but the length.
    Length,
    /// A text, between halves of surrogate pairs that have become U+FFFD.
    Text { head: bool, text: &'a [u8], tail: bool },
    /// The values of a list.
    Values(&'a [u8]),
    /// A content that cannot be cut.
    Whole(&'a [u8]),
}

/// What follows a count or a length in the content of a struct that was read already.
fn behind_length(content: &[u8]) -> &[u8] {
    let mut reader = Reader::new(content);
    // It was read already.
    let _ = reader.var_uint();
    reader.rest()
}

impl<'a> Piece<'a> {
    pub(super) fn whole(of: &Struct<'a>) -> Self {
        let body = match of.kind() {
            GC | DELETED => Body::Length,
            STRING => Body::Text { head: false, text: behind_length(of.content), tail: false },
            ANY | JSON => Body::Values(behind_length(of.content)),
            _ => Body::Whole(of.content),
        };
        let info = of.info & (KIND | HAS_PARENT_SUB);
        Self { info, origin: of.origin, right: of.right, place: of.place, length: of.length, body }
    }

    /// The part of a struct that begins at `id`; `part` counts from there.
    ///
    /// # Errors
    /// The struct's content is not what it was when it was read.
    pub(super) fn part(of: &Struct<'a>, id: Id, part: Range<u32>) -> Result<Self, Refused> {
        Cutter::new(of, id).part(part)
    }

    /// The same without its content, which was deleted.
    pub(super) fn deleted(self) -> Self {
        Self { info: DELETED | self.info & HAS_PARENT_SUB, body: Body::Length, ..self }
    }

    /// What is left of a deleted item in a type that is gone.
    pub(super) fn collected(length: u32) -> Self {
        Self { info: GC, origin: None, right: None, place: &[], length, body: Body::Length }
    }

    pub(super) fn kind(&self) -> u8 {
        self.info & KIND
    }

    /// Writes what stands before the content.
    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        let bit = |id: Option<Id>, bit| if id.is_some() { bit } else { 0 };
        out.push(self.info | bit(self.origin, HAS_ORIGIN) | bit(self.right, HAS_RIGHT_ORIGIN));
        for id in [self.origin, self.right].into_iter().flatten() {
            write_var_uint(out, id.client);
            write_var_uint(out, id.clock.into());
        }
        out.extend_from_slice(self.place);
    }

    /// The number in front of a content that can be joined: bytes of text, values, or clocks.
    pub(super) fn count(&self) -> Option<u64> {
        match self.body {
            Body::Length | Body::Values(_) => Some(self.length.into()),
            Body::Text { head, text, tail } => {
                Some((text.len() + REPLACEMENT.len() * (usize::from(head) + usize::from(tail))) as u64)
            }
            Body::Whole(_) => None,
        }
    }

    /// Writes the content behind its count.
    pub(super) fn write_body(&self, out: &mut Vec<u8>) {
        match self.body {
            Body::Length => {}
            Body::Values(bytes) | Body::Whole(bytes) => out.extend_from_slice(bytes),
            Body::Text { head, text, tail } => {
                out.extend_from_slice(if head { REPLACEMENT } else { &[] });
                out.extend_from_slice(text);
                out.extend_from_slice(if tail { REPLACEMENT } else { &[] });
            }
        }
    }
}

/// Cuts parts out of one struct, from its beginning to its end. However many they are, its content is walked over once.
pub(super) struct Cutter<'a> {
    of: Struct<'a>,
    id: Id,
    /// How many clocks were passed, and where the content goes on.
    passed: u32,
    rest: Rest<'a>,
}

enum Rest<'a> {
    Text {
        text: &'a [u8],
        at: Place,
    },
    Values(Reader<'a>),
    /// Every part has the same body.
    Other(Body<'a>),
}

impl<'a> Cutter<'a> {
    /// `id`: the first element of the struct.
    pub(super) fn new(of: &Struct<'a>, id: Id) -> Self {
        let rest = match Piece::whole(of).body {
            Body::Text { text, .. } => Rest::Text { text, at: Place::default() },
            Body::Values(values) => Rest::Values(Reader::new(values)),
            body => Rest::Other(body),
        };
        Self { of: *of, id, passed: 0, rest }
    }

    /// The next part, which begins nowhere before the end of the last one; `part` counts from the struct's beginning. What
    /// does not begin with the struct has the element before it as its origin, as in Yjs (`splitItem`).
    ///
    /// # Errors
    /// The struct's content is not what it was when it was read.
    pub(super) fn part(&mut self, part: Range<u32>) -> Result<Piece<'a>, Refused> {
        let mut piece = Piece::whole(&self.of);
        if part == (0..self.of.length) {
            return Ok(piece);
        }
        let (skipped, length) = (part.start.saturating_sub(self.passed), part.end - part.start);
        piece.length = length;
        piece.body = match &mut self.rest {
            Rest::Text { text, at } => {
                let from = at.advance(text, skipped);
                *at = from.advance(text, length);
                // A pair of which only one half is wanted belongs to neither side; U+FFFD takes its place.
                let begin = if from.in_pair { from.at + 4 } else { from.at };
                Body::Text { head: from.in_pair, text: text.get(begin..at.at).unwrap_or_default(), tail: at.in_pair }
            }
            Rest::Values(reader) => {
                skip_values(reader, self.of.kind(), skipped)?;
                let from = reader.rest();
                skip_values(reader, self.of.kind(), length)?;
                Body::Values(&from[..from.len() - reader.remaining()])
            }
            Rest::Other(body) => *body,
        };
        self.passed = part.end;
        if part.start > 0 && self.of.kind() != GC {
            piece.origin = Some(Id { client: self.id.client, clock: self.id.clock + part.start - 1 });
            piece.place = &[];
        }
        Ok(piece)
    }
}

fn skip_values(reader: &mut Reader<'_>, kind: u8, count: u32) -> Result<(), Refused> {
    for _ in 0..count {
        if kind == ANY {
            value::skip_any(reader)?;
        } else {
            reader.var_bytes()?;
        }
    }
    Ok(())
}

/// Where a UTF-16 unit begins in a text.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: usize,
    /// The unit is the second half of the surrogate pair that begins here.
    in_pair: bool,
}

impl Place {
    /// The place so many UTF-16 units further on.
    fn advance(self, text: &[u8], units: u32) -> Self {
        if units == 0 {
            return self;
        }
        let mut left = units as usize;
        let mut at = self.at;
        if self.in_pair {
            (at, left) = (at + 4, left - 1);
        }
        if text.get(at..at + left).is_some_and(<[u8]>::is_ascii) {
            return Self { at: at + left, in_pair: false };
        }
        while left > 0 && at < text.len() {
            let size = match text[at] {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                0xf0.. => 4,
            };
            if size == 4 && left == 1 {
                return Self { at, in_pair: true };
            }
            left -= if size == 4 { 2 } else { 1 };
            at += size;
        }
        Self { at, in_pair: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lib0::write_var_string;

    const ID: Id = Id { client: 7, clock: 100 };

    /// A struct with this text at the beginning of the type `t`, in bytes.
    fn text(content: &str) -> Vec<u8> {
        let mut bytes = vec![STRING, 1, 1, b't'];
        write_var_string(&mut bytes, content);
        bytes
    }

    fn body(piece: &Piece<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        piece.write_body(&mut out);
        out
    }

    proptest! {
        #[test]
        fn parts_cut_one_after_the_other_are_those_cut_alone(
            content in "[a\u{e9}\u{20ac}\u{1f600}]{1,12}",
            cuts in prop::collection::vec(0..1000_u32, 0..8),
            left_out in any::<u8>(),
        ) {
            let bytes = text(&content);
            let found = Struct::read(&mut Reader::new(&bytes)).expect("it is a struct");
            let mut ends: Vec<u32> = cuts.iter().map(|cut| cut % found.length).chain([0, found.length]).collect();
            ends.sort_unstable();
            ends.dedup();
            let mut cutter = Cutter::new(&found, ID);
            for (number, pair) in ends.windows(2).enumerate() {
                if left_out & 1 << number != 0 {
                    continue;
                }
                let part = cutter.part(pair[0]..pair[1]).expect("it is a part");
                let alone = Piece::part(&found, ID, pair[0]..pair[1]).expect("it is a part");
                prop_assert_eq!(body(&part), body(&alone));
                let units: Vec<u16> = content.encode_utf16().collect();
                let expected = String::from_utf16_lossy(&units[pair[0] as usize..pair[1] as usize]);
                prop_assert_eq!(String::from_utf8(body(&part)).expect("it is text"), expected);
            }
        }
    }
}
