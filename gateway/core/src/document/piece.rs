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

    /// The part of a struct that begins at `clock`; `part` counts from there. What does not begin with the struct has
    /// the element before it as its origin, as in Yjs (`splitItem`).
    ///
    /// # Errors
    /// The struct's content is not what it was when it was read.
    pub(super) fn part(of: &Struct<'a>, id: Id, part: Range<u32>) -> Result<Self, Refused> {
        let mut piece = Self::whole(of);
        if part == (0..of.length) {
            return Ok(piece);
        }
        piece.length = part.end - part.start;
        piece.body = match piece.body {
            Body::Text { text, .. } => {
                let (from, head) = utf16_offset(text, part.start);
                let (to, tail) = utf16_offset(text, part.end);
                // A pair of which only one half is wanted belongs to neither side; U+FFFD takes its place.
                let from = if head { from + 4 } else { from };
                Body::Text { head, text: text.get(from..to).unwrap_or_default(), tail }
            }
            Body::Values(values) => {
                let mut reader = Reader::new(values);
                skip_values(&mut reader, of.kind(), part.start)?;
                let from = reader.rest();
                skip_values(&mut reader, of.kind(), part.end - part.start)?;
                Body::Values(&from[..from.len() - reader.remaining()])
            }
            body => body,
        };
        if part.start > 0 && of.kind() != GC {
            piece.origin = Some(Id { client: id.client, clock: id.clock + part.start - 1 });
            piece.place = &[];
        }
        Ok(piece)
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

/// Where the UTF-16 unit number `units` begins in a text, and whether that is the second half of a surrogate pair; then
/// it is where the pair begins.
fn utf16_offset(text: &[u8], units: u32) -> (usize, bool) {
    let units = units as usize;
    if text.get(..units).is_some_and(<[u8]>::is_ascii) {
        return (units, false);
    }
    let (mut at, mut passed) = (0, 0);
    while passed < units && at < text.len() {
        let size = match text[at] {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        if size == 4 && passed + 1 == units {
            return (at, true);
        }
        passed += if size == 4 { 2 } else { 1 };
        at += size;
    }
    (at, false)
}
