//! What a seed chooses before its world begins: how the clients behave, and what goes wrong.

use std::time::Duration;

use gateway::room::{Durability, Now, Rule};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::faults::Fault;
use crate::world::ms;

/// How it ends when all is at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Everybody leaves, and the rooms end.
    Leave,
    /// Everybody edits once more; as soon as that is acknowledged all gateways crash and nobody comes back.
    Crash,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) durability: Durability,
    pub(crate) clients: usize,
    /// Clients that are hostile or have bugs.
    pub(crate) strangers: usize,
    /// Between two edits of a client.
    pub(crate) pace: std::ops::Range<u64>,
    /// Until then clients edit and answers get lost.
    pub(crate) busy: Duration,
    pub(crate) checkpoint_after: Duration,
    /// Of a log that is covered.
    pub(crate) time_to_live: Duration,
    pub(crate) faults: Vec<(Strike, Fault)>,
    pub(crate) farewell: Farewell,
    /// How often a client's network fails, of its edits.
    pub(crate) flaky: f64,
    /// How often a client vanishes for good right behind an acknowledgement.
    pub(crate) vanish: f64,
    /// How long its place stays empty, at most.
    pub(crate) vacancy: u64,
    pub(crate) without: Option<Rule>,
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    At(Now),
    /// Right after a client has vanished, when it hurts most.
    Ambush,
}

impl Plan {
    pub(crate) fn of(seed: u64, durability: Durability) -> Self {
        let mut random = SmallRng::seed_from_u64(seed ^ 0xfau64);
        let slow = random.random_bool(0.3);
        let busy = Duration::from_secs(if slow { 150 } else { 40 });
        let count = [0, 1, 1, 1, 2, 2, 2, 3][random.random_range(0..8)];
        let last = busy.as_millis() as u64 - 5000;
        // Two faults hurt most when they come together.
        let together = random.random_bool(0.4).then(|| random.random_range(500..last));
        let faults = (0..count).map(|_| {
            let fault = Fault::ALL[random.random_range(0..Fault::ALL.len())];
            let strike = match together {
                Some(at) => Strike::At(ms(at + random.random_range(0..300))),
                None if random.random_bool(0.6) => Strike::Ambush,
                None => Strike::At(ms(random.random_range(500..last))),
            };
            (strike, fault)
        });
        let faults = faults.collect();
        Self {
            seed,
            durability,
            clients: [1, 2, 3, 3][random.random_range(0..4)],
            // Drawn by itself, so that a seed's other choices are what they are without strangers.
            strangers: [0, 1, 1, 2][SmallRng::seed_from_u64(seed ^ 0x5e).random_range(0..4)],
            pace: if slow { 500..30_000 } else { 20..1500 },
            busy,
            checkpoint_after: ms([300, 3000, 20_000][random.random_range(0..3)]),
            time_to_live: Duration::from_secs([20, 20, 120][random.random_range(0..3)]),
            faults,
            farewell: if random.random_bool(0.3) { Farewell::Crash } else { Farewell::Leave },
            flaky: 0.02,
            vanish: if slow { 0.15 } else { 0.02 },
            vacancy: [10, 10, 60_000][random.random_range(0..3)],
            without: None,
        }
    }

    pub(crate) fn has(&self, is_it: impl Fn(Fault) -> bool) -> bool {
        self.faults.iter().any(|(_, fault)| is_it(*fault))
    }
}
