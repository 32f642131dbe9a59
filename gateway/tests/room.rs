//! A room against answers that come in an unlucky order: correct in any case, and nothing is written or told twice.

use std::time::Duration;

use bytes::Bytes;
use editorcluster_core::document::{Document, EMPTY_UPDATE, check};
use gateway::protocol::yjs::Message;
use gateway::room::log::{Entry, Epoch, Head, Opened, Position, ReadReply, Row, Tenure, Tip};
use gateway::room::{Durability, Effect, Failed, Input, Limits, Room, SessionId};
use yrs::updates::decoder::Decode as _;
use yrs::{ClientID, Update};

const SESSION: SessionId = SessionId(1);

struct Desk {
    room: Room,
    effects: Vec<Effect>,
}

impl Desk {
    fn new() -> Self {
        let limits = Limits {
            document_bytes: 1 << 20,
            backlog_bytes: 1 << 20,
            turn_bytes: 128 << 10,
            stream_bytes: 512 << 10,
            checkpoint_after: Duration::from_secs(600),
            durability: Durability::Log,
            without: None,
        };
        Self { room: Room::new(limits, 1), effects: Vec::new() }
    }

    fn input(&mut self, input: Input) {
        self.input_at(1, input);
    }

    fn input_at(&mut self, second: u64, input: Input) {
        self.room.handle(Duration::from_secs(second), input, &mut self.effects);
    }

    /// A tick that finds the log's end there.
    fn look_at(&mut self, second: u64, reply: &ReadReply) {
        self.input_at(second, Input::Tick);
        let call = self.take(|effect| if let Effect::Peek { call } = effect { Some(*call) } else { None });
        let tip = Tip { last: reply.last, head: reply.head.clone(), tenure: reply.tenure.clone() };
        self.input_at(second, Input::Peeked { call, result: Ok(tip) });
    }

    /// The answer to the question for the row's `rev`.
    fn rev_is(&mut self, second: u64, rev: i64) {
        let call = self.take(|effect| if let Effect::Rev { call } = effect { Some(*call) } else { None });
        self.input_at(second, Input::RevRead { call, result: Ok(rev) });
    }

    fn joins(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Subscribe { .. }))
    }

    /// Removes and returns the last effect for which `pick` has an answer.
    fn take<T>(&mut self, pick: impl Fn(&Effect) -> Option<T>) -> T {
        let found = self.effects.iter().rposition(|effect| pick(effect).is_some()).expect("no such effect");
        pick(&self.effects.remove(found)).expect("it was found")
    }

    /// Joins the log as `reply` shows it, and the row if the room asks for it.
    fn join(&mut self, reply: ReadReply, row: Option<Row>) {
        let call = self.take(|effect| if let Effect::Subscribe { call } = effect { Some(*call) } else { None });
        self.input(Input::Subscribed { call, result: Ok(1) });
        let call = self.take(|effect| if let Effect::Read { call } = effect { Some(*call) } else { None });
        self.input(Input::Read { call, result: Ok(reply) });
        if self.effects.iter().any(|effect| matches!(effect, Effect::Load { .. })) {
            let call = self.take(|effect| if let Effect::Load { call } = effect { Some(*call) } else { None });
            self.input(Input::Loaded { call, result: Ok(row) });
        }
        // Nobody is told anything before being given the document.
        self.input(Input::Message { session: SESSION, message: Message::SyncStep1(Bytes::from_static(&[0])) });
    }

    fn told(&self, update: &Bytes) -> usize {
        let is_it = |effect: &&Effect| matches!(effect, Effect::Tell { update: told, .. } if told == update);
        self.effects.iter().filter(is_it).count()
    }

    fn writes(&self) -> usize {
        self.effects.iter().filter(|effect| matches!(effect, Effect::Open { .. } | Effect::Append { .. })).count()
    }
}

/// The character `x` by `author`, whose first edit it is.
fn edit(author: u8) -> Bytes {
    Bytes::from(vec![1, 1, author, 0, 4, 1, 1, b't', 1, b'x', 0])
}

fn tenure() -> Tenure {
    Tenure("one".to_owned())
}

fn empty() -> ReadReply {
    ReadReply { entries: Vec::new(), last: None, head: None, tenure: tenure() }
}

fn stream(epoch: Epoch, updates: &[Bytes]) -> ReadReply {
    let entries: Vec<Entry> = (0..).zip(updates).map(|(n, update)| entry(epoch, n, update)).collect();
    let last = entries.last().map(|entry| entry.position);
    ReadReply { entries, last, head: Some(Head { epoch, tenure: tenure() }), tenure: tenure() }
}

fn entry(epoch: Epoch, n: u64, update: &Bytes) -> Entry {
    Entry { position: Position { epoch, n }, update: update.clone() }
}

#[test]
fn the_notice_of_an_own_open_before_its_answer_is_no_reason_to_write_again() {
    let mut desk = Desk::new();
    desk.input(Input::Join { session: SESSION });
    desk.join(empty(), None);
    desk.input(Input::Message { session: SESSION, message: Message::Update(edit(7)) });
    let (call, epoch) =
        desk.take(|effect| if let Effect::Open { call, epoch, .. } = effect { Some((*call, *epoch)) } else { None });
    desk.input(Input::Entry(entry(epoch, 0, &edit(7))));
    desk.input(Input::Opened { call, result: Ok(Opened::Opened) });
    desk.join(stream(epoch, &[edit(7)]), None);
    assert_eq!(desk.writes(), 0);
    let acknowledged = |effect: &Effect| matches!(effect, Effect::Acknowledge { .. }).then_some(());
    desk.take(acknowledged);
}

#[test]
fn an_append_that_a_join_cuts_off_is_written_again_only_if_the_log_lacks_it() {
    for (in_log, again) in [(true, 0), (false, 1)] {
        let mut desk = Desk::new();
        let (epoch, other) = (Epoch::new(1, 5), edit(9));
        desk.input(Input::Join { session: SESSION });
        desk.join(stream(epoch, std::slice::from_ref(&other)), None);
        desk.input(Input::Message { session: SESSION, message: Message::Update(edit(7)) });
        desk.take(|effect| matches!(effect, Effect::Append { .. }).then_some(()));
        // A gap: something was missed.
        desk.input(Input::Entry(entry(epoch, 5, &edit(8))));
        let log = if in_log { vec![other, edit(7)] } else { vec![other] };
        desk.join(stream(epoch, &log), None);
        assert_eq!(desk.writes(), again, "in the log: {in_log}");
    }
}

#[test]
fn what_a_row_has_brought_is_not_told_again_when_the_log_tells_it() {
    let mut desk = Desk::new();
    let epoch = Epoch::new(1, 5);
    desk.input(Input::Join { session: SESSION });
    let row = Row { state: edit(7), position: Some(Position { epoch, n: 1 }), rev: 3 };
    desk.join(stream(epoch, &[edit(9)]), Some(row));
    desk.effects.clear();
    desk.input(Input::Entry(entry(epoch, 1, &edit(7))));
    assert_eq!(desk.told(&edit(7)), 0);
    desk.input(Input::Entry(entry(epoch, 2, &edit(8))));
    assert_eq!(desk.told(&edit(8)), 1);
}

#[test]
fn what_another_gateways_row_holds_before_the_log_is_told_once() {
    let mut desk = Desk::new();
    let epoch = Epoch::new(1, 5);
    desk.input(Input::Join { session: SESSION });
    desk.join(stream(epoch, &[edit(9)]), None);
    desk.effects.clear();
    // A gap makes it join again. Meanwhile the gateway of author 7 has written a row that is ahead of its position.
    desk.input(Input::Entry(entry(epoch, 2, &edit(8))));
    let row = Row { state: edit(7), position: Some(Position { epoch, n: 0 }), rev: 1 };
    let mut reply = stream(epoch, &[edit(9)]);
    reply.tenure = Tenure("another".to_owned());
    desk.join(reply, Some(row));
    assert_eq!(desk.told(&edit(7)), 1);
    desk.input(Input::Entry(entry(epoch, 1, &edit(7))));
    assert_eq!(desk.told(&edit(7)), 1);
    desk.input(Input::Entry(entry(epoch, 2, &edit(6))));
    assert_eq!(desk.told(&edit(6)), 1);
}

#[test]
fn a_tick_that_finds_another_rev_reads_the_row_and_tells_what_it_brings() {
    let mut desk = Desk::new();
    let log = stream(Epoch::new(1, 5), &[edit(9)]);
    desk.input(Input::Join { session: SESSION });
    desk.join(log.clone(), None);
    desk.look_at(40, &log);
    desk.rev_is(40, 0);
    assert!(!desk.joins(), "nothing has changed");
    desk.look_at(80, &log);
    desk.rev_is(80, 1);
    desk.join(log, Some(Row { state: edit(7), position: None, rev: 1 }));
    assert_eq!(desk.told(&edit(7)), 1);
}

#[test]
fn a_plain_checkpoint_of_another_gateway_is_no_reason_to_read_the_row() {
    let epoch = Epoch::new(1, 5);
    let log = stream(epoch, &[edit(9), edit(8)]);
    for (n, rev, joins) in [(1, Some(1), false), (0, Some(1), false), (1, Some(2), true), (1, None, true)] {
        let mut desk = Desk::new();
        desk.input(Input::Join { session: SESSION });
        desk.join(log.clone(), None);
        desk.input(Input::Covered { position: Position { epoch, n }, rev });
        desk.look_at(40, &log);
        desk.rev_is(40, 1);
        assert_eq!(desk.joins(), joins, "covered {n}, rev {rev:?}");
    }
}

#[test]
fn only_a_checkpoint_of_what_the_log_has_names_its_rev() {
    let epoch = Epoch::new(1, 5);
    for local in [false, true] {
        let mut desk = Desk::new();
        desk.input(Input::Join { session: SESSION });
        desk.join(stream(epoch, &[edit(9)]), None);
        if local {
            // Its append is not answered before the checkpoint.
            desk.input(Input::Message { session: SESSION, message: Message::Update(edit(7)) });
        }
        desk.input(Input::Flush);
        let call = desk.take(|effect| if let Effect::Write { call, .. } = effect { Some(*call) } else { None });
        desk.input(Input::Written { call, result: Ok(Some(1)) });
        let rev = desk.take(|effect| if let Effect::Cover { rev, .. } = effect { Some(*rev) } else { None });
        assert_eq!(rev, if local { None } else { Some(1) });
    }
}

#[test]
fn a_log_that_is_ahead_is_joined_again_only_if_its_entries_do_not_come() {
    let epoch = Epoch::new(1, 5);
    for comes in [true, false] {
        let mut desk = Desk::new();
        desk.input(Input::Join { session: SESSION });
        desk.join(stream(epoch, &[edit(9)]), None);
        desk.look_at(40, &stream(epoch, &[edit(9), edit(8)]));
        assert!(!desk.joins());
        if comes {
            desk.input_at(41, Input::Entry(entry(epoch, 1, &edit(8))));
        }
        desk.input_at(43, Input::Tick);
        assert_eq!(desk.joins(), !comes);
    }
}

#[test]
fn a_swept_document_is_covered_and_closed_and_a_failure_ends_it_too() {
    let mut desk = Desk::new();
    let epoch = Epoch::new(1, 5);
    desk.input(Input::Sweep);
    desk.join(stream(epoch, &[edit(9)]), None);
    let call = desk.take(|effect| if let Effect::Write { call, .. } = effect { Some(*call) } else { None });
    desk.input(Input::Written { call, result: Ok(Some(1)) });
    let done = |effect: &Effect| matches!(effect, Effect::Done);
    assert!(!desk.effects.iter().any(done), "not covered yet");
    let (call, position) = desk
        .take(|effect| if let Effect::Cover { call, position, .. } = effect { Some((*call, *position)) } else { None });
    assert_eq!(position, Position { epoch, n: 0 });
    desk.input(Input::CoverDone { call, result: Ok(true) });
    assert!(desk.effects.iter().any(done));

    let mut desk = Desk::new();
    desk.input(Input::Sweep);
    let call = desk.take(|effect| if let Effect::Subscribe { call } = effect { Some(*call) } else { None });
    desk.input(Input::Subscribed { call, result: Err(Failed) });
    assert!(desk.effects.iter().any(done));
}

/// Bytes that no room would have written.
fn junk() -> Bytes {
    Bytes::from_static(&[1, 1, 0xff])
}

#[test]
fn a_checkpoint_has_deleted_content_only_where_it_is_kept() {
    let deletion = Bytes::from_static(&[0, 1, 9, 1, 0, 1]);
    for keeps in [true, false] {
        let mut desk = Desk::new();
        desk.room = if keeps { desk.room.with(Document::keeping_deleted()) } else { desk.room };
        desk.input(Input::Sweep);
        desk.join(stream(Epoch::new(1, 5), &[edit(9), deletion.clone()]), None);
        let state =
            desk.take(|effect| if let Effect::Write { state, .. } = effect { Some(state.clone()) } else { None });
        assert_eq!(state.contains(&b'x'), keeps, "{state:?}");
        assert!(state.ends_with(&deletion[1..]), "{state:?}");
    }
}

#[test]
fn an_entry_that_is_no_update_is_told_to_nobody_and_never_written_again() {
    let (epoch, skipped) = (Epoch::new(1, 5), |effect: &&Effect| matches!(effect, Effect::Skipped { .. }));
    let mut desk = Desk::new();
    desk.input(Input::Join { session: SESSION });
    desk.join(stream(epoch, &[edit(9), junk()]), None);
    desk.input(Input::Entry(entry(epoch, 2, &junk())));
    assert_eq!(desk.effects.iter().filter(skipped).count(), 2, "one at the join, one live");
    // The positions are taken all the same.
    desk.input(Input::Entry(entry(epoch, 3, &edit(8))));
    assert_eq!((desk.told(&edit(8)), desk.told(&junk()), desk.joins()), (1, 0, false));
    // A gap makes it join again: the known ones are not counted a second time.
    desk.input(Input::Entry(entry(epoch, 9, &edit(7))));
    desk.join(stream(epoch, &[edit(9), junk(), junk(), edit(8)]), None);
    assert_eq!(desk.effects.iter().filter(skipped).count(), 2);
    // The log is lost: all that it had is written again, but for the junk.
    desk.input(Input::Entry(entry(Epoch::new(3, 1), 0, &edit(6))));
    desk.join(ReadReply { tenure: Tenure("two".to_owned()), ..empty() }, None);
    let update = desk.take(|effect| if let Effect::Open { update, .. } = effect { Some(update.clone()) } else { None });
    assert!(check(&update).is_ok(), "{update:?}");
    let vector = Update::decode_v1(&update).unwrap().state_vector();
    let clocks = [9, 8, 6].map(|author| vector.get(&ClientID::new(author)));
    assert_eq!(clocks, [1, 1, 0], "both edits");
}

#[test]
fn a_stream_whose_head_was_evicted_is_opened_again_and_covered_and_the_room_ends() {
    let mut desk = Desk::new();
    let epoch = Epoch::new(1, 5);
    desk.input(Input::Sweep);
    desk.join(ReadReply { head: None, ..stream(epoch, &[edit(9)]) }, None);
    let call = desk.take(|effect| if let Effect::Write { call, .. } = effect { Some(*call) } else { None });
    desk.input(Input::Written { call, result: Ok(Some(1)) });
    let (call, next, update) = desk.take(|effect| match effect {
        Effect::Open { call, expected: None, epoch, update, .. } => Some((*call, *epoch, update.clone())),
        _ => None,
    });
    assert_eq!((next.generation(), update.as_ref()), (2, EMPTY_UPDATE));
    desk.input(Input::Opened { call, result: Ok(Opened::Opened) });
    let mut reply = stream(next, &[update]);
    reply.entries.insert(0, entry(epoch, 0, &edit(9)));
    desk.join(reply, Some(Row { state: edit(9), position: Some(Position { epoch, n: 0 }), rev: 1 }));
    desk.input_at(3, Input::Tick);
    desk.rev_is(3, 1);
    let (call, position) = desk
        .take(|effect| if let Effect::Cover { call, position, .. } = effect { Some((*call, *position)) } else { None });
    assert_eq!(position, Position { epoch: next, n: 0 });
    desk.input_at(3, Input::CoverDone { call, result: Ok(true) });
    assert!(desk.effects.iter().any(|effect| matches!(effect, Effect::Done)), "{:?}", desk.effects);
}

#[test]
fn what_goes_to_a_log_whose_stream_was_evicted_opens_it_again() {
    let mut desk = Desk::new();
    let head = Head { epoch: Epoch::new(4, 5), tenure: tenure() };
    desk.input(Input::Join { session: SESSION });
    desk.join(ReadReply { head: Some(head.clone()), ..empty() }, None);
    desk.input(Input::Message { session: SESSION, message: Message::Update(edit(7)) });
    let epoch = desk.take(|effect| match effect {
        Effect::Open { expected, epoch, .. } if expected.as_ref() == Some(&head) => Some(*epoch),
        _ => None,
    });
    assert_eq!(epoch.generation(), 5);
}

#[test]
fn an_edit_that_is_not_durable_is_in_the_answer_to_its_author_and_that_acknowledges_nothing() {
    let mut desk = Desk::new();
    let acknowledged =
        |desk: &Desk| desk.effects.iter().filter(|effect| matches!(effect, Effect::Acknowledge { .. })).count();
    desk.input(Input::Join { session: SESSION });
    desk.join(empty(), None);
    desk.input(Input::Message { session: SESSION, message: Message::Update(edit(7)) });
    desk.input(Input::Message { session: SESSION, message: Message::SyncStep1(Bytes::from_static(&[0])) });
    let answer = desk.take(|effect| match effect {
        Effect::Send { message: Message::SyncStep2(update), .. } => Some(update.clone()),
        _ => None,
    });
    assert_ne!(answer, EMPTY_UPDATE);
    assert_eq!((acknowledged(&desk), desk.told(&edit(7))), (0, 0));
    let (call, epoch) =
        desk.take(|effect| if let Effect::Open { call, epoch, .. } = effect { Some((*call, *epoch)) } else { None });
    desk.input(Input::Opened { call, result: Ok(Opened::Opened) });
    desk.join(stream(epoch, &[edit(7)]), None);
    assert_eq!((acknowledged(&desk), desk.told(&edit(7))), (1, 0));
}
