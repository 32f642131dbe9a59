//! What an update brings to a document: a verdict before anything is changed.
//!
//! Structs are looked at in the order in which what they refer to is there, whatever their order in the bytes. A client's
//! structs that refer to something later in the update wait until its client's turn has come; what still waits at the
//! end refers to what nobody has told. Nothing recurses, and each struct is read at most twice.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::ops::Range;

use super::client::{BLOCK, Chunk, Client};
use super::index::{Handle, Index, Types};
use super::piece::Piece;
use super::ranges::Ranges;
use super::refused::{MAX_NESTING, Refused};
use super::siblings::competes;
use super::structs::{DELETED, GC, Id, Parent, SKIP, Struct, TYPE, clock};
use super::writer::continues;
use crate::lib0::Reader;

/// How many clients are looked up again without a hash.
const RECENT: usize = 4;

/// Where an update comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A client: what would harm others is refused.
    Client,
    /// The log or the database: what cannot be integrated is kept.
    Stored,
}

/// The structs that one client has in an update.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) client: u64,
    /// The clock behind what the document had.
    pub(super) known: u32,
    /// The clock behind what it has with the update's structs up to the cursor.
    pub(super) next: u32,
    /// The first struct that was not taken, its clock, and how many there are from it on.
    pub(super) cursor: Reader<'a>,
    pub(super) clock: u32,
    pub(super) left: u64,
    /// What the first struct that was not taken waits for.
    waits_for: Option<Id>,
    /// What follows the section, and the clock there.
    pub(super) end: &'a [u8],
    end_clock: u32,
    pub(super) news: Option<News>,
    pub(super) index: Index,
    /// Clocks of structs that have no content, and so were deleted.
    pub(super) deleted: Ranges,
    /// Clocks of items in no type, of which Yjs makes GC structs.
    pub(super) orphans: Ranges,
}

/// The structs of a section that the document lacks. They follow each other.
#[derive(Debug)]
pub(super) struct News {
    /// Where the blocks begin that they could be kept in, the first of them first. What the document has of the first
    /// struct is to be cut off.
    pub(super) marks: Vec<Mark>,
    pub(super) structs: u32,
    /// Bytes from behind the last of them to the update's end.
    pub(super) remaining: usize,
    /// How many of them compete with others for their places.
    pub(super) competing: usize,
    /// Whether one of them continues the one before it, as where somebody has merged updates by their bytes: kept as they
    /// are, each of them would take the space of a struct.
    pub(super) joins: bool,
    /// The last of them: its info and its right origin, as `writer::continues` takes them.
    last: (u8, Option<Id>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Bytes from here to the update's end.
    pub(super) remaining: usize,
    pub(super) clock: u32,
    /// How many structs are before it.
    pub(super) structs: u32,
}

/// What an update brings.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) sections: Vec<Section<'a>>,
    /// Of each client, the clocks that are deleted now and were not.
    pub(super) deletions: Vec<(u64, Ranges)>,
    /// Of each client, the deleted clocks that nobody has told of.
    pub(super) deletions_waiting: Vec<(u64, Ranges)>,
    /// The update brings its news and nothing else.
    pub(super) all_is_news: bool,
}

impl Plan<'_> {
    /// How many structs compete with others for their places.
    pub(super) fn competing(&self) -> usize {
        self.sections.iter().filter_map(|section| section.news.as_ref()).map(|news| news.competing).sum()
    }

    /// The structs that are news, with their clocks, as views on the update.
    pub(super) fn news<'u>(&self, update: &'u [u8]) -> impl Iterator<Item = (u64, Chunk<'u>)> {
        self.sections.iter().filter_map(|section| {
            let news = section.news.as_ref()?;
            let first = news.marks.first()?;
            let bytes = &update[update.len() - first.remaining..update.len() - news.remaining];
            Some((section.client, Chunk { start: first.clock, structs: news.structs, bytes }))
        })
    }

    pub(super) fn brings_news(&self) -> bool {
        !self.deletions.is_empty() || self.sections.iter().any(|section| section.news.is_some())
    }

    /// One of the things that the update refers to and that nobody has told. What waits inside of the update for
    /// something that waits as well is named only if there is nothing else.
    pub(super) fn waits(&self) -> Option<Id> {
        let stopped = self.sections.iter().filter(|section| section.left > 0);
        let mut wanted = stopped.filter_map(|section| section.waits_for).peekable();
        if wanted.peek().is_none() {
            let (client, ranges) = self.deletions_waiting.first()?;
            return ranges.iter().last().map(|range| Id { client: *client, clock: range.end - 1 });
        }
        let sections: HashMap<u64, &Section<'_>> =
            self.sections.iter().map(|section| (section.client, section)).collect();
        let any = wanted.peek().copied();
        let is_in_update = |id: &Id| {
            sections.get(&id.client).is_some_and(|section| section.clock <= id.clock && id.clock < section.end_clock)
        };
        wanted.find(|id| !is_in_update(id)).or(any)
    }
}

/// Finds out what an update would bring. New types are added to `types`, and must be taken away again if it is not taken.
///
/// # Errors
/// The bytes are no update, or one that may not be taken from a client.
pub(super) fn plan<'a>(
    clients: &BTreeMap<u64, Client>,
    types: &mut Types,
    update: &'a [u8],
    source: Source,
) -> Result<Plan<'a>, Refused> {
    let mut planning = Planning {
        clients,
        types,
        source,
        sections: Vec::new(),
        by_client: HashMap::new(),
        recent: Cell::new([(u64::MAX, None); RECENT]),
        waiting: HashMap::new(),
        all_is_news: true,
    };
    let mut reader = Reader::new(update);
    planning.structs(&mut reader)?;
    planning.deletions(reader)
}

struct Planning<'a, 'd> {
    clients: &'d BTreeMap<u64, Client>,
    types: &'d mut Types,
    source: Source,
    sections: Vec<Section<'a>>,
    by_client: HashMap<u64, usize>,
    /// The clients that were looked up last, and their sections: structs refer to the same few again and again.
    recent: Cell<[(u64, Option<usize>); RECENT]>,
    /// Of each client, which sections wait for which of its clocks.
    waiting: HashMap<u64, BinaryHeap<Reverse<(u32, usize)>>>,
    all_is_news: bool,
}

impl<'a> Planning<'a, '_> {
    fn structs(&mut self, reader: &mut Reader<'a>) -> Result<(), Refused> {
        for _ in 0..reader.var_uint()? {
            let left = reader.var_uint()?;
            let client = reader.var_uint()?;
            let clock = clock(reader)?;
            let number = self.sections.len();
            match self.by_client.entry(client) {
                Entry::Occupied(_) => return Err(Refused::ClientTwice(client)),
                Entry::Vacant(place) => place.insert(number),
            };
            self.recent.set([(client, Some(number)); RECENT]);
            let known = self.clients.get(&client).map_or(0, |found| found.next);
            // Yjs' `mergeUpdates` loses structs of an update whose clients are not in descending order.
            let is_sorted = self.sections.last().is_none_or(|last| last.client > client);
            self.all_is_news &= left > 0 && clock == known && is_sorted;
            self.sections.push(Section {
                client,
                known,
                next: known,
                cursor: reader.clone(),
                clock,
                left,
                waits_for: None,
                end: &[],
                end_clock: clock,
                news: None,
                index: Index::default(),
                deleted: Ranges::default(),
                orphans: Ranges::default(),
            });
            self.advance(number)?;
            let section = &self.sections[number];
            *reader = section.cursor.clone();
            let mut end = section.clock;
            for _ in 0..section.left {
                let length = Struct::read(reader)?.length;
                if length == 0 {
                    return Err(Refused::EmptyStruct);
                }
                end = end.checked_add(length).ok_or(Refused::ClockTooLarge)?;
            }
            self.sections[number].end = reader.rest();
            self.sections[number].end_clock = end;
            self.wake(client)?;
        }
        Ok(())
    }

    /// A client's section, if it has one.
    fn section_of(&self, client: u64) -> Option<usize> {
        let mut recent = self.recent.get();
        if let Some((_, section)) = recent.iter().find(|(known, _)| *known == client) {
            return *section;
        }
        let section = self.by_client.get(&client).copied();
        recent.rotate_right(1);
        recent[0] = (client, section);
        self.recent.set(recent);
        section
    }

    /// The clock behind what is there of a client.
    fn next_of(&self, client: u64) -> u32 {
        match self.section_of(client) {
            Some(number) => self.sections[number].next,
            None => self.clients.get(&client).map_or(0, |found| found.next),
        }
    }

    /// Goes on with the sections that waited for what a client has now, and with those that waited for them.
    fn wake(&mut self, client: u64) -> Result<(), Refused> {
        let mut woken = vec![client];
        while let Some(client) = woken.pop() {
            let next = self.next_of(client);
            let Some(waiting) = self.waiting.get_mut(&client) else { continue };
            let mut due = Vec::new();
            while waiting.peek().is_some_and(|Reverse((clock, _))| *clock < next) {
                due.extend(waiting.pop().map(|Reverse((_, number))| number));
            }
            for number in due {
                self.advance(number)?;
                woken.push(self.sections[number].client);
            }
        }
        Ok(())
    }

    /// Takes a section's structs until one refers to what is not there.
    fn advance(&mut self, number: usize) -> Result<(), Refused> {
        while self.sections[number].left > 0 {
            let section = &self.sections[number];
            let (client, known, at) = (section.client, section.next, section.clock);
            let mut reader = section.cursor.clone();
            let found = Struct::read(&mut reader)?;
            let end = at.checked_add(found.length).ok_or(Refused::ClockTooLarge)?;
            if found.length == 0 {
                return Err(Refused::EmptyStruct);
            }
            if found.info == SKIP || end <= known {
                self.all_is_news = false;
            } else {
                if at > known {
                    self.sections[number].waits_for = Some(Id { client, clock: known });
                    return Ok(());
                }
                // A part of a struct has what is known of it as its origin.
                let refers = |id: &Id| at == known || Some(*id) == found.right;
                for id in found.references().filter(refers) {
                    if id.client == client && id.clock >= at {
                        return match self.source {
                            Source::Client => Err(Refused::OwnFuture(Id { client, clock: at })),
                            Source::Stored => {
                                self.sections[number].waits_for = Some(id);
                                Ok(())
                            }
                        };
                    }
                    if id.client != client && id.clock >= self.next_of(id.client) {
                        self.sections[number].waits_for = Some(id);
                        self.waiting.entry(id.client).or_default().push(Reverse((id.clock, number)));
                        return Ok(());
                    }
                }
                self.take(number, at.max(known)..end, &found, reader.remaining())?;
            }
            let section = &mut self.sections[number];
            section.cursor = reader;
            section.clock = end;
            section.left -= 1;
        }
        Ok(())
    }

    /// Notes a struct as news, of which the clocks are not known yet. `behind`: bytes from its end to the update's end.
    fn take(&mut self, number: usize, clocks: Range<u32>, found: &Struct<'_>, behind: usize) -> Result<(), Refused> {
        let section = &self.sections[number];
        let parent = if clocks.start > section.clock {
            // What is new is behind the part that is known, and so where that is.
            self.parent_at(Id { client: section.client, clock: clocks.start - 1 })
        } else {
            self.parent_of(found)
        };
        let is_type = found.kind() == TYPE && parent != Handle::GONE;
        if is_type && self.source == Source::Client && self.types.depth(parent) >= MAX_NESTING {
            return Err(Refused::Nesting);
        }
        let section = &mut self.sections[number];
        section.next = clocks.end;
        section.index.note(clocks.start, parent);
        if is_type {
            section.index.note_type(clocks.start, self.types.add(parent));
        }
        if found.kind() != GC && parent == Handle::GONE {
            section.orphans.append(clocks.clone());
        }
        if matches!(found.kind(), GC | DELETED) {
            section.deleted.append(clocks);
        }
        let id = Id { client: section.client, clock: section.clock };
        let remaining = section.cursor.remaining();
        let piece = Piece::whole(found);
        let last = (piece.info, piece.right);
        let news = match &mut section.news {
            Some(news) => {
                news.joins |= continues(news.last, id, &piece);
                news.last = last;
                news
            }
            none => none.insert(News { marks: Vec::new(), structs: 0, remaining, competing: 0, joins: false, last }),
        };
        if news.marks.last().is_none_or(|mark| mark.remaining - remaining >= BLOCK) {
            news.marks.push(Mark { remaining, clock: section.clock, structs: news.structs });
        }
        news.structs += 1;
        news.remaining = behind;
        news.competing += usize::from(competes(found, id));
        Ok(())
    }

    /// Adds to the deletions what comes without its content, if the update does not name it as deleted: whoever has that
    /// with its content takes nothing from the struct.
    fn name_deleted(&mut self, deletions: &mut Vec<(u64, Ranges)>) {
        let places: HashMap<u64, usize> =
            deletions.iter().enumerate().map(|(place, (client, _))| (*client, place)).collect();
        for section in self.sections.iter().filter(|section| !section.deleted.is_empty()) {
            let place = places.get(&section.client).copied();
            let mut unnamed = Vec::new();
            match place {
                Some(place) => {
                    section.deleted.iter().for_each(|range| deletions[place].1.missing(range, &mut unnamed));
                }
                None => unnamed.extend(section.deleted.iter()),
            }
            if unnamed.is_empty() {
                continue;
            }
            self.all_is_news = false;
            let unnamed = Ranges::of(unnamed);
            match place {
                Some(place) => deletions[place].1.add_all(&unnamed),
                None => deletions.push((section.client, unnamed)),
            }
        }
    }

    /// The type in which a struct is, as Yjs finds it (`Item.getMissing`).
    fn parent_of(&self, found: &Struct<'_>) -> Handle {
        if found.info == GC {
            return Handle::GONE;
        }
        match (found.origin.map(|id| self.parent_at(id)), found.right.map(|id| self.parent_at(id)), found.parent) {
            (Some(Handle::GONE), ..) | (_, Some(Handle::GONE), _) => Handle::GONE,
            (Some(parent), ..) | (None, Some(parent), _) => parent,
            (None, None, Some(Parent::Item(id))) => {
                self.indexed(id, |index| index.type_at(id.clock)).flatten().unwrap_or(Handle::GONE)
            }
            (None, None, _) => Handle::ROOT,
        }
    }

    fn parent_at(&self, id: Id) -> Handle {
        self.indexed(id, |index| index.parent_at(id.clock)).unwrap_or(Handle::GONE)
    }

    /// Looks something up where the struct of this id is known.
    fn indexed<T>(&self, id: Id, look: impl FnOnce(&Index) -> T) -> Option<T> {
        if let Some(number) = self.section_of(id.client) {
            let section = &self.sections[number];
            if id.clock >= section.known {
                return Some(look(&section.index));
            }
        }
        self.clients.get(&id.client).map(|found| look(&found.index))
    }

    fn deletions(mut self, mut reader: Reader<'a>) -> Result<Plan<'a>, Refused> {
        let (mut deletions, mut waiting, mut clients) = (Vec::new(), Vec::new(), HashSet::new());
        for _ in 0..reader.var_uint()? {
            let client = reader.var_uint()?;
            if !clients.insert(client) {
                return Err(Refused::ClientTwice(client));
            }
            let next = self.next_of(client);
            let (mut found, mut behind, mut total) = (Vec::new(), Vec::new(), 0);
            for _ in 0..reader.var_uint()? {
                let (from, length) = (clock(&mut reader)?, clock(&mut reader)?);
                let end = from.checked_add(length).ok_or(Refused::ClockTooLarge)?;
                total += u64::from(length);
                self.all_is_news &= length > 0 && end <= next;
                found.push(from.min(next)..end.min(next));
                behind.push(from.max(next)..end.max(next));
            }
            let mut news = Vec::new();
            match self.clients.get(&client) {
                Some(known) => Ranges::of(found).iter().for_each(|range| known.deleted.missing(range, &mut news)),
                None => news = found,
            }
            let news = Ranges::of(news);
            self.all_is_news &=
                total > 0 && news.iter().map(|range| u64::from(range.end - range.start)).sum::<u64>() == total;
            let behind = Ranges::of(behind);
            deletions.extend((!news.is_empty()).then_some((client, news)));
            waiting.extend((!behind.is_empty()).then_some((client, behind)));
        }
        if !reader.is_empty() {
            return Err(Refused::TrailingBytes(reader.remaining()));
        }
        self.name_deleted(&mut deletions);
        let all_is_news = self.all_is_news && self.sections.iter().all(|section| section.left == 0);
        Ok(Plan { sections: self.sections, deletions, deletions_waiting: waiting, all_is_news })
    }
}
