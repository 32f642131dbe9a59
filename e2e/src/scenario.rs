//! What scenarios are written with: a namespace of one's own, kubectl as a person types it, real npm clients.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub mod clients;
pub mod container;
pub mod editor_cluster;
pub mod kubectl;
pub mod namespace;

/// Between two looks at a condition. One look is a process or a request; the scenario shares two cores with its subject.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Asks `look` until it answers `Ok(Some(value))`. After `deadline` it fails with `what` and the last thing seen.
pub async fn until<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = match look().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => String::from("not yet so"),
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() > deadline {
            bail!("not within {} s: {what} (last look: {seen})", deadline.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
