//! The log protocol against a simulated world: three gateways' rooms of one document, clients that edit it, and
//! strangers who send anything, and faults, all from one seed. `SEED=n cargo test -p gateway --test simulation` replays one; `TRACE=1` shows its
//! steps; `SEEDS=n` runs more of them, from `FIRST=n` on.
//!
//! - `plan`: what a seed chooses; `run`: one world from its beginning to its end; `checker`: what must hold
//! - `world`: the event queue, gateways and clients; `stranger`: who sends anything, `forgery`: such updates; `calls`, `redis`: log and database; `faults`: what goes wrong
//! - `mutations`: without any one rule of the protocol a world fails

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use std::time::Duration;

use gateway::room::Durability;

use crate::faults::Fault;
use crate::plan::{Plan, Strike};
use crate::world::ms;

/// Ends a run that fails. Like `assert!`, but without the panic's message and backtrace: many runs are meant to fail.
macro_rules! must {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            std::panic::resume_unwind(Box::new(format!($($why)+)));
        }
    };
}

mod calls;
mod checker;
mod client;
mod faults;
mod forgery;
mod mutations;
mod plan;
mod reader;
mod redis;
mod run;
mod stranger;
mod world;

/// As many as take a quarter of a minute in CI.
const SEEDS: u64 = 1500;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a seed is a number"))
}

fn run(durability: Durability, test: &str) {
    run_all(test, |seed| Plan::of(seed, durability));
}

fn run_all(test: &str, plan: impl Fn(u64) -> Plan) {
    let seeds = match variable("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = variable("FIRST").unwrap_or(0);
            first..first + variable("SEEDS").unwrap_or(SEEDS)
        }
    };
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let plan = plan(seed);
        if let Err(why) = run::run(&plan) {
            println!("SEED={seed} cargo test -p gateway --test simulation {test}\n  {why}\n  {plan:?}");
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{} of {} seeds fail: {failed:?}", failed.len(), seeds.end - seeds.start);
}

#[test]
fn with_the_log_nothing_acknowledged_is_lost_and_all_end_equal() {
    run(Durability::Log, "with_the_log");
}

#[test]
fn with_the_database_nothing_acknowledged_is_lost_and_all_end_equal() {
    run(Durability::Database, "with_the_database");
}

/// As long as the log has them: nobody takes it away, and nobody who holds more than it dies.
#[test]
fn with_a_database_that_loses_commits_nothing_acknowledged_is_lost_and_all_end_equal() {
    run_all("with_a_database_that_loses_commits", |seed| {
        let mut plan = Plan::of(seed, if seed % 2 == 0 { Durability::Log } else { Durability::Database });
        plan.faults.retain(|(_, fault)| !fault.loses_data() && !matches!(fault, Fault::Crash | Fault::Everybody));
        let strike = if seed % 3 == 0 { Strike::Ambush } else { Strike::At(plan.busy / 97 * (seed % 97) as u32) };
        plan.faults.push((strike, Fault::DatabaseLosesCommits));
        plan.time_to_live = Duration::from_secs(120);
        plan
    });
}

#[test]
fn with_the_logs_keys_evicted_nothing_acknowledged_is_lost_and_all_rooms_end() {
    run_all("with_the_logs_keys_evicted", |seed| {
        let mut plan = Plan::of(seed, if seed % 2 == 0 { Durability::Log } else { Durability::Database });
        let eviction = if seed % 4 < 2 { Fault::HeadEvicted } else { Fault::StreamEvicted };
        // Often enough to strike each state of a room, also the last one, in which nobody writes.
        plan.faults = (1..9).map(|part| (Strike::At(plan.busy / 8 * part - ms(1)), eviction)).collect();
        plan
    });
}
