//! GROW: what a delivery costs as documents get more clients, and on two shards instead of one.

use anyhow::Result;

use super::Settings;
use super::fanout::{Load, S1, observe};
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind};

/// About 9,000 deliveries a second each, as in S1, so that only their shape differs.
const LOADS: [(&str, Load); 4] = [
    ("cpu_us_10_clients", S1),
    ("cpu_us_100_clients", Load { documents: 10, clients: 100, writers: 10, rate: 0.9, ..S1 }),
    ("cpu_us_1000_clients", Load { documents: 1, clients: 1000, writers: 9, ..S1 }),
    // The second shard is on the load generator's core, which is mostly idle here.
    ("cpu_us_10_clients_2_shards", Load { joined: Joined::Sharded(2), ..S1 }),
];

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.kinds.contains(&Kind::Gateway) {
        return Ok(());
    }
    for (metric, load) in &LOADS {
        let observed = observe(load, Kind::Gateway, settings.length).await?;
        let duplicated = observed.ledger.borrow().duplicated;
        let figure = Figure::new("GROW", Kind::Gateway, metric, observed.each(), "us");
        report.cpu(figure.account(observed.lost, duplicated))?;
    }
    Ok(())
}
