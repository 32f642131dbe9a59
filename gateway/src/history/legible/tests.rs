use std::collections::HashMap;
use std::panic::catch_unwind;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use yrs::types::Attrs;
use yrs::updates::decoder::Decode as _;
use yrs::{
    Any, Array as _, ArrayPrelim, Doc, In, Map as _, MapPrelim, ReadTxn as _, StateVector, Text as _, TextPrelim,
    Transact as _, Update, XmlElementPrelim, XmlFragment as _, XmlTextPrelim,
};

use super::*;
use editorcluster_core::lib0::MAX_UINT;

/// Made with yjs 13.6.33 under Node: a `Y.Doc` with a set client id, edited as the text says, and then
/// `encodeStateAsUpdate`, an `update` event (`event`), `mergeUpdates` of every second event (`skip`), or
/// `encodeStateAsUpdate` of a document that had only the last and the first event (`pending`).
const FROM_YJS: &[(&str, &str)] = &[
    ("text: insert beyond the BMP, delete", "010301000101017403840102066c6ff09f9880c40102010301780101010003"),
    ("event: a deletion alone", "000101010001"),
    ("skip", "01010100040101740a68c3a96c6c6ff09f98800101010102"),
    ("pending", "01020100010101740184010009c3a96c6c6ff09f98800101010001"),
    (
        "text: insert between the halves of a pair, insert a half",
        "01040d000401017403efbfbd840d0003efbfbdc40d000d010178440d0003efbfbd00",
    ),
    (
        "event: format with a boolean and an object",
        "0104020346020004626f6c640474727565c602030200046c696e6b0c7b2268726566223a2278227dc60201020204626f6c64\
         046e756c6cc602050202046c696e6b046e756c6c00",
    ),
    (
        "applyDelta with attributes and an embed",
        "01071200060101740162047472756584120001788612010162046e756c6c851202097b22696d67223a317d861203046c6973\
         74082262756c6c657422841204010a861205046c697374046e756c6c00",
    ),
    (
        "embeds: an object, a string, a Y.Map",
        "0103030005010174357b22696d616765223a22612e706e67222c226e223a5b312c6e756c6c2c31652b3330302c302c313233\
         343536373839303132335d7d840300037374724703000100",
    ),
    (
        "event: format with numbers and booleans",
        "010810024610000161046e756c6cc6100210000162143138343436373434303733373039353532303030c610031000016302\
         2d35c61004100001640566616c7365c6100010010161046e756c6cc6100610010162046e756c6cc6100710010163046e756c\
         6cc6100810010164046e756c6c00",
    ),
    ("map: overwrite, nested types, delete", "010404002101016d0161022801016d00017f2101016d016201000401040200020305"),
    (
        "the same, merged events with their content",
        "010704002801016d0161017d01880400017d022801016d00017f2701016d0162012700040301780027000403017402040004\
         0502686901040200020305",
    ),
    (
        "array: every kind of value, Uint8Array, deletions; map: undefined, bigint",
        "0105050001010161018805001875017f7d007d407d417d3f7d80017dc0017dbfffffff0f7dffffffff0f7c4f0000007ccf00\
         00007c3f0000007b3fb999999999999a7b7ff80000000000007c7f8000007b433fffffffffffff787977007702c3a4750075\
         027d0175047d027a7fffffffffffffff7a80000000000000007a000000000000000176007601016b7601016c7501740101c1\
         05000501022801016d0175017f2801016d03626967017a000000000000000501050200011902",
    ),
    (
        "xml: element, attribute, formatted XmlText with attribute, deletion",
        "01080600070101780301702800060005636c617373017701630700060006040006020268694606030162027b7dc606030604\
         0162046e756c6c28000602016b01770176870600030262720106010008",
    ),
    ("a deleted nested array: GC", "01020b0001010161010004010b010005"),
    ("GC, pending", "01010b000101016101010b010005"),
    (
        "subdocuments, one with autoLoad, gc: false and meta",
        "010208002901016d0173016776002901016d01720168760302676379086175746f4c6f616478046d6574617601016175017d\
         0100",
    ),
    ("gc: false", "0104090004010174036162638409020164840903026566c409020903027a7a01090200040602"),
    (
        "UndoManager: undo, redo, undo",
        "01060a00040101740161840a00026263c40a000a010164c40a000a030164440a000161c40a030a01026263010a010005",
    ),
    ("the same, skip", "01040a0004010174036162630a02440a000161c40a030a01026263010a010302"),
    ("client id 2^53 - 1", "0101ffffffffffffff0f0004010174017800"),
    ("a root type without a name", "01010c00040100017800"),
    (
        "three clients, merged states",
        "0304ffffffff0f0004010174016184ffffffff0f00036263302801016d016b017d00c4ffffffff0f00ffffffff0f01027a7a\
         03ac0200010101740184ac0200036263312101016d016b0103140004010174026162811401022101016d016b0102ac020200\
         01040114010203",
    ),
    ("diffUpdate: nothing", "0000"),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn yrs_reads(update: &[u8]) -> bool {
    catch_unwind(|| Update::decode_v1(update).is_ok()).unwrap_or(false)
}

/// Every kind of value.
fn value() -> Any {
    let flat = [
        Any::Undefined,
        Any::Null,
        Any::Bool(true),
        Any::from(-64),
        Any::from(i64::MAX),
        Any::from(0.1),
        Any::from(1.5),
        Any::from(f64::NAN),
        Any::from("ä"),
        Any::from(vec![0u8, 255]),
    ];
    let list = Any::from(flat.to_vec());
    Any::from(HashMap::from([("list".to_owned(), list), (String::new(), Any::from(Vec::<Any>::new()))]))
}

/// One edit of some kind; returns its update.
fn edit(doc: &Doc, (kind, at, size): (u8, u32, u32)) -> Vec<u8> {
    let (text, map) = (doc.get_or_insert_text("text"), doc.get_or_insert_map("map"));
    let (array, xml) = (doc.get_or_insert_array("array"), doc.get_or_insert_xml_fragment(""));
    let mut edit = doc.transact_mut();
    let lengths = [text.len(&edit), array.len(&edit), xml.len(&edit)];
    let [in_text, in_array, in_xml] = lengths.map(|length| (at % (length + 1), size.min(length - at % (length + 1))));
    let attributes = || Attrs::from([("bold".into(), Any::Bool(true)), ("link".into(), value())]);
    let key = format!("key {}", at % 3);
    match kind {
        0 => text.insert(&mut edit, in_text.0, "some words"),
        1 => text.remove_range(&mut edit, in_text.0, in_text.1),
        2 => text.format(&mut edit, in_text.0, in_text.1, attributes()),
        3 => text.insert_with_attributes(&mut edit, in_text.0, "bold", attributes()),
        4 => drop(text.insert_embed(&mut edit, in_text.0, value())),
        5 => drop(map.insert(&mut edit, key, value())),
        6 => {
            let nested = [("array", In::from(ArrayPrelim::from([value()]))), ("text", TextPrelim::new("x").into())];
            map.insert(&mut edit, key, MapPrelim::from(nested));
        }
        7 => drop(map.remove(&mut edit, &key)),
        8 => drop(map.insert(&mut edit, key, Doc::new())),
        9 => array.insert_range(&mut edit, in_array.0, [value(), Any::Null, value()]),
        10 => drop(array.insert(&mut edit, in_array.0, Any::from(vec![7u8]))),
        11 => array.remove_range(&mut edit, in_array.0, in_array.1),
        12 => {
            let element = xml.insert(&mut edit, in_xml.0, XmlElementPrelim::empty("p"));
            yrs::Xml::insert_attribute(&element, &mut edit, "class", "c");
            element.insert(&mut edit, 0, XmlTextPrelim::new("x"));
        }
        _ => xml.remove_range(&mut edit, in_xml.0, in_xml.1),
    }
    edit.encode_update_v1()
}
const KINDS: u8 = 14;

/// Two people edit, and look at each other's work now and then. All updates that this makes: each edit, merged ones with
/// holes, states, and the state of a third one who lacks some.
fn updates(edits: &[(u8, u32, u32, bool)]) -> Vec<Vec<u8>> {
    let apply = |doc: &Doc, update: &[u8]| {
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    };
    let state = |doc: &Doc| doc.transact().encode_state_as_update_v1(&StateVector::default());
    let docs = [Doc::with_client_id(1), Doc::with_client_id(MAX_UINT)];
    let mut all = Vec::new();
    for (index, (kind, at, size, look)) in edits.iter().enumerate() {
        let doc = &docs[index % 2];
        if *look {
            apply(doc, &state(&docs[1 - index % 2]));
        }
        all.push(edit(doc, (*kind, *at, *size)));
    }
    let late = Doc::new();
    let holes: Vec<_> = all.iter().skip(1).step_by(2).cloned().collect();
    for update in &holes {
        apply(&late, update);
    }
    all.push(yrs::merge_updates_v1(&all).unwrap());
    all.push(yrs::merge_updates_v1(&holes).unwrap());
    all.extend([&docs[0], &docs[1], &late].map(state));
    all
}

static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let edits: Vec<_> = (0..KINDS).chain(0..KINDS).map(|kind| (kind, 1, 2, kind % 4 == 3)).collect();
    FROM_YJS.iter().map(|(_, hex)| bytes(hex)).chain(updates(&edits)).collect()
});

#[test]
fn what_yjs_encodes_passes() {
    for (what, hex) in FROM_YJS {
        assert_eq!(check(&bytes(hex)), Ok(()), "{what}");
        assert!(yrs_reads(&bytes(hex)), "{what}");
    }
}

#[test]
fn every_sample_is_refused_when_it_is_cut_or_continued() {
    for sample in SAMPLES.iter() {
        for end in 0..sample.len() {
            assert_eq!(check(&sample[..end]), Err(ReadError::Truncated.into()), "{sample:?} to {end}");
        }
        assert_eq!(check(&[&sample[..], &[0, 0]].concat()), Err(Refused::TrailingBytes(2)), "{sample:?}");
    }
}

/// An update of one item with this content, in the root type `t`.
fn item(content: &[u8]) -> Vec<u8> {
    [&[1, 1, 5, 0, content[0], 1, 1, b't'], &content[1..], &[0]].concat()
}

#[test]
fn what_yrs_cannot_read_of_yjs_is_refused() {
    for (what, hex, error) in [
        ("XmlHook", "01010700070101780502686b00", Refused::UnknownType(5)),
        ("JSON, of documents from before 13.0", "0102150002010161010131881500017800", Refused::UnknownContent(2)),
        ("an embed beyond i64", "01010300050101741431303030303030303030303030303030303030303000", Refused::NotJson),
        ("half a pair in an embed", "01010e00050101740e7b2261223a225c7564383030227d00", Refused::NotJson),
    ] {
        assert_eq!(check(&bytes(hex)), Err(error), "{what}");
        // If this fails, yrs has learnt it and it need no longer be refused.
        assert!(!yrs_reads(&bytes(hex)), "{what}");
    }
}

#[test]
fn what_yjs_or_yrs_would_not_read_is_refused() {
    let json = |text: &str| item(&[&[EMBED, text.len() as u8], text.as_bytes()].concat());
    assert_eq!(check(&json("[1.5, -1, null, true, \"\\ud83d\\ude00\", {\"a\": []}]")), Ok(()));
    for (what, update, error) in [
        ("a GC of length 0", vec![1, 1, 5, 0, GC, 0, 0], Refused::EmptyStruct),
        ("a Skip of length 0", vec![1, 1, 5, 0, SKIP, 0, 0], Refused::EmptyStruct),
        ("a GC with flags", vec![1, 1, 5, 0, HAS_ORIGIN | GC, 1, 0, 1, 0], Refused::UnknownContent(GC)),
        ("a Skip with flags", vec![1, 1, 5, 0, HAS_ORIGIN | SKIP, 1, 0, 1, 0], Refused::UnknownContent(SKIP)),
        ("Move of an older yrs", item(&[11, 0]), Refused::UnknownContent(11)),
        ("a fifth bit in the kind", item(&[16 | DELETED, 1]), Refused::UnknownContent(17)),
        ("a parent that is neither", vec![1, 1, 5, 0, DELETED, 2, 0, 0, 1, 0], Refused::UnknownParent(2)),
        ("a weak link", item(&[TYPE, 7]), Refused::UnknownType(7)),
        ("a type only yrs has", item(&[TYPE, 15]), Refused::UnknownType(15)),
        ("an unknown value", item(&[ANY, 1, 115]), Refused::UnknownValue(115)),
        ("structs of a client in two parts", vec![2, 1, 5, 0, GC, 1, 1, 5, 1, GC, 1, 0], Refused::ClientTwice(5)),
        ("deletions of a client in two parts", vec![0, 2, 5, 1, 0, 1, 5, 1, 4, 1], Refused::ClientTwice(5)),
        ("a clock over the end", vec![1, 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f, GC, 1, 0], Refused::ClockTooLarge),
        ("deletions over the end", vec![0, 1, 5, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1], Refused::ClockTooLarge),
        ("a length of 2^32", item(&[DELETED, 0x80, 0x80, 0x80, 0x80, 0x10]), Refused::ClockTooLarge),
        ("a client id of 2^53", bytes("010180808080808080100004010174017800"), ReadError::TooLarge.into()),
        ("text that is not UTF-8", item(&[STRING, 1, 0xff]), ReadError::NotUtf8.into()),
        ("a number beyond i64", json("10000000000000000000"), Refused::NotJson),
        ("a number beyond f64", json("1e400"), Refused::NotJson),
        ("undefined", json("undefined"), Refused::NotJson),
        ("two JSON values", json("1 2"), Refused::NotJson),
    ] {
        assert_eq!(check(&update), Err(error), "{what}");
    }
}

#[test]
fn text_takes_the_clock_as_far_as_its_utf16_length() {
    let at = |clock: u32| {
        let mut update = vec![1, 1, 5];
        update.extend([0x80 | clock as u8, 0x80 | (clock >> 7) as u8, 0x80 | (clock >> 14) as u8]);
        update.extend([0x80 | (clock >> 21) as u8, (clock >> 28) as u8]);
        [&update[..], &[STRING, 1, 1, b't', 4], "😀".as_bytes(), &[0]].concat()
    };
    assert_eq!(check(&at(u32::MAX - 2)), Ok(()));
    assert!(yrs_reads(&at(u32::MAX - 2)));
    assert_eq!(check(&at(u32::MAX - 1)), Err(Refused::ClockTooLarge));
}

#[test]
fn values_may_be_nested_as_deep_as_the_limit() {
    let arrays = |depth| item(&[&[ANY, 1], &[117, 1].repeat(depth)[..], &[126]].concat());
    let maps = |depth| item(&[&[ANY, 1], &[118, 1, 0].repeat(depth)[..], &[126]].concat());
    let json = |depth: usize| {
        // The length as two groups of 7 bits.
        let length = [0x80 | (2 * depth) as u8, ((2 * depth) >> 7) as u8];
        item(&[&[EMBED], &length[..], &b"[".repeat(depth), &b"]".repeat(depth)].concat())
    };
    for nested in [arrays(128), maps(128), json(127)] {
        assert_eq!(check(&nested), Ok(()));
        assert!(yrs_reads(&nested));
    }
    for nested in [arrays(129), maps(129), arrays(1 << 20), maps(1 << 20)] {
        assert_eq!(check(&nested), Err(Refused::TooDeep));
    }
    assert_eq!(check(&json(128)), Err(Refused::NotJson));
}

#[test]
fn a_count_without_the_bytes_is_refused() {
    let huge = &[0xff, 0xff, 0xff, 0xff, 0x07];
    let truncated = Err(ReadError::Truncated.into());
    // Without the delete set, which would be taken for what is missing.
    let cut = |content: &[u8]| item(content).split_last().unwrap().1.to_vec();
    for (what, update) in [
        ("clients", [&huge[..], &[0; 3]].concat()),
        ("structs", [&[1], &huge[..], &[5, 0, GC, 1, 0]].concat()),
        ("values", cut(&[&[ANY], &huge[..], &[126]].concat())),
        ("entries of a map", cut(&[&[ANY, 1, 118], &huge[..], &[0, 126]].concat())),
        ("entries of an array", cut(&[&[ANY, 1, 117], &huge[..], &[126]].concat())),
        ("bytes", cut(&[&[BINARY], &huge[..], &[0]].concat())),
        ("clients with deletions", [&[0], &huge[..], &[5, 1, 0, 1]].concat()),
        ("deletions", [&[0, 1, 5], &huge[..], &[0, 1]].concat()),
    ] {
        assert_eq!(check(&update), truncated, "{what}");
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let mutation = (0..4u8, any::<Index>(), any::<u8>());
    (any::<Index>(), prop::collection::vec(mutation, 1..4)).prop_map(|(sample, mutations)| {
        let mut bytes = SAMPLES[sample.index(SAMPLES.len())].clone();
        for (kind, at, byte) in mutations {
            let at = at.index(bytes.len().max(1));
            match kind {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ if bytes.is_empty() => {}
                2 => bytes[at] ^= byte,
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn what_passes_after_mutation_is_read_by_yrs(update in mutated()) {
        prop_assert!(check(&update).is_err() || yrs_reads(&update));
    }

    #[test]
    fn what_passes_of_random_bytes_is_read_by_yrs(bytes: Vec<u8>) {
        prop_assert!(check(&bytes).is_err() || yrs_reads(&bytes));
    }
}

proptest! {
    #[test]
    fn what_yrs_encodes_passes(edits in prop::collection::vec((0..KINDS, 0..50u32, 0..9u32, any::<bool>()), 1..40)) {
        for update in updates(&edits) {
            prop_assert_eq!(check(&update), Ok(()), "{:?}", update);
        }
    }
}
