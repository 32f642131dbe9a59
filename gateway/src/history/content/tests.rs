//! Documents that no library makes, and a client that wants to harm does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use yrs::{
    ArrayPrelim, In, MapPrelim, StateVector, Text as _, TextPrelim, TransactionMut, XmlElementPrelim,
    XmlFragmentPrelim, XmlTextPrelim,
};

use super::super::legible::check;
use super::*;
use crate::history::{authorship, json, restore, text};
use editorcluster_core::document::EMPTY_UPDATE;
use editorcluster_core::lib0::write_var_uint;

fn state(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

/// What is done with it must end. A thread that goes on for ever cannot be ended, but the test can.
fn within<T: Send + 'static>(deadline: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    let thread = thread::spawn(move || done.send(work()));
    match result.recv_timeout(deadline) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it has not ended after {deadline:?}"),
        Err(RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().expect_err("a panic")),
    }
}

/// Everything that is done with a state that somebody sent.
fn used(state: Vec<u8>) -> Result<Content, Unreadable> {
    check(&state).expect("clients may send it");
    within(Duration::from_secs(20), move || {
        let doc = open(&state)?;
        let content = read(&doc)?;
        text::render(&content);
        json::document(&content);
        authorship::runs(&open(&state)?, &Doc::new())?;
        for (current, target) in [(&state[..], EMPTY_UPDATE), (EMPTY_UPDATE, &state[..])] {
            // The library gives some up with a panic, which costs whoever asks an answer of 500.
            let _ = catch_unwind(AssertUnwindSafe(|| restore::restore(current, target)));
        }
        Ok(content)
    })
}

fn as_text(branch: &Branch) -> TextRef {
    TextRef::from(BranchPtr::from(branch))
}

#[test]
fn text_in_an_array_is_read_as_a_text() {
    let doc = Doc::new();
    let list = doc.get_or_insert_array("list");
    let mut txn = doc.transact_mut();
    let array = list.push_back(&mut txn, ArrayPrelim::from([1]));
    as_text(array.as_ref()).push(&mut txn, "h\u{E9}llo");
    drop(txn);
    let content = used(state(&doc)).unwrap();
    let span = Span { insert: Node::Value("h\u{E9}llo".into()), attributes: Attrs::default() };
    assert_eq!(content.0["list"].sequence, Sequence::Array(vec![Node::Text(vec![span])]));
}

#[test]
fn text_in_an_array_is_edited_when_an_earlier_one_is_restored() {
    let doc = Doc::new();
    let list = doc.get_or_insert_array("list");
    let array = list.push_back(&mut doc.transact_mut(), ArrayPrelim::default());
    as_text(array.as_ref()).push(&mut doc.transact_mut(), "h\u{E9}llo");
    let before = state(&doc);
    as_text(array.as_ref()).push(&mut doc.transact_mut(), " w\u{F6}rld");
    let update = restore::restore(&state(&doc), &before).unwrap();
    doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
    assert_eq!(read(&doc), read(&open(&before).unwrap()));
}

/// An XML element with as many attributes, all of which are formats.
fn formats_as_attributes(count: u64) -> Vec<u8> {
    let mut update = bytes::BytesMut::new();
    let string = |update: &mut bytes::BytesMut, text: &str| editorcluster_core::lib0::write_var_string(update, text);
    // One client, whose id is 1 and whose clock begins at 0.
    write_var_uint(&mut update, 1);
    write_var_uint(&mut update, count + 1);
    write_var_uint(&mut update, 1);
    write_var_uint(&mut update, 0);
    // A type in the top-level value `x`: an XML element `p`.
    update.extend_from_slice(&[7, 1]);
    string(&mut update, "x");
    update.extend_from_slice(&[3]);
    string(&mut update, "p");
    for number in 0..count {
        // A format with a key, in the item (1, 0).
        update.extend_from_slice(&[6 | 0x20, 0, 1, 0]);
        string(&mut update, &number.to_string());
        string(&mut update, "bold");
        string(&mut update, "true");
    }
    // No deletions.
    write_var_uint(&mut update, 0);
    update.to_vec()
}

#[test]
fn attributes_that_have_no_value_do_not_take_the_stack() {
    let content = used(formats_as_attributes(200_000)).unwrap();
    let element = Node::Element { tag: "p".into(), attributes: BTreeMap::new(), children: Vec::new() };
    assert_eq!(content.0["x"].sequence, Sequence::Xml(vec![element]));
}

/// What is put where, into what kind of view, under what name.
type Step = (u8, u16, u8, String);

fn step() -> impl Strategy<Value = Step> {
    (0..9u8, any::<u16>(), 0..7u8, "[a-c\u{E9}\u{1F600}]{1,4}")
}

/// Anything in anything: every type is written to as if it were any other.
fn put(txn: &mut TransactionMut<'_>, branches: &mut Vec<BranchPtr>, (kind, which, what, words): &Step) {
    let into = branches[usize::from(*which) % branches.len()];
    let (array, map, text) = (ArrayRef::from(into), MapRef::from(into), TextRef::from(into));
    let new: In = match what {
        0 => TextPrelim::new(words.as_str()).into(),
        1 => ArrayPrelim::default().into(),
        2 => MapPrelim::default().into(),
        3 => XmlElementPrelim::empty(words.as_str()).into(),
        4 => XmlFragmentPrelim::default().into(),
        5 => XmlTextPrelim::new(words.as_str()).into(),
        _ => In::Any(words.as_str().into()),
    };
    let made = match kind {
        0 | 1 => return text.push(txn, words),
        2 => {
            let bold = Attrs::from([("bold".into(), Any::Bool(true))]);
            return text.insert_with_attributes(txn, 0, words, bold);
        }
        3 => {
            text.insert_embed(txn, 0, Any::from(1));
            return;
        }
        4 => return drop(map.remove(txn, words)),
        5 => {
            let first = text.diff(txn, YChange::identity).into_iter().next().map(|piece| piece.insert);
            return if let Some(Out::Any(Any::String(words))) = first {
                text.remove_range(txn, 0, words.len() as u32);
            };
        }
        6 => map.insert(txn, words.as_str(), new),
        _ => array.insert(txn, 0, new),
    };
    branches.extend(branch(&made).map(BranchPtr::from));
}

proptest! {
    #[test]
    fn whatever_is_in_whatever_is_read_in_the_end(steps in prop::collection::vec(step(), 0..40)) {
        let doc = Doc::new();
        let root = doc.get_or_insert_array("root");
        let mut branches = vec![BranchPtr::from(root.as_ref())];
        // In one transaction: what is deleted in it stays in memory until its end.
        let mut txn = doc.transact_mut();
        steps.iter().for_each(|step| put(&mut txn, &mut branches, step));
        drop(txn);
        used(state(&doc)).unwrap();
    }
}

#[test]
fn deleted_content_that_is_kept_need_not_be_legible() {
    // JSON content, which yrs does not read, and text behind it.
    let structs = [1, 2, 1, 0, 0x02, 1, 1, b'a', 1, 1, b'1', 0x04, 1, 1, b't', 2, b'h', b'i'];
    let state = |deletions: &[u8]| [&structs[..], deletions].concat();
    assert!(matches!(open(&state(&[0])), Err(Unreadable::Illegible(_))));
    let content = read(&open(&state(&[1, 1, 1, 0, 1])).unwrap()).unwrap();
    assert_eq!(content.0.keys().collect::<Vec<_>>(), ["t"]);
}
