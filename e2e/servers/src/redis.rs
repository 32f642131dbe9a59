//! A Redis server of its own, or a sentinel.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{find_program, free_port, wait_until};

/// A redis-server on a port of the system's choosing, with its data in a directory of its own. Both are gone when it
/// is dropped.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    directory: TempDir,
    port: u16,
    tls_port: Option<u16>,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    /// Starts a server that keeps its data over restarts (`appendonly yes`, `appendfsync always`).
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a server that keeps its data, with these arguments besides.
    pub fn start_with(arguments: &[&str]) -> Result<Self> {
        Self::new([&["--save", "", "--appendonly", "yes", "--appendfsync", "always"], arguments].concat())?.launch()
    }

    /// Starts a server that is empty after each restart.
    pub fn start_in_memory() -> Result<Self> {
        Self::new(vec!["--save", "", "--appendonly", "no"])?.launch()
    }

    /// Starts a server that keeps its data and has a second port for TLS, with `redis.crt`, `redis.key` and `ca.crt` of
    /// this folder. `clients_certificate`: whether it asks clients for one. The plain port stays open for `command`.
    pub fn start_with_tls(folder: &Path, clients_certificate: bool) -> Result<Self> {
        let file = |name: &str| folder.join(name).display().to_string();
        let (certificate, key, authority) = (file("redis.crt"), file("redis.key"), file("ca.crt"));
        let mut server = Self::new(vec!["--save", "", "--tls-cert-file", &certificate, "--tls-key-file", &key])?;
        let asks = if clients_certificate { "yes" } else { "no" };
        server.arguments.extend(["--tls-ca-cert-file", &authority, "--tls-auth-clients", asks].map(str::to_owned));
        server.tls_port = Some(free_port()?);
        // So that it says whom it has refused, and why.
        server.arguments.extend(["--loglevel", "verbose"].map(str::to_owned));
        server.launch()
    }

    /// Starts a sentinel that watches the primary on this port of 127.0.0.1 under this name, and holds it for dead after
    /// a second. `quorum`: how many sentinels must find so.
    pub fn start_sentinel(name: &str, primary: u16, quorum: u16) -> Result<Self> {
        let mut sentinel = Self::new(Vec::new())?;
        let configuration = sentinel.directory.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor {name} 127.0.0.1 {primary} {quorum}\nsentinel down-after-milliseconds {name} 1000\n\
             sentinel failover-timeout {name} 3000\n"
        );
        std::fs::write(&configuration, text)?;
        sentinel.arguments = vec![configuration.display().to_string(), "--sentinel".to_owned()];
        sentinel.launch()
    }

    fn new(arguments: Vec<&str>) -> Result<Self> {
        let program = find_program("redis-server", &["/usr/bin"], "redis-server")?;
        let directory = tempfile::Builder::new().prefix("ec-redis-").tempdir()?;
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        Ok(Self { program, directory, port: 0, tls_port: None, arguments, process: None })
    }

    fn launch(mut self) -> Result<Self> {
        // Between the choice of the port and its use another process can take it.
        for _ in 0..5 {
            self.port = free_port()?;
            if self.run().is_ok() {
                return Ok(self);
            }
        }
        self.port = free_port()?;
        self.run().map(|()| self)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port for TLS of a server that was started with one.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.unwrap_or_default()
    }

    /// Starts the server again on the same port with the same directory.
    pub fn run(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("this Redis runs already; call stop or kill9 first");
        }
        let log = std::fs::File::create(self.directory.path().join("log"))?;
        let child = Command::new(&self.program)
            // First, because a configuration file must be the first of all.
            .args(&self.arguments)
            .args(["--bind", "127.0.0.1", "--daemonize", "no", "--port", &self.port.to_string()])
            .args(self.tls_port.iter().flat_map(|port| ["--tls-port".to_owned(), port.to_string()]))
            .arg("--dir")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        self.process = Some(child);
        let started = wait_until("Redis answers PING", Duration::from_secs(10), || {
            if let Some(status) = self.process.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("redis-server ended with {status}");
            }
            Ok(self.command(&["PING"]).is_ok_and(|answer| answer.starts_with("+PONG")))
        });
        started
            .inspect_err(|_| self.kill9())
            .with_context(|| format!("redis-server on port {} did not start; it wrote:\n{}", self.port, self.log()))
    }

    /// What it has written to its log since it was started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Sends one command and returns what the server answers within a moment, as it stands on the wire.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
        }
        stream.write_all(&request)?;
        // Every answer that tests ask for fits one read.
        let mut answer = vec![0; 64 * 1024];
        let length = loop {
            match stream.read(&mut answer) {
                // A read with a time-out is not taken up again after a signal, such as that of a child's end.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Ends it in an orderly way and starts it again: a new tenure, with its data if it keeps any.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.run()
    }

    /// Ends it in an orderly way.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        if let Some(mut child) = self.process.take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Ends it as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.process.take() {
            // It may be gone already; then there is nothing to end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it without closing its connections: it no longer answers.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.process.as_ref().context("this Redis does not run")?;
        kill(Pid::from_raw(child.id().cast_signed()), signal).context("cannot signal redis-server")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill9();
    }
}
