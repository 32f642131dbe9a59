//! When which room wants to be called back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use crate::room::Now;

/// A heap for all rooms of a shard, so that a quiet room costs no timer of its own. Requests that were replaced stay
/// in it until they are due; whoever takes one compares it with what the room wants now.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    heap: BinaryHeap<Reverse<(Now, Rc<str>)>>,
}

impl Wakes {
    /// Returns whether this is the earliest now.
    pub(super) fn add(&mut self, at: Now, document: Rc<str>) -> bool {
        let earliest = self.next().is_none_or(|next| at < next);
        self.heap.push(Reverse((at, document)));
        earliest
    }

    pub(super) fn next(&self) -> Option<Now> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn take_due(&mut self, now: Now) -> Option<(Now, Rc<str>)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_is_due_first() {
        let at = Duration::from_secs;
        let mut wakes = Wakes::default();
        assert!(wakes.add(at(5), "b".into()));
        assert!(wakes.add(at(1), "a".into()));
        assert!(!wakes.add(at(7), "c".into()));
        assert_eq!(wakes.take_due(at(0)), None);
        assert_eq!(wakes.take_due(at(6)), Some((at(1), "a".into())));
        assert_eq!(wakes.take_due(at(6)), Some((at(5), "b".into())));
        assert_eq!(wakes.take_due(at(6)), None);
    }
}
