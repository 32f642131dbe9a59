//! Updates: what the walker lets pass, yrs reads, without a panic and within the memory that the fuzzer grants; and what
//! the gateway makes of it passes the walker again, or the document could not be opened a second time.

#![no_main]

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use gateway::protocol::yjs::update::{check, check_state_vector, insertions, outline};
use gateway::room::document::{Document, merge};
use libfuzzer_sys::fuzz_target;
use yrs::updates::decoder::Decode as _;
use yrs::{StateVector, Update};

mod panics;

fuzz_target!(|bytes: &[u8]| {
    vector(bytes);
    one(bytes);
    // Bytes that run out are no input.
    let _ = several(&mut Unstructured::new(bytes));
});

fn vector(bytes: &[u8]) {
    if check_state_vector(bytes).is_ok() {
        assert!(StateVector::decode_v1(bytes).is_ok());
    }
}

fn one(bytes: &[u8]) {
    if check(bytes).is_ok() {
        assert!(Update::decode_v1(bytes).is_ok());
        assert!(insertions(bytes).is_ok() && outline(bytes).is_ok());
        panics::let_yrs(|| kept(&[Bytes::copy_from_slice(bytes)]));
    }
}

/// The bytes as a list of updates, each with its length in front.
fn several(input: &mut Unstructured<'_>) -> Result<()> {
    let mut updates = Vec::new();
    while !input.is_empty() {
        let length = usize::from(input.arbitrary::<u8>()?);
        let update = input.bytes(length.min(input.len()))?;
        if check(update).is_ok() {
            updates.push(Bytes::copy_from_slice(update));
        }
    }
    if updates.len() > 1 {
        panics::let_yrs(|| kept(&updates));
    }
    Ok(())
}

/// Some updates pass and do not apply; then the document leaves them out.
fn kept(updates: &[Bytes]) {
    let mut document = Document::default();
    for update in updates {
        document.push(update.clone()).expect("the tail is short");
    }
    if let Ok(merged) = merge(updates.iter().map(|update| &update[..])) {
        assert_eq!(check(&merged), Ok(()), "merged");
    }
    let state = document.encode_state().expect("a state can always be encoded");
    assert_eq!(check(&state), Ok(()), "the state");
    let vector = document.state_vector().expect("a state has a vector");
    assert_eq!(check_state_vector(&vector), Ok(()));
    let rest = document.diff(&vector).expect("a document takes its own vector");
    assert_eq!(check(&rest), Ok(()), "the difference");
    Document::default().load(state).expect("a row can be loaded");
}
