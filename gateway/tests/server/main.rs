//! The whole gateway, in this process, with clients that speak y-websocket over real sockets.

mod backup;
mod bad_input;
mod client;
mod damage;
mod deletion;
mod disk;
mod draining;
mod editing;
mod full_disk;
mod gateway_process;
mod history;
mod http;
mod killed;
mod limits;
mod memory;
mod orphans;
mod people;
mod power_failure;
mod process;
mod quarantine;
mod raw;
mod redis_cluster;
mod redis_failover;
mod rest;
mod two_gateways;
mod websocket;
