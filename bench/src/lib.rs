//! The benchmark: one load generator against the gateway and its peers, on this machine alone.
//!
//! - `scenario`: what is loaded and measured; `report`: the figures
//! - `crowd`, `client`: simulated people; `ledger`: who wrote what and who has it
//! - `attack`: clients that mean harm
//! - `dialect`, `wire`, `edit`: what they say, and the bytes of it
//! - `subject`: the servers; `process`, `cores`, `floor`: what they cost

pub mod attack;
pub mod cli;
pub mod client;
pub mod cores;
pub mod crowd;
pub mod dialect;
pub mod edit;
pub mod floor;
pub mod ledger;
pub mod pairs;
pub mod process;
pub mod report;
pub mod scenario;
pub mod subject;
pub mod wire;
