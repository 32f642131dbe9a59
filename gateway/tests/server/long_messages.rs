//! Updates and answers that are too long to be taken in or made in one piece.

use bytes::Bytes;
use gateway::protocol::yjs::Message;
use yrs::{Doc, ReadTxn, StateVector, Text, Transact};

use crate::client::Client;
use crate::gateway_process::start_embedded;

/// A text in which no two letters become one struct, and its update of some 800 KB, which is cut.
fn long_text() -> (String, Bytes) {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    let mut edit = doc.transact_mut();
    let mut written = String::new();
    for number in 0..100_000_u32 {
        let letter = char::from(b'a' + (number % 26) as u8);
        text.insert(&mut edit, 0, &letter.to_string());
        written.push(letter);
    }
    text.remove_range(&mut edit, 0, 10);
    drop(edit);
    let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
    (written.chars().rev().skip(10).collect(), update.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_update_is_acknowledged_as_a_whole_and_what_is_sent_behind_it_waits_its_turn() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut reader = Client::synced(gateway.public_addr, "long").await;
    let mut author = Client::synced(gateway.public_addr, "long").await;
    let (text, update) = long_text();
    author.send(&[Message::Update(update.clone())]).await;
    let behind = author.write("!").await;
    let expected = [Message::Update(update), Message::Update(behind)];
    author.until("the acknowledgements", |author| author.heard.contains(&expected[1])).await;
    let echoes = author.heard.iter().filter(|message| expected.contains(message));
    assert!(echoes.eq(expected.iter()), "each comes once and as it was sent, in that order");
    reader.until("all of it", |reader| reader.text().len() == text.len() + 1).await;
    assert_eq!(reader.text().replace('!', ""), text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_update_that_is_refused_closes_its_session_and_nothing_of_it_is_taken_in() {
    let (gateway, _data) = start_embedded(&[]).await;
    let (_, update) = long_text();
    let mut trailing = update.to_vec();
    trailing.push(0);
    let mut author = Client::synced(gateway.public_addr, "refused").await;
    author.send(&[Message::Update(trailing.into())]).await;
    assert_eq!(author.closed().await, 1007);
    assert_eq!(Client::synced(gateway.public_addr, "refused").await.text(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_a_large_document_while_it_is_edited_has_all_of_it_and_misses_no_edit() {
    let (gateway, _data) = start_embedded(&[]).await;
    let mut author = Client::synced(gateway.public_addr, "large").await;
    let (text, update) = long_text();
    let message = Message::Update(update);
    author.send(std::slice::from_ref(&message)).await;
    author.until("the acknowledgement", |author| author.heard.contains(&message)).await;
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push(Client::connect(gateway.public_addr, "large").await);
        author.write_acknowledged("!").await;
    }
    for mut reader in readers {
        reader.until("all of it", |reader| reader.text().len() == text.len() + 10).await;
        let updates = reader.heard.iter().filter(|message| matches!(message, Message::Update(_))).count();
        assert!(updates > 1, "the answer comes in parts, and not in {updates}");
        reader.write_acknowledged("?").await;
        author.until("the answer", |author| author.text().contains('?')).await;
    }
}
