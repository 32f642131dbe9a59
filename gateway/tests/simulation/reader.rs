//! What somebody reads who has nothing but these updates.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use editorcluster_core::document::Document;
use editorcluster_core::lib0::Reader;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{Doc, GetString as _, IdSet, StateVector, Transact as _, Update};

use crate::stranger::{is_read_by_yrs, is_twin};

/// The structs that a document has, and which of them are deleted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Of each client, how many.
    pub(crate) clocks: BTreeMap<u64, u32>,
    /// But for those of a client that is used twice: whether such a struct is deleted depends on which of two it is.
    deletions: BTreeMap<u64, Vec<Range<u64>>>,
}

/// The document that these updates make. It must be whole: what waits for something would wait for good.
pub(crate) fn document_of<'a>(updates: impl IntoIterator<Item = &'a Bytes>) -> Document {
    let mut document = Document::default();
    for update in updates {
        must!(document.take(update).is_ok(), "what was stored is no update: {update:?}");
    }
    must!(document.pending_bytes() == 0, "what was stored waits for what nobody has");
    document
}

/// What an update deletes, but for structs of a client that is used twice. None if it brings structs.
pub(crate) fn only_deletions(update: &Bytes) -> Option<BTreeMap<u64, Vec<Range<u64>>>> {
    let mut reader = Reader::new(update);
    let mut number = || reader.var_uint().expect("it was encoded");
    if number() != 0 {
        return None;
    }
    let mut found = BTreeMap::new();
    for _ in 0..number() {
        let client = number();
        let ranges = (0..number()).map(|_| (number(), number())).map(|(from, length)| from..from + length);
        let ranges: Vec<_> = ranges.collect();
        if !is_twin(client) {
            found.insert(client, ranges);
        }
    }
    Some(found)
}

impl Contents {
    pub(crate) fn of(document: &mut Document) -> Self {
        // Then it has drawn all conclusions from what is deleted.
        document.encode_state().expect("it is a document");
        let vector = document.state_vector();
        let deletions = document.diff(&vector).expect("it is its own vector");
        let deletions = only_deletions(&deletions).expect("nobody lacks anything of oneself");
        Self { clocks: clocks_of(&StateVector::decode_v1(&vector).expect("it was encoded")), deletions }
    }

    /// How many structs of each client somebody has who uses yrs.
    pub(crate) fn clocks_in_yrs(&self) -> BTreeMap<u64, u32> {
        self.clocks.iter().filter(|(client, _)| is_read_by_yrs(**client)).map(|(a, b)| (*a, *b)).collect()
    }
}

pub(crate) fn clocks_of(vector: &StateVector) -> BTreeMap<u64, u32> {
    vector.iter().map(|(client, clock)| (client.get(), *clock)).collect()
}

/// The text that these updates make.
pub(crate) fn text_of<'a>(updates: impl IntoIterator<Item = &'a Bytes>) -> String {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("t");
    for update in updates {
        doc.transact_mut().apply_update(for_yrs(update)).unwrap();
    }
    text.get_string(&doc.transact())
}

/// An update without what yrs does not read. Clients never refer to that.
pub(crate) fn for_yrs(update: &Bytes) -> Update {
    let decoded = Update::decode_v1(update).unwrap();
    let (insertions, deletions) = (decoded.insertions(true), decoded.delete_set());
    let clients = insertions.client_ids().chain(deletions.client_ids());
    let unread: BTreeSet<_> = clients.filter(|client| !is_read_by_yrs(client.get())).collect();
    if unread.is_empty() {
        return decoded;
    }
    let everything = StateVector::new(unread.iter().map(|client| (*client, u32::MAX)).collect());
    let mut bytes = yrs::diff_updates_v1(update, &everything.encode_v1()).unwrap();
    // yrs writes the deletions last.
    bytes.truncate(bytes.len() - deletions.encode_v1().len());
    let everything = IdSet::from_iter(unread.into_iter().map(|client| (client, std::iter::once(0..u32::MAX))));
    bytes.extend(deletions.diff(&everything).encode_v1());
    Update::decode_v1(&bytes).unwrap()
}
