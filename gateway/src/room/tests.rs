use super::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure};
use super::*;
use crate::protocol::yjs::Presence;
use editorcluster_core::document::{EMPTY_VECTOR, Id};

const NOW: Now = Duration::from_secs(1);
const GONE: SessionId = SessionId(1);
const HERE: SessionId = SessionId(2);
const EDIT: &[u8] = &[1, 1, 7, 0, 4, 1, 1, b't', 1, b'x', 0];

fn room() -> Room {
    let limits = Limits {
        document_bytes: 1 << 20,
        backlog_bytes: 1 << 10,
        turn_bytes: 128 << 10,
        stream_bytes: 512 << 10,
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
    // Behind what the room does not have, and with a struct at its end that refers to its own future.
    let bad = Bytes::from_static(&[1, 2, 7, 1, 0x84, 7, 0, 1, b'y', 0x84, 7, 9, 1, b'z', 0]);
    let effects = send(&mut room, GONE, Message::Update(bad));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Close { .. })), "{effects:?}");
    let effects = send(&mut room, HERE, Message::Update(Bytes::from_static(EDIT)));
    let reason = CloseReason::Refused(Refused::OwnFuture(Id { client: 7, clock: 2 }));
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

/// "x" by client 7, and "y" behind it by client 8.
const BEHIND: &[u8] = &[1, 1, 8, 0, 0x84, 7, 0, 1, b'y', 0];

fn acknowledged(effects: &[Effect]) -> Vec<(SessionId, Bytes)> {
    let acknowledged = effects.iter().filter_map(|effect| match effect {
        Effect::Acknowledge { session, update } => Some((*session, update.clone())),
        _ => None,
    });
    acknowledged.collect()
}

fn is_asked(effects: &[Effect], session: SessionId) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Send { to, message: Message::SyncStep1(_) } if to.contains(&session)))
}

/// A room whose log takes everything at once, with two sessions.
fn logged() -> (Room, impl FnMut(&mut Room, SessionId, Message) -> Vec<Effect>) {
    let mut room = room();
    input(&mut room, Input::Join { session: GONE });
    input(&mut room, Input::Join { session: HERE });
    load(&mut room);
    for session in [GONE, HERE] {
        send(&mut room, session, Message::SyncStep1(Bytes::from_static(EMPTY_VECTOR)));
    }
    let (epoch, mut n) = (Epoch::new(1, 1), 0);
    let mut begun = false;
    let say = move |room: &mut Room, session, message| {
        let mut effects = send(room, session, message);
        let mut next = 0;
        while next < effects.len() {
            let position = Position { epoch, n };
            let answer = match &effects[next] {
                Effect::Open { call, .. } if !begun => {
                    begun = true;
                    Some(Input::Opened { call: *call, result: Ok(Opened::Opened) })
                }
                Effect::Subscribe { call } => Some(Input::Subscribed { call: *call, result: Ok(1) }),
                Effect::Read { call } => {
                    let tenure = Tenure("one".to_owned());
                    let head = Some(Head { epoch, tenure: tenure.clone() });
                    Some(Input::Read {
                        call: *call,
                        result: Ok(ReadReply { entries: Vec::new(), last: Some(position), head, tenure }),
                    })
                }
                Effect::Load { call } => Some(Input::Loaded { call: *call, result: Ok(None) }),
                Effect::Append { call, .. } => {
                    n += 1;
                    Some(Input::Appended { call: *call, result: Ok(Appended::At(Position { epoch, n })) })
                }
                _ => None,
            };
            effects.extend(answer.into_iter().flat_map(|answer| input(room, answer)));
            next += 1;
        }
        effects
    };
    (room, say)
}

#[test]
fn an_update_that_comes_too_early_is_held_and_acknowledged_in_order() {
    let (mut room, mut say) = logged();
    let own = Bytes::from_static(&[1, 1, 9, 0, 4, 1, 1, b't', 1, b'z', 0]);
    let effects = say(&mut room, HERE, Message::Update(Bytes::from_static(BEHIND)));
    assert!(is_asked(&effects, HERE), "it is asked for what it refers to: {effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Tell { .. } | Effect::Append { .. })), "{effects:?}");
    let effects = say(&mut room, HERE, Message::Update(own.clone()));
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Tell { update, .. } if *update == own)),
        "{effects:?}"
    );
    assert_eq!(acknowledged(&effects), []);
    let effects = say(&mut room, GONE, Message::Update(Bytes::from_static(EDIT)));
    let told: Vec<&[u8]> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tell { update, .. } => Some(&update[..]),
            _ => None,
        })
        .collect();
    assert_eq!(told, [EDIT, BEHIND]);
    let edit = (GONE, Bytes::from_static(EDIT));
    assert_eq!(acknowledged(&effects), [edit, (HERE, Bytes::from_static(BEHIND)), (HERE, own)]);
}

#[test]
fn what_refers_to_nothing_is_dropped_and_what_came_behind_it_acknowledged() {
    let (mut room, mut say) = logged();
    say(&mut room, HERE, Message::Update(Bytes::from_static(BEHIND)));
    let own = Bytes::from_static(&[1, 1, 9, 0, 4, 1, 1, b't', 1, b'z', 0]);
    say(&mut room, HERE, Message::Update(own.clone()));
    let mut effects = Vec::new();
    room.handle(NOW + Duration::from_secs(11), Input::Tick, &mut effects);
    assert_eq!(acknowledged(&effects), [(HERE, own)]);
    assert_eq!(room.held.expires_at(), None);
}

#[test]
fn a_sessions_held_updates_are_bounded() {
    let (mut room, mut say) = logged();
    for client in 0..200_u8 {
        let text = [&[1, 1, 100, client, 0x84, 7, 0, 0x80, 8][..], &[b'y'; 1024], &[0]].concat();
        say(&mut room, HERE, Message::Update(text.into()));
    }
    assert!(room.held.bytes() <= 64 << 10, "{} bytes", room.held.bytes());
}
