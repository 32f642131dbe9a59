//! The composition root: everything that runs in a gateway is started here.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use prometheus::IntGauge;
use rand::Rng;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::api::Api;
use crate::bus::sqlite::SqliteLog;
use crate::config::{ApiPort, Config, LogBackend, Storage, StoreBackend};
use crate::drain::Lifecycle;
use crate::history::policy::Policy;
use crate::http::{self, Public};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::quarantine::left::{self, Left};
use crate::quarantine::marks::Marks;
use crate::quarantine::verdict;
use crate::quarantine::watchdog::{self, Watchdog};
use crate::reader::readers::Readers;
use crate::shard::{Log, Setup, Shards, orphans};
use crate::store::archive::Archive;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::{admin, api, web};

/// Connections that wait to be taken: a herd that comes back after a drain elsewhere.
const BACKLOG: i32 = 4096;
/// How often log and database are asked until they have answered once.
const REACH_EVERY: Duration = Duration::from_millis(200);
/// And from then on.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A database that takes longer for nothing is as good as away.
const DATABASE_PATIENCE: Duration = Duration::from_secs(5);
/// How often versions and tombstones whose time is over are removed.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);

/// A gateway that runs. It ends when this is dropped; `drain::run` ends it without loss.
pub struct Running {
    pub public_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub lifecycle: Arc<Lifecycle>,
    pub(crate) shards: Option<Arc<Shards>>,
    pub(crate) settle: Duration,
    pub(crate) drain_window: Duration,
    pub(crate) marks: Marks,
    serves_editor: bool,
    _watchdog: Option<Watchdog>,
    _tasks: JoinSet<()>,
}

impl Running {
    /// One line for whoever started it by hand.
    pub fn greeting(&self) -> String {
        let mut address = self.public_addr;
        if address.ip().is_unspecified() {
            let port = address.port();
            return self.line(&format!("localhost:{port}"));
        }
        address.set_port(self.public_addr.port());
        self.line(&address.to_string())
    }

    fn line(&self, host: &str) -> String {
        if self.serves_editor {
            format!("The editor is at http://{host}")
        } else {
            format!("y-websocket clients connect to ws://{host}/yjs")
        }
    }
}

/// Starts a gateway on the current runtime.
///
/// # Errors
/// When an address or the embedded storage cannot be opened. Redis and Postgres may come later; until then the
/// gateway is not ready.
pub async fn run(config: Config) -> Result<Running> {
    let metrics = Arc::new(Metrics::new().context("the metrics contradict each other")?);
    let lifecycle = Arc::<Lifecycle>::default();
    let public_listener = listen(config.listen).with_context(|| busy("--listen", config.listen))?;
    let admin_listener = listen(config.admin_listen).with_context(|| busy("--admin-listen", config.admin_listen))?;
    let (public_addr, admin_addr) = (public_listener.local_addr()?, admin_listener.local_addr()?);

    if let Some(rule) = config.limits.without {
        tracing::warn!(?rule, "a rule of the log protocol is taken out, so edits may be lost; this is for tests alone");
    }
    let memory = Arc::new(Memory::new(config.max_memory_bytes));
    let mut tasks = JoinSet::new();
    tasks.spawn(memory.clone().watch(metrics.clone()));
    let (mut api, mut watching) = (None, None);
    let shards = match &config.storage {
        Some(storage) => {
            let (log, archive) = open(storage, config.history.clone()).await?;
            let (marks, left) = marks(config.marks_dir.as_deref());
            let (verdict, judge) = verdict::start(left, archive.clone(), metrics.clone());
            tasks.spawn(judge);
            let setup = Setup {
                log,
                store: archive.clone(),
                limits: config.limits.clone(),
                keep_deleted: config.keep_deleted.clone(),
                max_message_bytes: config.max_message_bytes,
                max_messages_per_second: config.max_messages_per_second,
                patience: config.patience,
                metrics: metrics.clone(),
                marks: marks.clone(),
                verdict,
                memory: memory.clone(),
            };
            let shards = Arc::new(Shards::start(config.shards, setup).await?);
            let dog =
                watchdog::start(marks.clone(), archive.clone(), metrics.clone(), Handle::current(), config.stall_after);
            watching = Some((marks.clone(), dog.context("cannot start the watchdog's thread")?));
            let (every, after) = (config.sweep_every, config.limits.checkpoint_after);
            tasks.spawn(orphans::run(shards.clone(), archive.clone(), metrics.clone(), every, after));
            tasks.spawn(watch(shards.clone(), archive.clone(), lifecycle.clone(), metrics.clone()));
            tasks.spawn(tidy(archive.clone()));
            let max_document_bytes = config.limits.document_bytes;
            let readers = Arc::new(Readers::new(config.readers, metrics.clone()));
            api = Some(api::router(Api { archive, shards: shards.clone(), marks, readers, max_document_bytes }));
            Some(shards)
        }
        None => {
            lifecycle.set_reached();
            None
        }
    };
    let admin_api = api.clone().filter(|_| config.api == ApiPort::Admin);
    let public_api = api.filter(|_| config.api == ApiPort::Public);
    tasks.spawn(admin::serve(admin_listener, metrics.clone(), lifecycle.clone(), admin_api));
    let serves_editor = config.web_root.is_some();
    let public = Public {
        router: web::router(config.web_root, public_api),
        shards: shards.clone(),
        lifecycle: lifecycle.clone(),
        metrics: metrics.clone(),
        max_connections: config.max_connections,
        memory,
        max_handshakes: config.max_handshakes,
        head_timeout: config.head_timeout,
    };
    tasks.spawn(http::serve(public_listener, public));
    tracing::info!(%public_addr, %admin_addr, shards = config.shards, "started");
    let (settle, drain_window) = (config.settle, config.drain_window);
    let (marks, watchdog) = watching.unzip();
    Ok(Running {
        marks: marks.unwrap_or_default(),
        _watchdog: watchdog,
        public_addr,
        admin_addr,
        metrics,
        lifecycle,
        shards,
        settle,
        drain_window,
        serves_editor,
        _tasks: tasks,
    })
}

/// This process's marks, and those of dead ones. A gateway without marks serves all the same.
fn marks(directory: Option<&Path>) -> (Marks, Vec<Left>) {
    let Some(directory) = directory else {
        tracing::warn!("a document that kills this gateway will not be known by the next one: there is no --marks-dir");
        return (Marks::default(), Vec::new());
    };
    let opened = std::fs::create_dir_all(directory)
        .and_then(|()| left::find(directory))
        .and_then(|left| Ok((Marks::open(directory)?, left)));
    opened.unwrap_or_else(|error| {
        tracing::warn!(%error, directory = %directory.display(), "nothing can be marked; check --marks-dir");
        (Marks::default(), Vec::new())
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' last minutes.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into())?)
}

fn busy(flag: &str, address: SocketAddr) -> String {
    format!("cannot listen on {address}; end what uses it or write another address with {flag}")
}

/// Opens log and database; `history` says which checkpoints become versions.
pub(crate) async fn open(storage: &Storage, history: Policy) -> Result<(Log, Arc<dyn Archive>)> {
    let archive: Arc<dyn Archive> = match &storage.store {
        StoreBackend::Sqlite(path) => {
            make_directory(path)?;
            Arc::new(SqliteStore::open(path).await?.with_policy(history))
        }
        StoreBackend::Postgres { url, connections } => {
            Arc::new(PostgresStore::connect(url, *connections).context("--database-url")?.with_policy(history))
        }
    };
    let log = match &storage.log {
        LogBackend::Sqlite(path) => Log::Sqlite(SqliteLog::open(path).await?),
        LogBackend::Redis(source) => Log::Redis(source.clone()),
    };
    Ok((log, archive))
}

fn make_directory(file: &Path) -> Result<()> {
    let Some(directory) = file.parent() else { return Ok(()) };
    make_durably(directory).with_context(|| {
        format!("cannot make the directory {}; write another one with --data-dir", directory.display())
    })
}

/// SQLite makes its files' names durable in their directory, but nobody the directory's own: a power failure would
/// take it with all that is in it.
fn make_durably(directory: &Path) -> std::io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    make_durably(parent)?;
    std::fs::create_dir(directory)?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    std::fs::File::open(parent)?.sync_all()
}

/// Asks log and database whether they answer, for as long as the process lives. The gateway is ready once both have
/// answered, and from then on whatever they do; how they are is for the metrics to say.
async fn watch(shards: Arc<Shards>, store: Arc<dyn Archive>, lifecycle: Arc<Lifecycle>, metrics: Arc<Metrics>) {
    let mut reached = false;
    loop {
        let log = async {
            let buses = futures::future::try_join_all(shards.iter().map(|shard| shard.bus.ping())).await;
            note(&metrics.log_up, "the log", reached, buses.is_ok())
        };
        let database = async {
            let answer = timeout(DATABASE_PATIENCE, store.ping()).await;
            note(&metrics.store_up, "the database", reached, matches!(answer, Ok(Ok(()))))
        };
        let both = tokio::join!(log, database);
        if both == (true, true) && !reached {
            reached = true;
            lifecycle.set_reached();
            tracing::info!("log and database answer: ready");
        }
        tokio::time::sleep(if reached { LOOK_EVERY } else { REACH_EVERY }).await;
    }
}

fn note(gauge: &IntGauge, what: &str, reached: bool, is_up: bool) -> bool {
    let was_up = gauge.get() == 1;
    gauge.set(is_up.into());
    match (was_up, is_up) {
        (true, false) => tracing::warn!("{what} does not answer"),
        (false, true) if reached => tracing::info!("{what} answers again"),
        _ => {}
    }
    is_up
}

/// Removes what history need not keep any longer. All gateways do: what one has removed the others do not find.
async fn tidy(archive: Arc<dyn Archive>) {
    loop {
        let jittered = TIDY_EVERY.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        match archive.tidy().await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "removed versions and tombstones whose time was over"),
            Err(error) => tracing::warn!(%error, "cannot remove old versions; trying again later"),
        }
    }
}
