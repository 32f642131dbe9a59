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
/// What a queued frame takes besides its bytes: its place in the queue and its allocation. Without it the limit would be
/// a multiple of what it says for a document of small edits.
const FRAME_BYTES: usize = 64;
/// Queued frames from which on the session is not read: what it asks has small answers, but many.
const LIMIT_FRAMES: usize = 4096;
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
    frames: VecDeque<Bytes>,
    live_bytes: usize,
    content_bytes: usize,
    answer_bytes: usize,
    behind: bool,
    /// When the oldest update in here came in, and how many there are: for the delivery time.
    oldest: Option<Instant>,
    updates: u64,
}

/// The updates that a flush has finished writing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) since: Instant,
    pub(super) updates: u64,
}

impl Outbox {
    /// Queues a frame; false: it was left out, the session is behind.
    pub(super) fn push(&mut self, frame: Bytes, kind: Kind) -> bool {
        let bytes = match kind {
            Kind::Live => &mut self.live_bytes,
            Kind::Content => &mut self.content_bytes,
            Kind::Answer => &mut self.answer_bytes,
        };
        if kind != Kind::Answer {
            self.behind |= *bytes > LIMIT_BYTES;
            if self.behind {
                return false;
            }
        }
        *bytes += frame.len() + FRAME_BYTES;
        self.frames.push_back(frame);
        true
    }

    /// Notes that an update which came in at `received` was queued.
    pub(super) fn note_update(&mut self, received: Instant) {
        self.oldest.get_or_insert(received);
        self.updates += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What is queued of documents and presence that the client has asked for.
    pub(super) fn content_bytes(&self) -> usize {
        self.content_bytes
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Whether the session should take what is queued before it is heard again.
    pub(super) fn is_full(&self) -> bool {
        self.behind || self.frames.len() > LIMIT_FRAMES || self.answer_bytes > LIMIT_BYTES
    }

    /// Whether the session was behind and has taken everything: it must be given a resync now.
    pub(super) fn take_caught_up(&mut self) -> bool {
        self.frames.is_empty() && std::mem::take(&mut self.behind)
    }

    /// Takes the updates that were written since the last call; None as long as something is queued.
    pub(super) fn take_delivered(&mut self) -> Option<Delivered> {
        if !self.frames.is_empty() {
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
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = self.frames.len().min(SLICES);
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                *slice = IoSlice::new(frame);
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
        self.live_bytes = 0;
        self.content_bytes = 0;
        self.answer_bytes = 0;
        // An idle connection owns no buffer.
        self.frames.shrink_to(4);
        Ok(progress)
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.frames.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
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
            outbox.push(Bytes::from(frame), Kind::Live);
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
        assert!(outbox.push(vec![0; LIMIT_BYTES + 1].into(), Kind::Live));
        assert!(!outbox.push(Bytes::from_static(b"late"), Kind::Live));
        assert!(outbox.push(Bytes::from_static(b"pong"), Kind::Answer));
        assert!(!outbox.take_caught_up());
        assert!(drain(&mut outbox).ends_with(b"pong"));
        assert!(outbox.take_caught_up());
        assert!(!outbox.take_caught_up());
        assert!(outbox.push(Bytes::from_static(b"live again"), Kind::Live));
    }

    #[test]
    fn a_large_document_does_not_put_a_session_behind_but_asking_for_it_again_does() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(vec![0; 2 * LIMIT_BYTES].into(), Kind::Content));
        assert!(outbox.push(Bytes::from_static(b"live"), Kind::Live));
        assert!(!outbox.is_full());
        assert!(!outbox.push(vec![0; 2 * LIMIT_BYTES].into(), Kind::Content));
        assert!(outbox.is_full());
        drain(&mut outbox);
        assert!(outbox.take_caught_up());
        assert!(!outbox.is_full());
    }

    #[test]
    fn a_flood_of_small_answers_makes_the_outbox_full_until_it_is_taken() {
        let mut outbox = Outbox::default();
        for _ in 0..=LIMIT_FRAMES {
            assert!(!outbox.is_full());
            assert!(outbox.push(Bytes::from_static(b"pong"), Kind::Answer));
        }
        assert!(outbox.is_full());
        drain(&mut outbox);
        assert!(!outbox.is_full());
    }

    #[test]
    fn a_few_large_answers_make_the_outbox_full_until_they_are_taken() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(vec![0; LIMIT_BYTES].into(), Kind::Answer));
        assert!(outbox.is_full());
        assert!(outbox.push(Bytes::from_static(b"live"), Kind::Live));
        drain(&mut outbox);
        assert!(!outbox.is_full());
    }

    #[test]
    fn many_small_edits_put_a_session_behind_though_their_bytes_are_few() {
        let mut outbox = Outbox::default();
        let taken = (0..LIMIT_BYTES).take_while(|_| outbox.push(Bytes::from_static(b"x"), Kind::Live)).count();
        assert!(taken <= LIMIT_BYTES / FRAME_BYTES + 1);
    }

    #[test]
    fn updates_are_delivered_when_the_last_byte_has_left() {
        let (mut outbox, received) = (Outbox::default(), Instant::now());
        outbox.push(Bytes::from_static(b"update"), Kind::Live);
        outbox.note_update(received);
        assert_eq!(outbox.take_delivered(), None);
        drain(&mut outbox);
        assert_eq!(outbox.take_delivered(), Some(Delivered { since: received, updates: 1 }));
        assert_eq!(outbox.take_delivered(), None);
    }
}
