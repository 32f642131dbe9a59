//! A room under inputs in any order: messages of sessions good and bad, joins, leaves, answers of the log and the
//! database that come late, fail or come twice, notices, lost connections, a log server that restarts or loses its end.
//!
//! - `people`: the sessions, and what the room owes them
//! - `backend`: an honest log and database
//! - `world`: one input at a time, and what must hold after each
//! - `lies`: what an honest log would never say; then only the process and the other sessions are to be safe

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

use crate::world::World;

mod backend;
mod lies;
mod people;
#[expect(dead_code, reason = "the simulation asks more of it")]
#[path = "../../../tests/simulation/redis.rs"]
mod redis;
mod world;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok(mut world) = World::new(&mut input) else { return };
    while !input.is_empty() {
        // Bytes that run out are the end of the story.
        if world.step(&mut input).is_err() {
            break;
        }
    }
    world.end();
});
