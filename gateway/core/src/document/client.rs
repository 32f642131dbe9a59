//! The structs of one client, in order: encoded, in blocks, so that one is found and changed without reading all.

use std::ops::Range;

use bytes::Bytes;

use super::index::{Index, Types};
use super::piece::{Cutter, Piece};
use super::ranges::Ranges;
use super::refused::Refused;
use super::structs::{DELETED, GC, Id, Struct};
use super::writer::Writer;
use crate::lib0::Reader;

/// A block ends behind the struct that takes it beyond so many bytes: small enough to be read in a microsecond, large
/// enough for what is known of each to be little beside it.
pub(super) const BLOCK: usize = 1024;

/// A block below so many bytes is copied to go on behind its last struct, which may be a long text; that takes
/// microseconds. Behind a larger one a struct of its own begins.
const RESUMED: usize = 64 * BLOCK;

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) bytes: Bytes,
    /// The clock of its first struct.
    pub(super) start: u32,
    pub(super) structs: u32,
}

/// The block that is being written.
#[derive(Clone, Debug)]
struct Tail {
    start: u32,
    writer: Writer,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    /// The clock behind its last struct.
    pub(super) next: u32,
    pub(super) index: Index,
    pub(super) deleted: Ranges,
    blocks: Vec<Block>,
    tail: Option<Box<Tail>>,
    /// What of its memory is in the document's account.
    accounted: usize,
}

/// What a client takes besides its structs, at least: its place in the map, and the allocation of its only block.
const CLIENT_BYTES: usize = size_of::<(u64, Client)>() * 3 / 2 + 64;

/// A block as a view.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) start: u32,
    pub(super) structs: u32,
    pub(super) bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Its structs, each with its clock and the bytes that follow it in the block.
    pub(super) fn structs(self) -> impl Iterator<Item = Result<(u32, Struct<'a>, &'a [u8]), Refused>> {
        let (mut reader, mut clock) = (Reader::new(self.bytes), self.start);
        (0..self.structs).map(move |_| {
            let found = Struct::read(&mut reader)?;
            let at = clock;
            clock = clock.checked_add(found.length).ok_or(Refused::ClockTooLarge)?;
            Ok((at, found, reader.rest()))
        })
    }
}

impl Client {
    pub(super) fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> {
        let blocks =
            self.blocks.iter().map(|block| Chunk { start: block.start, structs: block.structs, bytes: &block.bytes });
        let tail = self.tail.iter().map(|tail| Chunk {
            start: tail.start,
            structs: tail.writer.structs,
            bytes: &tail.writer.bytes,
        });
        blocks.chain(tail)
    }

    /// The blocks from the one that holds `clock` on.
    pub(super) fn chunks_from(&self, clock: u32) -> impl Iterator<Item = Chunk<'_>> {
        let tail = usize::from(self.tail.as_ref().is_some_and(|tail| tail.start <= clock));
        let before = self.blocks.partition_point(|block| block.start <= clock) + tail;
        self.chunks().skip(before.saturating_sub(1))
    }

    /// Brings `account`, the memory of all clients besides the bytes of their structs, up to date.
    pub(super) fn account(&mut self, account: &mut usize) {
        let tail = if self.tail.is_some() { size_of::<Tail>() } else { 0 };
        let lists = self.index.memory() + self.deleted.memory() + self.blocks.capacity() * size_of::<Block>();
        let memory = CLIENT_BYTES + lists + tail;
        *account = *account + memory - self.accounted;
        self.accounted = memory;
    }

    /// Bytes of structs.
    pub(super) fn bytes(&self) -> usize {
        self.chunks().map(|chunk| chunk.bytes.len()).sum()
    }

    /// Appends a struct or a part of one, which begins at `next`. Returns by how many bytes that made it longer.
    ///
    /// # Errors
    /// The bytes that are there are no structs.
    pub(super) fn append(&mut self, client: u64, piece: &Piece<'_>) -> Result<usize, Refused> {
        let id = Id { client, clock: self.next };
        if self.tail.is_none()
            && let Some(block) = self.blocks.pop_if(|block| block.bytes.len() < RESUMED)
        {
            let writer = Writer::resume(&block.bytes, block.structs, block.start)?;
            self.tail = Some(Box::new(Tail { start: block.start, writer }));
        }
        if self.tail.as_ref().is_some_and(|tail| tail.writer.bytes.len() >= BLOCK && !tail.writer.continues(id, piece))
        {
            self.settle();
        }
        let new = || Box::new(Tail { start: id.clock, writer: Writer::default() });
        let tail = self.tail.get_or_insert_with(new);
        let before = tail.writer.bytes.len();
        tail.writer.push(id, piece);
        self.next += piece.length;
        Ok(tail.writer.bytes.len() - before)
    }

    /// Appends structs as they are, up to the clock `end`.
    pub(super) fn append_block(&mut self, block: Block, end: u32) {
        self.settle();
        self.blocks.push(block);
        self.next = end;
    }

    /// Ends the block that is being written.
    fn settle(&mut self) {
        if let Some(tail) = self.tail.take() {
            let Writer { bytes, structs, .. } = tail.writer;
            self.blocks.push(Block { bytes: bytes.into(), start: tail.start, structs });
        }
    }

    /// Replaces the bytes of all blocks by the same ones in `whole`, of which `at` says where this client's begin.
    pub(super) fn share(&mut self, whole: &Bytes, mut at: usize) {
        self.settle();
        for block in &mut self.blocks {
            let end = at + block.bytes.len();
            block.bytes = whole.slice(at..end);
            at = end;
        }
        self.blocks.shrink_to_fit();
        self.index.shrink();
    }

    /// Takes the content out of what was deleted: of structs that are in `dirty`, all of which is deleted. Items in a
    /// type that is gone become GC structs, as in Yjs (`tryGcDeleteSet`), and neighbours join.
    ///
    /// # Errors
    /// The bytes that are there are no structs.
    pub(super) fn collect(&mut self, client: u64, dirty: &Ranges, types: &Types) -> Result<(), Refused> {
        self.settle();
        let old = std::mem::take(&mut self.blocks);
        let ends: Vec<u32> = old.iter().skip(1).map(|block| block.start).chain([self.next]).collect();
        let mut blocks = Rewritten { client, done: Vec::with_capacity(old.len()), open: None };
        for (block, end) in old.into_iter().zip(ends) {
            // The neighbours of what was deleted may join it.
            let touched = dirty.behind(block.start.saturating_sub(1)).next().is_some_and(|range| range.start <= end);
            let joins = blocks.open.is_some() && block.bytes.len() < BLOCK / 2;
            if !touched && !joins {
                blocks.settle();
                blocks.done.push(block);
                continue;
            }
            let chunk = Chunk { start: block.start, structs: block.structs, bytes: &block.bytes };
            for found in chunk.structs() {
                let (clock, found, _) = found?;
                collect_struct(&mut blocks, Id { client, clock }, &found, dirty, |clock| {
                    types.is_gone(self.index.parent_at(clock))
                })?;
            }
        }
        blocks.settle();
        self.blocks = blocks.done;
        Ok(())
    }
}

/// Blocks that are being written anew.
struct Rewritten {
    client: u64,
    done: Vec<Block>,
    open: Option<Tail>,
}

impl Rewritten {
    fn push(&mut self, clock: u32, piece: &Piece<'_>) {
        let id = Id { client: self.client, clock };
        if self.open.as_ref().is_some_and(|open| open.writer.bytes.len() >= BLOCK && !open.writer.continues(id, piece))
        {
            self.settle();
        }
        let open = self.open.get_or_insert_with(|| Tail { start: clock, writer: Writer::default() });
        open.writer.push(id, piece);
    }

    fn settle(&mut self) {
        if let Some(Tail { start, writer }) = self.open.take() {
            self.done.push(Block { bytes: writer.bytes.into(), start, structs: writer.structs });
        }
    }
}

fn collect_struct(
    out: &mut Rewritten,
    id: Id,
    found: &Struct<'_>,
    dirty: &Ranges,
    is_gone: impl Fn(u32) -> bool,
) -> Result<(), Refused> {
    let end = id.clock + found.length;
    let mut cutter = Cutter::new(found, id);
    let mut part = |clocks: Range<u32>| cutter.part(clocks.start - id.clock..clocks.end - id.clock);
    let mut at = id.clock;
    for range in dirty.behind(id.clock).take_while(|range| range.start < end) {
        let (from, to) = (range.start.max(at), range.end.min(end));
        if at < from {
            out.push(at, &part(at..from)?);
        }
        let piece = part(from..to)?;
        match found.kind() {
            GC => out.push(from, &piece),
            _ if is_gone(from) => out.push(from, &Piece::collected(to - from)),
            DELETED => out.push(from, &piece),
            _ => out.push(from, &piece.deleted()),
        }
        at = to;
    }
    if at < end {
        out.push(at, &part(at..end)?);
    }
    Ok(())
}
