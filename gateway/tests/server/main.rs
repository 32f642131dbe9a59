//! The whole gateway, in this process, with clients that speak y-websocket over real sockets.

mod backup;
mod bad_input;
mod client;
mod deletion;
mod draining;
mod editing;
mod gateway_process;
mod history;
mod http;
mod limits;
mod memory;
mod orphans;
mod raw;
mod redis_cluster;
mod redis_failover;
mod rest;
mod two_gateways;
mod websocket;
