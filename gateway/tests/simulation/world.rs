//! Everything around the rooms: an event queue in virtual time, gateways, links, the log and the row.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use gateway::protocol::yjs::Message;
use gateway::room::log::Row;
use gateway::room::{Durability, Effect, Input, Limits, Now, Room, SessionId};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::client::Client;
use crate::faults::Fault;
use crate::redis::{Notice, Redis};

pub(crate) const GATEWAYS: usize = 3;

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// One gateway process. `process` and `life` change with each start and each room, so what was meant for an earlier
/// one is recognised.
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) process: u64,
    pub(crate) life: u64,
    pub(crate) room: Option<Room>,
    wake_at: Option<Now>,
    pub(crate) generation: u64,
    pub(crate) connected: bool,
    pub(crate) subscribed: bool,
    /// Notices are in order.
    pub(crate) heard_until: Now,
    /// Notices before this are lost without a sign.
    pub(crate) deaf_until: Now,
}

pub(crate) enum Up {
    Join,
    Message(Message),
    Leave,
}

pub(crate) enum Down {
    Message(Message),
    Acknowledge(bytes::Bytes),
}

pub(crate) enum Event {
    Connect(usize),
    Edit(usize),
    Up { gateway: usize, process: u64, session: SessionId, what: Up },
    Down { client: usize, session: SessionId, what: Down },
    Wake { gateway: usize, life: u64, at: Now },
    Request { gateway: usize, life: u64, generation: u64, reign: u64, effect: Box<Effect>, silent: bool },
    Answer { gateway: usize, life: u64, generation: Option<u64>, answer: Box<Input>, failed: Box<Input> },
    Notice { gateway: usize, life: u64, generation: u64, notice: Notice },
    TimedOut { gateway: usize, generation: u64 },
    Reconnect(usize),
    RedisUp,
    DatabaseUp,
    Fault { fault: Fault, gateway: usize },
}

struct Scheduled(Reverse<(Now, u64)>, Event);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) random: SmallRng,
    queue: BinaryHeap<Scheduled>,
    scheduled: u64,
    durability: Durability,
    /// Until then clients edit and answers get lost.
    pub(crate) busy_until: Now,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) clients: Vec<Client>,
    sessions: BTreeMap<SessionId, usize>,
    pub(crate) redis: Redis,
    pub(crate) redis_down: bool,
    pub(crate) row: Option<Row>,
    pub(crate) database_down: bool,
    pub(crate) deleted: BTreeSet<String>,
    /// What is to go wrong right after a client has vanished, when it hurts most.
    pub(crate) ambush: Vec<Fault>,
    checkpoint_after: Duration,
    lives: u64,
    /// How many rooms have ended by themselves.
    pub(crate) done: usize,
    pub(crate) trace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, durability: Durability, busy: Duration) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let checkpoint_after = ms([300, 3000, 20_000][random.random_range(0..3)]);
        let gateway = |_| Gateway { connected: true, generation: 1, ..Gateway::default() };
        Self {
            now: Duration::ZERO,
            random,
            checkpoint_after,
            queue: BinaryHeap::new(),
            scheduled: 0,
            durability,
            busy_until: busy,
            gateways: (0..GATEWAYS).map(gateway).collect(),
            clients: Vec::new(),
            sessions: BTreeMap::new(),
            redis: Redis::default(),
            redis_down: false,
            row: None,
            database_down: false,
            deleted: BTreeSet::new(),
            ambush: Vec::new(),
            lives: 0,
            done: 0,
            trace: std::env::var_os("TRACE").is_some(),
        }
    }

    pub(crate) fn busy(&self) -> bool {
        self.now < self.busy_until
    }

    pub(crate) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    pub(crate) fn at(&mut self, at: Now, event: Event) {
        self.scheduled += 1;
        self.queue.push(Scheduled(Reverse((at, self.scheduled)), event));
    }

    /// Mostly quick, now and then slow.
    pub(crate) fn delay(&mut self) -> Duration {
        let most = if self.random.random_bool(0.03) { 600_000 } else { 25_000 };
        Duration::from_micros(self.random.random_range(500..most))
    }

    pub(crate) fn run_until(&mut self, end: Now) {
        let mut steps = 0;
        while let Some(Scheduled(Reverse((at, _)), _)) = self.queue.peek()
            && *at <= end
        {
            steps += 1;
            assert!(steps < 400_000, "the rooms never come to rest");
            let Some(Scheduled(Reverse((at, _)), event)) = self.queue.pop() else { break };
            self.now = at;
            self.redis.expire(at);
            self.happen(event);
        }
        self.now = end;
    }

    pub(crate) fn new_client(&mut self) {
        self.clients.push(Client::new(self.clients.len()));
        let client = self.clients.len() - 1;
        self.after(ms(10), Event::Connect(client));
        self.after(ms(50), Event::Edit(client));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connect(client) => self.connect(client),
            Event::Edit(client) => self.edit(client),
            Event::Up { gateway, process, session, what } if self.gateways[gateway].process == process => {
                if self.gateways[gateway].room.is_none() {
                    if !matches!(what, Up::Join) {
                        return;
                    }
                    self.open_room(gateway);
                }
                self.input(
                    gateway,
                    match what {
                        Up::Join => Input::Join { session },
                        Up::Message(message) => Input::Message { session, message },
                        Up::Leave => Input::Leave { session },
                    },
                );
            }
            Event::Down { client, session, what } => self.down(client, session, what),
            Event::Wake { gateway, life, at } => {
                if self.gateways[gateway].life == life && self.gateways[gateway].wake_at == Some(at) {
                    self.gateways[gateway].wake_at = None;
                    self.input(gateway, Input::Tick);
                }
            }
            Event::Request { gateway, life, generation, reign, effect, silent } => {
                self.execute(gateway, life, generation, reign, *effect, silent);
            }
            Event::Answer { gateway, life, generation, answer, failed } => {
                let it = &self.gateways[gateway];
                let alive = generation.is_none_or(|generation| it.connected && it.generation == generation);
                if it.life == life {
                    self.input(gateway, if alive { *answer } else { *failed });
                }
            }
            Event::Notice { gateway, life, generation, notice } => {
                let it = &self.gateways[gateway];
                if it.life == life && it.connected && it.subscribed && it.generation == generation {
                    self.input(
                        gateway,
                        match notice {
                            Notice::Entry(entry) => Input::Entry(entry),
                            Notice::Covered(position) => Input::Covered(position),
                        },
                    );
                }
            }
            Event::TimedOut { gateway, generation } => {
                if self.gateways[gateway].generation == generation {
                    self.drop_connection(gateway);
                }
            }
            Event::Reconnect(gateway) => self.reconnect(gateway),
            Event::RedisUp => self.redis_down = false,
            Event::DatabaseUp => self.database_down = false,
            Event::Fault { fault, gateway } => self.fault(fault, gateway),
            Event::Up { .. } => {}
        }
    }

    fn open_room(&mut self, gateway: usize) {
        let limits = Limits {
            document_bytes: 1 << 24,
            backlog_bytes: 1 << 24,
            checkpoint_after: self.checkpoint_after,
            durability: self.durability,
        };
        self.lives += 1;
        let seed = self.random.random();
        let it = &mut self.gateways[gateway];
        (it.life, it.wake_at, it.subscribed) = (self.lives, None, false);
        it.room = Some(Room::new(limits, seed));
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

    fn effect(&mut self, gateway: usize, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                for session in to {
                    self.send_down(session, Down::Message(message.clone()));
                }
            }
            Effect::Acknowledge { session, update } => self.send_down(session, Down::Acknowledge(update)),
            Effect::Close { reason, .. } => panic!("a well-behaved client was closed: {reason:?}"),
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
                (it.room, it.life, it.subscribed) = (None, self.lives, false);
            }
            call => self.call(gateway, call),
        }
    }

    fn connect(&mut self, client: usize) {
        if self.clients[client].gone || self.clients[client].link.is_some() {
            return;
        }
        let gateway = self.random.random_range(0..GATEWAYS);
        let session = SessionId(self.scheduled);
        self.sessions.insert(session, client);
        let hello = self.clients[client].connect(self.now, gateway, session);
        self.send_up(client, Up::Join);
        self.send_up(client, Up::Message(hello));
    }

    fn edit(&mut self, client: usize) {
        if !self.busy() || self.clients[client].gone {
            return;
        }
        let (message, deleted) = self.clients[client].edit(&mut self.random);
        self.deleted.extend(deleted);
        if let Some(message) = message {
            self.send_up(client, Up::Message(message));
        }
        let wait = ms(self.random.random_range(20..1500));
        self.after(wait, Event::Edit(client));
        // The network of a client fails now and then.
        if self.random.random_bool(0.02) {
            self.disconnect(client);
            let wait = ms(self.random.random_range(5..4000));
            self.after(wait, Event::Connect(client));
        }
    }

    /// The client ends its connection; the gateway learns of it behind what was sent before.
    pub(crate) fn disconnect(&mut self, client: usize) {
        if self.clients[client].link.is_some() {
            self.send_up(client, Up::Leave);
            self.clients[client].link = None;
        }
    }

    fn send_up(&mut self, client: usize, what: Up) {
        let delay = self.delay();
        let Some(link) = &mut self.clients[client].link else { return };
        link.up = link.up.max(self.now + delay);
        let (at, gateway, session) = (link.up, link.gateway, link.session);
        let process = self.gateways[gateway].process;
        self.at(at, Event::Up { gateway, process, session, what });
    }

    fn send_down(&mut self, session: SessionId, what: Down) {
        let delay = self.delay();
        let client = self.sessions[&session];
        let Some(link) = self.clients[client].link.as_mut().filter(|link| link.session == session) else { return };
        link.down = link.down.max(self.now + delay);
        let at = link.down;
        self.at(at, Event::Down { client, session, what });
    }

    fn down(&mut self, client: usize, session: SessionId, what: Down) {
        if self.clients[client].link.as_ref().is_none_or(|link| link.session != session) {
            return;
        }
        match what {
            Down::Message(message) => {
                if let Some(answer) = self.clients[client].receive(message) {
                    self.send_up(client, Up::Message(answer));
                }
            }
            Down::Acknowledge(update) => {
                self.clients[client].acknowledge(&update);
                // Some vanish for good right behind an acknowledgement: only the cluster has their edits then.
                if self.busy() && self.random.random_bool(0.02) {
                    self.vanish(client);
                }
            }
        }
    }

    fn vanish(&mut self, client: usize) {
        let gateway = self.clients[client].link.as_ref().map_or(0, |link| link.gateway);
        self.disconnect(client);
        self.clients[client].gone = true;
        self.new_client();
        while self.now > self.busy_until / 8
            && let Some(fault) = self.ambush.pop()
        {
            let wait = ms(self.random.random_range(0..100));
            self.after(wait, Event::Fault { fault, gateway });
            if self.random.random_bool(0.5) {
                break;
            }
        }
    }
}
