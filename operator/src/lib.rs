//! The operator: makes and keeps what an EditorCluster asks for.
//!
//! - [`crd`]: the custom resource, its defaults and rules
//! - [`controller`]: the reconcile in five stages: dereference, validate, build, apply, status
//! - [`scaling`]: how many gateways there are and which of them go; pure
//! - [`scrape`]: how many connections and documents the gateways have
//! - [`metrics_api`]: the connections as a metric for the HPA
//! - [`leader`]: which of several operators reconciles
//! - [`admin`]: the port for probes and metrics
//! - [`cli`]: the command line and the one place where everything is put together

pub mod admin;
pub mod cli;
pub mod controller;
pub mod crd;
pub mod leader;
pub mod metrics_api;
pub mod scaling;
pub mod scrape;
