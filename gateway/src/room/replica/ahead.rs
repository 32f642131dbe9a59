//! What a row has brought before the log has told it.
//!
//! A row may hold an update whose append is still on its way. It is told to the sessions with the row, and must not be
//! told a second time when its entry is heard. Yjs would ignore it; counting it would be wrong, and sending it is waste.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::protocol::yjs::update::insertions;

/// More authors than this in one row are told twice rather than remembered.
const AUTHORS: usize = 1024;

/// Of each author, the clocks that were told with a row.
#[derive(Debug, Default)]
pub(super) struct Ahead(BTreeMap<u64, Range<u32>>);

impl Ahead {
    /// `news` was told with a row.
    pub(super) fn note(&mut self, news: &[u8]) {
        let Ok(news) = insertions(news) else { return };
        for (client, clocks) in news.clocks {
            match self.0.get_mut(&client) {
                Some(known) if known.end == clocks.start => known.end = clocks.end,
                _ => drop(self.0.insert(client, clocks)),
            }
        }
        if self.0.len() > AUTHORS {
            self.0.clear();
        }
    }

    /// Whether all of an entry was told with a row. What an author's log has come to is forgotten.
    pub(super) fn told(&mut self, entry: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Ok(entry) = insertions(entry) else { return false };
        let told = entry.complete
            && entry.clocks.iter().all(|(client, clocks)| {
                self.0.get(client).is_some_and(|known| known.start <= clocks.start && clocks.end <= known.end)
            });
        for (client, clocks) in &entry.clocks {
            if self.0.get(client).is_some_and(|known| known.end <= clocks.end) {
                self.0.remove(client);
            }
        }
        told
    }
}
