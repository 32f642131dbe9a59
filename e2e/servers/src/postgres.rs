//! A Postgres server of its own.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::{find_program, free_port, wait_until};

const PACKAGE: &str = "postgresql-15";
const DIRECTORIES: [&str; 2] = ["/usr/lib/postgresql/15/bin", "/usr/local/bin"];

/// A Postgres on a port of the system's choosing, with its data in a directory of its own. Both are gone when it is
/// dropped. It trusts every local connection and does not sync to disk.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Postgres {
    pub fn start() -> Result<Self> {
        let mut server = Self::prepare()?;
        // Between the choice of the port and its use another process can take it.
        for _ in 0..5 {
            if server.run().is_ok() {
                return Ok(server);
            }
            server.port = free_port()?;
        }
        server.run().map(|()| server)
    }

    /// Makes the database and chooses the port, without a server: `run` starts it.
    pub fn prepare() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ec-postgres-").tempdir()?;
        let server = Self { directory, port: free_port()?, process: None };
        if let Some(user) = other_user()? {
            std::os::unix::fs::chown(server.directory.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        std::fs::set_permissions(server.directory.path(), PermissionsExt::from_mode(0o700))?;
        let output = program("initdb")?
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(server.data())
            .stdin(Stdio::null())
            .output()
            .context("cannot run initdb")?;
        ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server on its port and waits until it takes connections.
    pub fn run(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("this Postgres runs already; call stop first");
        }
        let log = std::fs::File::create(self.log())?;
        let child = program("postgres")?
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "unix_socket_directories="])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run postgres")?;
        self.process = Some(child);
        let pid_file = self.data().join("postmaster.pid");
        let started = wait_until("Postgres is ready", Duration::from_secs(20), || {
            if let Some(status) = self.process.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("postgres ended with {status}");
            }
            // Its last line says the state; it is written before connections are taken for good.
            Ok(std::fs::read_to_string(&pid_file)
                .is_ok_and(|text| text.lines().nth(7).is_some_and(|state| state.trim() == "ready")))
        });
        started.inspect_err(|_| self.end()).with_context(|| {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            format!("postgres on port {} did not start; it wrote:\n{log}", self.port)
        })
    }

    /// Ends it at once but in an orderly way; open connections are closed.
    pub fn stop(&mut self) -> Result<()> {
        ensure!(self.process.is_some(), "this Postgres does not run");
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        if let Some(mut child) = self.process.take() {
            // Not SIGKILL: its children would live on. It may be gone already; then there is nothing to end.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT);
            let _ = child.wait();
        }
    }

    /// The folder that is `PGDATA`.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// Postgres refuses to run as root; who is root runs it as the user that its package made.
fn other_user() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?
        .with_context(|| format!("there is no user `postgres` to run the server as; install {PACKAGE}"))?;
    Ok(Some(user))
}

/// A program of Postgres, or one that starts such programs, run as a user that Postgres accepts.
pub fn program(name: &str) -> Result<Command> {
    let mut command = Command::new(find_program(name, &DIRECTORIES, PACKAGE)?);
    // The working directory of the tests may be closed to the other user.
    command.current_dir(Path::new("/")).env_remove("PGDATA");
    if let Some(user) = other_user()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(command)
}
