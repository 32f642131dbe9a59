//! In which type each struct of a client is, and which of its items are types.

/// Names a type within its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Handle(u32);

impl Handle {
    /// No type: Yjs makes a GC struct of an item in it.
    pub(super) const GONE: Self = Self(0);
    /// Any of the top-level types, which are never deleted.
    pub(super) const ROOT: Self = Self(1);
}

#[derive(Clone, Copy, Debug)]
struct Type {
    /// Top-level types have 0.
    depth: u16,
    deleted: bool,
}

/// All types that items have made in a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Types(Vec<Type>);

impl Types {
    const FIRST: u32 = 2;

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What they take in memory.
    pub(super) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Type>()
    }

    /// Forgets the types that were added beyond the first `length`.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    fn get(&self, handle: Handle) -> Option<&Type> {
        self.0.get(handle.0.checked_sub(Self::FIRST)? as usize)
    }

    /// A new type inside of another one.
    pub(super) fn add(&mut self, parent: Handle) -> Handle {
        let depth = self.depth(parent).saturating_add(1);
        self.0.push(Type { depth, deleted: false });
        Handle(Self::FIRST + (self.0.len() - 1) as u32)
    }

    pub(super) fn depth(&self, handle: Handle) -> u16 {
        self.get(handle).map_or(0, |found| found.depth)
    }

    pub(super) fn deepest(&self) -> u16 {
        self.0.iter().map(|found| found.depth).max().unwrap_or(0)
    }

    /// Whether items in it are no part of the document's content.
    pub(super) fn is_gone(&self, handle: Handle) -> bool {
        handle == Handle::GONE || self.get(handle).is_some_and(|found| found.deleted)
    }

    /// Marks a type as deleted. False if it was.
    pub(super) fn delete(&mut self, handle: Handle) -> bool {
        let found = handle.0.checked_sub(Self::FIRST).and_then(|index| self.0.get_mut(index as usize));
        found.is_some_and(|found| !std::mem::replace(&mut found.deleted, true))
    }
}

/// What is known of one client's structs beside their bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// From each of these clocks on, up to the next one, the structs are in this type.
    parents: Vec<(u32, Handle)>,
    /// The items that are types, by clock.
    types: Vec<(u32, Handle)>,
}

impl Index {
    /// The struct at `clock`, behind all that were noted, is in `parent`.
    pub(super) fn note(&mut self, clock: u32, parent: Handle) {
        if self.parents.last().is_none_or(|(_, last)| *last != parent) {
            self.parents.push((clock, parent));
        }
    }

    pub(super) fn note_type(&mut self, clock: u32, handle: Handle) {
        self.types.push((clock, handle));
    }

    /// Takes in what is known of structs behind all that were noted.
    pub(super) fn extend(&mut self, more: Self) {
        for (clock, parent) in more.parents {
            self.note(clock, parent);
        }
        self.types.extend(more.types);
    }

    /// The type in which the struct at `clock` is.
    pub(super) fn parent_at(&self, clock: u32) -> Handle {
        match self.parents.partition_point(|(from, _)| *from <= clock) {
            0 => Handle::GONE,
            behind => self.parents[behind - 1].1,
        }
    }

    /// The type that the item at `clock` is.
    pub(super) fn type_at(&self, clock: u32) -> Option<Handle> {
        self.types.binary_search_by_key(&clock, |(at, _)| *at).ok().map(|found| self.types[found].1)
    }

    /// The types among the structs of these clocks.
    pub(super) fn types_in(&self, clocks: &std::ops::Range<u32>) -> impl Iterator<Item = Handle> {
        let from = self.types.partition_point(|(at, _)| *at < clocks.start);
        let to = self.types.partition_point(|(at, _)| *at < clocks.end);
        self.types[from..to.max(from)].iter().map(|(_, handle)| *handle)
    }

    /// Each run of structs that are in one type, as clocks; the last one ends at `next`.
    pub(super) fn runs(&self, next: u32) -> impl Iterator<Item = (std::ops::Range<u32>, Handle)> {
        let ends = self.parents.iter().skip(1).map(|(from, _)| *from).chain([next]);
        self.parents.iter().zip(ends).map(|((from, parent), end)| (*from..end, *parent))
    }

    /// What it takes in memory.
    pub(super) fn memory(&self) -> usize {
        (self.parents.capacity() + self.types.capacity()) * size_of::<(u32, Handle)>()
    }

    pub(super) fn shrink(&mut self) {
        self.parents.shrink_to_fit();
        self.types.shrink_to_fit();
    }
}
