//! Calls to the log and the database, and what goes wrong with them.

use gateway::room::log::Row;
use gateway::room::{Effect, Failed, Input};
use rand::Rng as _;

use crate::redis::Notice;
use crate::world::{Event, GATEWAYS, World, ms};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A gateway's process dies; its clients go elsewhere.
    Crash,
    RedisRestart,
    RedisLosesTail,
    RedisLosesAll,
    /// A gateway's connection to the log breaks, and it notices.
    ConnectionLoss,
    /// A gateway's subscription is deaf for a while, and it does not notice.
    SilentLoss,
    DatabaseDown,
    /// Nobody is connected for a while, long enough for the log to expire, or not.
    Everybody,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::Crash,
        Self::RedisRestart,
        Self::RedisLosesTail,
        Self::RedisLosesAll,
        Self::ConnectionLoss,
        Self::SilentLoss,
        Self::DatabaseDown,
        Self::Everybody,
    ];
}

/// The answer that says that the outcome is unknown.
fn failure(effect: &Effect) -> Input {
    match effect {
        Effect::Subscribe { call } => Input::Subscribed { call: *call, result: Err(Failed) },
        Effect::Read { call } => Input::Read { call: *call, result: Err(Failed) },
        Effect::Load { call } => Input::Loaded { call: *call, result: Err(Failed) },
        Effect::Open { call, .. } => Input::Opened { call: *call, result: Err(Failed) },
        Effect::Append { call, .. } => Input::Appended { call: *call, result: Err(Failed) },
        Effect::Write { call, .. } => Input::Written { call: *call, result: Err(Failed) },
        Effect::Cover { call, .. } => Input::CoverDone { call: *call, result: Err(Failed) },
        other => panic!("not a call: {other:?}"),
    }
}

fn of_database(effect: &Effect) -> bool {
    matches!(effect, Effect::Load { .. } | Effect::Write { .. })
}

impl World {
    pub(crate) fn call(&mut self, gateway: usize, effect: Effect) {
        let it = &self.gateways[gateway];
        let (life, generation, reign) = (it.life, it.generation, self.redis.reign);
        let database = of_database(&effect);
        let failed = Box::new(failure(&effect));
        if !database && !it.connected {
            self.after(ms(40), Event::Answer { gateway, life, generation: None, answer: failed.clone(), failed });
            return;
        }
        let lost = self.busy() && self.random.random_bool(0.01);
        if !lost {
            let delay = self.delay();
            let effect = Box::new(effect);
            self.after(delay, Event::Request { gateway, life, generation, reign, effect, silent: false });
            return;
        }
        // The request or its answer is lost; it may run even after the caller has given up.
        if self.random.random_bool(0.7) {
            let delay = ms(self.random.random_range(1..2500));
            let effect = Box::new(effect);
            self.after(delay, Event::Request { gateway, life, generation, reign, effect, silent: true });
        }
        self.after(ms(2000), Event::Answer { gateway, life, generation: None, answer: failed.clone(), failed });
        if !database {
            self.after(ms(2000), Event::TimedOut { gateway, generation });
        }
    }

    /// A call reaches its server.
    pub(crate) fn execute(
        &mut self,
        gateway: usize,
        life: u64,
        generation: u64,
        reign: u64,
        effect: Effect,
        silent: bool,
    ) {
        let database = of_database(&effect);
        let down = if database { self.database_down } else { self.redis_down || self.redis.reign != reign };
        let failed = failure(&effect);
        let (answer, notice) =
            if down { (failed.clone(), None) } else { self.serve(gateway, life, generation, effect) };
        if let Some(notice) = notice {
            self.publish(&notice);
        }
        if !silent {
            let delay = self.delay();
            let generation = (!database).then_some(generation);
            let (answer, failed) = (Box::new(answer), Box::new(failed));
            self.after(delay, Event::Answer { gateway, life, generation, answer, failed });
        }
    }

    fn serve(&mut self, gateway: usize, life: u64, generation: u64, effect: Effect) -> (Input, Option<Notice>) {
        match effect {
            Effect::Subscribe { call } => {
                let it = &mut self.gateways[gateway];
                if it.life == life && it.generation == generation {
                    it.subscribed = true;
                }
                (Input::Subscribed { call, result: Ok(generation) }, None)
            }
            Effect::Read { call } => (Input::Read { call, result: Ok(self.redis.read()) }, None),
            Effect::Open { call, expected, epoch, tenure, update } => {
                match self.redis.open(expected.as_ref(), epoch, &tenure, update) {
                    Ok((opened, notice)) => (Input::Opened { call, result: Ok(opened) }, notice),
                    Err(failed) => (Input::Opened { call, result: Err(failed) }, None),
                }
            }
            Effect::Append { call, epoch, update } => match self.redis.append(epoch, update) {
                Ok((appended, notice)) => (Input::Appended { call, result: Ok(appended) }, notice),
                Err(failed) => (Input::Appended { call, result: Err(failed) }, None),
            },
            Effect::Cover { call, position } => {
                let (covered, notice) = self.redis.cover(self.now, position);
                (Input::CoverDone { call, result: Ok(covered) }, notice)
            }
            Effect::Load { call } => (Input::Loaded { call, result: Ok(self.row.clone()) }, None),
            Effect::Write { call, expected, state, position } => {
                let rev = self.row.as_ref().map_or(0, |row| row.rev);
                let written = (rev == expected).then_some(rev + 1);
                if let Some(rev) = written {
                    self.row = Some(Row { state, position, rev });
                }
                (Input::Written { call, result: Ok(written) }, None)
            }
            other => panic!("not a call: {other:?}"),
        }
    }

    fn publish(&mut self, notice: &Notice) {
        for gateway in 0..GATEWAYS {
            let delay = self.delay();
            let now = self.now;
            let it = &mut self.gateways[gateway];
            if !it.subscribed || !it.connected || now < it.deaf_until {
                continue;
            }
            it.heard_until = it.heard_until.max(now + delay);
            let (at, life, generation) = (it.heard_until, it.life, it.generation);
            self.at(at, Event::Notice { gateway, life, generation, notice: notice.clone() });
        }
    }

    pub(crate) fn drop_connection(&mut self, gateway: usize) {
        let it = &mut self.gateways[gateway];
        if !it.connected {
            return;
        }
        (it.connected, it.subscribed) = (false, false);
        let generation = it.generation;
        self.input(gateway, Input::Disconnected { generation });
        let wait = ms(self.random.random_range(20..2000));
        self.after(wait, Event::Reconnect(gateway));
    }

    pub(crate) fn reconnect(&mut self, gateway: usize) {
        if self.gateways[gateway].connected {
            return;
        }
        if self.redis_down {
            return self.after(ms(300), Event::Reconnect(gateway));
        }
        let it = &mut self.gateways[gateway];
        it.generation += 1;
        it.connected = true;
        let generation = it.generation;
        self.input(gateway, Input::Connected { generation });
    }

    pub(crate) fn fault(&mut self, fault: Fault, gateway: usize) {
        let wait = ms(self.random.random_range(50..8000));
        match fault {
            Fault::Crash => self.crash(gateway),
            Fault::RedisRestart | Fault::RedisLosesTail | Fault::RedisLosesAll => {
                let count = self.random.random_range(1..6);
                match fault {
                    Fault::RedisLosesTail => self.redis.lose_tail(count),
                    Fault::RedisLosesAll => self.redis.empty(),
                    _ => {}
                }
                self.redis.reign += 1;
                self.redis_down = true;
                (0..GATEWAYS).for_each(|gateway| self.drop_connection(gateway));
                self.after(wait / 4, Event::RedisUp);
            }
            Fault::ConnectionLoss => self.drop_connection(gateway),
            Fault::SilentLoss => self.gateways[gateway].deaf_until = self.now + wait,
            Fault::DatabaseDown => {
                self.database_down = true;
                self.after(wait * 2, Event::DatabaseUp);
            }
            Fault::Everybody => {
                for client in 0..self.clients.len() {
                    self.disconnect(client);
                    self.after(wait * 4, Event::Connect(client));
                }
            }
        }
    }

    fn crash(&mut self, gateway: usize) {
        let it = &mut self.gateways[gateway];
        it.room = None;
        it.process += 1;
        it.life = u64::MAX - it.process;
        (it.connected, it.subscribed) = (false, false);
        it.generation += 1;
        self.after(ms(1000), Event::Reconnect(gateway));
        for client in 0..self.clients.len() {
            if self.clients[client].link.as_ref().is_some_and(|link| link.gateway == gateway) {
                self.clients[client].link = None;
                let wait = ms(self.random.random_range(5..3000));
                self.after(wait, Event::Connect(client));
            }
        }
    }
}
