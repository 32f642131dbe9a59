//! A document, and parts of it, as updates and state vectors, encoding v1 (Yjs: `writeClientsStructs`,
//! `writeDeleteSet`, `writeStateVector`). Clients are written in descending order, as Yjs does.

use std::collections::HashMap;

use bytes::Bytes;

use super::admission::{Plan, Section};
use super::client::{Chunk, Client};
use super::piece::Piece;
use super::ranges::Ranges;
use super::refused::Refused;
use super::structs::{self, Id};
use super::writer::Writer;
use super::{Document, EMPTY_UPDATE, EMPTY_VECTOR, merge};
use crate::lib0::{Reader, write_var_uint};

/// Of each client the clock behind what somebody has.
fn read_state_vector(vector: &[u8]) -> Result<HashMap<u64, u32>, Refused> {
    let mut reader = Reader::new(vector);
    // No capacity from the count: a client may claim any number.
    let mut clocks = HashMap::new();
    for _ in 0..reader.var_uint()? {
        let id = structs::id(&mut reader)?;
        clocks.insert(id.client, id.clock);
    }
    match reader.remaining() {
        0 => Ok(clocks),
        rest => Err(Refused::TrailingBytes(rest)),
    }
}

/// Whether the bytes are a state vector: `[n, (client, clock) * n]`.
///
/// # Errors
/// They are none.
pub fn check_state_vector(vector: &[u8]) -> Result<(), Refused> {
    read_state_vector(vector).map(drop)
}

impl Document {
    /// Of each client the clock behind its last struct, encoded.
    pub fn state_vector(&self) -> Bytes {
        self.vector.get_or_init(|| self.encode_vector()).clone()
    }

    fn encode_vector(&self) -> Bytes {
        let clients = self.clients.iter().filter(|(_, client)| client.next > 0);
        let mut out = Vec::new();
        write_var_uint(&mut out, clients.clone().count() as u64);
        for (number, client) in clients.rev() {
            write_var_uint(&mut out, *number);
            write_var_uint(&mut out, client.next.into());
        }
        out.into()
    }

    /// The whole document as one update, with what waits in it. It is shared as long as nothing changes.
    ///
    /// # Errors
    /// The document's own bytes are no structs.
    pub fn encode_state(&mut self) -> Result<Bytes, Refused> {
        let whole = self.encode_complete()?;
        if self.pending.is_empty() {
            return Ok(whole);
        }
        merge(std::iter::once(&whole).chain(&self.pending).map(|update| &update[..]))
    }

    /// The document without what waits.
    fn encode_complete(&mut self) -> Result<Bytes, Refused> {
        if let Some(encoded) = &self.encoded {
            return Ok(encoded.clone());
        }
        self.collect()?;
        let deletions = self.deletions();
        let clients: Vec<_> = self.clients.iter_mut().rev().filter(|(_, client)| client.next > 0).collect();
        let mut out = Vec::with_capacity(self.size + deletions.len() + clients.len() * 16 + 16);
        let mut places = Vec::with_capacity(clients.len());
        write_var_uint(&mut out, clients.len() as u64);
        for (number, client) in &clients {
            let structs: u64 = client.chunks().map(|chunk| u64::from(chunk.structs)).sum();
            write_section(&mut out, structs, **number, 0);
            places.push(out.len());
            client.chunks().for_each(|chunk| out.extend_from_slice(chunk.bytes));
        }
        out.extend_from_slice(&deletions);
        let whole = Bytes::from(out);
        for ((_, client), at) in clients.into_iter().zip(places) {
            client.share(&whole, at);
            client.account(&mut self.around);
        }
        self.encoded = Some(whole.clone());
        Ok(whole)
    }

    /// What a holder of `state_vector` lacks, with all deletions. For a holder of everything that is no work, since what
    /// is deleted is kept encoded.
    ///
    /// # Errors
    /// The bytes are no state vector.
    pub fn diff(&mut self, state_vector: &[u8]) -> Result<Bytes, Refused> {
        if state_vector == EMPTY_VECTOR {
            return self.encode_complete();
        }
        let known = read_state_vector(state_vector)?;
        let lacks = |number: &u64, client: &Client| client.next > known.get(number).copied().unwrap_or(0);
        if self.clients.iter().any(|(number, client)| lacks(number, client)) {
            self.collect()?;
        }
        let deletions = self.deletions();
        let news: Vec<_> = self.clients.iter().rev().filter(|(number, client)| lacks(number, client)).collect();
        let mut out = Vec::new();
        write_var_uint(&mut out, news.len() as u64);
        for (number, client) in news {
            write_from(&mut out, *number, client, known.get(number).copied().unwrap_or(0))?;
        }
        out.extend_from_slice(&deletions);
        Ok(out.into())
    }

    pub(super) fn deletions(&mut self) -> Bytes {
        let clients = &self.clients;
        let encode = || {
            let mut out = Vec::new();
            write_deletions(&mut out, clients.iter().rev().map(|(number, client)| (*number, &client.deleted)));
            Bytes::from(out)
        };
        self.deletions.get_or_insert_with(encode).clone()
    }
}

/// What stands before the structs of a client.
pub(super) fn write_section(out: &mut Vec<u8>, structs: u64, client: u64, clock: u32) {
    write_var_uint(out, structs);
    write_var_uint(out, client);
    write_var_uint(out, clock.into());
}

/// A client's structs from a clock on, of which the first may be a part of one.
fn write_from(out: &mut Vec<u8>, number: u64, client: &Client, clock: u32) -> Result<(), Refused> {
    let mut chunks = client.chunks_from(clock);
    let (mut first, mut rest, mut structs) = (Writer::default(), &[][..], 0);
    if let Some(chunk) = chunks.next() {
        (first, rest, structs) = cut(number, chunk, clock)?;
    }
    let chunks: Vec<Chunk<'_>> = chunks.collect();
    structs += chunks.iter().map(|chunk| u64::from(chunk.structs)).sum::<u64>();
    write_section(out, structs, number, clock);
    out.extend_from_slice(&first.bytes);
    out.extend_from_slice(rest);
    chunks.iter().for_each(|chunk| out.extend_from_slice(chunk.bytes));
    Ok(())
}

/// A chunk from a clock on: the part of the struct that holds it, the bytes of those that follow, and how many that are.
fn cut(client: u64, chunk: Chunk<'_>, clock: u32) -> Result<(Writer, &[u8], u64), Refused> {
    let mut writer = Writer::default();
    for (number, found) in chunk.structs().enumerate() {
        let (at, found, rest) = found?;
        if at + found.length > clock {
            let from = clock.saturating_sub(at);
            let piece = Piece::part(&found, Id { client, clock: at }, from..found.length)?;
            writer.push(Id { client, clock: at + from }, &piece);
            return Ok((writer, rest, u64::from(chunk.structs) - number as u64));
        }
    }
    Ok((writer, &[], 0))
}

pub(super) fn write_deletions<'a>(out: &mut Vec<u8>, clients: impl Iterator<Item = (u64, &'a Ranges)> + Clone) {
    let clients = clients.filter(|(_, ranges)| !ranges.is_empty());
    write_var_uint(out, clients.clone().count() as u64);
    for (client, ranges) in clients {
        write_var_uint(out, client);
        write_var_uint(out, ranges.len() as u64);
        for range in ranges.iter() {
            write_var_uint(out, range.start.into());
            write_var_uint(out, (range.end - range.start).into());
        }
    }
}

/// What an update brings, as an update without the rest.
pub(super) fn news(plan: &Plan<'_>, update: &Bytes) -> Result<Bytes, Refused> {
    let mut out = Vec::new();
    let mut sections: Vec<_> =
        plan.sections.iter().filter(|section| section.news.is_some()).zip(plan.news(update)).collect();
    sections.sort_unstable_by_key(|(section, _)| std::cmp::Reverse(section.client));
    write_var_uint(&mut out, sections.len() as u64);
    for (section, (client, chunk)) in sections {
        write_section(&mut out, chunk.structs.into(), client, section.known);
        let (first, rest, _) = cut(client, chunk, section.known)?;
        out.extend_from_slice(&first.bytes);
        out.extend_from_slice(rest);
    }
    write_deletions(&mut out, plan.deletions.iter().map(|(client, ranges)| (*client, ranges)));
    Ok(out.into())
}

/// What of an update waits, as an update without the rest.
pub(super) fn remainder(plan: &Plan<'_>) -> Bytes {
    let mut out = Vec::new();
    let sections = plan.sections.iter().filter(|section| section.left > 0);
    write_var_uint(&mut out, sections.clone().count() as u64);
    for Section { client, cursor, clock, left, end, .. } in sections {
        write_section(&mut out, *left, *client, *clock);
        out.extend_from_slice(&cursor.rest()[..cursor.remaining() - end.len()]);
    }
    write_deletions(&mut out, plan.deletions_waiting.iter().map(|(client, ranges)| (*client, ranges)));
    if out == EMPTY_UPDATE { Bytes::from_static(EMPTY_UPDATE) } else { out.into() }
}
