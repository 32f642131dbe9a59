//! `cargo e2e`: the project's tests, and what they need on this machine.

pub mod cli;
pub mod packages;
pub mod paths;
pub mod scenario;
pub mod suite;
