//! A start: what dead processes have left becomes strikes, before anything is opened. Otherwise a document that kills at
//! once could do so again and again without a strike.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::left::Left;
use super::marks::Doing;
use crate::metrics::Metrics;
use crate::store::quarantine::{Cause, Quarantine, Strike};
use crate::store::{Result, StoreError};

const RETRY: Duration = Duration::from_millis(200);
/// How often all documents in quarantine are counted.
const COUNT_EVERY: Duration = Duration::from_secs(30);

/// Whether all that was left is in the database.
#[derive(Clone, Debug)]
pub(crate) struct Verdict(watch::Receiver<bool>);

impl Verdict {
    /// Returns at once but in the first moments after a crash.
    pub(crate) async fn given(&self) {
        if !*self.0.borrow() {
            // Whoever would say so is gone with the process.
            let _ = self.0.clone().wait_for(|given| *given).await;
        }
    }
}

/// Strikes, and counts from then on for as long as the process lives.
pub(crate) fn start(
    left: Vec<Left>,
    store: Arc<dyn Quarantine>,
    metrics: Arc<Metrics>,
) -> (Verdict, impl Future<Output = ()>) {
    let (give, given) = watch::channel(left.is_empty());
    let work = async move {
        for left in left {
            strike_all(&left, &*store, &metrics).await;
            left.remove();
        }
        let _ = give.send(true);
        loop {
            match store.quarantined().await {
                Ok(all) => metrics.quarantined_documents.set(all.len() as i64),
                Err(error) => tracing::debug!(%error, "cannot count the documents in quarantine"),
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    };
    (Verdict(given), work)
}

async fn strike_all(left: &Left, store: &dyn Quarantine, metrics: &Metrics) {
    let suspects = left.suspects.len() as u32;
    for (document, doing) in &left.suspects {
        loop {
            match strike(document, *doing, Cause::Died, left.run, suspects, store, metrics).await {
                Ok(()) => break,
                // Until the database answers nothing is opened anyway.
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(RETRY).await,
                Err(error) => {
                    tracing::error!(document, %error, "a process died in this document, which cannot be written down");
                    break;
                }
            }
        }
    }
}

/// Writes one strike down, and says so.
pub(super) async fn strike(
    document: &str,
    doing: Doing,
    cause: Cause,
    run: u64,
    suspects: u32,
    store: &dyn Quarantine,
    metrics: &Metrics,
) -> Result<()> {
    let doing = doing.as_str();
    let strike = Strike { document: document.to_owned(), run, cause, doing, suspects };
    let quarantined = store.strike(&strike).await?;
    metrics.strikes.inc();
    tracing::error!(document, doing, cause = cause.as_str(), suspects, "a process died or stalled in this document");
    if quarantined {
        tracing::error!(document, "the document is in quarantine and not opened: see `gateway quarantine show`");
    }
    Ok(())
}
