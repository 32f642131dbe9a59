//! The sweep of the log protocol: documents whose gateway crashed after an append, and that nobody has opened since, are
//! in the log alone. They are found, opened, checkpointed and closed.
//!
//! One task for the process, and of many gateways one at a time. A log without a time to live may just be one that
//! somebody edits; it is an orphan only if it has not moved in a time in which any open room would have covered it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::time::sleep;

use super::{Command, Shards};
use crate::bus::{Bus, Cursor, Result};
use crate::metrics::Metrics;
use crate::room::log::Position;
use crate::store::quarantine::Quarantine;

/// Between two steps of the walk through all logs, and between two documents: a sweep is never in a hurry.
const PACE: Duration = Duration::from_millis(20);

/// Sweeps about every `every` until it is aborted. An open room makes a checkpoint within `checkpoint_after`.
pub async fn run(
    shards: Arc<Shards>,
    store: Arc<dyn Quarantine>,
    metrics: Arc<Metrics>,
    every: Duration,
    checkpoint_after: Duration,
) {
    // Twice, for a checkpoint that must be made again, and a second for the database.
    let patience = checkpoint_after * 2 + Duration::from_secs(1);
    let Some(bus) = shards.iter().next().map(|shard| shard.bus.clone()) else { return };
    loop {
        // A gateway that has just come up does not wait long: it may be what a crash left behind.
        let wait = every.mul_f64(rand::rng().random_range(0.25..1.25));
        sleep(wait).await;
        match bus.is_my_sweep(every).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                tracing::debug!(%error, "the log does not answer; the sweep is put off");
                continue;
            }
        }
        match orphans(&*bus, patience).await {
            Ok(documents) => {
                let refused = if documents.is_empty() { HashSet::new() } else { quarantined(&*store).await };
                for document in documents {
                    if refused.contains(&document) {
                        metrics.sweep_skipped.inc();
                        tracing::warn!(document, "its log is left alone: the document is in quarantine");
                        continue;
                    }
                    tracing::info!(document, "nobody advances this document's log; bringing it to the database");
                    shards.of(&document).send(Command::Sweep { document });
                    sleep(PACE).await;
                }
            }
            Err(error) => tracing::debug!(%error, "the log stopped answering during a sweep; it is put off"),
        }
    }
}

/// What is not even tried. A database that does not answer now refuses them when they are opened.
async fn quarantined(store: &dyn Quarantine) -> HashSet<String> {
    match store.quarantined().await {
        Ok(all) => all.into_iter().map(|quarantined| quarantined.document).collect(),
        Err(error) => {
            tracing::debug!(%error, "cannot ask which documents are in quarantine");
            HashSet::new()
        }
    }
}

async fn orphans(bus: &dyn Bus, patience: Duration) -> Result<Vec<String>> {
    let mut seen = HashMap::<String, Position>::new();
    let mut next = Some(Cursor::default());
    while let Some(cursor) = next {
        let page = bus.uncovered(cursor).await?;
        next = page.next;
        for document in page.documents {
            if let Some(end) = bus.uncovered_end(&document).await? {
                seen.insert(document, end);
            }
        }
        sleep(PACE).await;
    }
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    sleep(patience).await;
    let mut orphans = Vec::new();
    for (document, end) in seen {
        if bus.uncovered_end(&document).await? == Some(end) {
            orphans.push(document);
        }
    }
    Ok(orphans)
}
