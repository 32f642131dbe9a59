//! A long update as several that are applied one after the other. Structs are taken in an order in which what they refer
//! to comes before them, so nothing is pending in between.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};

use bytes::Bytes;

use self::deletions::Deletions;
use super::encode::write_section;
use super::refused::Refused;
use super::siblings::{Crowds, competes};
use super::structs::{Id, Struct, clock};
use crate::lib0::{Reader, write_var_uint};

mod deletions;

/// Clients in one long update, at most: what is kept of each while it is split is several times its shortest encoding.
pub const MAX_CLIENTS: usize = 1 << 20;

/// An update in pieces, which are parts of the long one as far as they can be.
pub type Pieces = Vec<Bytes>;

/// Updates of about `most` bytes each, which together are `update`. A struct is never cut. What the update refers to and
/// does not have is taken for known. Deletions come last.
///
/// # Errors
/// The bytes are no update, or one that no document takes from a client, or it has more than [`MAX_CLIENTS`] clients.
pub fn split(update: &Bytes, most: usize) -> Result<Vec<Pieces>, Refused> {
    let mut splitting = Splitting::read(update, most)?;
    for number in 0..splitting.sections.len() {
        splitting.advance(number)?;
        splitting.wake(number)?;
    }
    splitting.finish()
}

/// Reads structs that follow each other. What makes an update one to refuse whatever document it meets is found here, so
/// that nothing of it is taken in.
fn check(reader: &mut Reader<'_>, count: u64, first: Id, crowds: &mut Crowds) -> Result<(), Refused> {
    let Id { client, mut clock } = first;
    for _ in 0..count {
        let found = Struct::read(reader)?;
        if found.length == 0 {
            return Err(Refused::EmptyStruct);
        }
        if found.references().any(|id| id.client == client && id.clock >= clock) {
            return Err(Refused::OwnFuture(Id { client, clock }));
        }
        if competes(&found, Id { client, clock }) {
            crowds.add(&found)?;
        }
        clock = clock.checked_add(found.length).ok_or(Refused::ClockTooLarge)?;
    }
    Ok(())
}

/// What of a client's structs was not taken yet. Positions count from the update's beginning.
struct Section {
    client: u64,
    at: usize,
    end: usize,
    left: u64,
    clock: u32,
}

/// Structs of one section that follow each other.
struct Run {
    section: usize,
    clock: u32,
    structs: u64,
    from: usize,
    to: usize,
}

struct Splitting<'a> {
    update: &'a Bytes,
    most: usize,
    sections: Vec<Section>,
    by_client: HashMap<u64, u32>,
    /// Of each section, which others wait for which of its clocks.
    waiting: HashMap<usize, BinaryHeap<Reverse<(u32, usize)>>>,
    deletions: Deletions,
    /// The part that is being filled: its runs, by section, and its size.
    runs: Vec<Run>,
    run_of: HashMap<usize, usize>,
    size: usize,
    parts: Vec<Pieces>,
}

impl<'a> Splitting<'a> {
    fn read(update: &'a Bytes, most: usize) -> Result<Self, Refused> {
        let mut reader = Reader::new(update);
        let (mut sections, mut by_client, mut crowds) = (Vec::new(), HashMap::new(), Crowds::default());
        for number in 0..reader.var_uint()? {
            if sections.len() == MAX_CLIENTS {
                return Err(Refused::TooManyClients);
            }
            let left = reader.var_uint()?;
            let client = reader.var_uint()?;
            let clock = clock(&mut reader)?;
            let at = update.len() - reader.remaining();
            check(&mut reader, left, Id { client, clock }, &mut crowds)?;
            match by_client.entry(client) {
                Entry::Occupied(_) => return Err(Refused::ClientTwice(client)),
                Entry::Vacant(place) => place.insert(number as u32),
            };
            sections.push(Section { client, at, end: update.len() - reader.remaining(), left, clock });
        }
        Ok(Self {
            update,
            most,
            sections,
            by_client,
            waiting: HashMap::new(),
            deletions: Deletions::read(update, reader)?,
            runs: Vec::new(),
            run_of: HashMap::new(),
            size: 0,
            parts: Vec::new(),
        })
    }

    /// Takes a section's structs until one refers to what was not taken yet.
    fn advance(&mut self, number: usize) -> Result<(), Refused> {
        while self.sections[number].left > 0 {
            let section = &self.sections[number];
            let mut reader = Reader::new(&self.update[section.at..section.end]);
            let found = Struct::read(&mut reader)?;
            let missing = found.references().find_map(|id| {
                let other = *self.by_client.get(&id.client)? as usize;
                let section = &self.sections[other];
                let waits = other != number && section.left > 0 && id.clock >= section.clock;
                waits.then_some((other, id.clock))
            });
            if let Some((other, clock)) = missing {
                self.waiting.entry(other).or_default().push(Reverse((clock, number)));
                return Ok(());
            }
            let behind = section.end - reader.remaining();
            self.take(number, behind);
            let section = &mut self.sections[number];
            section.at = behind;
            section.clock = section.clock.checked_add(found.length).ok_or(Refused::ClockTooLarge)?;
            section.left -= 1;
        }
        Ok(())
    }

    /// Goes on with what waited for a section, and with what waited for that.
    fn wake(&mut self, number: usize) -> Result<(), Refused> {
        let mut woken = vec![number];
        while let Some(number) = woken.pop() {
            let (reached, done) = (self.sections[number].clock, self.sections[number].left == 0);
            let Some(waiting) = self.waiting.get_mut(&number) else { continue };
            let mut due = Vec::new();
            while waiting.peek().is_some_and(|Reverse((clock, _))| done || *clock < reached) {
                due.extend(waiting.pop().map(|Reverse((_, other))| other));
            }
            for other in due {
                self.advance(other)?;
                woken.push(other);
            }
        }
        Ok(())
    }

    fn take(&mut self, number: usize, to: usize) {
        let Section { at: from, clock, .. } = self.sections[number];
        self.size += to - from;
        let index = *self.run_of.entry(number).or_insert_with(|| {
            self.runs.push(Run { section: number, clock, structs: 0, from, to });
            self.runs.len() - 1
        });
        let run = &mut self.runs[index];
        run.structs += 1;
        run.to = to;
        if self.size >= self.most {
            let mut part = self.part();
            part.push(Bytes::from_static(&[0]));
            self.parts.push(part);
        }
    }

    /// The structs of the part that was being filled; another one begins.
    fn part(&mut self) -> Pieces {
        let mut pieces = Vec::new();
        let mut head = Vec::new();
        write_var_uint(&mut head, self.runs.len() as u64);
        let mut runs = std::mem::take(&mut self.runs);
        runs.sort_unstable_by_key(|run| Reverse(self.sections[run.section].client));
        for run in runs {
            write_section(&mut head, run.structs, self.sections[run.section].client, run.clock);
            pieces.push(std::mem::take(&mut head).into());
            pieces.push(self.update.slice(run.from..run.to));
        }
        if !head.is_empty() {
            pieces.push(head.into());
        }
        self.run_of.clear();
        self.size = 0;
        pieces
    }

    fn finish(mut self) -> Result<Vec<Pieces>, Refused> {
        // What refers to each other in a circle waits at whoever reads it, as it does in one piece.
        for number in 0..self.sections.len() {
            let Section { at: from, end: to, left, clock, .. } = self.sections[number];
            if left > 0 {
                self.size += to - from;
                match self.run_of.get(&number) {
                    Some(&index) => {
                        self.runs[index].structs += left;
                        self.runs[index].to = to;
                    }
                    None => self.runs.push(Run { section: number, clock, structs: left, from, to }),
                }
            }
        }
        let room = self.most.saturating_sub(self.size);
        let (first, more) = self.deletions.split(self.update, room, self.most)?;
        let mut last = self.part();
        last.extend(first);
        self.parts.push(last);
        for deletions in more {
            self.parts.push(std::iter::once(Bytes::from_static(&[0])).chain(deletions).collect());
        }
        Ok(self.parts)
    }
}
