//! The CRDT as bytes: an encoded state and a tail of updates, merged only when somebody needs them whole.
//!
//! No `Doc` stays resident: most open rooms are idle most of the time, and a `Doc` costs many times its bytes. What the
//! CRDT library does with bytes from a client runs in `catch_unwind`: a bad update must not take the shard down.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, ReadTxn as _, StateVector, Transact as _, Update};

use crate::protocol::yjs::update::{self, Outline};

/// The tail is merged into the state beyond this many updates or bytes.
const TAIL_UPDATES: usize = 256;
const TAIL_BYTES: usize = 1 << 20;

/// The bytes are not what they should be: a state vector, or an update that can be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a valid Yjs update or state vector, encoding v1")]
pub struct Invalid;

/// An update without structs and deletions.
pub const EMPTY_UPDATE: &[u8] = &[0, 0];

/// The state vector of somebody who has nothing.
pub const EMPTY_VECTOR: &[u8] = &[0];

/// Whether the bytes are an update. Not with the CRDT library: it may take all memory or the whole stack to find out.
pub fn validate(update: &[u8]) -> Result<(), Invalid> {
    update::check(update).map_err(|_| Invalid)
}

#[derive(Debug, Default)]
pub struct Document {
    state: Bytes,
    /// The state's vector; None while there is no state, or one that cannot be read.
    vector: Option<Bytes>,
    /// Some of the state waits for what is not there.
    gap: bool,
    tail: Vec<Bytes>,
    tail_bytes: usize,
}

impl Document {
    /// Takes a validated update in; merges when the tail has grown long.
    ///
    /// # Errors
    /// The update does not merge, as far as that is known now. It is left out; what was there before stays.
    pub fn push(&mut self, update: Bytes) -> Result<(), Invalid> {
        self.tail_bytes += update.len();
        self.tail.push(update);
        if self.tail.len() <= TAIL_UPDATES && self.tail_bytes <= TAIL_BYTES { Ok(()) } else { self.compact() }
    }

    /// Takes the database's row in. Into an empty document it goes as it is: this code has encoded it, and building a
    /// `Doc` to encode it again is most of what opening a document would cost.
    ///
    /// # Errors
    /// The row is not an update.
    pub fn load(&mut self, row: Bytes) -> Result<(), Invalid> {
        if !self.state.is_empty() || !self.tail.is_empty() {
            validate(&row)?;
            return self.push(row);
        }
        let outline = update::outline(&row).map_err(|_| Invalid)?;
        self.set_state(row, Some(outline));
        Ok(())
    }

    /// An upper bound of the encoded size: the tail counts as it came.
    pub fn bytes(&self) -> usize {
        self.state.len() + self.tail_bytes
    }

    // In the next three a dropped update is no error of the caller's: `push` has told who brought it, if it could.

    /// The whole document as one update, with pending structs and deletions.
    pub fn encode_state(&mut self) -> Result<Bytes, Invalid> {
        self.compact().ok();
        Ok(if self.state.is_empty() { Bytes::from_static(EMPTY_UPDATE) } else { self.state.clone() })
    }

    pub fn state_vector(&mut self) -> Result<Bytes, Invalid> {
        self.compact().ok();
        if self.state.is_empty() {
            return Ok(Bytes::from_static(EMPTY_VECTOR));
        }
        self.vector.clone().ok_or(Invalid)
    }

    /// What a holder of `state_vector` lacks, with all deletions and all that is pending.
    pub fn diff(&mut self, state_vector: &[u8]) -> Result<Bytes, Invalid> {
        update::check_state_vector(state_vector).map_err(|_| Invalid)?;
        if state_vector == EMPTY_VECTOR {
            return self.encode_state();
        }
        self.compact().ok();
        if self.gap {
            // yrs leaves some of what waits out of differences, and then nobody would ever send it. Gaps are rare and
            // do not last, so whoever asks meanwhile gets everything.
            return Ok(self.state.clone());
        }
        with_doc([&self.state], |doc, _| {
            let vector = StateVector::decode_v1(state_vector).map_err(|_| Invalid)?;
            // This method and no other of yrs: the generic one leaves pending structs out.
            Ok(doc.transact().encode_state_as_update_v1(&vector).into())
        })
    }

    /// Without an outline the state cannot be read, and so not be served either, whatever is said of its gaps.
    fn set_state(&mut self, state: Bytes, outline: Option<Outline>) {
        self.gap = outline.as_ref().is_some_and(|outline| outline.gap);
        self.vector = outline.map(|outline| outline.vector.freeze());
        self.state = state;
    }

    fn set_merged(&mut self, state: Bytes) {
        let outline = update::outline(&state).ok();
        self.set_state(state, outline);
    }

    /// Merges the tail into the state. Some bytes decode and yet do not apply; they must not block the document for
    /// good, so they are dropped. Every gateway drops them, so all stay equal.
    ///
    /// # Errors
    /// The last update of the tail was dropped.
    fn compact(&mut self) -> Result<(), Invalid> {
        let tail = std::mem::take(&mut self.tail);
        self.tail_bytes = 0;
        if tail.is_empty() {
            return Ok(());
        }
        let gap = self.gap;
        let whole = with_doc(std::iter::once(&self.state).chain(&tail), |doc, waited| {
            if gap || waited { Ok(None) } else { encode(doc).map(Some) }
        });
        let state = match whole {
            Ok(Some(state)) => Ok(state),
            // yrs forgets some of what waits when more comes. To merge the bytes forgets nothing.
            Ok(None) => {
                let pieces = std::iter::once(&self.state).chain(&tail).filter(|piece| !piece.is_empty());
                merge(pieces.map(|piece| &piece[..]))
            }
            Err(invalid) => Err(invalid),
        };
        if let Ok(state) = state {
            self.set_merged(state);
            return Ok(());
        }
        let mut last = Ok(());
        for update in &tail {
            last = with_doc([&self.state, update], |doc, _| encode(doc)).map(|state| self.set_merged(state));
        }
        last
    }
}

fn encode(doc: &Doc) -> Result<Bytes, Invalid> {
    Ok(doc.transact().encode_state_as_update_v1(&StateVector::default()).into())
}

/// Gives `work` a document that is all of these, and whether one had to wait for another.
fn with_doc<'a, T>(
    updates: impl IntoIterator<Item = &'a Bytes>,
    work: impl FnOnce(&Doc, bool) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    guarded(|| {
        let doc = Doc::new();
        let mut waited = false;
        {
            let mut transaction = doc.transact_mut();
            for update in updates.into_iter().filter(|update| !update.is_empty()) {
                let update = Update::decode_v1(update).map_err(|_| Invalid)?;
                transaction.apply_update(update).map_err(|_| Invalid)?;
                waited |= transaction.has_missing_updates();
            }
        }
        work(&doc, waited)
    })
}

/// One update that is all of these.
pub fn merge<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Bytes, Invalid> {
    let updates: Vec<&[u8]> = updates.into_iter().collect();
    guarded(|| yrs::merge_updates_v1(&updates).map(Bytes::from).map_err(|_| Invalid))
}

fn guarded<T>(work: impl FnOnce() -> Result<T, Invalid>) -> Result<T, Invalid> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Invalid))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use yrs::{GetString as _, Text as _};

    use super::*;

    fn edits(count: usize) -> (Doc, Vec<Bytes>) {
        let doc = Doc::new();
        let text = doc.get_or_insert_text("t");
        let updates = (0..count)
            .map(|_| {
                let mut transaction = doc.transact_mut();
                text.insert(&mut transaction, 0, "x");
                transaction.encode_update_v1().into()
            })
            .collect();
        (doc, updates)
    }

    fn text_of(update: &[u8]) -> String {
        let doc = Doc::new();
        let text = doc.get_or_insert_text("t");
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
        text.get_string(&doc.transact())
    }

    #[test]
    fn updates_come_back_whole_beyond_the_tail_limit() {
        let mut document = Document::default();
        for update in edits(TAIL_UPDATES + 5).1 {
            document.push(update).unwrap();
        }
        assert!(document.tail.len() < 10);
        assert_eq!(text_of(&document.encode_state().unwrap()).len(), TAIL_UPDATES + 5);
    }

    /// Three people who see each other's edits, as updates; some are deletions.
    fn conversation(choices: impl Iterator<Item = u8>) -> Vec<Bytes> {
        let docs: Vec<Doc> = (1..=3).map(Doc::with_client_id).collect();
        let write = |choice: u8| {
            let doc = &docs[usize::from(choice) % docs.len()];
            let text = doc.get_or_insert_text("t");
            let mut transaction = doc.transact_mut();
            let length = text.len(&transaction);
            let at = u32::from(choice) % (length + 1);
            if choice.is_multiple_of(5) && at < length {
                text.remove_range(&mut transaction, at, 1);
            } else {
                text.insert(&mut transaction, at, "x");
            }
            let update = transaction.encode_update_v1();
            drop(transaction);
            for other in &docs {
                other.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
            }
            Bytes::from(update)
        };
        choices.map(write).collect()
    }

    proptest! {
        /// Also when some of what the document has waits for an update that it does not have.
        #[test]
        fn a_difference_and_the_updates_that_neither_had_make_the_whole(
            choices in proptest::collection::vec(any::<(u8, bool)>(), 1..40),
            common in 0..40_usize,
        ) {
            let updates = conversation(choices.iter().map(|(choice, _)| *choice));
            let (mut document, mut holder, mut missing) = (Document::default(), Document::default(), Vec::new());
            for (index, (update, (_, has))) in updates.iter().zip(&choices).enumerate() {
                match (index < common, has) {
                    (true, _) => {
                        document.push(update.clone()).unwrap();
                        holder.push(update.clone()).unwrap();
                    }
                    (false, true) => document.push(update.clone()).unwrap(),
                    (false, false) => missing.push(update),
                }
            }
            let vector = document.state_vector().unwrap();
            let state = document.encode_state().unwrap();
            let known = |vector: &[u8]| -> BTreeSet<(u64, u32)> {
                let vector = StateVector::decode_v1(vector).unwrap();
                vector.iter().map(|(client, clock)| (client.get(), *clock)).collect()
            };
            let of_yrs = yrs::encode_state_vector_from_update_v1(&state).unwrap();
            prop_assert_eq!(known(&vector), known(&of_yrs));
            let difference = document.diff(&holder.state_vector().unwrap()).unwrap();
            holder.push(difference).unwrap();
            missing.into_iter().for_each(|update| holder.push(update.clone()).unwrap());
            let mut whole = Document::default();
            updates.iter().for_each(|update| whole.push(update.clone()).unwrap());
            prop_assert_eq!(text_of(&holder.encode_state().unwrap()), text_of(&whole.encode_state().unwrap()));
        }
    }

    #[test]
    fn an_update_that_waits_for_another_is_kept() {
        let (_, updates) = edits(2);
        let mut document = Document::default();
        document.push(updates[1].clone()).unwrap();
        let mut copy = Document::default();
        copy.push(document.encode_state().unwrap()).unwrap();
        copy.push(updates[0].clone()).unwrap();
        assert_eq!(text_of(&copy.encode_state().unwrap()), "xx");
    }

    #[test]
    fn the_vector_says_what_the_crdt_says_also_with_gaps_and_deletions() {
        use yrs::updates::encoder::Encode as _;

        let (doc, mut updates) = edits(5);
        let text = doc.get_or_insert_text("t");
        let mut transaction = doc.transact_mut();
        text.remove_range(&mut transaction, 1, 2);
        updates.push(transaction.encode_update_v1().into());
        drop(transaction);
        updates.remove(3);
        let mut document = Document::default();
        for update in updates {
            document.push(update).unwrap();
            let copy = Doc::new();
            copy.transact_mut().apply_update(Update::decode_v1(&document.encode_state().unwrap()).unwrap()).unwrap();
            assert_eq!(document.state_vector().unwrap(), copy.transact().state_vector().encode_v1());
        }
    }

    #[test]
    fn a_row_is_served_as_it_is_and_edits_come_on_top() {
        let (_, updates) = edits(3);
        let mut before = Document::default();
        before.push(updates[0].clone()).unwrap();
        let row = before.encode_state().unwrap();
        let mut document = Document::default();
        document.load(row.clone()).unwrap();
        assert_eq!(document.diff(EMPTY_VECTOR).unwrap(), row);
        document.push(updates[1].clone()).unwrap();
        document.load(updates[2].clone()).unwrap();
        assert_eq!(text_of(&document.encode_state().unwrap()), "xxx");
        assert_eq!(Document::default().load(Bytes::from_static(&[9])), Err(Invalid));
    }

    #[test]
    fn a_difference_holds_deletions_that_the_vector_does_not_show() {
        let (doc, updates) = edits(1);
        let mut document = Document::default();
        document.push(updates[0].clone()).unwrap();
        let vector = document.state_vector().unwrap();
        let text = doc.get_or_insert_text("t");
        let mut transaction = doc.transact_mut();
        text.remove_range(&mut transaction, 0, 1);
        document.push(transaction.encode_update_v1().into()).unwrap();
        assert_ne!(document.diff(&vector).unwrap(), EMPTY_UPDATE);
    }

    #[test]
    fn an_update_that_does_not_apply_is_dropped_and_blocks_nothing() {
        let (_, updates) = edits(3);
        let mut document = Document::default();
        document.push(updates[0].clone()).unwrap();
        // `push` takes whatever it is given as long as the tail is short; these bytes fail when they are merged.
        document.push(Bytes::from_static(&[1, 1, 0xff])).unwrap();
        document.push(updates[1].clone()).unwrap();
        assert_eq!(document.diff(&[0xff]), Err(Invalid));
        document.push(updates[2].clone()).unwrap();
        assert!(document.state_vector().is_ok());
        assert_eq!(text_of(&document.encode_state().unwrap()), "xxx");
    }

    #[test]
    fn junk_is_invalid_and_does_not_panic() {
        assert_eq!(validate(EMPTY_UPDATE), Ok(()));
        for junk in [&[][..], &[1], &[1, 1, 0xff], &[0xff; 9]] {
            assert_eq!(validate(junk), Err(Invalid), "{junk:?}");
            assert_eq!(Document::default().diff(junk), Err(Invalid), "{junk:?}");
        }
    }
}
