//! What goes wrong.

use gateway::room::Now;
use rand::Rng as _;

use crate::world::{Event, GATEWAYS, World, ms};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A gateway's process dies; its clients go elsewhere.
    Crash,
    /// A gateway stands still for a while; what was meant for it comes all at once, late.
    Pause,
    RedisRestart,
    /// A restart from a file that lacks the last writes.
    RedisLosesTail,
    RedisLosesAll,
    /// The primary dies and a replica that lags takes over.
    Promotion,
    /// A replica that lags takes over, and some gateways go on with the old primary for a while.
    SplitBrain,
    /// The same, and then the old primary, which never restarted, is the one again.
    FailBack,
    /// A gateway's connection to the log breaks, and it notices.
    ConnectionLoss,
    /// A gateway's subscription is deaf for a while, and it does not notice.
    SilentLoss,
    /// For a while notices come late, not at all, twice and in another order.
    NoisyBus,
    DatabaseDown,
    /// A standby that lags takes over: the row is the one of some seconds before.
    DatabaseLosesCommits,
    /// The log's head is evicted.
    HeadEvicted,
    /// The log's stream is evicted; its head stays.
    StreamEvicted,
    /// Nobody is connected for a while, long enough for the log to expire, or not.
    Everybody,
}

impl Fault {
    /// Those that must be survived together with any other. Evictions and lost commits have tests of their own.
    pub(crate) const ALL: [Self; 13] = [
        Self::Crash,
        Self::Pause,
        Self::RedisRestart,
        Self::RedisLosesTail,
        Self::RedisLosesAll,
        Self::Promotion,
        Self::SplitBrain,
        Self::FailBack,
        Self::ConnectionLoss,
        Self::SilentLoss,
        Self::NoisyBus,
        Self::DatabaseDown,
        Self::Everybody,
    ];

    /// Whether the log's server may end up without entries that it has confirmed.
    pub(crate) fn loses_data(self) -> bool {
        matches!(
            self,
            Self::RedisLosesTail
                | Self::RedisLosesAll
                | Self::Promotion
                | Self::SplitBrain
                | Self::FailBack
                | Self::StreamEvicted
        )
    }

    /// Whether rooms may hear of something only at their next tick: notices were lost without a sign, or a gateway
    /// died between its checkpoint and its append.
    pub(crate) fn may_need_a_tick(self) -> bool {
        matches!(
            self,
            Self::Crash
                | Self::Pause
                | Self::SilentLoss
                | Self::NoisyBus
                | Self::SplitBrain
                | Self::FailBack
                | Self::DatabaseLosesCommits
                | Self::HeadEvicted
                | Self::StreamEvicted
        )
    }
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault, gateway: usize) {
        let wait = ms(self.draw(50..8000));
        let primary = self.primary;
        self.unrest(match fault {
            Fault::Everybody => wait * 4,
            Fault::DatabaseDown | Fault::SplitBrain | Fault::FailBack | Fault::Pause | Fault::NoisyBus => wait * 2,
            _ => wait / 4,
        });
        if fault == Fault::Crash || fault.loses_data() {
            self.losses.strike(self.now, fault, self.row.as_ref());
        }
        match fault {
            Fault::Crash => self.crash(gateway),
            Fault::Pause => self.pause(gateway, self.now + wait * 2),
            Fault::RedisRestart | Fault::RedisLosesTail | Fault::RedisLosesAll => {
                let count = self.random.random_range(1..6);
                let reign = self.next_reign();
                let server = &mut self.servers[primary];
                match fault {
                    Fault::RedisLosesTail => server.lose_tail(count),
                    Fault::RedisLosesAll => server.empty(),
                    _ => {}
                }
                (server.reign, server.up) = (reign, false);
                self.drop_connections_to(primary);
                self.after(wait / 4, Event::ServerUp(primary));
            }
            Fault::Promotion => {
                self.promote();
                self.servers[primary].up = false;
                self.drop_connections_to(primary);
            }
            Fault::SplitBrain | Fault::FailBack => {
                self.promote();
                for gateway in 0..GATEWAYS {
                    if self.random.random_bool(0.6) {
                        self.gateways[gateway].server = self.primary;
                        self.drop_connection(gateway);
                    }
                }
                let goes_on = if fault == Fault::FailBack { primary } else { self.primary };
                self.after(wait * 2, Event::OnePrimary(goes_on));
            }
            Fault::ConnectionLoss => self.drop_connection(gateway),
            Fault::SilentLoss => self.gateways[gateway].deaf_until = self.now + wait,
            Fault::NoisyBus => self.noisy_until = self.noisy_until.max(self.now + wait * 2),
            Fault::HeadEvicted => self.servers[primary].evict_head(),
            Fault::StreamEvicted => self.servers[primary].evict_stream(),
            Fault::DatabaseDown => {
                self.database_down = true;
                self.after(wait * 2, Event::DatabaseUp);
            }
            Fault::DatabaseLosesCommits => {
                let until = self.now.saturating_sub(wait);
                self.commits.retain(|(at, _)| *at <= until);
                self.row = self.commits.last().map(|(_, row)| row.clone());
            }
            Fault::Everybody => {
                for client in 0..self.clients.len() {
                    self.disconnect(client);
                    self.after(wait * 4, Event::Connect(client));
                }
                self.strangers_away_until = self.now + wait * 4;
                (0..self.strangers.len()).for_each(|stranger| self.stranger_leaves(stranger));
            }
        }
    }

    /// A replica that lags becomes the primary, beside the old one.
    fn promote(&mut self) {
        let lag = self.random.random_range(0..6);
        let reign = self.next_reign();
        let replica = self.servers[self.primary].promoted(reign, lag);
        self.servers.push(replica);
        self.primary = self.servers.len() - 1;
    }

    /// From now on there is one primary again.
    pub(crate) fn one_primary(&mut self, goes_on: usize) {
        // Another fault may have ended that one meanwhile.
        if self.servers[goes_on].up {
            self.primary = goes_on;
        }
        for server in 0..self.servers.len() {
            if server == self.primary {
                continue;
            }
            self.servers[server].up = false;
            self.drop_connections_to(server);
        }
    }

    pub(crate) fn crash(&mut self, gateway: usize) {
        let it = &mut self.gateways[gateway];
        it.room = None;
        it.process += 1;
        it.life = u64::MAX - it.process;
        (it.connected, it.subscribed, it.paused_until) = (false, false, Now::ZERO);
        it.dead = it.generation;
        self.after(ms(1000), Event::Reconnect(gateway));
        self.strangers_of(gateway);
        for client in 0..self.clients.len() {
            if self.clients[client].link.as_ref().is_some_and(|link| link.gateway == gateway) {
                self.clients[client].link = None;
                let wait = ms(self.random.random_range(5..3000));
                self.after(wait, Event::Connect(client));
            }
        }
    }

    fn pause(&mut self, gateway: usize, until: Now) {
        let it = &mut self.gateways[gateway];
        if it.paused_until > self.now {
            // What waits for it to wake up would be overtaken by what comes now.
            return;
        }
        it.paused_until = until;
        if self.random.random_bool(0.5) {
            // Its server gives it up; it learns of that when it wakes.
            self.drop_connection(gateway);
        }
        for client in 0..self.clients.len() {
            let there = self.clients[client].link.as_ref().is_some_and(|link| link.gateway == gateway);
            if there && self.random.random_bool(0.5) {
                self.disconnect(client);
                let wait = ms(self.random.random_range(5..3000));
                self.after(wait, Event::Connect(client));
            }
        }
    }
}
