//! Several updates as one, without a document (Yjs: `mergeUpdates`). Nothing is lost: between structs of a client that do
//! not follow each other a Skip says what is missing.

use std::collections::BTreeMap;
use std::ops::Range;

use super::client::Chunk;
use super::encode::{write_deletions, write_section};
use super::piece::Piece;
use super::ranges::Ranges;
use super::refused::Refused;
use super::structs::{Id, SKIP, Struct, clock};
use super::writer::Writer;
use crate::lib0::{Reader, write_var_uint};

/// Structs of one client that follow each other in one update.
#[derive(Clone, Copy)]
struct Segment<'a> {
    end: u32,
    chunk: Chunk<'a>,
}

#[derive(Default)]
struct Found<'a> {
    segments: BTreeMap<u64, Vec<Segment<'a>>>,
    deletions: BTreeMap<u64, Vec<Range<u32>>>,
}

/// One update that is all of these. Of two that have the same struct the first one in the list is believed.
///
/// # Errors
/// One of them is no update.
pub fn merge<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<bytes::Bytes, Refused> {
    let mut found = Found::default();
    for update in updates {
        found.read(update)?;
    }
    let mut out = Vec::new();
    write_var_uint(&mut out, found.segments.len() as u64);
    for (client, mut segments) in found.segments.into_iter().rev() {
        segments.sort_by_key(|segment| segment.chunk.start);
        let start = segments.first().map_or(0, |segment| segment.chunk.start);
        let written = write(client, start, &segments)?;
        write_section(&mut out, written.structs.into(), client, start);
        out.extend_from_slice(&written.bytes);
    }
    let deletions: Vec<_> =
        found.deletions.into_iter().rev().map(|(client, ranges)| (client, Ranges::of(ranges))).collect();
    write_deletions(&mut out, deletions.iter().map(|(client, ranges)| (*client, ranges)));
    Ok(out.into())
}

impl<'a> Found<'a> {
    fn read(&mut self, update: &'a [u8]) -> Result<(), Refused> {
        let mut reader = Reader::new(update);
        for _ in 0..reader.var_uint()? {
            let count = reader.var_uint()?;
            let client = reader.var_uint()?;
            let mut next = clock(&mut reader)?;
            let (mut from, mut start, mut structs) = (reader.rest(), next, 0);
            for _ in 0..count {
                let before = reader.rest();
                let found = Struct::read(&mut reader)?;
                if found.info == SKIP {
                    self.note(client, from, before, start..next, structs);
                }
                next = next.checked_add(found.length).ok_or(Refused::ClockTooLarge)?;
                structs += 1;
                if found.info == SKIP {
                    (from, start, structs) = (reader.rest(), next, 0);
                }
            }
            self.note(client, from, reader.rest(), start..next, structs);
        }
        for _ in 0..reader.var_uint()? {
            let ranges = self.deletions.entry(reader.var_uint()?).or_default();
            for _ in 0..reader.var_uint()? {
                let (from, length) = (clock(&mut reader)?, clock(&mut reader)?);
                ranges.push(from..from.checked_add(length).ok_or(Refused::ClockTooLarge)?);
            }
        }
        match reader.remaining() {
            0 => Ok(()),
            rest => Err(Refused::TrailingBytes(rest)),
        }
    }

    fn note(&mut self, client: u64, from: &'a [u8], to: &'a [u8], clocks: Range<u32>, structs: u32) {
        if !clocks.is_empty() {
            let chunk = Chunk { start: clocks.start, structs, bytes: &from[..from.len() - to.len()] };
            self.segments.entry(client).or_default().push(Segment { end: clocks.end, chunk });
        }
    }
}

/// Whether the bytes are an update.
///
/// # Errors
/// They are none.
pub fn check(update: &[u8]) -> Result<(), Refused> {
    Found::default().read(update)
}

/// How far each client's structs go in an update, up to the first gap.
///
/// # Errors
/// The bytes are no update.
pub fn clocks(update: &[u8]) -> Result<Vec<(u64, u32)>, Refused> {
    let mut found = Found::default();
    found.read(update)?;
    Ok(found.segments.into_iter().filter_map(|(client, segments)| Some((client, segments.first()?.end))).collect())
}

fn write(client: u64, start: u32, segments: &[Segment<'_>]) -> Result<Writer, Refused> {
    let (mut writer, mut next) = (Writer::default(), start);
    for segment in segments.iter() {
        // The segments are in order, so what ends before was written.
        if segment.end <= next {
            continue;
        }
        if segment.chunk.start > next {
            writer.skip(segment.chunk.start - next);
            next = segment.chunk.start;
        }
        for found in segment.chunk.structs() {
            let (clock, found, _) = found?;
            if clock + found.length > next {
                let piece = Piece::part(&found, Id { client, clock }, next - clock..found.length)?;
                writer.push(Id { client, clock: next }, &piece);
                next = clock + found.length;
            }
        }
    }
    Ok(writer)
}
