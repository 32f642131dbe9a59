//! The scenarios of the design's section 8.

use std::time::Duration;

use anyhow::Result;

use crate::crowd::Shape;
use crate::report::Report;
use crate::subject::{Kind, Subject};

mod connect;
mod crowd;
mod documents;
mod fanout;
mod growth;
mod hostile;
mod idle;
mod presence;
mod reconcile;
mod soak;

pub use self::crowd::work;

/// What every scenario is told.
pub struct Settings {
    pub kinds: Vec<Kind>,
    /// How long is measured, after a warm-up.
    pub length: Duration,
}

/// Name and what it loads, for the help and the table.
pub const ALL: &[(&str, &str)] = &[
    ("S1", "100 documents x 10 clients x 1 update/s, one instance"),
    ("S2", "1 writer x 10 updates/s, 1,000 observers"),
    ("S3", "two instances over Redis, 50 documents x 10 clients x 1 update/s"),
    ("S4", "100 documents x 10 clients x 10 updates/s"),
    ("S5", "presence: 500 clients in one document, each moving its cursor once a second"),
    ("S6", "10,000 idle connections in 100 documents: memory, before and after one 16 KiB message each"),
    ("S7", "CPU time of a connection until it is in sync"),
    ("S8", "1,000 open documents of the automerge-paper trace's size"),
    ("S9", "150,000 connections over several processes"),
    ("O1", "the operator with an API server and etcd alone: 1,000 EditorClusters at once"),
    ("H1", "100 documents x 10 clients x 1 update/s, alone and beside each attack"),
    ("GROW", "S1's deliveries with 10, 100 and 1,000 clients a document, and with 10 on two shards"),
    ("SOAK", "70 % of a core, people coming and going, for --seconds: memory"),
];

/// Runs one scenario.
pub async fn run(name: &str, settings: &Settings, report: &mut Report) -> Result<()> {
    match name {
        "S1" => fanout::run(&fanout::S1, settings, report).await,
        "S2" => fanout::run(&fanout::S2, settings, report).await,
        "S3" => fanout::run(&fanout::S3, settings, report).await,
        "S4" => fanout::run(&fanout::S4, settings, report).await,
        "S5" => presence::run(settings, report).await,
        "S6" => idle::run(settings, report).await,
        "S7" => connect::run(settings, report).await,
        "S8" => documents::run(settings, report).await,
        "S9" => crowd::run(settings, report),
        "O1" => reconcile::run(settings, report),
        "H1" => hostile::run(settings, report).await,
        "GROW" => growth::run(settings, report).await,
        "SOAK" => soak::run(settings, report).await,
        _ => anyhow::bail!("there is no scenario {name}"),
    }
}

fn shape(subject: &Subject, documents: usize, clients_per_document: usize) -> Shape {
    Shape {
        dialect: subject.kind.dialect(),
        addresses: subject.addresses(),
        documents,
        clients_per_document,
        prefix: "bench".to_owned(),
        arriving: 32,
    }
}
