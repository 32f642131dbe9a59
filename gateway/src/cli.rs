//! The command line: flags and environment variables, each declared once here, and the process around the gateway.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{self, ApiPort, Config, Target};
use crate::pattern::Pattern;
use crate::{backup, drain, quarantine, reader, server};

/// Threads of the runtime that accepts, serves HTTP and talks to the database. Sessions have the shards' threads.
const MAIN_WORKERS: usize = 2;

/// Real-time collaborative editing over WebSockets.
///
/// Without options: one process with embedded storage, and the editor at http://localhost:8080.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway", version)]
pub struct Args {
    /// What runs in this process: everything with embedded storage allowed, the WebSocket gateway alone, or the editor
    /// page alone.
    #[arg(long, env = "EDITORCLUSTER_TARGET", value_enum, default_value = "all")]
    pub target: Target,
    /// Address of the public port: WebSockets at /yjs/{document}, the editor at /, GET /healthz.
    #[arg(long, env = "EDITORCLUSTER_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address of the admin port: /metrics, /livez, /readyz, POST /drain. Not for the public.
    #[arg(long, env = "EDITORCLUSTER_ADMIN_LISTEN", default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Directory of the embedded storage. Made if it is missing.
    #[arg(long, global = true, env = "EDITORCLUSTER_DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Where this process marks which document it is working on, so that the next one knows which document it died in.
    /// It must outlive the process: in a container a volume. Default: --data-dir with embedded storage, else nothing is
    /// marked.
    #[arg(long, env = "EDITORCLUSTER_MARKS_DIR", value_name = "DIR")]
    pub marks_dir: Option<PathBuf>,
    /// The Redis (7 or later) or Valkey that holds the documents' logs: redis://[user][:password@]host[:port][/db],
    /// redis+sentinel://[user][:password@]host:port,.../name[/db] or redis+cluster://[user][:password@]host:port,...;
    /// rediss instead of redis is TLS. Without it the log is embedded. This or --redis-url-file is required with --target socket.
    #[arg(long, global = true, env = "EDITORCLUSTER_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// A file that holds what --redis-url would. When it changes, the gateway connects anew.
    #[arg(
        long,
        global = true,
        env = "EDITORCLUSTER_REDIS_URL_FILE",
        value_name = "FILE",
        conflicts_with = "redis_url"
    )]
    pub redis_url_file: Option<PathBuf>,
    /// The certificates (PEM) that may have signed that of Redis. Default: those of the system. Certificates are read
    /// anew at every connection.
    #[arg(long, global = true, env = "EDITORCLUSTER_REDIS_CA_FILE", value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,
    /// The certificate (PEM) that is shown to Redis.
    #[arg(
        long,
        global = true,
        env = "EDITORCLUSTER_REDIS_CERT_FILE",
        value_name = "FILE",
        requires = "redis_key_file"
    )]
    pub redis_cert_file: Option<PathBuf>,
    /// The key (PEM) of --redis-cert-file.
    #[arg(
        long,
        global = true,
        env = "EDITORCLUSTER_REDIS_KEY_FILE",
        value_name = "FILE",
        requires = "redis_cert_file"
    )]
    pub redis_key_file: Option<PathBuf>,
    /// The database that holds the documents: postgres://user:password@host:port/database, or sqlite://FILE. Default:
    /// a SQLite file in --data-dir. Must be postgres:// with --target socket.
    #[arg(long, global = true, env = "EDITORCLUSTER_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Connections to Postgres at most.
    #[arg(long, global = true, env = "EDITORCLUSTER_DATABASE_CONNECTIONS", default_value_t = 10, value_name = "N")]
    pub database_connections: u32,
    /// When an edit is acknowledged: when it is in the log, or only when it is in the database.
    #[arg(long, env = "EDITORCLUSTER_DURABILITY", value_enum, default_value = "log")]
    pub durability: Durability,
    /// A document is written to the database at the latest this long after an edit, e.g. 5s or 500ms.
    #[arg(long, env = "EDITORCLUSTER_CHECKPOINT_AFTER", default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub checkpoint_after: Duration,
    /// How often the log is searched for documents that a crashed gateway left behind and nobody has opened since, e.g.
    /// 2m. Of many gateways one searches each time.
    #[arg(long, env = "EDITORCLUSTER_SWEEP_EVERY", default_value = "2m", value_parser = duration, value_name = "TIME")]
    pub sweep_every: Duration,
    /// How long sessions are still accepted after SIGTERM, until the load balancers know, e.g. 5s. Default: 5s with
    /// --target socket, otherwise 0s.
    #[arg(long, env = "EDITORCLUSTER_SETTLE", value_parser = duration, value_name = "TIME")]
    pub settle: Option<Duration>,
    /// The sessions are closed (1012) spread over this time after that, so that they do not all come back at once.
    #[arg(long, env = "EDITORCLUSTER_DRAIN_WINDOW", default_value = "20s", value_parser = duration, value_name = "TIME")]
    pub drain_window: Duration,
    /// Threads for sessions. Default: the cores that this process may use.
    #[arg(long, env = "EDITORCLUSTER_SHARDS", value_name = "N")]
    pub shards: Option<usize>,
    /// Serve the editor page also with --target socket.
    #[arg(long, env = "EDITORCLUSTER_WEB", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", value_name = "BOOL")]
    pub web: bool,
    /// Directory of the editor's built files. Default: web/dist of the source tree, or
    /// /usr/share/editorcluster/web.
    #[arg(long, env = "EDITORCLUSTER_WEB_ROOT", value_name = "DIR")]
    pub web_root: Option<PathBuf>,
    /// Open WebSockets at most; further ones are answered with 503.
    #[arg(long, env = "EDITORCLUSTER_MAX_CONNECTIONS", default_value_t = 50_000, value_name = "N")]
    pub max_connections: usize,
    /// Limits the process's memory, in bytes. From here on new WebSockets are answered with 503, from 6 % more on sessions
    /// may send a tenth of their usual rate, and from 12 % more on those that hold most are closed (1013). Default: 85 %
    /// of the container's limit, which with --api is first lessened by the memory for --max-history-readers; without one
    /// there is no limit.
    #[arg(long, env = "EDITORCLUSTER_MAX_MEMORY_BYTES", value_name = "BYTES")]
    pub max_memory_bytes: Option<u64>,
    /// Connections that have not sent their request at most; for a further one, the oldest of the address that has most
    /// of them is ended.
    #[arg(long, env = "EDITORCLUSTER_MAX_HANDSHAKES", default_value_t = 4096, value_name = "N")]
    pub max_handshakes: usize,
    /// A client must have sent the head of its request within this time, e.g. 10s.
    #[arg(long, env = "EDITORCLUSTER_HEAD_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub head_timeout: Duration,
    /// A session whose client was not heard for this long is ended; it is pinged before. Also for a message that does
    /// not come to its end; a long one has a second more for each 16 KiB.
    #[arg(long, env = "EDITORCLUSTER_IDLE_TIMEOUT", default_value = "45s", value_parser = duration, value_name = "TIME")]
    pub idle_timeout: Duration,
    /// A session that takes nothing for this long, though something waits for it, is closed (1013).
    #[arg(long, env = "EDITORCLUSTER_STUCK_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub stuck_timeout: Duration,
    /// A document from which a thread does not come back for this long gets a strike, of which two put it into
    /// quarantine, and GET /livez fails until the thread is back.
    #[arg(long, env = "EDITORCLUSTER_STALL_AFTER", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub stall_after: Duration,
    /// Messages of one session a second, twice as many at once: ten times what an editor sends while somebody draws. One that takes long or is long counts as several.
    /// A session beyond that waits, and nothing of what it says is lost.
    #[arg(long, env = "EDITORCLUSTER_MAX_MESSAGES_PER_SECOND", default_value_t = 500, value_name = "N")]
    pub max_messages_per_second: u32,
    /// Bytes of one WebSocket message at most; a larger one closes its socket (1009).
    #[arg(long, env = "EDITORCLUSTER_MAX_MESSAGE_BYTES", default_value_t = 16 << 20, value_name = "BYTES")]
    pub max_message_bytes: usize,
    /// Bytes of one document at most, and about twice as many bytes of memory; an edit that takes it further closes its
    /// socket (1009).
    #[arg(long, env = "EDITORCLUSTER_MAX_DOCUMENT_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub max_document_bytes: usize,
    /// The documents of which deleted content is kept, for clients with `gc: false` that make snapshots (Y.Snapshot):
    /// a name, the beginning of names and *, or * alone for all. May be there more than once; in the variable each has
    /// a line of its own. Default: none. The cost: what is deleted stays in the database and goes to everybody who opens
    /// the document, so that it only grows, up to --max-document-bytes.
    #[arg(long, env = "EDITORCLUSTER_KEEP_DELETED", value_delimiter = '\n', value_name = "PATTERN")]
    pub keep_deleted: Vec<Pattern>,
    /// Where REST under /api/v1 is served. It knows no users: whoever reaches it reads, changes and deletes every
    /// document. So `public` is only for a port that something in front of it guards.
    #[arg(long, env = "EDITORCLUSTER_API", value_enum, default_value = "off")]
    pub api: ApiPort,
    /// Documents of which the content is read at once, for the REST interface's text, JSON, authors, differences and
    /// restores; each by a process of its own. A further request waits for half of --history-timeout, then it is answered
    /// with 503.
    #[arg(long, env = "EDITORCLUSTER_MAX_HISTORY_READERS", default_value_t = 2, value_name = "N")]
    pub max_history_readers: usize,
    /// Memory of each of these processes, in bytes; a document that takes more is not read. Default: an eighth of the
    /// container's limit, from 32 MiB to 1 GiB; without one 1 GiB.
    #[arg(long, env = "EDITORCLUSTER_MAX_HISTORY_MEMORY_BYTES", value_name = "BYTES")]
    pub max_history_memory_bytes: Option<u64>,
    /// A document of which the content takes longer to read is not read, e.g. 20s.
    #[arg(long, env = "EDITORCLUSTER_HISTORY_TIMEOUT", default_value = "20s", value_parser = duration, value_name = "TIME")]
    pub history_timeout: Duration,
    /// A document that is edited for long becomes a version this often, e.g. 10m. A tenth of it lies between two versions
    /// because of another author.
    #[arg(long, env = "EDITORCLUSTER_VERSION_EVERY", default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub version_every: Duration,
    /// An edit after nothing has changed for this long makes what was before a version, e.g. 2m.
    #[arg(long, env = "EDITORCLUSTER_VERSION_PAUSE", default_value = "2m", value_parser = duration, value_name = "TIME")]
    pub version_pause: Duration,
    /// Automatic versions of one document at most; the oldest go. 0: none are made. Named ones stay.
    #[arg(long, env = "EDITORCLUSTER_VERSIONS_KEEP", default_value_t = 200, value_name = "N")]
    pub versions_keep: u32,
    /// Automatic versions go after this long, e.g. 2160h.
    #[arg(long, env = "EDITORCLUSTER_VERSIONS_KEEP_FOR", default_value = "2160h", value_parser = duration, value_name = "TIME")]
    pub versions_keep_for: Duration,
    /// A deleted document's name is refused for this long, e.g. 720h, so that no client with a copy of its own brings it
    /// back.
    #[arg(long, env = "EDITORCLUSTER_TOMBSTONE", default_value = "720h", value_parser = duration, value_name = "TIME")]
    pub tombstone: Duration,
    /// How the log on standard error looks.
    #[arg(long, global = true, env = "EDITORCLUSTER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or a filter such as warn,gateway=debug.
    #[arg(
        long,
        global = true,
        env = "EDITORCLUSTER_LOG_LEVEL",
        default_value = "info,sqlx=warn",
        value_name = "LEVEL"
    )]
    pub log_level: String,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else the program does. Without one of these it is a gateway.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write documents into a directory, also while gateways run: of each a Yjs update and a manifest.
    Export {
        #[command(flatten)]
        which: Which,
        /// The directory. Made if it is missing.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Write also the bytes of what is in quarantine, as they are. With --document: only the bytes of that one, whatever
        /// its state is.
        #[arg(long)]
        quarantined: bool,
    },
    /// Look at documents in which gateways died or stalled, which are not opened any more, and decide what becomes of
    /// them.
    #[command(subcommand)]
    Quarantine(quarantine::commands::Command),
    /// Merge exported documents into the database, also while gateways run. What is newer there stays.
    Import {
        #[command(flatten)]
        which: Which,
        /// The directory of an export.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Bring documents back that were deleted.
        #[arg(long)]
        revive: bool,
    },
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The document of this name.
    #[arg(long, value_name = "NAME")]
    document: Option<String>,
    /// All documents.
    #[arg(long)]
    all: bool,
}

/// The flag's values for `room::Durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    Log,
    Database,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Parses `20s`, `500ms`, `2m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("`{text}` is no duration: write a whole number and ms, s, m or h, such as 20s or 500ms");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)
}

/// Runs the gateway with the process's arguments until a signal ends it.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == reader::COMMAND) {
        return reader::process::main(arguments);
    }
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not the log: it may not exist yet, and whoever typed a wrong flag wants one line.
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    start_log(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(MAIN_WORKERS)
        .thread_name("main")
        .enable_all()
        .build()
        .context("cannot start the threads")?;
    match args.command.clone() {
        Some(command) => runtime.block_on(once(&args, command))?,
        None => runtime.block_on(serve(Config::try_from(args)?))?,
    }
    // Background tasks, such as connections that are being made, must not hold up the exit.
    runtime.shutdown_background();
    Ok(())
}

async fn once(args: &Args, command: Command) -> Result<()> {
    let storage = config::storage(args)?.context("--target web has no documents; leave it out")?;
    match command {
        Command::Export { which: Which { document: Some(document), .. }, to, quarantined: true } => {
            let count = backup::export_raw(&storage, Some(&document), &to).await?;
            println!("exported the bytes of {count} to {}", to.display());
        }
        Command::Export { which, to, quarantined } => {
            if quarantined {
                let count = backup::export_raw(&storage, None, &to).await?;
                println!("exported the bytes of {count} in quarantine to {}", to.display());
            }
            let count = backup::export(&storage, which.document.as_deref(), &to).await?;
            println!("exported {count} to {}", to.display());
        }
        Command::Quarantine(command) => {
            let marks_dir = config::marks_dir(args, Some(&storage));
            quarantine::commands::run(&storage, marks_dir.as_deref(), command).await?;
        }
        Command::Import { which, from, revive } => {
            let count = backup::import(&storage, which.document.as_deref(), &from, revive).await?;
            println!("imported {count} from {}", from.display());
        }
    }
    Ok(())
}

async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot hear SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot hear SIGINT")?;
    let running = server::run(config).await?;
    println!("{}", running.greeting());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = running.lifecycle.drain_requested() => {}
    }
    tokio::select! {
        () = drain::run(&running) => running.marks.end(),
        // Whoever asks twice does not want to wait. Nothing acknowledged is lost: it is in the log.
        _ = terminate.recv() => tracing::warn!("a second signal: exiting at once"),
        _ = interrupt.recv() => tracing::warn!("a second signal: exiting at once"),
    }
    Ok(())
}

fn start_log(args: &Args) -> Result<()> {
    let filter = EnvFilter::try_new(&args.log_level).with_context(|| {
        format!("--log-level `{}` is not valid; write error, warn, info, debug or trace", args.log_level)
    })?;
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn commands_take_the_gateways_own_storage_flags() {
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        let args = parse("gateway export --all --to files --data-dir elsewhere").unwrap();
        assert_eq!(args.data_dir, PathBuf::from("elsewhere"));
        assert!(matches!(args.command, Some(Command::Export { which: Which { document: None, all: true }, .. })));
        assert!(parse("gateway quarantine show notes --data-dir elsewhere").is_ok());
        assert!(parse("gateway import --document notes --from files --revive --database-url sqlite://x").is_ok());
        for wrong in ["gateway export --to files", "gateway import --all --document a --from files", "gateway --all"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "1.5s", "1d", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
