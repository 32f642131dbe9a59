//! Structs of one client, written one behind the other. What continues the struct before it becomes a part of it.

use super::piece::Piece;
use super::refused::Refused;
use super::structs::{ANY, DELETED, GC, HAS_PARENT_SUB, Id, JSON, SKIP, STRING, Struct};
use crate::lib0::{Reader, write_var_uint};

#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    pub(super) structs: u32,
    /// What the last struct is, if another one can become a part of it.
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    info: u8,
    right: Option<Id>,
    /// The clock behind it.
    end: u32,
    /// Where its count stands.
    count_at: usize,
    count: u64,
}

impl Writer {
    /// Goes on behind structs that were written before, of which the first has the clock `start`.
    ///
    /// # Errors
    /// The bytes are no structs.
    pub(super) fn resume(bytes: &[u8], structs: u32, start: u32) -> Result<Self, Refused> {
        let (mut reader, mut at, mut end) = (Reader::new(bytes), 0, start);
        let mut last = None;
        for _ in 0..structs {
            at = bytes.len() - reader.remaining();
            let found = Struct::read(&mut reader)?;
            end = end.checked_add(found.length).ok_or(Refused::ClockTooLarge)?;
            last = Some(found);
        }
        let last = last.and_then(|found| {
            let piece = Piece::whole(&found);
            let count = piece.count()?;
            let mut head = Vec::new();
            piece.write_head(&mut head);
            Some(Last { info: piece.info, right: piece.right, end, count_at: at + head.len(), count })
        });
        // Room for what is being typed behind it.
        let mut copy = Vec::with_capacity(bytes.len() + bytes.len() / 4 + 64);
        copy.extend_from_slice(bytes);
        Ok(Self { bytes: copy, structs, last })
    }

    /// Whether the piece would become a part of the last struct.
    pub(super) fn continues(&self, id: Id, piece: &Piece<'_>) -> bool {
        let last = self.last.filter(|last| last.end == id.clock);
        last.is_some_and(|last| continues((last.info, last.right), id, piece))
    }

    /// Writes a piece that begins at `id`.
    pub(super) fn push(&mut self, id: Id, piece: &Piece<'_>) {
        let end = id.clock + piece.length;
        if self.continues(id, piece)
            && let (Some(last), Some(more)) = (&mut self.last, piece.count())
        {
            let (before, after) = (size(last.count), size(last.count + more));
            last.count += more;
            last.end = end;
            // The count takes one byte more now and then; what is behind it moves on.
            let at = last.count_at;
            let mut count = Vec::with_capacity(after);
            write_var_uint(&mut count, last.count);
            if before == after {
                self.bytes[at..at + after].copy_from_slice(&count);
            } else {
                self.bytes.splice(at..at + before, count);
            }
            return piece.write_body(&mut self.bytes);
        }
        piece.write_head(&mut self.bytes);
        let count_at = self.bytes.len();
        let count = piece.count();
        if let Some(count) = count {
            write_var_uint(&mut self.bytes, count);
        }
        piece.write_body(&mut self.bytes);
        self.structs += 1;
        self.last = count.map(|count| Last { info: piece.info, right: piece.right, end, count_at, count });
    }

    /// Writes that so many clocks are missing.
    pub(super) fn skip(&mut self, length: u32) {
        self.bytes.push(SKIP);
        write_var_uint(&mut self.bytes, length.into());
        self.structs += 1;
        self.last = None;
    }
}

/// Whether a piece at `id` continues the struct before it, of which this is the info (as a piece has it) and the right
/// origin. Two neighbours of a client join if their clocks are contiguous, their contents of one kind, the second's origin
/// the first's last element, and their right origins equal. That they are neighbours in the document is not needed: what
/// was inserted between them names one of them as its origin, and Yjs cuts the struct there when it integrates. Entries of
/// a map join only when they are deleted.
pub(super) fn continues((info, right): (u8, Option<Id>), id: Id, piece: &Piece<'_>) -> bool {
    let follows = piece.origin.is_some_and(|origin| origin.client == id.client && origin.clock + 1 == id.clock)
        && piece.right == right;
    info == piece.info
        && match piece.kind() {
            GC => true,
            DELETED => follows,
            STRING | ANY | JSON => follows && piece.info & HAS_PARENT_SUB == 0,
            _ => false,
        }
}

/// How many bytes a number takes.
fn size(number: u64) -> usize {
    (number.max(1).ilog2() / 7 + 1) as usize
}
