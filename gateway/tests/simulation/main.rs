//! The log protocol against a simulated world: three gateways' rooms of one document, clients that edit it, and
//! faults, all from one seed. `SEED=n cargo test -p gateway --test simulation` replays one; `TRACE=1` shows its
//! steps; `SEEDS=n` runs more of them, from `FIRST=n` on.
//!
//! - `plan`: what a seed chooses; `run`: one world from its beginning to its end; `checker`: what must hold
//! - `world`: the event queue, gateways and clients; `calls`, `redis`: log and database; `faults`: what goes wrong
//! - `mutations`: without any one rule of the protocol a world fails

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use gateway::room::Durability;

use crate::plan::Plan;

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
mod mutations;

mod plan;
mod redis;
mod run;
mod world;

/// As many as take a quarter of a minute in CI.
const SEEDS: u64 = 1500;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a seed is a number"))
}

fn run(durability: Durability, test: &str) {
    let seeds = match variable("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = variable("FIRST").unwrap_or(0);
            first..first + variable("SEEDS").unwrap_or(SEEDS)
        }
    };
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let plan = Plan::of(seed, durability);
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
