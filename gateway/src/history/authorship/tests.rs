use proptest::prelude::*;
use yrs::types::Attrs;
use yrs::updates::decoder::Decode as _;
use yrs::{
    ArrayPrelim, Map as _, MapPrelim, StateVector, TextPrelim, Update, XmlElementPrelim, XmlFragment as _,
    XmlTextPrelim,
};

use super::*;

/// The same document in the hands of somebody else.
fn copy(doc: &Doc, client: ClientId) -> Doc {
    let state = doc.transact().encode_state_as_update_v1(&StateVector::default());
    let copy = Doc::with_client_id(client);
    copy.transact_mut().apply_update(Update::decode_v1(&state).unwrap()).unwrap();
    copy
}

fn bold() -> Attrs {
    Attrs::from([("bold".into(), Any::Bool(true))])
}

/// As the gateway asks: for what has been read anew.
fn told(doc: &Doc, since: &Doc) -> Vec<(String, String, usize, ClientId, String)> {
    let runs = runs(&copy(doc, 77), &copy(since, 78)).unwrap();
    let told = |run: Run| {
        let path = serde_json::to_string(&run.path).unwrap();
        (run.value, path, run.at, run.client, run.text)
    };
    runs.into_iter().map(told).collect()
}

fn run(value: &str, path: &str, at: usize, client: ClientId, text: &str) -> (String, String, usize, ClientId, String) {
    (value.to_owned(), path.to_owned(), at, client, text.to_owned())
}

#[test]
fn each_word_is_its_writers_also_in_the_middle_and_behind_a_deletion_and_a_format() {
    let ann = Doc::with_client_id(1);
    let text = ann.get_or_insert_text("text");
    text.push(&mut ann.transact_mut(), "Ann's \u{1F600} words");
    let bob = copy(&ann, 2);
    let text = bob.get_or_insert_text("text");
    let mut txn = bob.transact_mut();
    let length = text.len(&txn);
    text.remove_range(&mut txn, length - 5, 1);
    text.insert(&mut txn, length - 5, "Bob's ");
    text.format(&mut txn, 0, 3, bold());
    text.insert_embed(&mut txn, 0, Any::from(1));
    drop(txn);
    assert_eq!(
        told(&bob, &Doc::new()),
        [
            run("text", "[]", 1, 1, "Ann's \u{1F600} "),
            run("text", "[]", 10, 2, "Bob's "),
            run("text", "[]", 16, 1, "ords"),
        ]
    );
    assert_eq!(told(&bob, &ann), [run("text", "[]", 10, 2, "Bob's ")]);
    assert_eq!(told(&ann, &bob), []);
}

#[test]
fn texts_are_found_wherever_they_are_and_their_places_are_told() {
    let ann = Doc::with_client_id(1);
    let (article, notes) = (ann.get_or_insert_xml_fragment("article"), ann.get_or_insert_map("notes"));
    let list = ann.get_or_insert_array("list");
    let mut txn = ann.transact_mut();
    for words in ["first", "", "second"] {
        let paragraph = article.push_back(&mut txn, XmlElementPrelim::empty("p"));
        paragraph.push_back(&mut txn, XmlTextPrelim::new(words));
    }
    let inner = notes.insert(&mut txn, "inner", ArrayPrelim::from([1]));
    let words = inner.push_back(&mut txn, TextPrelim::new("in a list in a map"));
    let embedded = words.insert_embed(&mut txn, 2, MapPrelim::default());
    embedded.insert(&mut txn, "caption", TextPrelim::new("embedded"));
    // No library writes text into an array; whoever wants to harm does.
    TextRef::from(BranchPtr::from(list.as_ref())).push(&mut txn, "\u{E9}\u{1F600}");
    drop(txn);
    assert_eq!(
        told(&ann, &Doc::new()),
        [
            run("article", "[0,0]", 0, 1, "first"),
            run("article", "[2,0]", 0, 1, "second"),
            run("list", "[]", 0, 1, "\u{E9}\u{1F600}"),
            run("notes", r#"["inner",1]"#, 0, 1, "in"),
            run("notes", r#"["inner",1]"#, 3, 1, " a list in a map"),
            run("notes", r#"["inner",1,2,"caption"]"#, 0, 1, "embedded"),
        ]
    );
}

/// Who does what, where and how far.
type Edit = (u64, u8, u16, u16, String);

fn edit() -> impl Strategy<Value = Edit> {
    (1..4u64, 0..6u8, any::<u16>(), 1..6u16, "[a-c\u{E9}\u{1F600}]{1,4}")
}

/// What stands in the text: a character with its author and the edit that brought it, or something embedded.
type Model = Vec<Option<(char, ClientId, usize)>>;

fn perform(doc: &Doc, model: &mut Model, number: usize, (client, kind, at, long, words): &Edit) {
    let text = doc.get_or_insert_text("text");
    let mut txn = doc.transact_mut();
    let bytes = |part: &[Option<(char, ClientId, usize)>]| -> u32 {
        part.iter().map(|glyph| glyph.map_or(1, |(c, ..)| c.len_utf8() as u32)).sum()
    };
    let from = usize::from(*at) % (model.len() + 1);
    let to = (from + usize::from(*long)).min(model.len());
    let (index, length) = (bytes(&model[..from]), bytes(&model[from..to]));
    let glyphs = words.chars().map(|c| Some((c, *client, number)));
    match kind {
        0 | 1 => {
            text.insert(&mut txn, index, words);
            model.splice(from..from, glyphs);
        }
        2 => {
            text.insert_with_attributes(&mut txn, index, words, bold());
            model.splice(from..from, glyphs);
        }
        3 if length > 0 => {
            text.remove_range(&mut txn, index, length);
            model.drain(from..to);
        }
        4 if length > 0 => text.format(&mut txn, index, length, Attrs::from([("i".into(), Any::from(*long))])),
        5 => {
            text.insert_embed(&mut txn, index, MapPrelim::default());
            model.insert(from, None);
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn every_character_is_its_writers_after_any_edits(
        first in prop::collection::vec(edit(), 0..20),
        then in prop::collection::vec(edit(), 0..20),
    ) {
        let (mut doc, mut model) = (Doc::with_client_id(9), Model::new());
        let mut versions = vec![copy(&doc, 9)];
        for (number, edit) in first.iter().chain(&then).enumerate() {
            doc = copy(&doc, edit.0);
            perform(&doc, &mut model, number, edit);
            if number + 1 == first.len() {
                versions.push(copy(&doc, 9));
            }
        }
        for (since, from) in versions.iter().zip([0, first.len()]) {
            let mut expected = Vec::new();
            let mut at = 0;
            for glyph in &model {
                expected.extend(glyph.filter(|(_, _, number)| *number >= from).map(|(c, client, _)| (at, client, c)));
                at += glyph.map_or(1, |(c, ..)| c.len_utf16());
            }
            let mut found = Vec::new();
            for (_, _, mut at, client, text) in told(&doc, since) {
                for c in text.chars() {
                    found.push((at, client, c));
                    at += c.len_utf16();
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
