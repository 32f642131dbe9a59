//! Threads for what takes long for one document: what has to do with a large one, and long messages. They are of lower
//! priority than the shards, so that others' documents go first where they share a core.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Documents that are worked on at the same time. What is hostile fills some of them for a second, and the others' turns
/// are the system's to give.
const THREADS: usize = 4;
/// Added to the process' nice value: a tenth of a shard's share of a core.
const NICE: i32 = 10;

/// The threads; they are started when they are needed. They end with the process.
#[derive(Debug)]
pub(super) struct Aside(Option<Runtime>, Handle);

impl Aside {
    pub(super) fn new() -> io::Result<Self> {
        // Only its pool is used, and nothing ever runs on the runtime itself.
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(THREADS)
            .thread_name("aside")
            .on_thread_start(|| {
                // With the usual priority it works as well.
                if let Err(error) = rustix::process::nice(NICE) {
                    tracing::debug!(%error, "a thread keeps its priority");
                }
            })
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    /// Where a shard starts such work (`Handle::spawn_blocking`).
    pub(super) fn handle(&self) -> Handle {
        self.1.clone()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Whoever drops it may be a task, which must not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
