//! The operator: makes and keeps what an EditorCluster asks for.
//!
//! - [`crd`]: the custom resource, its defaults and rules
//! - [`controller`]: the reconcile in five stages: dereference, validate, build, apply, status
//! - [`scaling`]: how many gateways there are and which of them go; pure
//! - [`cli`]: the command line and the one place where everything is put together

pub mod cli;
pub mod crd;
