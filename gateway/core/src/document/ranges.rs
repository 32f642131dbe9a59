//! A set of clocks as sorted ranges that neither overlap nor touch.

use std::ops::Range;

/// So many new ranges are inserted one by one; more are merged in one pass, or the insertions would take quadratic time.
const FEW: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Range<u32>>);

impl Ranges {
    /// The set that is made of these ranges, in any order. Empty ranges are left out.
    pub(super) fn of(mut list: Vec<Range<u32>>) -> Self {
        list.sort_unstable_by_key(|range| range.start);
        let mut set = Self(Vec::with_capacity(list.len()));
        for range in list {
            set.append(range);
        }
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What it takes in memory.
    pub(super) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Range<u32>>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u32>> {
        self.0.iter().cloned()
    }

    /// Adds a range that begins nowhere before the last one.
    pub(super) fn append(&mut self, range: Range<u32>) {
        match self.0.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }

    /// The ranges that end behind `clock`, in order.
    pub(super) fn behind(&self, clock: u32) -> impl Iterator<Item = Range<u32>> {
        self.0[self.0.partition_point(|range| range.end <= clock)..].iter().cloned()
    }

    /// Appends to `found` the parts of `range` that are not in the set, in order.
    pub(super) fn missing(&self, range: Range<u32>, found: &mut Vec<Range<u32>>) {
        let mut from = range.start;
        for known in self.behind(range.start) {
            if known.start >= range.end {
                break;
            }
            if from < known.start {
                found.push(from..known.start);
            }
            from = known.end;
        }
        if from < range.end {
            found.push(from..range.end);
        }
    }

    pub(super) fn add_all(&mut self, more: &Self) {
        if more.len() <= FEW {
            return more.iter().for_each(|range| self.add(range));
        }
        let (mut left, mut right) = (std::mem::take(&mut self.0).into_iter().peekable(), more.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let next = if a.start <= b.start { left.next() } else { right.next() };
            next.into_iter().for_each(|range| self.append(range));
        }
        left.chain(right).for_each(|range| self.append(range));
    }

    fn add(&mut self, range: Range<u32>) {
        let first = self.0.partition_point(|known| known.end < range.start);
        let last = self.0.partition_point(|known| known.start <= range.end);
        let touched = self.0.get(first..last).filter(|touched| !touched.is_empty());
        let whole = touched.map_or(range.clone(), |touched| {
            touched[0].start.min(range.start)..touched[touched.len() - 1].end.max(range.end)
        });
        self.0.splice(first..last.max(first), [whole]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn list() -> impl Strategy<Value = Vec<Range<u32>>> {
        prop::collection::vec((0..60_u32, 1..8_u32).prop_map(|(from, length)| from..from + length), 0..20)
    }

    fn clocks(list: impl Iterator<Item = Range<u32>>) -> BTreeSet<u32> {
        list.flatten().collect()
    }

    proptest! {
        #[test]
        fn a_union_has_what_either_has(one in list(), other in list(), asked in 0..70_u32) {
            let (mut set, more) = (Ranges::of(one.clone()), Ranges::of(other.clone()));
            set.add_all(&more);
            let expected = clocks(one.into_iter().chain(other));
            prop_assert_eq!(clocks(set.iter()), expected.clone());
            prop_assert!(set.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{:?}", set);
            let mut missing = Vec::new();
            set.missing(asked..asked + 9, &mut missing);
            let absent: BTreeSet<u32> = (asked..asked + 9).filter(|clock| !expected.contains(clock)).collect();
            prop_assert_eq!(clocks(missing.into_iter()), absent);
        }
    }
}
