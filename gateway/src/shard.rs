//! Shards: one thread per core, each with its own runtime, sockets, rooms and connections to the log.
//!
//! A document belongs to one shard, by the hash of its id, and a socket is handed to its document's shard. So rooms
//! and sessions need no lock, and what a wake-up of the shard produces leaves in one write per socket. The database's
//! pool is shared and lives on the main runtime.
//!
//! - `state`: what a shard holds, and the ways into it
//! - `rooms`: the rooms' inputs and effects
//! - `turns`: a room's inputs, one at a time, at once or aside
//! - `risk`: which inputs are marked, so that a dead process says what it died of
//! - `pending`: what of a document waits for something unknown, reported
//! - `aside`: threads for what takes long for one document
//! - `calls`: the effects that ask the log or the database
//! - `cut`: long messages, in parts
//! - `wakes`: the rooms' timers
//! - `session`: one socket's task, and what it may ask; `outbox`: what waits to be written to it; `inbound`: what its frames mean
//! - `sweep`, `vitals`: pings, and the end of connections that are dead or stuck
//! - `shed`: the end of connections that hold most of the memory
//! - `closing`: a shard's part of the drain
//! - `orphans`: the log protocol's sweep, one for all shards
//! - `edits`: edits that come from this process itself

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use bytes::Bytes;
use editorcluster_core::document::Document;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use self::aside::Aside;
use self::state::Shared;
pub use self::vitals::Patience;
use crate::bus::redis::{RedisBus, RedisSource};
use crate::bus::sqlite::SqliteLog;
use crate::bus::{Bus, Events};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::pattern::Pattern;
use crate::quarantine::marks::Marks;
use crate::quarantine::verdict::Verdict;
use crate::room::Limits;
use crate::store::Store;

mod aside;
mod calls;
mod closing;
mod cut;
pub mod edits;
mod inbound;
pub mod orphans;
mod outbox;
mod pending;
mod risk;
mod rooms;
mod session;
mod shed;
mod state;
mod stream;
mod sweep;
mod turns;
mod vitals;
mod wakes;

/// Where a shard's log is.
#[derive(Clone)]
pub enum Log {
    Sqlite(SqliteLog),
    Redis(RedisSource),
}

impl Log {
    /// One shard's way to it. On the shard's runtime, so that a call does not change the thread.
    pub(crate) fn bus(&self, events: Events) -> Result<Arc<dyn Bus>> {
        Ok(match self {
            Self::Sqlite(log) => Arc::new(log.for_shard(events)),
            Self::Redis(source) => Arc::new(RedisBus::connect(source.clone(), events).context("--redis-url")?),
        })
    }
}

/// What all shards have in common.
#[derive(Clone)]
pub struct Setup {
    pub log: Log,
    pub store: Arc<dyn Store>,
    pub limits: Limits,
    /// The documents of which deleted content is kept.
    pub keep_deleted: Vec<Pattern>,
    pub max_message_bytes: usize,
    /// Of one session.
    pub max_messages_per_second: f64,
    pub patience: Patience,
    pub metrics: Arc<Metrics>,
    pub marks: Marks,
    /// Nothing is opened before it is given.
    pub(crate) verdict: Verdict,
    pub memory: Arc<Memory>,
}

impl Setup {
    /// An empty document of this name: it keeps what is deleted, or not.
    fn empty_document(&self, name: &str) -> Document {
        let keeps_deleted = self.keep_deleted.iter().any(|pattern| pattern.matches(name));
        if keeps_deleted { Document::keeping_deleted() } else { Document::default() }
    }
}

/// What the rest of the process may ask of a shard.
#[derive(Debug)]
pub enum Command {
    Socket(NewSocket),
    /// Nobody advances this document's log: bring it to the database.
    Sweep {
        document: String,
    },
    Edit(edits::Edit),
    /// Close all sessions, now and later ones, spread over the window; `done` once there is none left.
    Close {
        window: std::time::Duration,
        done: oneshot::Sender<()>,
    },
    /// Bring every room to its end; `done` once there is none left.
    Flush {
        done: oneshot::Sender<()>,
    },
}

/// A socket that has got its 101.
#[derive(Debug)]
pub struct NewSocket {
    pub document: String,
    stream: std::net::TcpStream,
    /// What the client sent behind the head of its request.
    first: Bytes,
    open: Open,
}

impl NewSocket {
    pub fn new(document: String, stream: std::net::TcpStream, first: Bytes, metrics: Arc<Metrics>) -> Self {
        Self { document, stream, first, open: Open::new(metrics) }
    }
}

/// Counts an open session as long as it exists.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

/// A shard, seen from other threads.
pub struct Shard {
    commands: mpsc::UnboundedSender<Command>,
    /// For readiness, the sweep, and for whoever reads or deletes a whole document.
    pub bus: Arc<dyn Bus>,
}

impl Shard {
    pub fn send(&self, command: Command) {
        // A shard ends with the process; a socket that comes then is closed by being dropped.
        let _ = self.commands.send(command);
    }
}

/// The process's shards. Their threads end when this is dropped.
pub struct Shards {
    shards: Vec<Shard>,
    _aside: Aside,
}

impl Shards {
    /// Starts `count` threads; `setup`'s store runs on the current runtime.
    ///
    /// # Errors
    /// When a thread cannot be started or the log's address is not valid.
    pub async fn start(count: usize, setup: Setup) -> Result<Self> {
        let aside = Aside::new().context("cannot start a runtime")?;
        let mut shards = Vec::with_capacity(count);
        for index in 0..count {
            let (commands, inbox) = mpsc::unbounded_channel();
            let (started, bus) = oneshot::channel();
            let (setup, elsewhere) = (setup.clone(), Elsewhere { main: Handle::current(), aside: aside.handle() });
            thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || run(setup, elsewhere, inbox, started))
                .context("cannot start a shard's thread")?;
            let bus = bus.await.context("a shard's thread ended at its start")??;
            shards.push(Shard { commands, bus });
        }
        Ok(Self { shards, _aside: aside })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter()
    }

    /// The shard that a document belongs to.
    pub fn of(&self, document: &str) -> &Shard {
        let mut hasher = DefaultHasher::new();
        document.hash(&mut hasher);
        // The remainder is smaller than the number of shards, so it fits.
        &self.shards[(hasher.finish() % self.shards.len() as u64) as usize]
    }
}

type Started = oneshot::Sender<Result<Arc<dyn Bus>>>;

/// Where a shard has done what it does not do itself.
struct Elsewhere {
    /// The database's calls.
    main: Handle,
    /// What takes long for one document.
    aside: Handle,
}

/// A shard's thread.
fn run(setup: Setup, elsewhere: Elsewhere, inbox: mpsc::UnboundedReceiver<Command>, started: Started) {
    // Not all of it: signals and child processes would be looked after at every turn.
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error).context("cannot start a shard's runtime"));
            return;
        }
    };
    // A task like every other: a wake-up of the future that `block_on` runs costs a turn of the driver.
    let shard = runtime.spawn_local(async move {
        let (events, heard) = mpsc::unbounded_channel();
        let bus = match setup.log.bus(events) {
            Ok(bus) => bus,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let shared = Rc::new(Shared::new(setup, elsewhere, bus.clone()));
        let _ = started.send(Ok(bus));
        state::run(shared, inbox, heard).await;
    });
    if let Err(error) = runtime.block_on(shard) {
        std::panic::resume_unwind(error.into_panic());
    }
}
