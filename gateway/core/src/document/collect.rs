//! What was deleted loses its content, as Yjs' garbage collection does it, unless the document keeps that.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::Document;
use super::index::Handle;
use super::ranges::Ranges;
use super::refused::Refused;

impl Document {
    /// Takes out the content of all that was deleted since the last time, and marks what is deleted together with it. It
    /// takes as long as what is in the blocks that hold it, and once through the index if types were deleted.
    ///
    /// # Errors
    /// The document's own bytes are no structs.
    pub(super) fn collect(&mut self) -> Result<(), Refused> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let mut dirty: BTreeMap<u64, Vec<Range<u32>>> = BTreeMap::new();
        for (client, range) in std::mem::take(&mut self.dirty) {
            dirty.entry(client).or_default().push(range);
        }
        let mut gone = Vec::new();
        for (client, ranges) in &dirty {
            let Some(found) = self.clients.get(client) else { continue };
            let types = ranges.iter().flat_map(|range| found.index.types_in(range));
            gone.extend(types.filter(|handle| self.types.delete(*handle)));
        }
        if !gone.is_empty() {
            for (client, range) in self.contents_of(gone) {
                dirty.entry(client).or_default().push(range);
            }
        }
        for (number, ranges) in dirty {
            let Some(client) = self.clients.get_mut(&number) else { continue };
            let ranges = Ranges::of(ranges);
            let mut news = Vec::new();
            ranges.iter().for_each(|range| client.deleted.missing(range, &mut news));
            if !news.is_empty() {
                client.deleted.add_all(&ranges);
                self.deletions = None;
            }
            if !self.keeps_deleted {
                let before = client.bytes();
                client.collect(number, &ranges, &self.types)?;
                self.size = (self.size + client.bytes()).saturating_sub(before);
            }
            client.account(&mut self.around);
        }
        Ok(())
    }

    /// All structs in types that were deleted, and in types in those. Yjs deletes them together with the type
    /// (`ContentType.delete`), also those that it did not know of at that time (`Item.integrate`).
    fn contents_of(&mut self, mut gone: Vec<Handle>) -> Vec<(u64, Range<u32>)> {
        let mut runs: HashMap<Handle, Vec<(u64, Range<u32>)>> = HashMap::new();
        for (client, found) in &self.clients {
            for (run, parent) in found.index.runs(found.next) {
                if parent > Handle::ROOT {
                    runs.entry(parent).or_default().push((*client, run));
                }
            }
        }
        let mut contents = Vec::new();
        while let Some(handle) = gone.pop() {
            for (client, run) in runs.remove(&handle).unwrap_or_default() {
                let Some(found) = self.clients.get(&client) else { continue };
                gone.extend(found.index.types_in(&run).filter(|inner| self.types.delete(*inner)));
                contents.push((client, run));
            }
        }
        contents
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const TYPE: Bytes = Bytes::from_static(&[1, 1, 7, 0, 7, 1, 1, b'h', 0, 0]);
    const ITS_DELETION: Bytes = Bytes::from_static(&[0, 1, 7, 1, 0, 1]);
    const ITEM_IN_IT: Bytes = Bytes::from_static(&[1, 1, 8, 0, 4, 0, 7, 0, 1, b'x', 0]);

    #[test]
    fn an_item_in_a_type_that_was_collected_is_deleted_too() {
        let (mut had, mut reads) = (Document::default(), Document::default());
        for update in [&TYPE, &ITEM_IN_IT, &ITS_DELETION] {
            had.take(update).expect("it is an update");
        }
        for update in [&TYPE, &ITS_DELETION] {
            reads.take(update).expect("it is an update");
        }
        let row = reads.encode_state().expect("it is a document");
        let mut cold = Document::default();
        for document in [&mut reads, &mut cold] {
            document.load(&row).expect("it is an update");
            document.take(&ITEM_IN_IT).expect("it is an update");
            assert_eq!(document.encode_state(), had.encode_state());
        }
    }
}
