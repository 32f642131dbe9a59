//! Waits for a store: Postgres connects, and migrates, in the background.

use std::time::{Duration, Instant};

use gateway::store::Store;

const WITHIN: Duration = Duration::from_secs(20);

/// Returns when the store answers.
pub(crate) async fn reached(store: &dyn Store) {
    let deadline = Instant::now() + WITHIN;
    while let Err(error) = store.ping().await {
        assert!(Instant::now() < deadline, "the store never answered: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
