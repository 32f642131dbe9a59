//! Which parts of two lists differ.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use similar::{Algorithm, DiffTag, capture_diff_slices};

/// Between what both lists begin and end with, more than this is replaced as a whole: the search for the shortest
/// difference takes the square of its length.
const SEARCHED: usize = 20_000;

/// A part of the old list and what stands there in the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

/// The changes, from the last to the first: applied in this order, the old list's indices stay right.
pub(super) fn changes<T: Hash + Eq>(old: &[T], new: &[T]) -> Vec<Change> {
    let mut known = HashMap::new();
    let mut number = |item| {
        let next = known.len() as u32;
        *known.entry(item).or_insert(next)
    };
    let old: Vec<u32> = old.iter().map(&mut number).collect();
    let new: Vec<u32> = new.iter().map(&mut number).collect();

    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    if old.is_empty() && new.is_empty() {
        return Vec::new();
    }
    if old.len() + new.len() > SEARCHED {
        return vec![Change { old: head..head + old.len(), new: head..head + new.len() }];
    }
    // A change is what lies between two equal parts.
    let (mut changes, mut done) = (Vec::new(), (0, 0));
    let equal = capture_diff_slices(Algorithm::Myers, old, new).into_iter().filter(|op| op.tag() == DiffTag::Equal);
    let parts = equal.map(|op| (op.old_range(), op.new_range()));
    for (same_old, same_new) in parts.chain([(old.len()..old.len(), new.len()..new.len())]) {
        let change = Change { old: head + done.0..head + same_old.start, new: head + done.1..head + same_new.start };
        if !(change.old.is_empty() && change.new.is_empty()) {
            changes.push(change);
        }
        done = (same_old.end, same_new.end);
    }
    changes.reverse();
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn applied(old: &[u8], new: &[u8]) -> Vec<u8> {
        let mut result = old.to_vec();
        for change in changes(old, new) {
            result.splice(change.old, new[change.new].iter().copied());
        }
        result
    }

    proptest! {
        #[test]
        fn the_changes_lead_from_the_old_list_to_the_new(old: Vec<u8>, new: Vec<u8>, kinds in 1..=255u8) {
            let fewer = |list: Vec<u8>| list.into_iter().map(|n| n % kinds).collect::<Vec<_>>();
            let (old, new) = (fewer(old), fewer(new));
            prop_assert_eq!(applied(&old, &new), new);
        }
    }

    #[test]
    fn long_lists_keep_what_both_begin_and_end_with() {
        let old: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
        let mut new = old.clone();
        new[100] = 255;
        new[59_000] = 255;
        assert_eq!(changes(&old, &new), [Change { old: 100..59_001, new: 100..59_001 }]);
        assert_eq!(changes(&old, &old), []);
    }
}
