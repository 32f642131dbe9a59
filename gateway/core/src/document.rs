//! One Yjs document as a store of structs. It is the union of what updates bring: structs by client and clock, and
//! deleted clocks. Nothing is integrated and no content is decoded, so a content comes out as it went in, and no update
//! costs more than its size. `docs/document.md` gives the reasons.
//!
//! - `admission`: what an update brings, before it is taken
//! - `client`: one client's structs, encoded, in blocks; `index`: in which type each of them is
//! - `structs`, `value`: how the bytes are read; `piece`, `writer`: how they are cut and joined
//! - `siblings`: how many insertions compete for one place
//! - `collect`: what was deleted loses its content
//! - `encode`: the whole, differences, state vectors; `merge`, `split`: updates without a document

use std::cell::OnceCell;
use std::collections::BTreeMap;

use bytes::Bytes;

pub use self::encode::check_state_vector;
pub use self::merge::{check, clocks, merge};
pub use self::refused::{MAX_NESTING, Refused};
pub use self::siblings::MAX_SIBLINGS;
pub use self::split::{MAX_CLIENTS, Pieces, split};
pub use self::structs::Id;

use self::admission::{Plan, Source, plan};
use self::client::{Block, Chunk, Client};
use self::index::Types;
use self::piece::Piece;
use self::siblings::{Siblings, competes};
use self::structs::Struct;

mod admission;
mod client;
mod collect;
mod encode;
mod index;
mod merge;
mod piece;
mod ranges;
mod refused;
mod siblings;
mod split;
mod structs;
mod value;
mod writer;

#[cfg(test)]
mod tests;

/// An update without structs and deletions.
pub const EMPTY_UPDATE: &[u8] = &[0, 0];

/// The state vector of a document without structs.
pub const EMPTY_VECTOR: &[u8] = &[0];

/// News of at least this size are kept as a part of the update that brought them, uncopied.
const SHARED_FROM: usize = 4096;

/// A document may take twice as much memory as it may have bytes, and so many bytes more.
const SPARED_MEMORY: usize = 64 << 10;

/// What became of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// What the document lacked, as an update; it was taken in.
    pub news: Option<Bytes>,
    /// Of the news, what had waited in the document for the rest. Whoever sent the update may lack it.
    pub released: Option<Bytes>,
    /// Something else in the update refers to what the document does not have; this is one of the things it lacks.
    pub waits: Option<Id>,
}

#[derive(Clone, Debug, Default)]
pub struct Document {
    clients: BTreeMap<u64, Client>,
    types: Types,
    siblings: Siblings,
    keeps_deleted: bool,
    /// What was deleted since the last time that this was followed up.
    dirty: Vec<(u64, std::ops::Range<u32>)>,
    /// Bytes of structs.
    size: usize,
    /// Bytes of memory that the clients take around their structs.
    around: usize,
    /// Updates that cannot be taken in yet. They are a part of the document, and nobody is given them.
    pending: Vec<Bytes>,
    /// The whole document as one update, if it has not changed since that was made.
    encoded: Option<Bytes>,
    /// The state vector, encoded, if no struct has come since that was made.
    vector: OnceCell<Bytes>,
    /// All deletions as the second half of an update.
    deletions: Option<Bytes>,
}

impl Document {
    /// An empty document that keeps what is deleted, as Yjs does with `gc: false`: snapshots are made of it. Such a
    /// document only grows. In all else it is like any other.
    pub fn keeping_deleted() -> Self {
        Self { keeps_deleted: true, ..Self::default() }
    }

    /// Takes in what an update brings, if all of it may come from a client. What waits for something unknown is not
    /// kept: whoever sent it sends it again, together with what it waits for.
    ///
    /// # Errors
    /// The update would harm clients, or take the document beyond `most` bytes, or its memory beyond about twice as
    /// many. Nothing of it was taken in.
    pub fn admit(&mut self, update: &Bytes, most: usize) -> Result<Admitted, Refused> {
        self.integrate(update, Source::Client, most)
    }

    /// Takes in an update from the log or the database. What waits for something unknown is kept, and joins the document
    /// when that comes.
    ///
    /// # Errors
    /// The bytes are no update.
    pub fn take(&mut self, update: &Bytes) -> Result<Admitted, Refused> {
        match self.integrate(update, Source::Stored, usize::MAX) {
            // Old clients made such structs, which are nothing; to merge leaves them out.
            Err(Refused::EmptyStruct) => {
                let update = merge([&update[..]])?;
                self.integrate(&update, Source::Stored, usize::MAX)
            }
            taken => taken,
        }
    }

    /// Takes the database's row in. Into an empty document it goes as it is, uncopied.
    ///
    /// # Errors
    /// The row is no update.
    pub fn load(&mut self, row: &Bytes) -> Result<Admitted, Refused> {
        let fresh = self.is_untouched();
        let admitted = self.integrate(row, Source::Stored, usize::MAX);
        if admitted == Err(Refused::EmptyStruct) {
            return self.take(row);
        }
        let admitted = admitted?;
        if fresh && admitted.waits.is_none() && self.is_followed_up()? {
            self.encoded = Some(row.clone());
        }
        Ok(admitted)
    }

    /// Whether it is what these bytes hold, as [`Self::load`] has read them, and nothing else.
    pub fn is_as_loaded(&self, row: &Bytes) -> bool {
        self.encoded.as_ref().is_some_and(|encoded| encoded.as_ptr() == row.as_ptr() && encoded.len() == row.len())
    }

    /// Whether nothing was taken in.
    pub fn is_untouched(&self) -> bool {
        self.clients.is_empty() && self.pending.is_empty()
    }

    /// Whether the deletions change nothing about what was taken in.
    fn is_followed_up(&mut self) -> Result<bool, Refused> {
        if !self.keeps_deleted {
            return Ok(self.dirty.is_empty());
        }
        // Their content stays, but they may mean others that nobody has told.
        self.deletions();
        self.collect()?;
        Ok(self.deletions.is_some())
    }

    /// About the size of the encoded document, in bytes.
    pub fn bytes(&self) -> usize {
        self.size + self.pending_bytes()
    }

    /// Bytes of what waits for something unknown.
    pub fn pending_bytes(&self) -> usize {
        self.pending.iter().map(Bytes::len).sum()
    }

    /// About the memory that the document takes, in bytes. A hostile one takes many times its encoded size: each client
    /// and each type has its place in the index.
    pub fn memory(&self) -> usize {
        self.bytes() + self.around + self.types.memory()
    }

    /// Whether so many more bytes go beyond the limit, of the encoded size or of memory.
    fn is_beyond(&self, most: usize, more: usize) -> bool {
        let most_memory = most.saturating_mul(2).saturating_add(SPARED_MEMORY);
        self.bytes().saturating_add(more) > most || self.memory().saturating_add(more) > most_memory
    }

    /// How deep types are in each other; top-level types count 0.
    pub fn nesting(&self) -> u16 {
        self.types.deepest()
    }

    /// Whether the document has this element.
    pub fn knows(&self, id: Id) -> bool {
        self.clients.get(&id.client).is_some_and(|client| id.clock < client.next)
    }

    fn integrate(&mut self, update: &Bytes, source: Source, most: usize) -> Result<Admitted, Refused> {
        let types = self.types.len();
        let plan = match plan(&self.clients, &mut self.types, update, source) {
            Ok(plan) => plan,
            Err(refused) => {
                self.types.truncate(types);
                return Err(refused);
            }
        };
        let waits = plan.waits();
        if waits.is_some() && source == Source::Stored {
            self.pending.push(encode::remainder(&plan));
        }
        if !plan.brings_news() {
            return Ok(Admitted { waits, ..Admitted::default() });
        }
        let mut news = if plan.all_is_news { update.clone() } else { encode::news(&plan, update)? };
        if self.is_beyond(most, news.len()) {
            // What was deleted may make room.
            self.collect()?;
            if self.is_beyond(most, news.len()) {
                self.types.truncate(types);
                return Err(Refused::DocumentTooLarge);
            }
        }
        if source == Source::Client && !self.fits(&plan, update)? {
            self.types.truncate(types);
            return Err(Refused::Crowded);
        }
        self.commit(plan, update, source)?;
        let mut released = None;
        if !self.pending.is_empty() {
            let more = self.retry_pending()?;
            if !more.is_empty() {
                let more = merge(more.iter().map(|update| &update[..]))?;
                news = merge([&news[..], &more[..]])?;
                released = Some(more);
            }
        }
        Ok(Admitted { news: Some(news), released, waits })
    }

    /// Takes in of what waited whatever does no longer. Returns what that brought.
    fn retry_pending(&mut self) -> Result<Vec<Bytes>, Refused> {
        let mut brought = Vec::new();
        loop {
            let before = brought.len();
            for update in std::mem::take(&mut self.pending) {
                let plan = plan(&self.clients, &mut self.types, &update, Source::Stored)?;
                if plan.brings_news() {
                    brought.push(encode::news(&plan, &update)?);
                }
                if plan.waits().is_some() {
                    self.pending.push(if plan.brings_news() { encode::remainder(&plan) } else { update.clone() });
                }
                self.commit(plan, &update, Source::Stored)?;
            }
            if brought.len() == before {
                return Ok(brought);
            }
        }
    }

    /// Whether no place becomes crowded. If so, what was planned is counted.
    fn fits(&mut self, plan: &Plan<'_>, update: &[u8]) -> Result<bool, Refused> {
        let more = plan.competing();
        if !self.siblings.counts(more) {
            self.siblings.note(more);
            return Ok(true);
        }
        if self.siblings.is_stale(more) {
            let places = places(&self.siblings, self.chunks())?;
            self.siblings.recount(places.into_iter(), more);
        }
        let new = places(&self.siblings, plan.news(update))?;
        let suspects = self.siblings.add_all(&new);
        if !suspects.is_empty() {
            let all = places(&self.siblings, self.chunks())?;
            self.siblings.settle(&suspects, all.into_iter().chain(new.iter().copied()));
        }
        Ok(self.siblings.keeps(&new))
    }

    fn chunks(&self) -> impl Iterator<Item = (u64, Chunk<'_>)> {
        self.clients.iter().flat_map(|(number, client)| client.chunks().map(|chunk| (*number, chunk)))
    }

    /// Takes in what was planned.
    fn commit(&mut self, plan: Plan<'_>, update: &Bytes, source: Source) -> Result<(), Refused> {
        self.encoded = None;
        let mut bare = BTreeMap::new();
        for section in plan.sections {
            let Some(news) = section.news else { continue };
            self.vector.take();
            if source == Source::Stored {
                self.siblings.note(news.competing);
            }
            let client = self.clients.entry(section.client).or_default();
            let first = news.marks.first().map_or(0, |mark| mark.remaining);
            let length = first - news.remaining;
            // What is shared keeps all of the update in memory.
            let shared = length >= SHARED_FROM && length >= update.len() / 2 && !news.joins;
            let mut marks = news.marks.into_iter().peekable();
            while let Some(mark) = marks.next() {
                let (remaining, structs) =
                    marks.peek().map_or((news.remaining, news.structs), |next| (next.remaining, next.structs));
                let bytes = update.slice(update.len() - mark.remaining..update.len() - remaining);
                let end = marks.peek().map_or(section.next, |next| next.clock);
                // The first struct of the first block may continue the client's last one, and is joined to it then.
                let stays = shared && (mark.clock > section.known || section.known == 0);
                if stays && mark.clock == client.next {
                    self.size += bytes.len();
                    client.append_block(Block { bytes, start: mark.clock, structs: structs - mark.structs }, end);
                    continue;
                }
                let chunk = Chunk { start: mark.clock, structs: structs - mark.structs, bytes: &bytes };
                for found in chunk.structs() {
                    let (clock, found, _) = found?;
                    self.size += append(client, section.client, clock, &found)?;
                }
            }
            // Items in a type that is gone are deleted, whether or not anybody says so: also if it was gone before, since
            // whoever had it until then takes them for deleted.
            self.dirty.extend(section.orphans.iter().map(|range| (section.client, range)));
            for (run, parent) in section.index.runs(section.next) {
                if parent != index::Handle::GONE && self.types.is_gone(parent) {
                    self.dirty.push((section.client, run));
                }
            }
            client.index.extend(section.index);
            if !section.deleted.is_empty() {
                client.deleted.add_all(&section.deleted);
                bare.insert(section.client, section.deleted);
                self.deletions = None;
            }
            client.account(&mut self.around);
        }
        for (number, ranges) in plan.deletions {
            let client = self.clients.entry(number).or_default();
            client.deleted.add_all(&ranges);
            client.account(&mut self.around);
            self.deletions = None;
            // What came without its content has none to lose.
            let mut dirty = Vec::new();
            match bare.get(&number) {
                Some(bare) => ranges.iter().for_each(|range| bare.missing(range, &mut dirty)),
                None => dirty.extend(ranges.iter()),
            }
            self.dirty.extend(dirty.into_iter().map(|range| (number, range)));
        }
        Ok(())
    }
}

/// Appends what a document lacks of a struct. Returns by how many bytes that made it longer.
fn append(client: &mut Client, number: u64, clock: u32, found: &Struct<'_>) -> Result<usize, Refused> {
    let known = client.next.saturating_sub(clock);
    let piece = Piece::part(found, Id { client: number, clock }, known..found.length)?;
    client.append(number, &piece)
}

/// The places for which these structs compete.
fn places<'a>(siblings: &Siblings, chunks: impl Iterator<Item = (u64, Chunk<'a>)>) -> Result<Vec<u64>, Refused> {
    let mut places = Vec::new();
    for (client, chunk) in chunks {
        for found in chunk.structs() {
            let (clock, found, _) = found?;
            if competes(&found, Id { client, clock }) {
                places.push(siblings.place(&found));
            }
        }
    }
    Ok(places)
}
