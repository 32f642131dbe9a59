//! Everything around the rooms: an event queue in virtual time, gateways, links, the log and the row.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Range;
use std::time::Duration;

use gateway::room::log::Row;
use gateway::room::{Input, Now, Rule, SessionId};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::checker::{Losses, Numbers};
use crate::client::Client;
use crate::faults::Fault;
use crate::plan::{Plan, Strike};
use crate::redis::{Notice, Redis};
use crate::stranger::Stranger;

use self::event::Scheduled;
pub(crate) use self::event::{Down, Event, Up};
use self::gateways::Gateway;

mod event;
mod gateways;
mod people;
mod strangers;

pub(crate) const GATEWAYS: usize = 3;
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(60);

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
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
    pub(crate) strangers: Vec<Stranger>,
    pub(crate) strangers_away_until: Now,
    /// Of clients; strangers' are not in it.
    sessions: BTreeMap<SessionId, usize>,
    /// The log's servers; one is the primary, and others may believe that they are.
    pub(crate) servers: Vec<Redis>,
    pub(crate) primary: usize,
    reigns: u64,
    pub(crate) noisy_until: Now,
    pub(crate) row: Option<Row>,
    /// Every row there was, and since when.
    pub(crate) commits: Vec<(Now, Row)>,
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
            strangers: Vec::new(),
            strangers_away_until: Now::ZERO,
            sessions: BTreeMap::new(),
            servers: vec![Redis::new(1, plan.time_to_live, plan.without)],
            primary: 0,
            reigns: 1,
            noisy_until: Now::ZERO,
            row: None,
            commits: Vec::new(),
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
        world.new_strangers();
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

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connect(client) => self.connect(client),
            Event::Edit(client) => self.edit(client),
            Event::Stranger(number) => self.stranger(number),
            Event::Up { gateway, process, session, what } if self.gateways[gateway].process == process => {
                if self.gateways[gateway].room.is_none() {
                    if !matches!(what, Up::Join) {
                        return;
                    }
                    self.open_room(gateway);
                }
                let input = match what {
                    Up::Join => Input::Join { session },
                    Up::Message(message) => self.said(session, message),
                    Up::Streamed(as_of) => Input::Streamed { session, as_of },
                    Up::Leave => Input::Leave { session },
                };
                self.input(gateway, input);
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
                    if let Input::Loaded { result: Ok(Some(row)), .. } = &*answer
                        && alive
                    {
                        self.prepare(wire.gateway, row);
                    }
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
}
