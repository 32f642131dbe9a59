//! A room against answers that come in an unlucky order: correct in any case, and nothing is written or told twice.

use std::time::Duration;

use bytes::Bytes;
use gateway::protocol::yjs::Message;
use gateway::room::log::{Entry, Epoch, Head, Opened, Position, ReadReply, Row, Tenure};
use gateway::room::{Durability, Effect, Input, Limits, Room, SessionId};

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
            checkpoint_after: Duration::from_secs(60),
            durability: Durability::Log,
            without: None,
        };
        Self { room: Room::new(limits, 1), effects: Vec::new() }
    }

    fn input(&mut self, input: Input) {
        self.room.handle(Duration::from_secs(1), input, &mut self.effects);
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
    }

    fn told(&self, update: &Bytes) -> usize {
        let is_it =
            |effect: &&Effect| matches!(effect, Effect::Send { message: Message::Update(sent), .. } if sent == update);
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
