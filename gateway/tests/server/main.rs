//! The whole gateway, in this process, with clients that speak y-websocket over real sockets.

mod bad_input;
mod client;
mod draining;
mod editing;
mod gateway_process;
mod http;
mod redis_cluster;
mod redis_failover;
mod two_gateways;
