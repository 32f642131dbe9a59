//! A large document on its way to somebody who has little of it: in messages that its client applies one after the
//! other. In one message, a client on a slow link would hear nothing for longer than it waits (30 s in y-websocket),
//! give up and begin again. All but the last are Updates: a client takes a Step2 for the end of the first sync.

use bytes::Bytes;
use editorcluster_core::document::{Refused, split};

use crate::protocol::websocket::{self, Opcode};
use crate::protocol::yjs::{SyncKind, sync_head};

/// Longer answers are streamed.
pub(super) const FROM: usize = 512 << 10;
/// About the size of one message; 0.3 s over 1 MiB/s.
const PART: usize = 256 << 10;

/// An answer in frames, for all who are given the same one.
#[derive(Debug)]
pub(super) struct Streamed {
    answer: Bytes,
    pieces: Vec<Bytes>,
}

impl Streamed {
    /// # Errors
    /// The answer is no update.
    pub(super) fn new(answer: Bytes) -> Result<Self, Refused> {
        let parts = split(&answer, PART)?;
        let last = parts.len() - 1;
        let mut pieces = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            let length = part.iter().map(Bytes::len).sum();
            let head = sync_head(if number == last { SyncKind::Step2 } else { SyncKind::Update }, length);
            let header = websocket::header(Opcode::Binary, head.len() + length);
            pieces.push([&header[..], &head].concat().into());
            pieces.extend(part);
        }
        Ok(Self { answer, pieces })
    }

    /// The frames' bytes, if they are those of this answer.
    pub(super) fn of(&self, answer: &Bytes) -> Option<&[Bytes]> {
        // The answer is kept, so that nothing else can be at its place in memory.
        let same = self.answer.as_ptr() == answer.as_ptr() && self.answer.len() == answer.len();
        same.then_some(&self.pieces)
    }
}
