//! Calls to the log and the database, notices, and the connections that carry them.

use gateway::room::log::Row;
use gateway::room::{Effect, Failed, Input, Rule};
use rand::Rng as _;

use crate::redis::Notice;
use crate::world::{Event, GATEWAYS, World, ms};

/// The answer that says that the outcome is unknown.
fn failure(effect: &Effect) -> Input {
    match effect {
        Effect::Subscribe { call } => Input::Subscribed { call: *call, result: Err(Failed) },
        Effect::Read { call } => Input::Read { call: *call, result: Err(Failed) },
        Effect::Peek { call } => Input::Peeked { call: *call, result: Err(Failed) },
        Effect::Load { call } => Input::Loaded { call: *call, result: Err(Failed) },
        Effect::Rev { call } => Input::RevRead { call: *call, result: Err(Failed) },
        Effect::Open { call, .. } => Input::Opened { call: *call, result: Err(Failed) },
        Effect::Append { call, .. } => Input::Appended { call: *call, result: Err(Failed) },
        Effect::Write { call, .. } => Input::Written { call: *call, result: Err(Failed) },
        Effect::Cover { call, .. } => Input::CoverDone { call: *call, result: Err(Failed) },
        other => panic!("not a call: {other:?}"),
    }
}

fn of_database(effect: &Effect) -> bool {
    matches!(effect, Effect::Load { .. } | Effect::Rev { .. } | Effect::Write { .. })
}

/// The connection on which a call is made.
#[derive(Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) gateway: usize,
    pub(crate) life: u64,
    pub(crate) generation: u64,
    server: usize,
    reign: u64,
}

impl World {
    pub(crate) fn call(&mut self, gateway: usize, effect: Effect) {
        let it = &self.gateways[gateway];
        let (server, reign) = (it.server, self.servers[it.server].reign);
        let wire = Wire { gateway, life: it.life, generation: it.generation, server, reign };
        let database = of_database(&effect);
        let failed = Box::new(failure(&effect));
        if !database && !it.connected {
            self.after(ms(40), Event::Answer { wire, of_log: false, answer: failed.clone(), failed });
            return;
        }
        let lost = self.busy() && self.random.random_bool(0.01);
        if !lost {
            let delay = self.delay();
            self.after(delay, Event::Request { wire, effect: Box::new(effect), silent: false });
            return;
        }
        self.unrest(ms(2000));
        // The request or its answer is lost; it may run even after the caller has given up.
        if self.random.random_bool(0.7) {
            let delay = ms(self.random.random_range(1..2500));
            self.after(delay, Event::Request { wire, effect: Box::new(effect), silent: true });
        }
        self.after(ms(2000), Event::Answer { wire, of_log: false, answer: failed.clone(), failed });
        if !database {
            self.after(ms(2000), Event::TimedOut { gateway, generation: wire.generation });
        }
    }

    /// A call reaches its server.
    pub(crate) fn execute(&mut self, wire: Wire, effect: Effect, silent: bool) {
        let database = of_database(&effect);
        let server = &self.servers[wire.server];
        let of_dead = self.gateways[wire.gateway].dead >= wire.generation && !silent;
        let down = if database { self.database_down } else { !server.up || server.reign != wire.reign || of_dead };
        let failed = failure(&effect);
        let (answer, notice) = if down { (failed.clone(), None) } else { self.serve(wire, effect) };
        if let Some(notice) = notice {
            self.publish(wire.server, &notice);
        }
        if !silent {
            let delay = self.delay();
            let (answer, failed) = (Box::new(answer), Box::new(failed));
            self.after(delay, Event::Answer { wire, of_log: !database, answer, failed });
        }
    }

    fn serve(&mut self, wire: Wire, effect: Effect) -> (Input, Option<Notice>) {
        let server = &mut self.servers[wire.server];
        match effect {
            Effect::Subscribe { call } => {
                let it = &mut self.gateways[wire.gateway];
                if it.life == wire.life && it.generation == wire.generation {
                    it.subscribed = true;
                }
                (Input::Subscribed { call, result: Ok(wire.generation) }, None)
            }
            Effect::Read { call } => (Input::Read { call, result: Ok(server.read()) }, None),
            Effect::Peek { call } => (Input::Peeked { call, result: Ok(server.peek()) }, None),
            Effect::Open { call, expected, epoch, tenure, update } => {
                match server.open(expected.as_ref(), epoch, &tenure, update) {
                    Ok((opened, notice)) => (Input::Opened { call, result: Ok(opened) }, notice),
                    Err(failed) => (Input::Opened { call, result: Err(failed) }, None),
                }
            }
            Effect::Append { call, epoch, update } => match server.append(epoch, update) {
                Ok((appended, notice)) => (Input::Appended { call, result: Ok(appended) }, notice),
                Err(failed) => (Input::Appended { call, result: Err(failed) }, None),
            },
            Effect::Cover { call, position, rev } => {
                let (covered, notice) = server.cover(self.now, position, rev);
                (Input::CoverDone { call, result: Ok(covered) }, notice)
            }
            Effect::Load { call } => (Input::Loaded { call, result: Ok(self.row.clone()) }, None),
            Effect::Rev { call } => {
                (Input::RevRead { call, result: Ok(self.row.as_ref().map_or(0, |row| row.rev)) }, None)
            }
            Effect::Write { call, expected, state, position } => {
                let rev = self.row.as_ref().map_or(0, |row| row.rev);
                let row = Row { state, position, rev: rev + 1 };
                let written = if self.plan.without == Some(Rule::UnionAndCompareAndSet) {
                    self.write_forward_only(row)
                } else {
                    (rev == expected).then(|| self.write(row))
                };
                (Input::Written { call, result: Ok(written) }, None)
            }
            other => panic!("not a call: {other:?}"),
        }
    }

    fn write(&mut self, row: Row) -> i64 {
        let rev = row.rev;
        self.commits.push((self.now, row.clone()));
        self.row = Some(row);
        rev
    }

    /// What does not replace compare-and-set: the higher position wins.
    fn write_forward_only(&mut self, row: Row) -> Option<i64> {
        let key = |row: &Row| row.position.map(|at| (at.epoch.0, at.n));
        if self.row.as_ref().is_some_and(|old| key(old) > key(&row)) {
            return self.row.as_ref().map(|old| old.rev);
        }
        Some(self.write(row))
    }

    fn publish(&mut self, server: usize, notice: &Notice) {
        if let Notice::Entry(entry) = notice {
            self.numbers.check(entry);
        }
        for gateway in 0..GATEWAYS {
            let mut delay = self.delay();
            let now = self.now;
            let it = &self.gateways[gateway];
            let cut_off = it.dead >= it.generation || it.server != server;
            if !it.subscribed || cut_off || now < it.deaf_until {
                continue;
            }
            let (life, generation) = (it.life, it.generation);
            let notice = || Event::Notice { gateway, life, generation, notice: notice.clone() };
            if now < self.noisy_until {
                if self.random.random_bool(0.15) {
                    continue;
                }
                if self.random.random_bool(0.15) {
                    let late = ms(self.draw(0..3000));
                    self.after(late, notice());
                }
                if self.random.random_bool(0.3) {
                    delay = ms(self.draw(0..3000));
                }
                self.after(delay, notice());
                continue;
            }
            let it = &mut self.gateways[gateway];
            it.heard_until = it.heard_until.max(now + delay);
            let at = it.heard_until;
            self.at(at, notice());
        }
    }

    /// The connection is dead from now on; the gateway notices a moment later, or when it wakes.
    pub(crate) fn drop_connection(&mut self, gateway: usize) {
        let it = &mut self.gateways[gateway];
        if !it.connected || it.dead >= it.generation {
            return;
        }
        (it.dead, it.subscribed) = (it.generation, false);
        let generation = it.generation;
        let delay = self.delay();
        self.after(delay, Event::Disconnected { gateway, generation });
    }

    pub(crate) fn drop_connections_to(&mut self, server: usize) {
        for gateway in 0..GATEWAYS {
            if self.gateways[gateway].server == server {
                self.drop_connection(gateway);
            }
        }
    }

    pub(crate) fn disconnected(&mut self, gateway: usize, generation: u64) {
        let it = &mut self.gateways[gateway];
        if !it.connected || it.generation != generation {
            return;
        }
        it.connected = false;
        self.input(gateway, Input::Disconnected { generation });
        let wait = ms(self.draw(20..2000));
        self.after(wait, Event::Reconnect(gateway));
    }

    pub(crate) fn reconnect(&mut self, gateway: usize) {
        if self.gateways[gateway].connected {
            return;
        }
        // Who talks to the old primary goes back to it as long as it is there.
        if !self.servers[self.gateways[gateway].server].up {
            self.gateways[gateway].server = self.primary;
        }
        let it = &mut self.gateways[gateway];
        if !self.servers[it.server].up {
            return self.after(ms(300), Event::Reconnect(gateway));
        }
        it.generation += 1;
        (it.connected, it.heard_until) = (true, self.now);
        let generation = it.generation;
        self.input(gateway, Input::Connected { generation });
    }
}
