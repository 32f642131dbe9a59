//! The end of a gateway that loses nothing: not ready, settle, sessions closed over the window, rooms flushed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::server::Running;
use crate::shard::Command;

/// Rooms may take this long to write their checkpoints. What is not written by then is in the log.
const FLUSH_LIMIT: Duration = Duration::from_secs(15);
/// Beyond the window, for the last clients' answers to our close frames.
const CLOSE_SLACK: Duration = Duration::from_secs(10);

/// What the gateway lets in. Read at each new connection, so atomics and no lock.
#[derive(Debug, Default)]
pub struct Lifecycle {
    reached: AtomicBool,
    draining: AtomicBool,
    closed: AtomicBool,
    drain_requested: Notify,
}

impl Lifecycle {
    /// Redis and the database have answered once.
    pub fn set_reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Ready once log and database were reached, and from then on as long as sessions are accepted: an outage of
    /// Redis must not unready a whole fleet.
    pub fn is_ready(&self) -> bool {
        self.reached.load(Ordering::Relaxed) && !self.is_draining()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// False from the end of the settle time on.
    pub fn accepts_sessions(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    /// Asks for a drain, as SIGTERM does.
    pub fn request_drain(&self) {
        self.drain_requested.notify_one();
    }

    pub async fn drain_requested(&self) {
        self.drain_requested.notified().await;
    }
}

/// Drains; when it returns, the process may exit.
pub async fn run(running: &Running) {
    let lifecycle = &running.lifecycle;
    let sessions = || running.metrics.connections.get();
    lifecycle.draining.store(true, Ordering::Relaxed);
    running.metrics.draining.set(1);
    tracing::info!(sessions = sessions(), settle = ?running.settle, window = ?running.drain_window, "draining");

    tokio::time::sleep(running.settle).await;
    lifecycle.closed.store(true, Ordering::Relaxed);

    let window = running.drain_window;
    let closed = all(running, |done| Command::Close { window, done });
    if timeout(window + CLOSE_SLACK, closed).await.is_err() {
        tracing::warn!(sessions = sessions(), "sessions did not end with the drain window");
    }
    if timeout(FLUSH_LIMIT, all(running, |done| Command::Flush { done })).await.is_err() {
        let documents = running.metrics.documents.get();
        tracing::error!(documents, "documents could not be written to the database; their edits are in the log");
    }
    tracing::info!("drained");
}

/// Sends one command to every shard and waits until each has done it.
async fn all(running: &Running, command: impl Fn(oneshot::Sender<()>) -> Command) {
    let mut answers = Vec::new();
    for shard in running.shards.iter().flat_map(|shards| shards.iter()) {
        let (done, answer) = oneshot::channel();
        shard.send(command(done));
        answers.push(answer);
    }
    for answer in answers {
        // A shard that is gone has nothing left to do.
        let _ = answer.await;
    }
}
