//! Gateways: their rooms, what those want, and the sweep.

use bytes::Bytes;
use editorcluster_core::document::{Document, EMPTY_VECTOR, split};
use gateway::protocol::yjs::Message;
use gateway::room::log::{Position, Row};
use gateway::room::{Effect, Input, Limits, Now, Room, Rule, SessionId};
use rand::Rng as _;

use super::{Down, Event, GATEWAYS, SWEEP_EVERY, Up, World, ms};

/// One gateway process. `process` and `life` change with each start and each room, so what was meant for an earlier
/// one is recognised.
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) process: u64,
    pub(crate) life: u64,
    pub(crate) room: Option<Room>,
    pub(super) wake_at: Option<Now>,
    /// The answer of its room's last stream.
    pub(super) stream: Bytes,
    /// The log server that it talks to.
    pub(crate) server: usize,
    /// As the process sees it.
    pub(crate) generation: u64,
    pub(crate) connected: bool,
    /// Connections up to this generation are dead, whether or not the process has noticed.
    pub(crate) dead: u64,
    pub(crate) subscribed: bool,
    /// It does nothing before that.
    pub(crate) paused_until: Now,
    /// Notices are in order.
    pub(crate) heard_until: Now,
    /// Notices before this are lost without a sign.
    pub(crate) deaf_until: Now,
}

impl World {
    pub(super) fn open_room(&mut self, gateway: usize) {
        let limits = Limits {
            document_bytes: 1 << 24,
            backlog_bytes: 1 << 24,
            turn_bytes: 64,
            stream_bytes: 200,
            checkpoint_after: self.plan.checkpoint_after,
            durability: self.plan.durability,
            without: self.plan.without,
        };
        self.lives += 1;
        let seed = self.random.random();
        let it = &mut self.gateways[gateway];
        (it.life, it.wake_at, it.subscribed) = (self.lives, None, false);
        it.room = Some(Room::new(limits, seed));
    }

    /// What `shard/orphans.rs` does: one gateway looks for a log that has no time to live, and a while later again.
    pub(super) fn sweep(&mut self) {
        self.after(SWEEP_EVERY, Event::Sweep);
        let gateway = self.draw(0..GATEWAYS as u64) as usize;
        let it = &self.gateways[gateway];
        if !it.connected || it.dead >= it.generation || self.plan.without == Some(Rule::Sweep) {
            return;
        }
        if let Some(end) = self.servers[it.server].uncovered_end() {
            let patience = self.plan.checkpoint_after * 2 + ms(1000);
            self.after(patience, Event::Orphan { gateway, end });
        }
    }

    pub(super) fn orphan(&mut self, gateway: usize, end: Position) {
        let it = &self.gateways[gateway];
        if it.room.is_none() && it.connected && self.servers[it.server].uncovered_end() == Some(end) {
            self.swept += 1;
            self.open_room(gateway);
            self.input(gateway, Input::Sweep);
        }
    }

    pub(crate) fn input(&mut self, gateway: usize, input: Input) {
        let now = self.now;
        let Some(room) = &mut self.gateways[gateway].room else { return };
        if self.trace {
            println!("{now:?} g{gateway} <- {input:?}");
        }
        let mut effects = Vec::new();
        room.handle(now, input, &mut effects);
        for effect in effects {
            if self.trace {
                println!("{now:?} g{gateway} -> {effect:?}");
            }
            self.effect(gateway, effect);
        }
    }

    /// A message as it comes to a room: whole, or as the shard cuts a long one.
    pub(super) fn said(&mut self, session: SessionId, message: Message) -> Input {
        if let Message::Update(update) | Message::SyncStep2(update) = &message
            && self.random.random_bool(0.3)
            && let Ok(parts) = split(update, self.random.random_range(1..60))
        {
            let parts = parts.into_iter().map(|pieces| pieces.concat().into()).collect();
            return Input::Parts { session, parts, message };
        }
        Input::Message { session, message }
    }

    /// A row is read before it comes to the room, or by the room.
    pub(super) fn prepare(&mut self, gateway: usize, row: &Row) {
        let mut document = Document::default();
        if self.random.random_bool(0.5) && document.load(&row.state).is_ok() {
            self.input(gateway, Input::Prepared(Box::new(document)));
        }
    }

    /// All that a gateway's room has, as somebody is told it who comes with nothing.
    pub(crate) fn ask_for_all(&mut self, gateway: usize) -> Option<Bytes> {
        let now = self.now;
        let session = SessionId(u64::MAX);
        let room = self.gateways[gateway].room.as_mut()?;
        let as_of = Bytes::from_static(EMPTY_VECTOR);
        let mut effects = Vec::new();
        for input in [Input::Join { session }, Input::Streamed { session, as_of }, Input::Leave { session }] {
            room.handle(now, input, &mut effects);
        }
        let mut told = None;
        for effect in effects {
            match effect {
                Effect::Send { to, message } if to == [session] => {
                    if let Message::SyncStep2(whole) = message {
                        told = Some(whole);
                    }
                }
                other => self.effect(gateway, other),
            }
        }
        told
    }

    pub(super) fn effect(&mut self, gateway: usize, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                for session in to {
                    self.send_down(session, Down::Message(message.clone()));
                }
            }
            Effect::Stream { session, answer, as_of, .. } => {
                let it = &mut self.gateways[gateway];
                it.stream = answer.unwrap_or_else(|| it.stream.clone());
                let (process, message) = (it.process, Message::SyncStep2(it.stream.clone()));
                self.send_down(session, Down::Message(message));
                let delay = self.delay();
                self.after(delay, Event::Up { gateway, process, session, what: Up::Streamed(as_of) });
            }
            Effect::Tell { as_update, as_step2, update } => {
                for session in as_update {
                    self.send_down(session, Down::Message(Message::Update(update.clone())));
                }
                for session in as_step2 {
                    self.send_down(session, Down::Message(Message::SyncStep2(update.clone())));
                }
            }
            Effect::Acknowledge { session, update } => self.send_down(session, Down::Acknowledge(update)),
            Effect::Close { session, reason } => self.closed(session, &reason),
            Effect::Pause(_) | Effect::PublishAwareness(_) | Effect::QueryAwareness => {}
            Effect::WakeAt(at) => {
                let life = self.gateways[gateway].life;
                self.gateways[gateway].wake_at = Some(at);
                self.at(at.max(self.now), Event::Wake { gateway, life, at });
            }
            Effect::Done => {
                self.done += 1;
                self.lives += 1;
                let it = &mut self.gateways[gateway];
                (it.room, it.life, it.wake_at, it.subscribed) = (None, self.lives, None, false);
            }
            Effect::Skipped { position } => panic!("an entry that a room has written is left out: {position:?}"),
            call => self.call(gateway, call),
        }
    }
}
