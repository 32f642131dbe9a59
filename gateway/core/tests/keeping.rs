//! A document that keeps what is deleted, beside one that does not: what both are told comes from people who write with a
//! Yjs library whose garbage collection is off.
#![allow(clippy::unwrap_used, reason = "the helpers of tests; Clippy excuses test functions alone")]

use bytes::Bytes;
use editorcluster_core::document::{Admitted, Document, EMPTY_VECTOR};
use proptest::prelude::*;
use yrs::types::ToJson as _;
use yrs::updates::decoder::Decode as _;
use yrs::{Any, Doc, GetString as _, Map as _, Options, Out, Text as _, TextPrelim, Transact as _, Update};

const PEOPLE: usize = 3;
/// The bytes of an update's first half, if it has none.
const NO_STRUCTS: usize = 1;
/// An update's second half, if it has none.
const NO_DELETIONS: &[u8] = &[0];

#[derive(Clone, Debug)]
enum Edit {
    Insert(u32, String),
    Delete(u32, u32),
    Set(u8, i64),
    /// An entry that is a text.
    Begin(u8, String),
    /// Writes into an entry that is a text.
    Continue(u8, String),
    Unset(u8),
}

#[derive(Clone, Debug)]
enum Step {
    Edit(usize, Edit),
    /// Somebody reads what the others have written.
    Read(usize),
    /// The stores are asked for everything.
    Encode,
    /// The stores are asked for what somebody who has everything lacks.
    Diff,
    Reload,
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, word, key) = (0..40_u32, "[a-c]{1,6}", 0..3_u8);
    prop_oneof![
        4 => (at.clone(), word).prop_map(|(at, word)| Edit::Insert(at, word)),
        3 => (at, 1..6_u32).prop_map(|(at, length)| Edit::Delete(at, length)),
        1 => (key.clone(), any::<i16>()).prop_map(|(key, value)| Edit::Set(key, value.into())),
        2 => (key.clone(), word).prop_map(|(key, word)| Edit::Begin(key, word)),
        2 => (key.clone(), word).prop_map(|(key, word)| Edit::Continue(key, word)),
        1 => key.prop_map(Edit::Unset),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..PEOPLE, edit()).prop_map(|(person, edit)| Step::Edit(person, edit)),
        4 => (0..PEOPLE).prop_map(Step::Read),
        1 => Just(Step::Encode),
        1 => Just(Step::Diff),
        1 => Just(Step::Reload),
    ];
    prop::collection::vec(step, 1..80)
}

fn person(client: u64) -> Doc {
    let options = Options { skip_gc: true, ..Options::with_client_id(yrs::block::ClientID::new(client)) };
    let doc = Doc::with_options(options);
    doc.get_or_insert_text("t");
    doc.get_or_insert_map("m");
    doc
}

/// Makes an edit; what it means if there is less to edit than it says is nothing.
fn make(doc: &Doc, edit: &Edit) -> Bytes {
    let (text, map) = (doc.get_or_insert_text("t"), doc.get_or_insert_map("m"));
    let mut txn = doc.transact_mut();
    let end = text.len(&txn);
    let entry = |key: &u8| format!("k{key}");
    match edit {
        Edit::Insert(at, word) => text.insert(&mut txn, *at.min(&end), word),
        Edit::Delete(at, length) if *at < end => text.remove_range(&mut txn, *at, *length.min(&(end - at))),
        Edit::Delete(..) => {}
        Edit::Set(key, value) => drop(map.insert(&mut txn, entry(key), *value)),
        Edit::Begin(key, word) => drop(map.insert(&mut txn, entry(key), TextPrelim::new(word.as_str()))),
        Edit::Continue(key, word) => {
            if let Some(Out::YText(text)) = map.get(&txn, &entry(key)) {
                text.insert(&mut txn, 0, word);
            }
        }
        Edit::Unset(key) => drop(map.remove(&mut txn, &entry(key))),
    }
    txn.encode_update_v1().into()
}

fn apply(doc: &Doc, update: &[u8]) {
    doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
}

fn content(doc: &Doc) -> Any {
    let (text, map) = (doc.get_or_insert_text("t"), doc.get_or_insert_map("m"));
    let txn = doc.transact();
    Any::from(vec![Any::from(text.get_string(&txn)), map.to_json(&txn)])
}

/// The second half of an update.
fn deletions(update: &[u8]) -> yrs::IdSet {
    let update = Update::decode_v1(update).unwrap();
    update.delete_set().clone()
}

fn reloaded(mut document: Document, state: &Bytes) -> Document {
    document.load(state).unwrap();
    document
}

/// One that keeps; one that keeps and is brought to the database and back; one that does not keep.
type Documents = [Document; 3];

fn each(documents: &mut Documents, ask: impl FnMut(&mut Document) -> Bytes) -> [Bytes; 3] {
    documents.each_mut().map(ask)
}

fn all_equal(answers: &[Bytes; 3]) -> bool {
    answers.iter().all(|answer| *answer == answers[0])
}

proptest! {
    // proptest keeps its failures only beside sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_differs_in_nothing_but_what_was_deleted(steps in steps()) {
        let people: Vec<Doc> = (0..PEOPLE).map(|number| person(number as u64 + 1)).collect();
        let mut documents = [Document::keeping_deleted(), Document::keeping_deleted(), Document::default()];
        let mut sent = Vec::<Bytes>::new();
        for step in steps {
            match step {
                Step::Edit(number, edit) => {
                    let update = make(&people[number], &edit);
                    let admitted = documents.each_mut().map(|document| document.admit(&update, usize::MAX).unwrap());
                    // Who was asked for everything has marked more, so that less is news.
                    prop_assert_eq!(&admitted[0], &admitted[2]);
                    prop_assert_eq!(admitted[1].waits, None);
                    sent.push(update);
                }
                Step::Read(number) => sent.iter().for_each(|update| apply(&people[number], update)),
                Step::Encode => drop(each(&mut documents, |document| document.encode_state().unwrap())),
                Step::Diff => {
                    let vector = documents[0].state_vector();
                    drop(each(&mut documents, |document| document.diff(&vector).unwrap()));
                }
                Step::Reload => {
                    let row = documents[1].encode_state().unwrap();
                    documents[1] = reloaded(Document::keeping_deleted(), &row);
                }
            }
        }
        for update in &sent {
            apply(&people[0], update);
        }
        prop_assert!(all_equal(&each(&mut documents, |document| document.state_vector())));
        let states = each(&mut documents, |document| document.encode_state().unwrap());
        for state in &states {
            prop_assert_eq!(deletions(state), deletions(&states[0]));
            let reader = person(99);
            apply(&reader, state);
            prop_assert_eq!(content(&reader), content(&people[0]));
        }
        let [kept, kept_by_rows, collected] = states;
        let vector = documents[0].state_vector();
        let said = documents[0].diff(&vector).unwrap().len() - NO_STRUCTS;
        for state in [&kept, &kept_by_rows] {
            let undeleted = Bytes::from([&state[..state.len() - said], NO_DELETIONS].concat());
            let document = reloaded(Document::default(), &undeleted).encode_state().unwrap();
            prop_assert_eq!(deletions(&document), yrs::IdSet::default(), "a struct has lost its content");
        }

        let again = reloaded(Document::keeping_deleted(), &kept).encode_state().unwrap();
        prop_assert_eq!(again.as_ptr(), kept.as_ptr(), "a row with all deletions in it is not copied");
        let late = reloaded(Document::default(), &kept).encode_state().unwrap();
        prop_assert_eq!(late.len(), collected.len(), "what was kept can be collected later");
        prop_assert_eq!(deletions(&late), deletions(&collected));
    }
}

/// A map's entry `k` that is a text, by client 1: `[type, "ab"]`, without deletions.
const TYPE_AND_TEXT: &[u8] = &[1, 2, 1, 0, 0x27, 1, 1, b'm', 1, b'k', 2, 0x04, 0, 1, 0, 2, b'a', b'b', 0];
/// Client 1's clocks 0 to 0 are deleted; that what is in the type goes with it is not said.
const TYPE_GOES: &[u8] = &[0, 1, 1, 1, 0, 1];
const ALL_GOES: &[u8] = &[1, 1, 1, 0, 3];

#[test]
fn what_is_in_a_deleted_type_is_marked_in_both() {
    for (new, keeps) in [(Document::keeping_deleted as fn() -> Document, true), (Document::default, false)] {
        let mut document = new();
        for update in [TYPE_AND_TEXT, TYPE_GOES] {
            let admitted = document.take(&Bytes::from_static(update)).unwrap();
            assert_eq!(admitted, Admitted { news: Some(Bytes::from_static(update)), ..Admitted::default() });
        }
        // This keeps the deletions encoded, as they were said.
        document.diff(&document.state_vector()).unwrap();
        let state = document.encode_state().unwrap();
        assert!(state.ends_with(ALL_GOES), "{state:?}");
        assert_eq!(state.windows(2).any(|pair| pair == b"ab"), keeps, "{state:?}");
        assert_eq!(document.diff(EMPTY_VECTOR).unwrap(), state);

        let row = Bytes::from([&TYPE_AND_TEXT[..TYPE_AND_TEXT.len() - 1], &TYPE_GOES[1..]].concat());
        assert_eq!(reloaded(new(), &row).encode_state().unwrap(), state, "a row that does not say it either");
    }
}

#[test]
fn deleting_makes_no_room_for_what_is_kept() {
    let text = |client| Bytes::from([&[1, 1, client, 0, 4, 1, 1, b't', 100][..], &[b'x'; 100], &[0]].concat());
    let goes = Bytes::from_static(&[0, 1, 1, 1, 0, 100]);
    for (mut document, takes) in [(Document::keeping_deleted(), false), (Document::default(), true)] {
        for update in [text(1), goes.clone()] {
            document.admit(&update, 200).unwrap();
        }
        assert_eq!(document.admit(&text(2), 200).is_ok(), takes);
    }
}
