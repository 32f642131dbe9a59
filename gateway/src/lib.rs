//! The gateway: real-time collaborative editing over WebSockets. `docs/architecture.md` has the map.
//!
//! - `protocol`, `room`: the pure parts; they know no socket and no clock
//! - `shard`: the threads that drive them: sockets, timers, rooms
//! - `bus`, `store`: the documents' logs and checkpoints
//! - `quarantine`: documents in which processes die, so that they are not opened again
//! - `history`: what a document was; pure as well
//! - `reader`: processes that read what a document was
//! - `transfer`: whole documents, read from log and row, and merged in
//! - `api`: REST for versions, export, import and deletion; `backup`: the same for whole databases, as commands
//! - `http`, `web`, `admin`: the two ports
//! - `server`, `drain`: the gateway's start and its end
//! - `cli`, `config`, `metrics`; `pattern`: which documents a flag is about
//! - `without`: what a scenario takes out of a debug build

pub mod admin;
pub mod api;
pub mod backup;
pub mod bus;
pub mod cli;
pub mod config;
pub mod drain;
pub mod history;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod pattern;
pub mod protocol;
pub mod quarantine;
pub mod reader;
pub mod room;
pub mod server;
pub mod shard;
pub mod store;
pub mod transfer;
pub mod web;
mod without;
