//! What waits to be written to one socket.
//!
//! Frames are shared between the outboxes of a room's sessions. A session that does not keep up is *behind*: it gets
//! no more updates until everything queued has left, and then a difference to what it has. So a slow client costs a
//! bounded amount of memory and loses nothing.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Instant;

use bytes::{Buf, Bytes};

/// Queued bytes of one kind from which on a session is behind, or for answers no longer read.
const LIMIT_BYTES: usize = 8 << 20;
/// What a queued piece takes besides its bytes: its place in the queue and its allocation. Without it the limit would be
/// a multiple of what it says for a document of small edits.
const PIECE_BYTES: usize = 64;
/// Queued pieces from which on the session is not read: what it asks has small answers, but many.
const LIMIT_PIECES: usize = 4096;
/// Slices of one vectored write.
const SLICES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Updates and awareness: may be left out when the session is behind, since the resync has them.
    Live,
    /// Documents and presence that the client has asked for. Counted apart, or a large document could never be sent to
    /// a slow client; but one message may ask a thousand times, and then the resync answers.
    Content,
    /// Acknowledgements and control frames: always sent. They are bounded because the session is not read when they
    /// are many.
    Answer,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// What is queued of each kind, and what the pieces take besides.
    bytes: [usize; 3],
    behind: bool,
    /// When the oldest update in here came in, and how many there are: for the delivery time.
    oldest: Option<Instant>,
    updates: u64,
}

/// A frame, or a part of one whose body is shared.
#[derive(Debug)]
struct Piece {
    /// What of it was not written yet.
    rest: Bytes,
    kind: Kind,
}

/// The updates that a flush has finished writing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) since: Instant,
    pub(super) updates: u64,
}

impl Outbox {
    /// Queues a frame in its pieces; false: all of it was left out, the session is behind.
    pub(super) fn push(&mut self, frame: impl IntoIterator<Item = Bytes>, kind: Kind) -> bool {
        if kind != Kind::Answer {
            self.behind |= self.bytes[kind as usize] > LIMIT_BYTES;
            if self.behind {
                return false;
            }
        }
        for rest in frame {
            self.bytes[kind as usize] += rest.len() + PIECE_BYTES;
            self.pieces.push_back(Piece { rest, kind });
        }
        true
    }

    /// Notes that an update which came in at `received` was queued.
    pub(super) fn note_update(&mut self, received: Instant) {
        self.oldest.get_or_insert(received);
        self.updates += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All that is queued.
    pub(super) fn queued(&self) -> usize {
        self.bytes.iter().sum()
    }

    /// What is queued of documents and presence that the client has asked for.
    pub(super) fn content_bytes(&self) -> usize {
        self.bytes[Kind::Content as usize]
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Whether the session should take what is queued before it is heard again.
    pub(super) fn is_full(&self) -> bool {
        self.behind || self.pieces.len() > LIMIT_PIECES || self.bytes[Kind::Answer as usize] > LIMIT_BYTES
    }

    /// Whether the session was behind and has taken everything: it must be given a resync now.
    pub(super) fn take_caught_up(&mut self) -> bool {
        self.pieces.is_empty() && std::mem::take(&mut self.behind)
    }

    /// Takes the updates that were written since the last call; None as long as something is queued.
    pub(super) fn take_delivered(&mut self) -> Option<Delivered> {
        if !self.pieces.is_empty() {
            return None;
        }
        let since = self.oldest.take()?;
        Some(Delivered { since, updates: std::mem::take(&mut self.updates) })
    }

    /// Writes as much as the socket takes. Returns whether it took anything.
    ///
    /// # Errors
    /// The socket's, `WouldBlock` excepted.
    pub(super) fn write(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<bool> {
        let mut progress = false;
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = self.pieces.len().min(SLICES);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(&piece.rest);
            }
            match write(&slices[..used]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            progress = true;
        }
        // An idle connection owns no buffer.
        self.pieces.shrink_to(4);
        Ok(progress)
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.pieces.front_mut() {
            let queued = &mut self.bytes[front.kind as usize];
            if written < front.rest.len() {
                *queued -= written;
                front.rest.advance(written);
                return;
            }
            written -= front.rest.len();
            *queued -= front.rest.len() + PIECE_BYTES;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
