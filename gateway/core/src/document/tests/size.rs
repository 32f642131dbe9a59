//! What continues the struct before it becomes a part of it, however it came: else a document would be larger than Yjs'.

use super::*;

const LONG: usize = 3 * SHARED_FROM;

fn letter(clock: u32) -> Vec<u8> {
    if clock == 0 { text(root("t"), "a") } else { text(behind(1, clock - 1), "a") }
}

fn letters(clocks: std::ops::Range<u32>) -> Made {
    made(1, clocks.start, &clocks.map(letter).collect::<Vec<_>>())
}

fn encoded(updates: &[Made]) -> Bytes {
    document(updates).encode_state().expect("it is a document")
}

#[test]
fn a_large_update_of_letters_is_kept_as_one_text() {
    let whole = made(1, 0, &[text(root("t"), &"a".repeat(LONG))]);
    assert_eq!(encoded(&[letters(0..LONG as u32)]), encoded(&[whole]));
}

#[test]
fn the_first_struct_of_a_large_update_joins_the_last_that_was_there() {
    // Those behind it are no text of one piece, so that they are kept as they came.
    let apart = (0..SHARED_FROM as u32).map(|_| text(before(1, 0), "b"));
    let structs: Vec<_> = std::iter::once(letter(1)).chain(apart).collect();
    let joined: Vec<_> = std::iter::once(text(root("t"), "aa")).chain(structs[1..].iter().cloned()).collect();
    let mut document = document(&[letters(0..1)]);
    document.take(&made(1, 1, &structs).bytes()).expect("it is an update");
    assert_eq!(document.encode_state().expect("it is a document"), made(1, 0, &joined).bytes());
}

#[test]
fn what_is_typed_behind_a_long_text_joins_it() {
    let long = made(1, 0, &[text(root("t"), &"a".repeat(LONG))]);
    let longer = made(1, 0, &[text(root("t"), &"a".repeat(LONG + 1))]);
    let mut document = document(&[long]);
    document.encode_state().expect("it is a document");
    document.admit(&letters(LONG as u32..LONG as u32 + 1).bytes(), usize::MAX).expect("it is admitted");
    assert_eq!(document.encode_state().expect("it is a document"), encoded(&[longer]));
}
