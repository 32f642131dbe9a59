//! The deletions of a long update, in parts.

use bytes::Bytes;

use super::Pieces;
use crate::document::refused::Refused;
use crate::document::structs::clock;
use crate::lib0::{Reader, write_var_uint};

/// Where the deletions are in an update.
pub(super) struct Deletions {
    at: usize,
}

/// Ranges of one client that follow each other. Positions count from the update's beginning.
struct Run {
    client: u64,
    ranges: u64,
    from: usize,
    to: usize,
}

impl Deletions {
    /// `reader`: at the deletions of `update`, which are its end.
    ///
    /// # Errors
    /// The bytes are no deletions.
    pub(super) fn read(update: &Bytes, mut reader: Reader<'_>) -> Result<Self, Refused> {
        let at = update.len() - reader.remaining();
        for _ in 0..reader.var_uint()? {
            reader.var_uint()?;
            for _ in 0..reader.var_uint()? {
                range(&mut reader)?;
            }
        }
        match reader.remaining() {
            0 => Ok(Self { at }),
            rest => Err(Refused::TrailingBytes(rest)),
        }
    }

    /// The second halves of updates: one of about `first` bytes, and others of about `most`.
    ///
    /// # Errors
    /// None, since the bytes were read before.
    pub(super) fn split(&self, update: &Bytes, first: usize, most: usize) -> Result<(Pieces, Vec<Pieces>), Refused> {
        if update.len() - self.at <= first {
            return Ok((vec![update.slice(self.at..)], Vec::new()));
        }
        let mut reader = Reader::new(&update[self.at..]);
        let (mut parts, mut runs, mut size, mut room) = (Vec::new(), Vec::<Run>::new(), 0, first);
        for _ in 0..reader.var_uint()? {
            let client = reader.var_uint()?;
            let mut is_new = true;
            for _ in 0..reader.var_uint()? {
                let from = update.len() - reader.remaining();
                range(&mut reader)?;
                let to = update.len() - reader.remaining();
                if size > 0 && size + to - from > room {
                    parts.push(part(update, std::mem::take(&mut runs)));
                    (size, room, is_new) = (0, most, true);
                }
                size += to - from;
                match runs.last_mut().filter(|_| !is_new) {
                    Some(run) => (run.ranges, run.to) = (run.ranges + 1, to),
                    None => runs.push(Run { client, ranges: 1, from, to }),
                }
                is_new = false;
            }
        }
        parts.push(part(update, runs));
        let more = parts.split_off(1);
        Ok((parts.pop().unwrap_or_default(), more))
    }
}

fn range(reader: &mut Reader<'_>) -> Result<(), Refused> {
    clock(reader)?;
    clock(reader)?;
    Ok(())
}

fn part(update: &Bytes, runs: Vec<Run>) -> Pieces {
    let mut pieces = Vec::new();
    let mut head = Vec::new();
    write_var_uint(&mut head, runs.len() as u64);
    for run in runs {
        write_var_uint(&mut head, run.client);
        write_var_uint(&mut head, run.ranges);
        pieces.push(std::mem::take(&mut head).into());
        pieces.push(update.slice(run.from..run.to));
    }
    if !head.is_empty() {
        pieces.push(head.into());
    }
    pieces
}
