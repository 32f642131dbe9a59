//! The log protocol against a simulated world: three gateways' rooms of one document, clients that edit it, and
//! faults, all from one seed. `SEED=n cargo test -p gateway --test simulation` replays one; `TRACE=1` shows its
//! steps; `SEEDS=n` runs more of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use std::collections::BTreeSet;
use std::time::Duration;

use gateway::room::Durability;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::client::{text_of, tokens};
use crate::faults::Fault;
use crate::world::{Event, GATEWAYS, World, ms};

mod client;
mod faults;
mod redis;
mod world;

const SEEDS: u64 = 200;
const BUSY: Duration = Duration::from_secs(40);
const REST: Duration = Duration::from_secs(300);

fn faults(seed: u64) -> Vec<Fault> {
    let mut random = SmallRng::seed_from_u64(seed ^ 0xfau64);
    let count = [0, 1, 1, 1, 2, 2, 3][random.random_range(0..7)];
    (0..count).map(|_| Fault::ALL[random.random_range(0..Fault::ALL.len())]).collect()
}

/// The one loss that `log` allows: a gateway dies, and Redis loses data.
fn may_lose(durability: Durability, faults: &[Fault]) -> bool {
    let loses = |fault: &Fault| matches!(fault, Fault::RedisLosesTail | Fault::RedisLosesAll);
    durability == Durability::Log && faults.contains(&Fault::Crash) && faults.iter().any(loses)
}

fn simulate(seed: u64, durability: Durability) {
    let faults = faults(seed);
    println!("SEED={seed} {durability:?} {faults:?}");
    let mut world = World::new(seed, durability, BUSY);
    (0..3).for_each(|_| world.new_client());
    for fault in &faults {
        if world.random.random_bool(0.6) {
            world.ambush.push(*fault);
        } else {
            let at = ms(world.random.random_range(500..BUSY.as_millis() as u64 - 5000));
            let gateway = world.random.random_range(0..GATEWAYS);
            world.at(at, Event::Fault { fault: *fault, gateway });
        }
    }
    world.run_until(BUSY + REST);

    let here: Vec<usize> = (0..world.clients.len()).filter(|client| !world.clients[*client].gone).collect();
    let text = world.clients[here[0]].text();
    for client in &here {
        assert!(world.clients[*client].link.is_some(), "client {client} is not connected");
        assert_eq!(world.clients[*client].text(), text, "client {client} differs");
    }
    check_tokens(&world, &tokens(&text), may_lose(durability, &faults));

    here.iter().for_each(|client| world.disconnect(*client));
    world.run_until(BUSY + REST * 2);
    for gateway in 0..GATEWAYS {
        assert!(world.gateways[gateway].room.is_none(), "the room of gateway {gateway} did not end");
    }
    let row = world.row.iter().map(|row| &row.state);
    let stream = world.redis.stream.iter().flat_map(|stream| &stream.entries).map(|entry| &entry.update);
    assert_eq!(text_of(row.chain(stream)), text, "a cold reader differs");
    assert!(world.done > 0);
}

fn check_tokens(world: &World, held: &BTreeSet<String>, may_lose: bool) {
    for (name, client) in world.clients.iter().enumerate() {
        let own = if client.gone { client.acknowledged } else { client.own.len() };
        if client.gone && may_lose {
            continue;
        }
        for token in &client.own[..own] {
            assert!(held.contains(token) || world.deleted.contains(token), "{token} of client {name} is lost");
        }
        assert!(client.gone || client.acknowledged == own, "client {name} waits for an acknowledgement");
    }
}

fn seeds() -> u64 {
    std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap())
}

fn run(durability: Durability) {
    match std::env::var("SEED") {
        Ok(seed) => simulate(seed.parse().unwrap(), durability),
        Err(_) => (0..seeds()).for_each(|seed| simulate(seed, durability)),
    }
}

#[test]
fn with_the_log_nothing_acknowledged_is_lost_and_all_end_equal() {
    run(Durability::Log);
}

#[test]
fn with_the_database_nothing_acknowledged_is_lost_and_all_end_equal() {
    run(Durability::Database);
}
