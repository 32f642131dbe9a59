//! Local updates that are in no log yet, in order. How many bytes they are is asked at each input, so it is kept.

use std::collections::VecDeque;
use std::ops::Deref;

use bytes::Bytes;

/// A local update that is in no log yet.
#[derive(Debug)]
pub(super) struct Item {
    /// The room's `taken` when it came. 0: the log lost it, or needs it, and everything waits for it.
    pub(super) seq: u64,
    pub(super) update: Bytes,
}

/// Read like the `VecDeque` that it is; changed by its own methods alone.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push_back(&mut self, item: Item) {
        self.insert(self.items.len(), item);
    }

    pub(super) fn push_front(&mut self, item: Item) {
        self.insert(0, item);
    }

    pub(super) fn insert(&mut self, index: usize, item: Item) {
        self.bytes += item.update.len();
        self.items.insert(index, item);
    }

    /// Removes the first `count`.
    pub(super) fn remove_front(&mut self, count: usize) {
        self.bytes -= self.items.drain(..count).map(|item| item.update.len()).sum::<usize>();
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Deref for Queue {
    type Target = VecDeque<Item>;

    fn deref(&self) -> &Self::Target {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn its_bytes_are_those_of_its_items(steps in prop::collection::vec(any::<(u8, u8, u8)>(), 0..60)) {
            let mut queue = Queue::default();
            for (step, at, length) in steps {
                let item = Item { seq: 0, update: vec![0; length.into()].into() };
                match step % 5 {
                    0 | 1 => queue.push_back(item),
                    2 => queue.push_front(item),
                    3 => queue.insert(usize::from(at) % (queue.len() + 1), item),
                    _ => queue.remove_front(usize::from(at) % (queue.len() + 1)),
                }
                prop_assert_eq!(queue.bytes(), queue.iter().map(|item| item.update.len()).sum::<usize>());
            }
            queue.remove_front(queue.len());
            prop_assert_eq!(queue.bytes(), 0);
        }
    }
}
