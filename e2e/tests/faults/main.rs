//! Everything that may break does, under load, and every edit is counted. `docs/faults.md` has the table.
//!
//! Each scenario has an EditorCluster of its own and runs alone as well: `cargo e2e test fault_redis_killed`. Those
//! that break what all namespaces share wait until nobody else runs. Each prints one line at its end.

mod clients;
mod control;
mod disk;
mod gateways;
mod load;
mod mutations;
mod random;
mod redis;
mod scenes;
mod stores;
