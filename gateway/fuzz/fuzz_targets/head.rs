//! The head of a request: the verdict does not depend on where the network has cut it, and a document's name is one.

#![no_main]

use gateway::http::head::{Head, MAX_HEAD_BYTES, judge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = judge(bytes);
    let first = (1..=bytes.len()).map(|end| judge(&bytes[..end])).find(|head| *head != Head::Incomplete);
    assert_eq!(first.unwrap_or(Head::Incomplete), whole);
    match whole {
        Head::Session { document, key, length } => {
            assert!(length <= bytes.len().min(MAX_HEAD_BYTES));
            assert!(bytes[..length].ends_with(b"\n"));
            assert!((1..=512).contains(&document.len()) && !document.chars().any(char::is_control));
            assert_eq!(key.len(), 24);
        }
        Head::Incomplete => assert!(bytes.len() < MAX_HEAD_BYTES),
        Head::Other | Head::OtherVersion | Head::Bad(_) => {}
    }
});
