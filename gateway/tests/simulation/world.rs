//! Everything around the rooms: an event queue in virtual time, gateways, links, the log and the row.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Range;
use std::time::Duration;

use gateway::protocol::yjs::Message;
use gateway::room::log::{Position, Row};
use gateway::room::{Effect, Input, Limits, Now, Room, Rule, SessionId};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::calls::Wire;
use crate::checker::{Losses, Numbers};
use crate::client::Client;
use crate::faults::Fault;
use crate::plan::{Plan, Strike};
use crate::redis::{Notice, Redis};

pub(crate) const GATEWAYS: usize = 3;
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(60);

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
    Up {
        gateway: usize,
        process: u64,
        session: SessionId,
        what: Up,
    },
    Down {
        client: usize,
        session: SessionId,
        what: Down,
    },
    Wake {
        gateway: usize,
        life: u64,
        at: Now,
    },
    Request {
        wire: Wire,
        effect: Box<Effect>,
        silent: bool,
    },
    Answer {
        wire: Wire,
        of_log: bool,
        answer: Box<Input>,
        failed: Box<Input>,
    },
    Notice {
        gateway: usize,
        life: u64,
        generation: u64,
        notice: Notice,
    },
    TimedOut {
        gateway: usize,
        generation: u64,
    },
    Disconnected {
        gateway: usize,
        generation: u64,
    },
    Reconnect(usize),
    ServerUp(usize),
    OnePrimary(usize),
    DatabaseUp,
    Sweep,
    /// A sweep has seen a log that ends there without a time to live.
    Orphan {
        gateway: usize,
        end: Position,
    },
    Fault {
        fault: Fault,
        gateway: usize,
    },
}

impl Event {
    /// The gateway whose process it happens to.
    fn process(&self) -> Option<usize> {
        match self {
            Self::Up { gateway, .. }
            | Self::Wake { gateway, .. }
            | Self::Notice { gateway, .. }
            | Self::TimedOut { gateway, .. }
            | Self::Disconnected { gateway, .. }
            | Self::Reconnect(gateway)
            | Self::Orphan { gateway, .. } => Some(*gateway),
            Self::Answer { wire, .. } => Some(wire.gateway),
            _ => None,
        }
    }
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
    pub(crate) plan: Plan,
    /// Nothing that went wrong is felt after that, but for what only a tick finds.
    pub(crate) calm_from: Now,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) clients: Vec<Client>,
    sessions: BTreeMap<SessionId, usize>,
    /// The log's servers; one is the primary, and others may believe that they are.
    pub(crate) servers: Vec<Redis>,
    pub(crate) primary: usize,
    reigns: u64,
    pub(crate) noisy_until: Now,
    pub(crate) row: Option<Row>,
    pub(crate) database_down: bool,
    pub(crate) deleted: BTreeSet<String>,
    /// What is to go wrong right after a client has vanished.
    ambush: Vec<Fault>,
    pub(crate) losses: Losses,
    pub(crate) numbers: Numbers,
    lives: u64,
    /// How many rooms have ended by themselves.
    pub(crate) done: usize,
    pub(crate) swept: usize,
    pub(crate) trace: bool,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let gateway = |_| Gateway { connected: true, generation: 1, ..Gateway::default() };
        let mut world = Self {
            now: Duration::ZERO,
            random: SmallRng::seed_from_u64(plan.seed),
            queue: BinaryHeap::new(),
            scheduled: 0,
            calm_from: plan.busy,
            gateways: (0..GATEWAYS).map(gateway).collect(),
            clients: Vec::new(),
            sessions: BTreeMap::new(),
            servers: vec![Redis::new(1, plan.time_to_live, plan.without)],
            primary: 0,
            reigns: 1,
            noisy_until: Now::ZERO,
            row: None,
            database_down: false,
            deleted: BTreeSet::new(),
            ambush: Vec::new(),
            losses: Losses::default(),
            numbers: Numbers::default(),
            lives: 0,
            done: 0,
            swept: 0,
            trace: std::env::var_os("TRACE").is_some(),
            plan,
        };
        for (strike, fault) in world.plan.faults.clone() {
            match strike {
                Strike::Ambush => world.ambush.push(fault),
                Strike::At(at) => {
                    let gateway = world.draw(0..GATEWAYS as u64) as usize;
                    world.at(at, Event::Fault { fault, gateway });
                }
            }
        }
        (0..world.plan.clients).for_each(|_| world.new_client(10));
        world.after(SWEEP_EVERY / 2, Event::Sweep);
        world
    }

    pub(crate) fn busy(&self) -> bool {
        self.now < self.plan.busy
    }

    /// Something goes wrong, and may be felt for so long.
    pub(crate) fn unrest(&mut self, wait: Duration) {
        self.calm_from = self.calm_from.max(self.now + wait);
    }

    pub(crate) fn draw(&mut self, range: Range<u64>) -> u64 {
        self.random.random_range(range)
    }

    pub(crate) fn next_reign(&mut self) -> u64 {
        self.reigns += 1;
        self.reigns
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
            must!(steps < 400_000, "the rooms never come to rest");
            let Some(Scheduled(Reverse((at, _)), event)) = self.queue.pop() else { break };
            self.now = at;
            self.servers.iter_mut().for_each(|server| server.expire(at));
            match event.process().map(|gateway| self.gateways[gateway].paused_until) {
                Some(until) if until > at => self.at(until, event),
                _ => self.happen(event),
            }
        }
        self.now = end;
    }

    /// A client that comes within that many milliseconds.
    fn new_client(&mut self, vacancy: u64) {
        self.clients.push(Client::new(self.clients.len()));
        let client = self.clients.len() - 1;
        let wait = self.draw(0..vacancy);
        self.unrest(ms(wait));
        self.after(ms(wait + 10), Event::Connect(client));
        self.after(ms(wait + 50), Event::Edit(client));
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
            Event::Request { wire, effect, silent } => self.execute(wire, *effect, silent),
            Event::Answer { wire, of_log, answer, failed } => {
                let it = &self.gateways[wire.gateway];
                let alive = !of_log
                    || it.connected && it.generation == wire.generation
                    || self.plan.without == Some(Rule::ConnectionGeneration);
                if it.life == wire.life {
                    self.input(wire.gateway, if alive { *answer } else { *failed });
                }
            }
            Event::Notice { gateway, life, generation, notice } => {
                let it = &self.gateways[gateway];
                if it.life == life && it.connected && it.subscribed && it.generation == generation {
                    self.input(
                        gateway,
                        match notice {
                            Notice::Entry(entry) => Input::Entry(entry),
                            Notice::Covered(position, rev) => Input::Covered { position, rev },
                        },
                    );
                }
            }
            Event::TimedOut { gateway, generation } => {
                if self.gateways[gateway].generation == generation {
                    self.drop_connection(gateway);
                }
            }
            Event::Disconnected { gateway, generation } => self.disconnected(gateway, generation),
            Event::Reconnect(gateway) => self.reconnect(gateway),
            Event::ServerUp(server) => self.servers[server].up |= server == self.primary,
            Event::OnePrimary(server) => self.one_primary(server),
            Event::Sweep => self.sweep(),
            Event::Orphan { gateway, end } => self.orphan(gateway, end),
            Event::DatabaseUp => self.database_down = false,
            Event::Fault { fault, gateway } => self.fault(fault, gateway),
            Event::Up { .. } => {}
        }
    }

    fn open_room(&mut self, gateway: usize) {
        let limits = Limits {
            document_bytes: 1 << 24,
            backlog_bytes: 1 << 24,
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
    fn sweep(&mut self) {
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

    fn orphan(&mut self, gateway: usize, end: Position) {
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

    fn effect(&mut self, gateway: usize, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                for session in to {
                    self.send_down(session, Down::Message(message.clone()));
                }
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
                (it.room, it.life, it.wake_at, it.subscribed) = (None, self.lives, None, false);
            }
            Effect::Skipped { position } => panic!("an entry that a room has written is left out: {position:?}"),
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
        self.edit_once(client);
        let wait = ms(self.draw(self.plan.pace.clone()));
        self.after(wait, Event::Edit(client));
        // The network of a client fails now and then.
        if self.random.random_bool(self.plan.flaky) {
            self.disconnect(client);
            let wait = ms(self.random.random_range(5..4000));
            self.after(wait, Event::Connect(client));
        }
    }

    pub(crate) fn edit_once(&mut self, client: usize) {
        let (message, deleted) = self.clients[client].edit(self.now, &mut self.random);
        self.deleted.extend(deleted);
        if let Some(message) = message {
            self.send_up(client, Up::Message(message));
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
                if self.busy() && self.random.random_bool(self.plan.vanish) {
                    self.vanish(client);
                }
            }
        }
    }

    fn vanish(&mut self, client: usize) {
        let gateway = self.clients[client].link.as_ref().map_or(0, |link| link.gateway);
        self.disconnect(client);
        self.clients[client].gone = true;
        self.new_client(self.plan.vacancy);
        while self.now > self.plan.busy / 8
            && let Some(fault) = self.ambush.pop()
        {
            let wait = ms(self.random.random_range(0..100));
            self.after(wait, Event::Fault { fault, gateway });
            self.unrest(wait);
            if self.random.random_bool(0.5) {
                break;
            }
        }
    }
}
