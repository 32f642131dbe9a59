//! `cargo e2e`: a real Kubernetes on this machine, the project on it, and the project's tests.
//!
//! [`cluster`] makes and removes the machine's own two-node cluster, [`images`] its images, [`product`] puts the project
//! on whichever cluster it is given, [`suite`] runs the tests.

pub mod bench;
pub mod cli;
pub mod cluster;
pub mod fuzz;
pub mod images;
pub mod packages;
pub mod paths;
pub mod product;
pub mod progress;
pub mod scenario;
pub mod shell;
pub mod suite;
pub mod volumes;
