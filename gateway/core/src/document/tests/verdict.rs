//! What is admitted, what is refused and why, what waits; and what is left of deleted content.

use super::*;

fn verdict(update: &Made) -> Result<Admitted, Refused> {
    let mut document = document(&[honest()]);
    let before = document.encode_state();
    let verdict = document.admit(&update.bytes(), usize::MAX);
    if verdict.as_ref().map_or(true, |admitted| admitted.news.is_none()) {
        assert_eq!(document.encode_state(), before, "nothing has changed");
    }
    verdict
}

fn honest() -> Made {
    made(1, 0, &[text(root("t"), "honest"), array(root("a"))])
}

#[test]
fn what_clients_would_not_survive_is_refused() {
    let own_future = |clock| Refused::OwnFuture(Id { client: 7, clock });
    let options = |bytes: &[u8]| made(7, 0, &[item(9, root("m"), &[&[1, b'g'], bytes].concat())]);
    for (what, update, refused) in [
        ("its own future as origin", made(7, 0, &[text(behind(7, 5), "x")]), own_future(0)),
        ("itself as origin", made(7, 0, &[text(behind(7, 0), "x")]), own_future(0)),
        ("itself as right origin", made(7, 0, &[text(before(7, 0), "x")]), own_future(0)),
        ("itself as parent", made(7, 0, &[text(within(7, 0), "x")]), own_future(0)),
        ("its future, behind good ones", made(7, 0, &[text(root("t"), "x"), text(behind(7, 9), "x")]), own_future(1)),
        ("an empty text", made(7, 0, &[text(root("t"), "")]), Refused::EmptyStruct),
        ("an empty list", made(7, 0, &[item(ANY, root("t"), &[0])]), Refused::EmptyStruct),
        ("an empty deletion", made(7, 0, &[deleted(root("t"), 0)]), Refused::EmptyStruct),
        ("an empty GC", made(7, 0, &[gc(0)]), Refused::EmptyStruct),
        ("a client twice", made(7, 0, &[gc(1)]).and(7, 1, &[gc(1)]), Refused::ClientTwice(7)),
        ("deletions twice", honest().deletes(1, &[(0, 1)]).deletes(1, &[(1, 1)]), Refused::ClientTwice(1)),
        ("a clock behind the last", made(7, u32::MAX, &[gc(1)]), Refused::ClockTooLarge),
        ("deletions behind the last clock", Made::default().deletes(7, &[(u32::MAX, 1)]), Refused::ClockTooLarge),
        ("options that are null", options(&[126]), Refused::SubdocumentOptions),
        ("options that are undefined", options(&[127]), Refused::SubdocumentOptions),
        ("an id that is null", options(&[118, 1, 4, b'g', b'u', b'i', b'd', 126]), Refused::SubdocumentOptions),
        ("a weak link", made(7, 0, &[item(TYPE, root("t"), &[7])]), Refused::UnknownType(7)),
        ("content 11", made(7, 0, &[item(11, root("t"), &[])]), Refused::UnknownContent(11)),
        ("an embed that is not JSON", made(7, 0, &[item(5, root("t"), &[1, b'{'])]), Refused::NotJson),
    ] {
        assert_eq!(verdict(&update), Err(refused), "{what}");
    }
}

#[test]
fn bytes_that_end_early_or_late_are_refused() {
    let update = honest().deletes(1, &[(0, 1)]).bytes();
    for length in 0..update.len() {
        assert!(Document::default().admit(&update.slice(..length), usize::MAX).is_err(), "{length}");
    }
    let longer = Bytes::from([&update[..], &[0]].concat());
    assert_eq!(Document::default().admit(&longer, usize::MAX), Err(Refused::TrailingBytes(1)));
}

#[test]
fn only_news_are_told_and_nothing_twice() {
    let update = honest();
    assert_eq!(verdict(&update), Ok(Admitted::default()));
    assert_eq!(verdict(&Made::default()), Ok(Admitted::default()));
    let longer = made(1, 0, &[text(root("t"), "honest"), array(root("a")), value(behind(1, 6))]);
    let news = made(1, 7, &[value(behind(1, 6))]).bytes();
    assert_eq!(verdict(&longer), Ok(Admitted { news: Some(news), waits: None, ..Admitted::default() }));
    // A struct of which a part is known has the element before that as its origin.
    let mut known = document(&[made(1, 0, &[text(root("t"), "hon")])]);
    let news = made(1, 3, &[text(behind(1, 2), "est"), array(root("a"))]).bytes();
    assert_eq!(
        known.admit(&update.bytes(), usize::MAX),
        Ok(Admitted { news: Some(news), waits: None, ..Admitted::default() })
    );
    let deletion = Made::default().deletes(1, &[(1, 2)]).bytes();
    assert_eq!(known.admit(&deletion, usize::MAX).unwrap().news, Some(deletion.clone()));
    assert_eq!(known.admit(&deletion, usize::MAX), Ok(Admitted::default()));
}

#[test]
fn the_clients_of_news_are_in_descending_order() {
    let (low, high) = (made(7, 0, &[text(root("t"), "a")]), made(9, 0, &[text(behind(7, 0), "b")]));
    let both = Made { clients: [low.clients.clone(), high.clients.clone()].concat(), deletions: Vec::new() };
    let sorted = Made { clients: [high.clients, low.clients].concat(), deletions: Vec::new() };
    assert_eq!(verdict(&both).unwrap().news, Some(sorted.bytes()));
    assert_eq!(verdict(&sorted).unwrap().news, Some(sorted.bytes()));
}

#[test]
fn what_refers_to_something_unknown_waits_and_the_rest_is_taken() {
    let waits = |client, clock| Some(Id { client, clock });
    for (what, update, missing) in [
        ("a gap", made(1, 9, &[gc(1)]), waits(1, 7)),
        ("a Skip", made(1, 7, &[skip(2), gc(1)]), waits(1, 7)),
        ("an origin", made(7, 0, &[text(behind(9, 3), "x")]), waits(9, 3)),
        ("a right origin", made(7, 0, &[text(before(9, 3), "x")]), waits(9, 3)),
        ("a parent", made(7, 0, &[text(within(9, 3), "x")]), waits(9, 3)),
        ("a deletion", Made::default().deletes(9, &[(2, 4)]), waits(9, 5)),
        ("each other", made(7, 0, &[text(behind(8, 0), "x")]).and(8, 0, &[text(behind(7, 0), "x")]), waits(8, 0)),
        (
            "what waits itself",
            made(7, 0, &[text(behind(8, 0), "x")]).and(8, 0, &[text(behind(9, 0), "x")]),
            waits(9, 0),
        ),
    ] {
        assert_eq!(verdict(&update), Ok(Admitted { waits: missing, ..Admitted::default() }), "{what}");
    }
    let mixed = made(7, 0, &[text(root("t"), "x"), text(behind(9, 0), "y")]);
    let news = made(7, 0, &[text(root("t"), "x")]).bytes();
    assert_eq!(verdict(&mixed), Ok(Admitted { news: Some(news), waits: waits(9, 0), ..Admitted::default() }));
}

#[test]
fn structs_may_come_in_any_order_within_an_update() {
    let chain = |count: u64| {
        (0..count).fold(Made::default(), |update, client| {
            let at = if client + 1 == count { root("t") } else { behind(client + 1, 0) };
            update.and(client, 0, &[text(at, "x")])
        })
    };
    assert_eq!(document(&[chain(2000)]).clients.len(), 2000);
    let woven = made(7, 0, &[text(behind(8, 0), "b"), text(behind(8, 2), "d")]).and(
        8,
        0,
        &[text(root("t"), "a"), text(behind(7, 0), "c!")],
    );
    assert_eq!(text_of(&document(&[woven]).encode_state().unwrap()), "abc!d");
}

#[test]
fn what_waits_in_the_log_or_a_row_is_kept_and_joins_later() {
    let (early, late) =
        (made(7, 1, &[text(behind(7, 0), "b")]).deletes(8, &[(0, 1)]), made(7, 0, &[text(root("t"), "a")]));
    let mut document = Document::default();
    let waiting = document.take(&early.bytes()).unwrap();
    assert_eq!((waiting.news, document.pending_bytes() > 0), (None, true));
    let row = document.encode_state().unwrap();
    assert_eq!(document.diff(EMPTY_VECTOR).unwrap(), EMPTY_UPDATE, "nobody is told what waits");
    for mut document in [document, {
        let mut read = Document::default();
        read.load(&row).unwrap();
        read
    }] {
        let news = document.take(&late.bytes()).unwrap().news.unwrap();
        assert_eq!(text_of(&news), "ab");
        document.take(&made(8, 0, &[text(root("t"), "z")]).bytes()).unwrap();
        assert_eq!((document.pending_bytes(), text_of(&document.encode_state().unwrap())), (0, "ab".to_owned()));
    }
}

#[test]
fn structs_of_length_0_that_are_stored_are_left_out() {
    let stored = made(7, 0, &[text(root("t"), "a"), deleted(behind(7, 0), 0), text(behind(7, 0), "b"), gc(0)]);
    let waiting = made(8, 5, &[gc(0)]);
    let state = made(7, 0, &[text(root("t"), "ab")]).bytes();
    for take in [Document::take, Document::load] {
        let mut document = Document::default();
        assert_eq!(take(&mut document, &stored.bytes()).unwrap().news, Some(state.clone()));
        assert_eq!(document.take(&waiting.bytes()), Ok(Admitted::default()));
        assert_eq!((document.encode_state().unwrap(), document.pending_bytes()), (state.clone(), 0));
    }
}

#[test]
fn types_may_nest_so_deep_and_no_deeper() {
    let nested = |depth: u32| {
        let structs: Vec<_> = (0..depth).map(|at| array(if at == 0 { root("a") } else { within(7, at - 1) })).collect();
        made(7, 0, &structs)
    };
    assert!(verdict(&nested(MAX_NESTING.into())).is_ok());
    assert_eq!(verdict(&nested(u32::from(MAX_NESTING) + 1)), Err(Refused::Nesting));
    // What is stored already is read all the same.
    assert!(Document::default().take(&nested(20_000).bytes()).is_ok());
}

#[test]
fn a_document_grows_to_its_limit_and_deletions_make_room() {
    let mut document = document(&[made(7, 0, &[text(root("t"), &"x".repeat(1000))])]);
    let more = made(8, 0, &[text(root("t"), &"y".repeat(1000))]).bytes();
    assert_eq!(document.admit(&more, 1500), Err(Refused::DocumentTooLarge));
    let deletion = Made::default().deletes(7, &[(0, 900)]).bytes();
    assert!(document.admit(&deletion, 1500).unwrap().news.is_some());
    assert!(document.admit(&more, 1500).unwrap().news.is_some());
    assert_eq!(document.admit(&more, 0), Ok(Admitted::default()), "what brings nothing needs no room");
}

#[test]
fn deleted_content_goes_and_neighbours_join() {
    let first = made(7, 0, &[text(root("t"), "abcdef")]);
    for (what, update, state) in [
        (
            "the middle of a text",
            first.clone().deletes(7, &[(2, 2)]),
            made(7, 0, &[text(root("t"), "ab"), deleted(behind(7, 1), 2), text(behind(7, 3), "ef")])
                .deletes(7, &[(2, 2)]),
        ),
        ("all of it", first.clone().deletes(7, &[(0, 6)]), made(7, 0, &[deleted(root("t"), 6)]).deletes(7, &[(0, 6)])),
        (
            "half of a surrogate pair",
            made(7, 0, &[text(root("t"), "a😀b")]).deletes(7, &[(1, 1)]),
            made(7, 0, &[text(root("t"), "a"), deleted(behind(7, 0), 1), text(behind(7, 1), "\u{fffd}b")])
                .deletes(7, &[(1, 1)]),
        ),
        (
            "an item that was deleted before, behind one that is gone",
            made(7, 0, &[gc(1), deleted(behind(7, 0), 2), text(root("t"), "x")]),
            made(7, 0, &[gc(3), text(root("t"), "x")]).deletes(7, &[(0, 3)]),
        ),
        (
            "a type with what is in it, and in that",
            made(7, 0, &[array(root("a")), array(within(7, 0)), text(within(7, 1), "x"), value(behind(7, 0))])
                .deletes(7, &[(0, 1)]),
            made(7, 0, &[deleted(root("a"), 1), gc(2), value(behind(7, 0))]).deletes(7, &[(0, 3)]),
        ),
    ] {
        assert_eq!(document(&[update]).encode_state().unwrap(), state.bytes(), "{what}");
    }
    let typed: Vec<_> =
        (0..5).map(|at| made(7, at, &[text(if at == 0 { root("t") } else { behind(7, at - 1) }, "x")])).collect();
    assert_eq!(document(&typed).encode_state().unwrap(), made(7, 0, &[text(root("t"), "xxxxx")]).bytes());
}

#[test]
fn what_comes_into_a_deleted_type_is_deleted_with_it() {
    let mut document = document(&[made(7, 0, &[array(root("a"))]), Made::default().deletes(7, &[(0, 1)])]);
    document.encode_state().unwrap();
    document
        .admit(&made(8, 0, &[text(before(9, 0), "late")]).and(9, 0, &[value(within(7, 0))]).bytes(), usize::MAX)
        .unwrap();
    let state = made(9, 0, &[gc(1)]).and(8, 0, &[gc(4)]).and(7, 0, &[deleted(root("a"), 1)]);
    let state = state.deletes(9, &[(0, 1)]).deletes(8, &[(0, 4)]).deletes(7, &[(0, 1)]);
    assert_eq!(document.encode_state().unwrap(), state.bytes());
}

#[test]
fn so_many_insertions_may_compete_for_one_place_and_no_more() {
    let at_once = |from: u32, count: u32| {
        let structs: Vec<_> = (0..count).map(|_| value(At { key: Some("k"), ..root("m") })).collect();
        made(7, from, &structs)
    };
    let mut document = document(&[at_once(0, 3000)]);
    assert_eq!(document.admit(&at_once(3000, 2000).bytes(), usize::MAX), Err(Refused::Crowded));
    // One by one, with others' edits between, and after the row was read again.
    let row = document.encode_state().unwrap();
    let mut document = Document::default();
    document.load(&row).unwrap();
    let mut last = Ok(Admitted::default());
    for count in 0..1200 {
        assert!(document.admit(&made(8, count, &[value(behind(7, count))]).bytes(), usize::MAX).is_ok());
        last = document.admit(&at_once(3000 + count, 1).bytes(), usize::MAX);
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last, Err(Refused::Crowded));
    assert_eq!(document.clients[&7].next, MAX_SIBLINGS);
    // Elsewhere there is room.
    assert!(document.admit(&made(9, 0, &[value(At { key: Some("other"), ..root("m") })]).bytes(), usize::MAX).is_ok());
}

#[test]
fn a_long_document_by_one_person_is_never_crowded() {
    // At its front, where all have the same origin, and each key of a map.
    let front: Vec<_> =
        (0..10_000).map(|clock| value(if clock == 0 { root("a") } else { before(7, clock - 1) })).collect();
    assert!(Document::default().admit(&made(7, 0, &front).bytes(), usize::MAX).is_ok());
    let keys: Vec<String> = (0..10_000).map(|key| key.to_string()).collect();
    let entries: Vec<_> = keys.iter().map(|key| value(At { key: Some(key), ..root("m") })).collect();
    let mut document = Document::default();
    for (clock, entry) in (0..).zip(entries) {
        assert!(document.admit(&made(7, clock, &[entry]).bytes(), usize::MAX).is_ok());
    }
}

#[test]
fn a_document_is_too_large_by_its_memory_as_well() {
    // A client with one character takes few bytes, and its place in memory.
    let mut document = Document::default();
    let most = 1 << 20;
    let refused = (0..200_000_u64).find(|client| {
        let place = if *client == 0 { root("t") } else { behind(*client, 0) };
        document.admit(&made(client + 1, 0, &[text(place, "x")]).bytes(), most) == Err(Refused::DocumentTooLarge)
    });
    assert!(refused.is_some() && document.bytes() < most / 2, "{refused:?}, {} bytes", document.bytes());
    assert!(document.memory() <= 2 * most + SPARED_MEMORY + 1024, "{} bytes", document.memory());
}

#[test]
fn what_comes_without_its_content_is_deleted_for_those_who_have_that() {
    let bare = made(7, 0, &[deleted(root("t"), 1)]).bytes();
    let news = Document::default().admit(&bare, usize::MAX).unwrap().news.unwrap();
    let mut had = document(&[made(7, 0, &[text(root("t"), "x")])]);
    had.take(&news).unwrap();
    let mut deleted = document(&[made(7, 0, &[deleted(root("t"), 1)]).deletes(7, &[(0, 1)])]);
    assert_eq!(had.encode_state().unwrap(), deleted.encode_state().unwrap());
}

#[test]
fn a_crowd_is_found_before_an_update_is_split() {
    let crowd = |count: u32| made(7, 0, &vec![value(At { key: Some("k"), ..root("m") }); count as usize]).bytes();
    assert!(split(&crowd(MAX_SIBLINGS), 1000).is_ok());
    assert_eq!(split(&crowd(MAX_SIBLINGS + 1), 1000), Err(Refused::Crowded));
}
