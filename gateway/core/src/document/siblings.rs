//! How many insertions compete for one place. Each costs the gateway nothing, and a Yjs client as many steps as there are
//! others already, so what four thousand cost is the most that one client may ask of the others.
//!
//! Insertions compete if they have the same origin, the same right origin and, without either, the same parent and key.
//! An editor makes one of those for each gap between two elements that it sees; so there are as many as people who
//! insert there without knowing of each other.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use super::refused::Refused;
use super::structs::{Id, Struct};

/// Insertions that may compete for one place.
pub const MAX_SIBLINGS: u32 = 4096;

/// Places that share a counter, on average and at most.
const SHARE: usize = 64;

/// So many competing insertions get a counter of their own once that which they share is full. What is left in that is
/// hardly ever full again: the places would have to be several that share it by chance.
const OWN_COUNTER: u32 = MAX_SIBLINGS / 4;

/// A place, hashed with a key that nobody outside of the process knows.
type Place = u64;

/// The insertions of one update by the places for which they compete.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    random: RandomState,
    counts: HashMap<Place, u32>,
}

impl Crowds {
    /// # Errors
    /// It is one too many for its place, whatever is there already.
    pub(super) fn add(&mut self, found: &Struct<'_>) -> Result<(), Refused> {
        let count = self.counts.entry(place(&self.random, found)).or_default();
        *count += 1;
        if *count > MAX_SIBLINGS { Err(Refused::Crowded) } else { Ok(()) }
    }
}

fn place(random: &RandomState, found: &Struct<'_>) -> Place {
    let id = |id: Option<Id>| id.map(|id| (id.client, id.clock));
    random.hash_one((id(found.origin), id(found.right), found.place))
}

/// Counts insertions by place. A document with fewer than [`MAX_SIBLINGS`] places needs no counters, and one with more a
/// few bytes for each hundred.
#[derive(Clone, Debug, Default)]
pub(super) struct Siblings {
    random: RandomState,
    /// All insertions that were noted.
    noted: usize,
    /// Each is the sum of several places' counts.
    counters: Vec<u16>,
    /// Places whose counter was full, with their own counts.
    crowded: HashMap<Place, u32>,
}

/// Whether a struct competes with others. What continues its client's own insertion before it is alone there: that is
/// most of a text.
pub(super) fn competes(found: &Struct<'_>, id: Id) -> bool {
    found.info != super::structs::GC
        && found.origin.is_none_or(|origin| origin.client != id.client || origin.clock.wrapping_add(1) != id.clock)
}

impl Siblings {
    pub(super) fn place(&self, found: &Struct<'_>) -> Place {
        place(&self.random, found)
    }

    /// Whether so many more may make one place crowded. As long as not, [`Self::note`] is enough.
    pub(super) fn counts(&self, more: usize) -> bool {
        self.noted + more > MAX_SIBLINGS as usize
    }

    /// Notes insertions that need not be counted by place.
    pub(super) fn note(&mut self, more: usize) {
        self.noted += more;
    }

    /// Whether the counters must be made anew, from all places of the document.
    pub(super) fn is_stale(&self, more: usize) -> bool {
        self.counters.len() * SHARE < self.noted + more
    }

    /// Makes counters for the document's places and for so many more.
    pub(super) fn recount(&mut self, places: impl Iterator<Item = Place>, more: usize) {
        self.counters = vec![0; 2 * (self.noted + more) / SHARE + 1];
        self.crowded.clear();
        places.for_each(|place| self.add(place, 1));
    }

    /// Counts insertions at these places. Returns the places that may be crowded now, and must be counted by themselves
    /// ([`Self::settle`]).
    pub(super) fn add_all(&mut self, places: &[Place]) -> HashSet<Place> {
        places.iter().for_each(|place| self.add(*place, 1));
        let full = |place: &&Place| !self.crowded.contains_key(place) && self.counter(**place) > MAX_SIBLINGS;
        places.iter().filter(full).copied().collect()
    }

    /// Gives suspects counters of their own, if they deserve it. `all`: the places of the document and of what is added.
    pub(super) fn settle(&mut self, suspects: &HashSet<Place>, all: impl Iterator<Item = Place>) {
        let mut counts: HashMap<Place, u32> = HashMap::new();
        all.filter(|place| suspects.contains(place)).for_each(|place| *counts.entry(place).or_default() += 1);
        for (place, count) in counts {
            if count > OWN_COUNTER {
                self.add(place, -i64::from(count));
                self.crowded.insert(place, count);
            }
        }
    }

    /// Whether these places, which were added, have room for that. If not, they are taken out again.
    pub(super) fn keeps(&mut self, places: &[Place]) -> bool {
        let fits = places.iter().all(|place| self.crowded.get(place).is_none_or(|count| *count <= MAX_SIBLINGS));
        if fits {
            self.noted += places.len();
        } else {
            places.iter().for_each(|place| self.add(*place, -1));
        }
        fits
    }

    fn counter(&self, place: Place) -> u32 {
        self.counters[place as usize % self.counters.len()].into()
    }

    fn add(&mut self, place: Place, more: i64) {
        if let Some(count) = self.crowded.get_mut(&place) {
            *count = (i64::from(*count) + more).max(0) as u32;
        } else {
            let index = place as usize % self.counters.len();
            self.counters[index] = (i64::from(self.counters[index]) + more).clamp(0, u16::MAX.into()) as u16;
        }
    }
}
