//! Random sessions of three people whose documents are yrs', which is used as Yjs is in `e2e/clients/differential`.

use proptest::prelude::*;
use yrs::updates::encoder::Encode as _;
use yrs::{ClientID, OffsetKind, Options, ReadTxn as _, StateVector};

use super::*;

/// Three people who see each other's edits, as updates; some are deletions.
fn conversation(choices: &[(u8, u8)]) -> Vec<Bytes> {
    let person = |client: u64| {
        let options = Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(ClientID::new(client)) };
        Doc::with_options(options)
    };
    let docs: Vec<Doc> = (1..=3).map(person).collect();
    let write = |&(who, at): &(u8, u8)| {
        let doc = &docs[usize::from(who) % docs.len()];
        let text = doc.get_or_insert_text("t");
        let mut transaction = doc.transact_mut();
        let length = text.len(&transaction);
        let at = u32::from(at) % (length + 1);
        if who.is_multiple_of(5) && at < length {
            text.remove_range(&mut transaction, at, (length - at).min(u32::from(who) % 7 + 1));
        } else {
            text.insert(&mut transaction, at, "xé");
        }
        let update = transaction.encode_update_v1();
        drop(transaction);
        for other in &docs {
            other.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
        }
        Bytes::from(update)
    };
    choices.iter().map(write).collect()
}

fn truth(updates: &[Bytes]) -> Doc {
    let doc = Doc::new();
    for update in updates {
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
    doc
}

fn vector_of(update: &[u8]) -> StateVector {
    truth(&[Bytes::copy_from_slice(update)]).transact().state_vector()
}

proptest! {
    /// In any order, each some times over, some of them lost; and read again from a row in between.
    #[test]
    fn what_a_document_is_does_not_depend_on_the_way_it_came(
        choices in prop::collection::vec(any::<(u8, u8)>(), 1..60),
        order in any::<u64>(),
        reload in 0..60_usize,
    ) {
        let updates = conversation(&choices);
        let mut shuffled: Vec<Bytes> = updates.iter().chain(&updates).cloned().collect();
        let mut random = order | 1;
        for at in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, (random >> 33) as usize % (at + 1));
        }
        let (mut document, mut told) = (Document::default(), Document::default());
        for (index, update) in shuffled.iter().enumerate() {
            if index == reload {
                let row = document.encode_state().unwrap();
                document = Document::default();
                document.load(&row).unwrap();
            }
            if let Some(news) = document.take(update).unwrap().news {
                prop_assert_eq!(told.admit(&news, usize::MAX).unwrap().waits, None);
            }
        }
        prop_assert_eq!(document.pending_bytes(), 0);
        let truth = truth(&updates);
        let state = document.encode_state().unwrap();
        prop_assert_eq!(text_of(&state), text_of(&truth.transact().encode_state_as_update_v1(&StateVector::default())));
        prop_assert_eq!(vector_of(&state), truth.transact().state_vector());
        prop_assert_eq!(StateVector::decode_v1(&document.state_vector()).unwrap(), truth.transact().state_vector());
        prop_assert_eq!(text_of(&told.encode_state().unwrap()), text_of(&state));
    }

    #[test]
    fn a_difference_is_all_that_its_reader_lacks(
        choices in prop::collection::vec(any::<(u8, u8)>(), 1..60),
        known in 0..60_usize,
    ) {
        let updates = conversation(&choices);
        let known = known.min(updates.len());
        let (mut document, reader) = (Document::default(), truth(&updates[..known]));
        for update in &updates {
            document.admit(update, usize::MAX).unwrap();
        }
        let vector = reader.transact().state_vector().encode_v1();
        let difference = document.diff(&vector).unwrap();
        reader.transact_mut().apply_update(Update::decode_v1(&difference).unwrap()).unwrap();
        let text = reader.get_or_insert_text("t");
        prop_assert_eq!(text.get_string(&reader.transact()), text_of(&document.encode_state().unwrap()));
        prop_assert_eq!(document.diff(&document.state_vector()).unwrap()[0], 0);
    }

    #[test]
    fn the_parts_of_an_update_apply_one_after_the_other(
        choices in prop::collection::vec(any::<(u8, u8)>(), 1..60),
        known in 0..60_usize,
        most in 1..400_usize,
    ) {
        let updates = conversation(&choices);
        let (mut document, mut reader) = (Document::default(), Document::default());
        for (index, update) in updates.iter().enumerate() {
            document.admit(update, usize::MAX).unwrap();
            if index < known {
                reader.admit(update, usize::MAX).unwrap();
            }
        }
        let whole = document.diff(&reader.state_vector()).unwrap();
        let parts = split(&whole, most).unwrap();
        prop_assert!(parts.len() > whole.len() / (most + 200));
        for part in parts {
            let admitted = reader.admit(&part.concat().into(), usize::MAX).unwrap();
            prop_assert_eq!(admitted.waits, None);
        }
        prop_assert_eq!(reader.encode_state().unwrap(), document.encode_state().unwrap());
    }

    #[test]
    fn merged_updates_are_the_same_as_one_after_the_other(
        choices in prop::collection::vec(any::<(u8, u8, bool)>(), 1..40),
    ) {
        let pairs: Vec<(u8, u8)> = choices.iter().map(|(who, at, _)| (*who, *at)).collect();
        let updates = conversation(&pairs);
        let has = updates.iter().zip(&choices).filter(|(_, (.., has))| *has).map(|(update, _)| update);
        let (mut one, mut other) = (Document::default(), Document::default());
        for update in has.clone() {
            one.take(update).unwrap();
        }
        other.take(&merge(has.map(|update| &update[..])).unwrap()).unwrap();
        prop_assert_eq!(one.state_vector(), other.state_vector());
        prop_assert_eq!(one.pending_bytes() > 0, other.pending_bytes() > 0);
        for update in &updates {
            one.take(update).unwrap();
            other.take(update).unwrap();
        }
        prop_assert_eq!(one.encode_state().unwrap(), other.encode_state().unwrap());
    }
}
