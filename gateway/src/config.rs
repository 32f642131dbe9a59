//! The configuration, checked: what it holds can run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use crate::bus::redis::{RedisSource, RedisUrl};
use crate::cli::{self, Args};
use crate::history::policy::Policy;
use crate::memory;
use crate::pattern::Pattern;
use crate::reader::bounds::{Bounds, LEAST_MEMORY_BYTES};
use crate::reader::readers::{self, own_program};
use crate::room::{Durability, Limits};
use crate::shard::Patience;
use crate::without;

/// Which parts of the gateway run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Everything; embedded storage unless Redis and a database are named.
    All,
    /// The WebSocket gateway, beside others of its kind, on Redis and Postgres.
    Socket,
    /// The editor page alone.
    Web,
}

/// Where the REST interface is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiPort {
    Off,
    /// On the admin port.
    Admin,
    /// On the public port, for everybody who reaches it.
    Public,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogBackend {
    Sqlite(PathBuf),
    Redis(RedisSource),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreBackend {
    Sqlite(PathBuf),
    Postgres { url: String, connections: u32 },
}

/// Where logs and documents are. None in `Config`: this process has no sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    pub log: LogBackend,
    pub store: StoreBackend,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub storage: Option<Storage>,
    /// The directory of the editor's files; None: the editor is not served.
    pub web_root: Option<PathBuf>,
    pub shards: usize,
    pub limits: Limits,
    /// The documents of which deleted content is kept.
    pub keep_deleted: Vec<Pattern>,
    pub sweep_every: Duration,
    pub max_connections: usize,
    /// None: no limit.
    pub max_memory_bytes: Option<u64>,
    pub max_handshakes: usize,
    pub head_timeout: Duration,
    pub patience: Patience,
    pub max_message_bytes: usize,
    pub max_messages_per_second: f64,
    pub settle: Duration,
    pub drain_window: Duration,
    pub api: ApiPort,
    pub history: Policy,
    pub readers: readers::Settings,
    /// None: nothing is marked.
    pub marks_dir: Option<PathBuf>,
    /// A document from which a thread does not come back for this long is struck.
    pub stall_after: Duration,
}

/// Updates of one room that may wait for the log before its sessions are no longer read.
const BACKLOG_BYTES: usize = 8 << 20;
/// Parts of long messages that a room takes in before what came meanwhile has its turn.
const TURN_BYTES: usize = 128 << 10;
/// Longer answers are sent in several messages.
const STREAM_BYTES: usize = 512 << 10;
const INSTALLED_WEB_ROOT: &str = "/usr/share/editorcluster/web";

impl TryFrom<Args> for Config {
    type Error = anyhow::Error;

    fn try_from(args: Args) -> Result<Self> {
        let shards = match args.shards {
            Some(shards) => shards,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        ensure!((1..=1024).contains(&shards), "--shards is {shards}; write a number from 1 to 1024");
        ensure!(args.max_connections > 0, "--max-connections is 0; write how many WebSockets may be open");
        ensure!(
            args.max_handshakes > 0,
            "--max-handshakes is 0; write how many connections may wait for their request"
        );
        ensure!(
            args.max_messages_per_second > 0,
            "--max-messages-per-second is 0; write how many messages of one session are handled each second"
        );
        for (flag, time) in [
            ("--head-timeout", args.head_timeout),
            ("--idle-timeout", args.idle_timeout),
            ("--stuck-timeout", args.stuck_timeout),
            ("--stall-after", args.stall_after),
        ] {
            // Sessions are looked after once a second.
            ensure!(time >= Duration::from_secs(1), "{flag} must be at least 1s");
        }
        ensure!(args.max_message_bytes >= 1024, "--max-message-bytes must be at least 1024");
        ensure!(args.max_document_bytes >= 1024, "--max-document-bytes must be at least 1024");
        ensure!(!args.sweep_every.is_zero(), "--sweep-every is 0; write a time such as 2m");
        ensure!(args.database_connections > 0, "--database-connections is 0; write at least 1");
        ensure!(
            args.api == ApiPort::Off || args.target != Target::Web,
            "--api needs documents, and --target web has none; leave it out"
        );
        ensure!(args.max_history_readers > 0, "--max-history-readers is 0; write at least 1");
        ensure!(!args.history_timeout.is_zero(), "--history-timeout is 0; write a time such as 20s");
        ensure!(
            args.max_history_memory_bytes.is_none_or(|bytes| bytes >= LEAST_MEMORY_BYTES),
            "--max-history-memory-bytes must be at least {LEAST_MEMORY_BYTES}"
        );
        let container = memory::container_limit();
        let readers = readers::Settings {
            program: own_program(),
            bounds: Bounds {
                time: args.history_timeout,
                memory_bytes: args.max_history_memory_bytes.unwrap_or_else(|| Bounds::default_memory(container)),
            },
            at_once: args.max_history_readers,
        };
        let reserved = if args.api == ApiPort::Off { 0 } else { readers.memory_bytes() };
        let storage = storage(&args)?;
        let marks_dir = marks_dir(&args, storage.as_ref());
        Ok(Self {
            storage,
            marks_dir,
            stall_after: args.stall_after,
            api: args.api,
            history: Policy {
                every: args.version_every,
                pause: args.version_pause,
                keep: args.versions_keep,
                keep_for: args.versions_keep_for,
                tombstone: args.tombstone,
            },
            web_root: (args.web || args.target != Target::Socket).then(|| web_root(args.web_root.as_deref())),
            listen: args.listen,
            admin_listen: args.admin_listen,
            shards,
            limits: Limits {
                document_bytes: args.max_document_bytes,
                backlog_bytes: BACKLOG_BYTES,
                turn_bytes: TURN_BYTES,
                stream_bytes: STREAM_BYTES,
                checkpoint_after: args.checkpoint_after,
                durability: match args.durability {
                    cli::Durability::Log => Durability::Log,
                    cli::Durability::Database => Durability::Database,
                },
                without: without::rule()?,
            },
            keep_deleted: args.keep_deleted,
            sweep_every: args.sweep_every,
            max_connections: args.max_connections,
            max_memory_bytes: args
                .max_memory_bytes
                .or_else(|| container.map(|container| memory::default_limit(container, reserved))),
            readers,
            max_handshakes: args.max_handshakes,
            head_timeout: args.head_timeout,
            patience: Patience { idle: args.idle_timeout, stuck: args.stuck_timeout },
            max_message_bytes: args.max_message_bytes,
            max_messages_per_second: f64::from(args.max_messages_per_second),
            settle: args.settle.unwrap_or(match args.target {
                Target::Socket => Duration::from_secs(5),
                // Nobody balances load over these, and Ctrl-C should be quick.
                Target::All | Target::Web => Duration::ZERO,
            }),
            drain_window: args.drain_window,
        })
    }
}

/// Where the documents are, for whoever does not serve them.
pub(crate) fn storage(args: &Args) -> Result<Option<Storage>> {
    if args.target == Target::Web {
        return Ok(None);
    }
    let redis = redis(args);
    if args.target == Target::Socket && redis.is_none() {
        bail!("--target socket needs --redis-url redis://host:6379 (or use --target all for embedded storage)");
    }
    let store = match args.database_url.as_deref() {
        None if args.target == Target::Socket => {
            bail!("--target socket needs --database-url postgres://user:password@host:5432/database")
        }
        None => StoreBackend::Sqlite(args.data_dir.join("editorcluster.db")),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            StoreBackend::Postgres { url: url.to_owned(), connections: args.database_connections }
        }
        Some(url) => match url.strip_prefix("sqlite://") {
            Some("") => bail!("--database-url names no file; write sqlite://FILE"),
            Some(_) if args.target == Target::Socket => {
                bail!("--target socket shares its database: write --database-url postgres://..., not sqlite://")
            }
            Some(file) => StoreBackend::Sqlite(file.into()),
            None => bail!("--database-url must begin with postgres:// or sqlite://"),
        },
    };
    let log = match (redis, &store) {
        (Some(source), _) => {
            source.check()?;
            LogBackend::Redis(source)
        }
        // One file: a checkpoint and the log that it covers are lost together or not at all.
        (None, StoreBackend::Sqlite(path)) => LogBackend::Sqlite(path.clone()),
        (None, StoreBackend::Postgres { .. }) => {
            bail!("--database-url postgres://... needs --redis-url as well (or leave both out for embedded storage)")
        }
    };
    Ok(Some(Storage { log, store }))
}

/// Where a gateway with these arguments marks what it is working on. None: nowhere.
pub(crate) fn marks_dir(args: &Args, storage: Option<&Storage>) -> Option<PathBuf> {
    args.marks_dir.clone().or_else(|| match &storage?.store {
        StoreBackend::Sqlite(file) => {
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            Some(parent.unwrap_or(Path::new(".")).to_owned())
        }
        StoreBackend::Postgres { .. } => None,
    })
}

fn redis(args: &Args) -> Option<RedisSource> {
    let url = match (&args.redis_url, &args.redis_url_file) {
        (Some(url), _) => RedisUrl::Text(url.clone()),
        (None, Some(file)) => RedisUrl::File(file.clone()),
        (None, None) => return None,
    };
    Some(RedisSource {
        url,
        ca_file: args.redis_ca_file.clone(),
        client_certificate: args.redis_cert_file.clone().zip(args.redis_key_file.clone()),
    })
}

fn web_root(asked: Option<&Path>) -> PathBuf {
    if let Some(root) = asked {
        return root.to_owned();
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("web").join("dist");
    let installed = PathBuf::from(INSTALLED_WEB_ROOT);
    if source.is_dir() || !installed.is_dir() { source } else { installed }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn config(arguments: &str) -> Result<Config> {
        Args::try_parse_from(std::iter::once("gateway").chain(arguments.split_whitespace()))?.try_into()
    }

    fn refusal(arguments: &str) -> String {
        config(arguments).expect_err(arguments).to_string()
    }

    #[test]
    fn without_arguments_log_and_documents_are_one_file() {
        let storage = config("").unwrap().storage.unwrap();
        let file = PathBuf::from("./data/editorcluster.db");
        assert_eq!(storage, Storage { log: LogBackend::Sqlite(file.clone()), store: StoreBackend::Sqlite(file) });
    }

    #[test]
    fn marks_are_beside_the_embedded_file_or_where_they_are_told_to_be() {
        assert_eq!(config("").unwrap().marks_dir, Some(PathBuf::from("./data")));
        let pod = "--target socket --redis-url redis://r --database-url postgres://p";
        assert_eq!(config(pod).unwrap().marks_dir, None);
        assert_eq!(config(&format!("{pod} --marks-dir /m")).unwrap().marks_dir, Some(PathBuf::from("/m")));
    }

    #[test]
    fn ctrl_c_is_quick_on_a_laptop_and_a_pod_waits_for_its_load_balancer() {
        assert_eq!(config("").unwrap().settle, Duration::ZERO);
        let pod = "--target socket --redis-url redis://r --database-url postgres://p";
        assert_eq!(config(pod).unwrap().settle, Duration::from_secs(5));
        assert_eq!(config(&format!("{pod} --settle 1s")).unwrap().settle, Duration::from_secs(1));
    }

    #[test]
    fn a_pod_serves_the_editor_only_when_told() {
        let pod = "--target socket --redis-url redis://r --database-url postgres://p";
        assert!(config(pod).unwrap().web_root.is_none());
        assert!(config(&format!("{pod} --web")).unwrap().web_root.is_some());
    }

    #[test]
    fn a_refusal_says_what_to_write() {
        assert!(refusal("--target socket").contains("--redis-url redis://"));
        assert!(refusal("--target socket --redis-url redis://r").contains("--database-url postgres://"));
        assert!(refusal("--redis-url http://r").contains("redis://"));
        assert!(refusal("--database-url mysql://x").contains("postgres:// or sqlite://"));
        assert!(refusal("--database-url postgres://x").contains("--redis-url"));
        assert!(refusal("--shards 0").contains("from 1"));
        assert!(refusal("--max-history-readers 0").contains("at least 1"));
        assert!(refusal("--history-timeout 0s").contains("20s"));
        assert!(refusal("--max-history-memory-bytes 1000").contains("33554432"));
        assert!(refusal("--settle 5").contains("20s"));
        assert!(refusal("--idle-timeout 10ms").contains("1s"));
        assert!(refusal("--max-messages-per-second 0").contains("each second"));
    }
}
