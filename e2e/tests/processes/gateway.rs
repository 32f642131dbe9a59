//! A gateway as a process of its own, as a person starts it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use e2e::paths;
use e2e_servers::{free_port, wait_until};

/// A running gateway; it is killed when this is dropped.
pub(crate) struct Gateway {
    child: Child,
    port: u16,
    admin: u16,
    words: Vec<String>,
}

impl Gateway {
    /// Starts `gateway` with these words and waits until it is ready.
    pub(crate) fn start(words: &[&str]) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let gateway = Self { child: spawn(port, admin, &words)?, port, admin, words };
        gateway.wait_until_ready()?;
        Ok(gateway)
    }

    /// Where `y-websocket` clients connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/yjs", self.port)
    }

    /// A document's page.
    pub(crate) fn page(&self, document: &str) -> String {
        format!("http://127.0.0.1:{}/d/{document}", self.port)
    }

    /// SIGTERM: drains and ends with success; then the same gateway starts again on the same port.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status()?;
        if !killed.success() {
            bail!("gateway {} is not there any more", self.child.id());
        }
        let mut ended = None;
        wait_until("the gateway has drained", Duration::from_secs(60), || {
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })?;
        if !ended.is_some_and(|status| status.success()) {
            bail!("the gateway's drain ended with {ended:?}");
        }
        self.start_again()
    }

    /// SIGKILL, then the same gateway starts again on the same port.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.start_again()
    }

    fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.port, self.admin, &self.words)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&self) -> Result<()> {
        wait_until("the gateway is ready", Duration::from_secs(30), || Ok(is_ready(self.admin).unwrap_or(false)))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("gateway {} may be left running: {error}", self.child.id());
        }
    }
}

fn spawn(port: u16, admin: u16, words: &[String]) -> Result<Child> {
    Command::new(paths::target().join("debug/gateway"))
        .args(["--listen", &format!("127.0.0.1:{port}"), "--admin-listen", &format!("127.0.0.1:{admin}")])
        .args(["--log-level", "warn"])
        .args(words)
        .stdin(Stdio::null())
        .spawn()
        .context("target/debug/gateway does not start; `cargo build --workspace --bins` makes it")
}

fn is_ready(admin: u16) -> Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", admin))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
