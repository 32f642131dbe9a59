//! One input at a time, and what must hold after each.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use gateway::protocol::yjs::{Message, Presence, encode_awareness};
use gateway::room::{Durability, Effect, Input, Limits, Now, Room, SessionId};

use crate::backend::{Backend, failed};
use crate::lies;
use crate::people::{People, clocks};
use crate::redis::Notice;

/// Enough for a room to come to rest, and to see that it does not.
const REST_STEPS: usize = 10_000;

pub(crate) struct World {
    limits: Limits,
    room: Room,
    /// The log says only what is so.
    honest: bool,
    now: Now,
    wake_at: Option<Now>,
    people: People,
    backend: Backend,
    last_answer: Option<Input>,
    sessions: u64,
    done: bool,
}

impl World {
    pub(crate) fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let kind: u8 = input.arbitrary()?;
        let honest = kind & 6 != 6;
        let limits = Limits {
            document_bytes: 1 << 20,
            backlog_bytes: 256,
            turn_bytes: 128 << 10,
            stream_bytes: 512 << 10,
            checkpoint_after: Duration::from_secs(2),
            durability: if kind & 1 == 0 { Durability::Log } else { Durability::Database },
            without: None,
        };
        Ok(Self {
            room: Room::new(limits.clone(), kind.into()),
            limits,
            honest,
            now: Duration::ZERO,
            wake_at: None,
            people: People::new(),
            backend: Backend::new(),
            last_answer: None,
            sessions: 0,
            done: false,
        })
    }

    pub(crate) fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let who = usize::from(input.arbitrary::<u8>()?) % self.people.0.len();
        match input.arbitrary::<u8>()? % 24 {
            0 | 1 => self.join(who),
            2 => self.leave(who),
            3 | 4 => {
                let (at, delete) = input.arbitrary()?;
                if self.people.0[who].session.is_some() {
                    let update = self.people.0[who].edit(at, delete);
                    self.send(who, Message::Update(update), true);
                }
            }
            5 => self.send(who, Message::SyncStep2(self.people.0[who].state()), true),
            6 => self.send(who, Message::SyncStep1(self.people.0[who].vector()), true),
            7 => self.send(who, Message::QueryAwareness, true),
            8 => {
                let json = if input.arbitrary()? { "null" } else { "{\"at\":1}" }.to_owned();
                let presence = Presence { client: who as u64, clock: input.arbitrary::<u16>()?.into(), json };
                self.send(who, Message::Awareness(encode_awareness(&[presence])), true);
            }
            9 | 10 => self.send(who, Message::Update(some_bytes(input)?), false),
            11 => self.send(who, Message::SyncStep1(some_bytes(input)?), false),
            12 => self.send(who, Message::Awareness(some_bytes(input)?), false),
            13..=15 => self.answer(input, true)?,
            16 => self.answer(input, false)?,
            17 => self.hear(),
            18 => self.pass(Duration::from_millis(input.arbitrary::<u16>()?.into())),
            19 => self.network(input.arbitrary()?),
            20 => {
                // An answer that comes a second time.
                if let Some(again) = self.last_answer.clone() {
                    self.input(again);
                }
            }
            21 => match input.arbitrary::<u8>()? % 3 {
                0 => self.input(Input::Flush),
                1 => self.input(Input::AwarenessQuery),
                _ => self.input(Input::Sweep),
            },
            22 => {
                let update = Bytes::copy_from_slice(&[1, 1, 100 + who as u8, 0, 4, 1, 1, b't', 1, b'x', 0]);
                self.backend.other_writes(update);
            }
            _ if self.honest => self.input(Input::RemoteAwareness(some_bytes(input)?)),
            _ => {
                let lie = lies::lie(input, self.backend.calls.first())?;
                self.input(lie);
            }
        }
        Ok(())
    }

    fn join(&mut self, who: usize) {
        if self.people.0[who].session.is_some() {
            return;
        }
        self.sessions += 1;
        let session = SessionId(self.sessions);
        if std::mem::take(&mut self.done) {
            // The one before has ended; calls of it are answered to nobody.
            self.room = Room::new(self.limits.clone(), self.sessions);
            self.backend.calls.clear();
            self.last_answer = None;
        }
        self.people.0[who].session = Some(session);
        self.input(Input::Join { session });
        // A client sends all that it has.
        self.send(who, Message::SyncStep2(self.people.0[who].state()), true);
    }

    fn leave(&mut self, who: usize) {
        if let Some(session) = self.people.0[who].leave() {
            self.input(Input::Leave { session });
        }
    }

    fn send(&mut self, who: usize, message: Message, own: bool) {
        let person = &mut self.people.0[who];
        if let Some(session) = person.session {
            person.sends(&message, own);
            self.input(Input::Message { session, message });
        }
    }

    /// One of the calls under way is answered. One that fails has been carried out all the same, or not.
    fn answer(&mut self, input: &mut Unstructured<'_>, succeeds: bool) -> Result<()> {
        if self.backend.calls.is_empty() {
            return Ok(());
        }
        let index = usize::from(input.arbitrary::<u8>()?) % self.backend.calls.len();
        let call = self.backend.calls.remove(index);
        let answer = if succeeds {
            self.backend.answer(self.now, call)
        } else {
            if input.arbitrary()? {
                self.backend.answer(self.now, call.clone());
            }
            failed(call)
        };
        self.last_answer = Some(answer.clone());
        self.input(answer);
        Ok(())
    }

    fn hear(&mut self) {
        match self.backend.notices.pop_front() {
            Some(Notice::Entry(entry)) => self.input(Input::Entry(entry)),
            Some(Notice::Covered(position, rev)) => self.input(Input::Covered { position, rev }),
            None => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.backend.redis.expire(self.now);
        if self.wake_at.is_some_and(|at| at <= self.now) {
            self.wake_at = None;
            self.input(Input::Tick);
        }
    }

    /// The connection to the log ends, perhaps because the server does, or it is there again.
    fn network(&mut self, event: u8) {
        if self.backend.connected {
            match event % 4 {
                0 => self.backend.redis.reign += 1,
                1 => {
                    self.backend.redis.lose_tail(usize::from(event / 4));
                    self.backend.redis.reign += 1;
                }
                2 if event & 4 != 0 => self.backend.redis.evict_head(),
                3 if event & 4 != 0 => self.backend.redis.evict_stream(),
                _ => {}
            }
            self.backend.disconnect();
            self.input(Input::Disconnected { generation: self.backend.generation });
        } else {
            self.backend.generation += 1;
            self.backend.connected = true;
            self.input(Input::Connected { generation: self.backend.generation });
        }
    }

    fn input(&mut self, input: Input) {
        if self.done {
            return;
        }
        let mut effects = Vec::new();
        self.room.handle(self.now, input, &mut effects);
        for effect in effects {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, .. } => {
                for session in to {
                    self.people.of(session);
                }
            }
            Effect::Tell { as_update, as_step2, .. } => {
                for session in as_update.into_iter().chain(as_step2) {
                    self.people.of(session);
                }
            }
            Effect::Close { session, .. } => self.people.closed(session),
            Effect::Acknowledge { session, update } => {
                let (client, owed) = self.people.acknowledged(session, &update);
                self.check(client, owed);
            }
            Effect::Skipped { .. } => assert!(!self.honest, "an entry that the room has written is left out"),
            Effect::Pause(_) | Effect::PublishAwareness(_) | Effect::QueryAwareness => {}
            Effect::WakeAt(at) => self.wake_at = Some(at),
            Effect::Done => {
                assert!(self.people.0.iter().all(|person| person.session.is_none()), "it ends with sessions in it");
                self.done = true;
                self.backend.unsubscribe();
            }
            call => self.backend.calls.push(call),
        }
    }

    /// What is acknowledged is where it was promised to be.
    fn check(&self, client: u64, owed: u32) {
        if !self.honest {
            return;
        }
        let held = match self.limits.durability {
            Durability::Log => clocks(self.backend.held()),
            Durability::Database => clocks(self.backend.row.iter().map(|row| &row.state)),
        };
        assert!(held.get(&yrs::ClientID::new(client)) >= owed, "{client} was promised {owed}, and there is {held:?}");
    }

    /// All leave; everything works again, and the room must write what it has and end.
    pub(crate) fn end(mut self) {
        (0..self.people.0.len()).for_each(|who| self.leave(who));
        if !self.honest {
            return;
        }
        if !self.backend.connected {
            self.network(0);
        }
        for _ in 0..REST_STEPS {
            if self.done || self.sessions == 0 {
                break;
            }
            self.hear();
            if !self.backend.calls.is_empty() {
                let call = self.backend.calls.remove(0);
                let answer = self.backend.answer(self.now, call);
                self.input(answer);
            } else if self.backend.notices.is_empty() {
                self.pass(self.wake_at.map_or(Duration::ZERO, |at| at.saturating_sub(self.now)));
            }
        }
        assert!(self.done || self.sessions == 0, "the room does not come to its end");
        let held = clocks(self.backend.held());
        for (client, given) in self.people.given() {
            let there = held.get(&yrs::ClientID::new(client));
            assert!(there >= given, "of {client} there is {there}, and it gave {given}");
        }
    }
}

fn some_bytes(input: &mut Unstructured<'_>) -> Result<Bytes> {
    let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
    input.bytes(length).map(Bytes::copy_from_slice)
}
