//! The servers that are measured: our gateway and its peers, each bound to one core.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e_servers::{Postgres, Redis, free_port, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::dialect::Dialect;
use crate::{cores, process};

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Gateway,
    /// The gateway of another commit: the program given with `--against`.
    Before,
    Hocuspocus,
    SocketIo,
}

impl Kind {
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Gateway | Self::Before => Dialect::YWebsocket,
            Self::Hocuspocus => Dialect::Hocuspocus,
            Self::SocketIo => Dialect::SocketIo,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Before => "before",
            Self::Hocuspocus => "hocuspocus",
            Self::SocketIo => "socketio",
        }
    }

    /// Whether it is a gateway, this commit's or another's.
    pub fn is_gateway(self) -> bool {
        matches!(self, Self::Gateway | Self::Before)
    }
}

/// How many instances, joined by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// One instance; the gateway with its embedded storage.
    Alone,
    /// As `Alone`, with so many shards on as many cores.
    Sharded(usize),
    /// So many, over Redis; the gateways also with Postgres.
    OverRedis(usize),
}

/// Running servers. They end with it.
pub struct Subject {
    pub kind: Kind,
    shards: usize,
    instances: Vec<Instance>,
    redis: Option<Redis>,
    postgres: Option<Postgres>,
}

struct Instance {
    process: Child,
    address: SocketAddr,
    data: TempDir,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the program of [`Kind::Before`] is while it is measured.
const BEFORE: &str = "target/bench/before";

/// Makes `program` the one that [`Kind::Before`] starts. It is copied, so that a build cannot replace it meanwhile.
pub fn compare_with(program: &Path) -> Result<()> {
    let copy = repository().join(BEFORE);
    std::fs::create_dir_all(copy.parent().context("a folder")?)?;
    std::fs::copy(program, &copy).with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(())
}

impl Subject {
    pub fn start(kind: Kind, joined: Joined) -> Result<Self> {
        let shards = if let Joined::Sharded(shards) = joined { shards } else { 1 };
        let (count, redis, postgres) = match joined {
            Joined::Alone | Joined::Sharded(_) => (1, None, None),
            Joined::OverRedis(count) => {
                let postgres = if kind.is_gateway() { Some(Postgres::start()?) } else { None };
                (count, Some(Redis::start_in_memory()?), postgres)
            }
        };
        let instances = (0..count).map(|_| {
            let data = tempfile::Builder::new().prefix("ec-bench-").tempdir()?;
            Instance::start(kind, shards, redis.as_ref(), postgres.as_ref(), data)
        });
        Ok(Self { kind, shards, instances: instances.collect::<Result<_>>()?, redis, postgres })
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.instances.iter().map(|instance| instance.address).collect()
    }

    /// CPU time of all instances, without Redis and Postgres.
    pub fn cpu_time(&self) -> Result<Duration> {
        self.instances.iter().map(|instance| process::cpu_time(instance.process.id())).sum()
    }

    /// Resident memory of all instances, in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.instances.iter().map(|instance| process::resident(instance.process.id())).sum()
    }

    /// Waits until the servers have handled what arrived last: they use less than 2 % of a core for a second.
    pub async fn at_rest(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let before = self.cpu_time()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.cpu_time()? - before < Duration::from_millis(20) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} is still busy after 60 s", self.kind.name());
        }
    }

    /// Ends every instance as a deployment does and starts it again with its data. The peers keep none.
    pub fn restart(&mut self) -> Result<()> {
        for instance in &mut self.instances {
            instance.end()?;
        }
        for instance in &mut self.instances {
            let data = std::mem::replace(&mut instance.data, tempfile::tempdir()?);
            *instance = Instance::start(self.kind, self.shards, self.redis.as_ref(), self.postgres.as_ref(), data)?;
        }
        Ok(())
    }
}

impl Instance {
    fn start(
        kind: Kind,
        shards: usize,
        redis: Option<&Redis>,
        postgres: Option<&Postgres>,
        data: TempDir,
    ) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &format!("{}-{}", cores::SUBJECT, cores::SUBJECT + shards - 1)]);
        match kind {
            Kind::Gateway | Kind::Before => {
                let program = if kind == Kind::Before { BEFORE } else { "target/release/gateway" };
                command.arg(repository().join(program));
                command.args(["--shards", &shards.to_string(), "--web", "false", "--log-level", "error"]);
                command.arg("--listen").arg(format!("127.0.0.1:{port}"));
                command.arg("--admin-listen").arg(format!("127.0.0.1:{}", free_port()?));
                command.args(["--settle", "0s", "--drain-window", "1s", "--data-dir"]).arg(data.path());
                if let (Some(redis), Some(postgres)) = (redis, postgres) {
                    command.args(["--redis-url", &redis.url(), "--database-url", &postgres.url()]);
                }
            }
            Kind::Hocuspocus | Kind::SocketIo => {
                command.arg("node").arg(repository().join("bench/peers").join(format!("{}.mjs", kind.name())));
                command.arg(port.to_string()).args(redis.map(|redis| redis.port().to_string()));
            }
        }
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("cannot start `taskset`")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until(&format!("{} answers", kind.name()), Duration::from_secs(30), || {
            if let Some(status) = process.try_wait()? {
                bail!("{} ended at its start: {status}", kind.name());
            }
            Ok(TcpStream::connect(address).is_ok())
        })?;
        Ok(Self { process, address, data })
    }

    fn end(&mut self) -> Result<()> {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM)?;
        wait_until("the subject has ended", Duration::from_secs(60), || Ok(self.process.try_wait()?.is_some()))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("process {} may be left running: {error}", self.process.id());
        }
    }
}
