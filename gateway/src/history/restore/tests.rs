use std::sync::Arc;

use proptest::prelude::*;
use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::updates::decoder::Decode as _;
use yrs::{
    Any, Array as _, ArrayPrelim, Doc, GetString as _, Map as _, MapPrelim, Out, ReadTxn as _, StateVector, Text as _,
    TextPrelim, Transact as _, Update, Xml as _, XmlElementPrelim, XmlFragment as _, XmlOut, XmlTextPrelim,
};

use super::super::legible::check;
use super::*;

fn state(doc: &Doc) -> Bytes {
    doc.transact().encode_state_as_update_v1(&StateVector::default()).into()
}

fn apply(doc: &Doc, update: &[u8]) {
    doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
}

/// Restores as the gateway does, and takes the update in as every client does. Returns how long it is.
fn restored(doc: &Doc, target: &[u8]) -> usize {
    let update = restore(&state(doc), target).unwrap();
    check(&update).unwrap();
    apply(doc, &update);
    assert_eq!(read(&open(&state(doc)).unwrap()).unwrap(), read(&open(target).unwrap()).unwrap());
    update.len()
}

fn bold() -> Attrs {
    Attrs::from([("bold".into(), Any::Bool(true))])
}

#[test]
fn a_text_comes_back_with_its_formats_and_what_did_not_change_stays() {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("t");
    text.push(&mut doc.transact_mut(), &"Ünchanged \u{1F600} words. ".repeat(100));
    text.insert_with_attributes(&mut doc.transact_mut(), 0, "Title ", bold());
    text.insert_embed(&mut doc.transact_mut(), 6, Any::from_json(r#"{"image":"x"}"#).unwrap());
    let before = state(&doc);
    text.remove_range(&mut doc.transact_mut(), 2, 3);
    text.insert(&mut doc.transact_mut(), 30, "vandalism");
    text.format(&mut doc.transact_mut(), 40, 5, bold());
    assert!(restored(&doc, &before) < 200, "more was written than had changed");
    assert_eq!(restore(&state(&doc), &before).unwrap(), EMPTY_UPDATE);
}

/// As Tiptap and ProseMirror build it.
fn article() -> Doc {
    let doc = Doc::new();
    let article = doc.get_or_insert_xml_fragment("default");
    let mut txn = doc.transact_mut();
    let heading = article.push_back(&mut txn, XmlElementPrelim::empty("heading"));
    heading.insert_attribute(&mut txn, "level", Any::from(1));
    heading.push_back(&mut txn, XmlTextPrelim::new("Title"));
    for n in 0..50 {
        let paragraph = article.push_back(&mut txn, XmlElementPrelim::empty("paragraph"));
        let words = paragraph.push_back(&mut txn, XmlTextPrelim::new(format!("Paragraph {n} with some words")));
        words.format(&mut txn, 0, 9, bold());
    }
    drop(txn);
    doc
}

#[test]
fn an_article_comes_back_and_its_attributes_keep_their_kind() {
    let doc = article();
    let before = state(&doc);
    let article = doc.get_or_insert_xml_fragment("default");
    let mut txn = doc.transact_mut();
    let kept = article.get(&txn, 10).unwrap().id();
    article.remove_range(&mut txn, 0, 3);
    let Some(XmlOut::Element(paragraph)) = article.get(&txn, 2) else { panic!("no element") };
    let Some(XmlOut::Text(words)) = paragraph.get(&txn, 0) else { panic!("no text") };
    words.insert(&mut txn, 3, "vandalism");
    article.push_back(&mut txn, XmlElementPrelim::empty("horizontalRule"));
    drop(txn);
    assert!(restored(&doc, &before) < 500, "more was written than had changed");
    let txn = doc.transact();
    assert_eq!(article.get(&txn, 10).unwrap().id(), kept, "an unchanged paragraph was replaced");
    let Some(XmlOut::Element(heading)) = article.get(&txn, 0) else { panic!("no element") };
    assert_eq!(heading.get_attribute(&txn, "level"), Some(Out::Any(Any::from(1))));
}

#[test]
fn maps_and_arrays_come_back_with_the_shared_types_in_them() {
    let doc = Doc::new();
    let (map, array) = (doc.get_or_insert_map("m"), doc.get_or_insert_array("a"));
    let mut txn = doc.transact_mut();
    let body = map.insert(&mut txn, "body", TextPrelim::new("some words"));
    map.insert(&mut txn, "gone", ArrayPrelim::from([1, 2, 3]));
    map.insert(&mut txn, "bytes", Any::Buffer([1, 2, 3].as_slice().into()));
    for n in 0..20 {
        array.push_back(&mut txn, MapPrelim::from([("id", n)]));
    }
    drop(txn);
    let before = state(&doc);
    let mut txn = doc.transact_mut();
    body.insert(&mut txn, 4, " other");
    map.remove(&mut txn, "gone");
    map.insert(&mut txn, "bytes", 7);
    map.insert(&mut txn, "new", true);
    array.remove_range(&mut txn, 3, 2);
    array.insert(&mut txn, 0, "first");
    drop(txn);
    restored(&doc, &before);
    assert_eq!(body.get_string(&doc.transact()), "some words", "the text that an editor is bound to was replaced");
}

#[test]
fn what_is_written_at_the_same_moment_stays() {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("t");
    text.push(&mut doc.transact_mut(), "kept");
    let before = state(&doc);
    text.push(&mut doc.transact_mut(), " vandalism");
    let update = restore(&state(&doc), &before).unwrap();
    text.insert(&mut doc.transact_mut(), 0, "new ");
    apply(&doc, &update);
    assert_eq!(text.get_string(&doc.transact()), "new kept");
}

#[test]
fn a_document_comes_back_from_nothing_and_to_nothing() {
    let (empty, doc) = (Doc::new(), article());
    let before = state(&doc);
    restored(&doc, &state(&empty));
    restored(&doc, &before);
    restored(&empty, &before);
}

#[test]
fn what_is_nested_too_deep_is_refused_and_not_walked() {
    let doc = Doc::new();
    let root = doc.get_or_insert_array("deep");
    let mut txn = doc.transact_mut();
    let mut array = root.push_back(&mut txn, ArrayPrelim::default());
    for _ in 0..5_000 {
        array = array.push_back(&mut txn, ArrayPrelim::default());
    }
    drop(txn);
    let deep = state(&doc);
    assert_eq!(restore(&deep, EMPTY_UPDATE), Err(Unreadable::TooDeep));
    assert_eq!(restore(EMPTY_UPDATE, &deep), Err(Unreadable::TooDeep));
    assert!(matches!(restore(&[9], EMPTY_UPDATE), Err(Unreadable::Illegible(_))));
}

/// One edit of a document that has a bit of everything.
type Edit = (u8, u16, u16, String);

fn edit() -> impl Strategy<Value = Edit> {
    (0..9u8, any::<u16>(), 0..12u16, "[a-cé\u{1F600}]{1,6}")
}

fn perform(doc: &Doc, (kind, at, length, words): &Edit) {
    let (text, xml) = (doc.get_or_insert_text("t"), doc.get_or_insert_xml_fragment("x"));
    let (map, array) = (doc.get_or_insert_map("m"), doc.get_or_insert_array("a"));
    let mut txn = doc.transact_mut();
    // Where characters begin, as the library counts.
    let mut marks = vec![0];
    for piece in text.diff(&txn, YChange::identity) {
        let widths = match piece.insert {
            Out::Any(Any::String(words)) => words.chars().map(|c| c.len_utf8() as u32).collect(),
            _ => vec![1],
        };
        widths.into_iter().for_each(|width| marks.push(marks[marks.len() - 1] + width));
    }
    let index = usize::from(*at) % marks.len();
    let end = (index + usize::from(*length)).min(marks.len() - 1);
    let (from, long) = (marks[index], marks[end] - marks[index]);
    let child = u32::from(*at) % (xml.len(&txn) + 1);
    let item = u32::from(*at) % (array.len(&txn) + 1);
    let number = Any::from(i64::from(*length));
    match kind {
        0 => text.insert(&mut txn, from, words),
        1 => text.insert_with_attributes(&mut txn, from, words, bold()),
        2 if long > 0 => text.remove_range(&mut txn, from, long),
        3 if long > 0 => text.format(&mut txn, from, long, Attrs::from([("i".into(), number)])),
        4 => drop(text.insert_embed(&mut txn, from, MapPrelim::from([("w", words.as_str())]))),
        5 => {
            let element = xml.insert(&mut txn, child, XmlElementPrelim::empty(Arc::<str>::from("p")));
            element.insert_attribute(&mut txn, "n", number);
            element.push_back(&mut txn, XmlTextPrelim::new(words.as_str()));
        }
        6 if xml.len(&txn) > child => xml.remove_range(&mut txn, child, 1),
        7 => drop(map.insert(&mut txn, words.as_str(), TextPrelim::new(words.as_str()))),
        8 if array.len(&txn) > item && length % 2 == 0 => array.remove_range(&mut txn, item, 1),
        8 => drop(array.insert(&mut txn, item, words.as_str())),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_content_comes_back_after_any_edits(
        first in prop::collection::vec(edit(), 0..40),
        then in prop::collection::vec(edit(), 0..40),
    ) {
        let doc = Doc::new();
        first.iter().for_each(|edit| perform(&doc, edit));
        let before = state(&doc);
        then.iter().for_each(|edit| perform(&doc, edit));
        restored(&doc, &before);
    }
}
