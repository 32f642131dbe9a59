//! A Redis server of its own.

use std::path::PathBuf;
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
    append_only: bool,
    process: Option<Child>,
}

impl Redis {
    /// Starts a server that keeps its data over restarts (`appendonly yes`, `appendfsync always`).
    pub fn start() -> Result<Self> {
        Self::start_with(true)
    }

    /// Starts a server that is empty after each restart.
    pub fn start_in_memory() -> Result<Self> {
        Self::start_with(false)
    }

    fn start_with(append_only: bool) -> Result<Self> {
        let program = find_program("redis-server", &["/usr/bin"], "redis-server")?;
        let directory = tempfile::Builder::new().prefix("ec-redis-").tempdir()?;
        let mut server = Self { program, directory, port: 0, append_only, process: None };
        // Between the choice of the port and its use another process can take it.
        for _ in 0..5 {
            server.port = free_port()?;
            if server.run().is_ok() {
                return Ok(server);
            }
        }
        server.port = free_port()?;
        server.run().map(|()| server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the server again on the same port with the same directory.
    pub fn run(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("this Redis runs already; call stop or kill9 first");
        }
        let log = std::fs::File::create(self.directory.path().join("log"))?;
        let child = Command::new(&self.program)
            .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--appendfsync", "always"])
            .args(["--port", &self.port.to_string()])
            .args(["--appendonly", if self.append_only { "yes" } else { "no" }])
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
        started.inspect_err(|_| self.kill9()).with_context(|| {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            format!("redis-server on port {} did not start; it wrote:\n{log}", self.port)
        })
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
        let length = stream.read(&mut answer)?;
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
