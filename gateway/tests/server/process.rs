//! A gateway in a process of its own: it can be killed, and its log can be read.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;

use e2e_servers::free_port;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::gateway_process::{eventually, get};

pub(crate) struct Process {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: tempfile::NamedTempFile,
}

impl Process {
    /// Starts it with these flags and waits until it is ready.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let [public, admin] =
            [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port().expect("there is a free port"))));
        let log = tempfile::NamedTempFile::new().expect("a file for its log");
        let child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", &public.to_string(), "--admin-listen", &admin.to_string(), "--shards", "1"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("the file is there"))
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        eventually("the process is ready", async || {
            TcpStream::connect(admin).await.is_ok() && get(admin, "/readyz").await.status == 200
        })
        .await;
        Self { child, public, admin, log }
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).expect("the file is there")
    }

    pub(crate) fn id(&self) -> i32 {
        let id = self.child.id().expect("it runs");
        i32::try_from(id).expect("an id fits")
    }

    /// kill -9
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }
}
