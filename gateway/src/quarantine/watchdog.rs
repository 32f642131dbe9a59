//! Marks that stay: a thread that does not come back from its document. The document gets a strike while the process
//! still lives, and the process says that it is not alive any more, so that whoever watches it starts it again: the other
//! documents of that shard wait too.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

use super::marks::Marks;
use super::verdict::strike;
use crate::metrics::Metrics;
use crate::store::quarantine::{Cause, Quarantine};

/// Looks in the time for which a mark may stay.
const LOOKS: u32 = 30;

/// Ends the watchdog when it is dropped.
#[derive(Debug)]
pub struct Watchdog(#[expect(dead_code, reason = "its drop is what the thread hears")] mpsc::Sender<()>);

/// Watches on a thread of its own: those of the runtime may be the ones that do not come back. `patience`: for how long a
/// mark may stay.
///
/// # Errors
/// The thread cannot be started.
pub fn start(
    marks: Marks,
    store: Arc<dyn Quarantine>,
    metrics: Arc<Metrics>,
    runtime: Handle,
    patience: Duration,
) -> std::io::Result<Watchdog> {
    let (watchdog, ended) = mpsc::channel();
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let mut stays = Stays::default();
        while ended.recv_timeout(patience / LOOKS) == Err(RecvTimeoutError::Timeout) {
            for (place, number) in stays.look(&marks.standing()) {
                let Some((document, doing)) = marks.at(place, number) else { continue };
                let (store, metrics, run) = (store.clone(), metrics.clone(), marks.run());
                runtime.spawn(async move {
                    let written = strike(&document, doing, Cause::Stalled, run, 1, &*store, &metrics).await;
                    if let Err(error) = written {
                        // Its mark is still there for the next start.
                        tracing::error!(document, %error, "a shard stalls in this document, which cannot be written down");
                    }
                });
            }
            metrics.stalled.set(stays.count());
        }
    })?;
    Ok(Watchdog(watchdog))
}

/// How often each mark was seen. Looks are counted and not time: a process that stood still as a whole, or a laptop that
/// slept, has seen nothing meanwhile.
#[derive(Debug, Default)]
struct Stays(HashMap<(usize, u64), u32>);

impl Stays {
    /// The marks that have now been there for too long; each is returned once.
    fn look(&mut self, standing: &[(usize, u64)]) -> Vec<(usize, u64)> {
        let seen = standing.iter().map(|mark| (*mark, self.0.get(mark).map_or(1, |seen| seen + 1)));
        self.0 = seen.collect();
        self.0.iter().filter(|(_, seen)| **seen == LOOKS).map(|(mark, _)| *mark).collect()
    }

    fn count(&self) -> i64 {
        self.0.values().filter(|seen| **seen >= LOOKS).count() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_stays_is_told_once_and_others_never() {
        let mut stays = Stays::default();
        for look in 1..=u64::from(LOOKS) * 3 {
            // The second place changes its mark at every look, the third comes and goes.
            let mut standing = vec![(0, 7), (1, 100 + look)];
            standing.extend((look % 20 != 0).then_some((2, 9)));
            let told = stays.look(&standing);
            assert_eq!(told, if look == u64::from(LOOKS) { vec![(0, 7)] } else { vec![] }, "{look}");
            assert_eq!(stays.count(), i64::from(look >= u64::from(LOOKS)), "{look}");
        }
        assert!(stays.look(&[]).is_empty());
        assert_eq!(stays.count(), 0, "it has come back");
    }
}
