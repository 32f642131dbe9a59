//! The composition root: everything that runs in a gateway is started here.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::bus::sqlite::SqliteLog;
use crate::config::{Config, LogBackend, Storage, StoreBackend};
use crate::drain::Lifecycle;
use crate::http::{self, Public};
use crate::metrics::Metrics;
use crate::shard::{Log, Setup, Shards};
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::{admin, web};

/// Connections that wait to be taken: a herd that comes back after a drain elsewhere.
const BACKLOG: i32 = 4096;
/// How often log and database are asked until they have answered once.
const REACH_EVERY: Duration = Duration::from_millis(200);

/// A gateway that runs. It ends when this is dropped; `drain::run` ends it without loss.
pub struct Running {
    pub public_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub lifecycle: Arc<Lifecycle>,
    pub(crate) shards: Option<Arc<Shards>>,
    pub(crate) settle: Duration,
    pub(crate) drain_window: Duration,
    serves_editor: bool,
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

    let mut tasks = JoinSet::new();
    let shards = match &config.storage {
        Some(storage) => {
            let (log, store) = open(storage).await?;
            let setup = Setup {
                log,
                store: store.clone(),
                limits: config.limits.clone(),
                max_message_bytes: config.max_message_bytes,
                metrics: metrics.clone(),
            };
            let shards = Arc::new(Shards::start(config.shards, setup).await?);
            tasks.spawn(reach(shards.clone(), store, lifecycle.clone()));
            Some(shards)
        }
        None => {
            lifecycle.set_reached();
            None
        }
    };
    tasks.spawn(admin::serve(admin_listener, metrics.clone(), lifecycle.clone()));
    let serves_editor = config.web_root.is_some();
    let public = Public {
        router: web::router(config.web_root),
        shards: shards.clone(),
        lifecycle: lifecycle.clone(),
        metrics: metrics.clone(),
        max_connections: config.max_connections,
    };
    tasks.spawn(http::serve(public_listener, public));
    tracing::info!(%public_addr, %admin_addr, shards = config.shards, "started");
    let (settle, drain_window) = (config.settle, config.drain_window);
    Ok(Running {
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

async fn open(storage: &Storage) -> Result<(Log, Arc<dyn Store>)> {
    let store: Arc<dyn Store> = match &storage.store {
        StoreBackend::Sqlite(path) => {
            make_directory(path)?;
            Arc::new(SqliteStore::open(path).await?)
        }
        StoreBackend::Postgres { url, connections } => {
            Arc::new(PostgresStore::connect(url, *connections).context("--database-url")?)
        }
    };
    let log = match &storage.log {
        LogBackend::Sqlite(path) => Log::Sqlite(SqliteLog::open(path).await?),
        LogBackend::Redis(source) => Log::Redis(source.clone()),
    };
    Ok((log, store))
}

fn make_directory(file: &Path) -> Result<()> {
    let Some(directory) = file.parent() else { return Ok(()) };
    std::fs::create_dir_all(directory).with_context(|| {
        format!("cannot make the directory {}; write another one with --data-dir", directory.display())
    })
}

/// Waits until log and database have answered once: from then on the gateway is ready.
async fn reach(shards: Arc<Shards>, store: Arc<dyn Store>, lifecycle: Arc<Lifecycle>) {
    loop {
        let buses = futures::future::try_join_all(shards.iter().map(|shard| shard.bus.ping())).await;
        if buses.is_ok() && store.ping().await.is_ok() {
            lifecycle.set_reached();
            tracing::info!("log and database answer: ready");
            return;
        }
        tokio::time::sleep(REACH_EVERY).await;
    }
}
