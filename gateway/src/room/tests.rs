use super::log::{Entry, Epoch, Head, Position, ReadReply, Tenure};
use super::*;
use crate::protocol::yjs::Presence;
use editorcluster_core::document::EMPTY_VECTOR;

const NOW: Now = Duration::from_secs(1);
const GONE: SessionId = SessionId(1);
const HERE: SessionId = SessionId(2);
const EDIT: &[u8] = &[1, 1, 7, 0, 4, 1, 1, b't', 1, b'x', 0];

fn room() -> Room {
    let limits = Limits {
        document_bytes: 1 << 20,
        backlog_bytes: 1 << 10,
        checkpoint_after: Duration::from_secs(60),
        durability: Durability::Log,
        without: None,
    };
    Room::new(limits, 1)
}

fn input(room: &mut Room, input: Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    room.handle(NOW, input, &mut effects);
    effects
}

/// The room's first join, in an empty log and without a row. The three calls have the first three numbers.
fn load(room: &mut Room) -> Vec<Effect> {
    let empty = ReadReply { entries: Vec::new(), last: None, head: None, tenure: Tenure("one".to_owned()) };
    let answers = [
        Input::Subscribed { call: 1, result: Ok(1) },
        Input::Read { call: 2, result: Ok(empty) },
        Input::Loaded { call: 3, result: Ok(None) },
    ];
    answers.into_iter().flat_map(|answer| input(room, answer)).collect()
}

fn send(room: &mut Room, session: SessionId, message: Message) -> Vec<Effect> {
    input(room, Input::Message { session, message })
}

#[test]
fn a_session_that_leaves_before_the_document_is_there_leaves_its_edits_and_no_presence() {
    let mut room = room();
    input(&mut room, Input::Join { session: GONE });
    input(&mut room, Input::Join { session: HERE });
    let presence = [Presence { client: 7, clock: 1, json: "{}".to_owned() }];
    send(&mut room, GONE, Message::Awareness(encode_awareness(&presence)));
    send(&mut room, HERE, Message::SyncStep1(Bytes::from_static(EMPTY_VECTOR)));
    send(&mut room, GONE, Message::Update(Bytes::from_static(EDIT)));
    send(&mut room, GONE, Message::QueryAwareness);
    send(&mut room, GONE, Message::Update(Bytes::from_static(&[0xff])));
    input(&mut room, Input::Leave { session: GONE });
    let effects = load(&mut room);
    let is_to = |effect: &Effect, session| matches!(effect, Effect::Send { to, .. } if to.contains(&session));
    assert!(room.replica.loaded());
    assert!(!effects.iter().any(|effect| is_to(effect, GONE) || matches!(effect, Effect::Close { .. })), "{effects:?}");
    let edit = |effect: &Effect| matches!(effect, Effect::Tell { as_step2, update, .. } if as_step2.contains(&HERE) && update == EDIT);
    assert!(effects.iter().any(edit), "{effects:?}");
    assert_eq!(room.awareness.all(), []);
}

#[test]
fn what_a_session_sent_behind_its_bad_message_is_ignored_also_if_all_came_early() {
    let mut room = room();
    input(&mut room, Input::Join { session: GONE });
    send(&mut room, GONE, Message::Update(Bytes::from_static(&[0xff])));
    send(&mut room, GONE, Message::Update(Bytes::from_static(EDIT)));
    let effects = load(&mut room);
    let closed = effects.iter().filter(|effect| matches!(effect, Effect::Close { session: GONE, .. }));
    assert_eq!(closed.count(), 1);
    assert_eq!(room.bytes(), 0);
}

#[test]
fn what_is_refused_after_it_was_held_is_not_acknowledged() {
    let mut room = room();
    input(&mut room, Input::Join { session: GONE });
    input(&mut room, Input::Join { session: HERE });
    load(&mut room);
    // Behind what the room does not have, and with a struct of the length 0 at its end.
    let bad = Bytes::from_static(&[1, 2, 7, 1, 0x84, 7, 0, 1, b'y', 4, 1, 1, b't', 0, 0]);
    let effects = send(&mut room, GONE, Message::Update(bad));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Close { .. })), "{effects:?}");
    let effects = send(&mut room, HERE, Message::Update(Bytes::from_static(EDIT)));
    let reason = CloseReason::Refused(Refused::EmptyStruct);
    let closed = |effect: &Effect| matches!(effect, Effect::Close { session: GONE, reason: why } if *why == reason);
    assert!(effects.iter().any(closed), "{effects:?}");
    assert!(!room.held.holds(GONE) && !room.held.has_settled());
}

/// Another gateway was cut off and wrote the database; what follows came by the log, and now the beginning from its author.
#[test]
fn what_an_update_releases_is_told_to_its_author() {
    let mut room = room();
    input(&mut room, Input::Join { session: HERE });
    let (epoch, tenure) = (Epoch::new(1, 1), Tenure("one".to_owned()));
    let next = Bytes::from_static(&[1, 1, 8, 0, 0x84, 7, 0, 1, b'y', 0]);
    let first = Entry { position: Position { epoch, n: 0 }, update: next.clone() };
    let head = Some(Head { epoch, tenure: tenure.clone() });
    let reply = ReadReply { last: Some(first.position), entries: vec![first], head, tenure };
    input(&mut room, Input::Subscribed { call: 1, result: Ok(1) });
    input(&mut room, Input::Read { call: 2, result: Ok(reply) });
    input(&mut room, Input::Loaded { call: 3, result: Ok(None) });
    send(&mut room, HERE, Message::SyncStep1(Bytes::from_static(EMPTY_VECTOR)));
    let effects = send(&mut room, HERE, Message::SyncStep2(Bytes::from_static(EDIT)));
    let told = |effect: &Effect| matches!(effect, Effect::Tell { as_step2, update, .. } if as_step2.contains(&HERE) && *update == next);
    assert!(effects.iter().any(told), "{effects:?}");
}

#[test]
fn early_messages_without_a_body_fill_the_backlog_too() {
    let mut room = room();
    input(&mut room, Input::Join { session: HERE });
    let mut paused = |_| {
        let effects = send(&mut room, HERE, Message::QueryAwareness);
        effects.iter().any(|effect| matches!(effect, Effect::Pause(true)))
    };
    assert!((0..100).any(&mut paused));
    load(&mut room);
    assert!(!room.paused);
}

/// Somebody wrote through another gateway, whose append is on its way to us, and then comes to us: the log tells us what the
/// session has told us already, and neither is in the database.
#[test]
fn what_a_session_has_told_is_not_told_again_when_the_log_tells_it() {
    let limits = Limits { durability: Durability::Database, ..room().limits };
    let mut room = Room::new(limits, 1);
    input(&mut room, Input::Join { session: HERE });
    load(&mut room);
    let (epoch, tenure) = (Epoch::new(1, 1), Tenure("one".to_owned()));
    // Another gateway opens the log, so we join it.
    let first = Entry { position: Position { epoch, n: 0 }, update: Bytes::from_static(&[0, 1, 9, 1, 0, 1]) };
    input(&mut room, Input::Entry(first.clone()));
    let head = Some(Head { epoch, tenure: tenure.clone() });
    let reply = ReadReply { entries: vec![first.clone()], last: Some(first.position), head, tenure };
    input(&mut room, Input::Subscribed { call: 4, result: Ok(1) });
    input(&mut room, Input::Read { call: 5, result: Ok(reply) });
    input(&mut room, Input::Loaded { call: 6, result: Ok(None) });

    send(&mut room, HERE, Message::SyncStep1(Bytes::from_static(EMPTY_VECTOR)));
    // Somebody else's edit is on its way to the log, and this one has to wait.
    input(&mut room, Input::Join { session: GONE });
    send(&mut room, GONE, Message::Update(Bytes::from_static(&[1, 1, 8, 0, 4, 1, 1, b't', 1, b'y', 0])));
    let mut effects = send(&mut room, HERE, Message::SyncStep2(Bytes::from_static(EDIT)));
    let entry = Entry { position: Position { epoch, n: 1 }, update: Bytes::from_static(EDIT) };
    effects.extend(input(&mut room, Input::Entry(entry)));
    let tells = |effect: &Effect| match effect {
        Effect::Tell { as_update, as_step2, update } => {
            [as_update, as_step2].iter().any(|to| to.contains(&HERE)) && update == EDIT
        }
        // It looks like an acknowledgement, and the edit is not durable yet.
        Effect::Acknowledge { .. } => true,
        _ => false,
    };
    assert!(!effects.iter().any(tells), "{effects:?}");
}
