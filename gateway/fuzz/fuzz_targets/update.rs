//! Updates: whatever a document takes from a client, it can encode, load and tell again, and the parts that it tells make
//! the whole.

#![no_main]

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use editorcluster_core::document::{Document, check, check_state_vector, clocks, merge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The difference to any vector is an update.
    if let Ok(difference) = Document::default().diff(bytes) {
        assert_eq!(check(&difference), Ok(()));
    }
    document(&[Bytes::copy_from_slice(bytes)]);
    // Bytes that run out are no input.
    let _ = several(&mut Unstructured::new(bytes));
});

/// The bytes as a list of updates, each with its length in front.
fn several(input: &mut Unstructured<'_>) -> Result<()> {
    let mut updates = Vec::new();
    while !input.is_empty() {
        let length = usize::from(input.arbitrary::<u8>()?);
        updates.push(Bytes::copy_from_slice(input.bytes(length.min(input.len()))?));
    }
    document(&updates);
    Ok(())
}

fn document(updates: &[Bytes]) {
    let (mut admitting, mut told, mut taking) = (Document::default(), Document::default(), Document::default());
    for update in updates {
        let before = admitting.state_vector();
        match admitting.admit(update, usize::MAX) {
            Ok(admitted) => {
                for news in admitted.news {
                    let heard = told.admit(&news, usize::MAX).expect("news can be admitted by somebody else");
                    assert_eq!(heard.waits, None, "news wait for nothing");
                }
            }
            Err(_) => assert_eq!(admitting.state_vector(), before, "what is refused changes nothing"),
        }
        if taking.take(update).is_ok() {
            assert_eq!(check(update), Ok(()));
        }
    }
    same(&mut admitting, &mut told);
    for document in [&mut admitting, &mut taking] {
        again(document);
    }
    let updates: Vec<&[u8]> = updates.iter().filter(|update| check(update).is_ok()).map(|update| &update[..]).collect();
    let merged = merge(updates).expect("updates can be merged");
    let mut at_once = Document::default();
    at_once.take(&merged).expect("what was merged is an update");
    // Two updates may have different structs of one id, so only what is there is compared.
    assert!(at_once.pending_bytes() > 0 || clocks(&merged).is_ok());
}

/// A document whose row is read again is the same.
fn again(document: &mut Document) {
    let state = document.encode_state().expect("a document can be encoded");
    let mut read = Document::default();
    read.load(&state).expect("a row can be loaded");
    if document.pending_bytes() > 0 {
        // What waits may be another content of a struct that is known, and then the order decides.
        return;
    }
    same(document, &mut read);
    let vector = document.state_vector();
    assert_eq!(check_state_vector(&vector), Ok(()));
    let rest = document.diff(&vector).expect("a document takes its own vector");
    assert_eq!(rest.first(), Some(&0), "nobody lacks what they have");
}

fn same(one: &mut Document, other: &mut Document) {
    assert_eq!(one.state_vector(), other.state_vector());
    assert_eq!(one.pending_bytes() > 0, other.pending_bytes() > 0);
}
