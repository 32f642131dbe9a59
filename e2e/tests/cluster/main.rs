//! Scenarios on the real cluster, side by side, each in a namespace of its own. `cargo e2e test` prepares the cluster
//! and runs them; one alone: `cargo e2e test NAME`.

mod autoscaling;
mod deletion;
mod drift;
mod editing;
mod manifest;
mod metrics_api;
mod presence;
mod refusal;
mod rollout;
