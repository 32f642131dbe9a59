//! A Redis primary with replicas and three sentinels.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Redis, wait_until};

const NAME: &str = "documents";
const SENTINELS: usize = 3;

/// A primary, its replicas, and sentinels that hold a server for dead after a second.
#[derive(Debug)]
pub struct Replicated {
    /// The first was the primary at the start.
    pub servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Replicated {
    /// Starts them and waits until the replicas follow and the sentinels know of each other.
    pub fn start(replicas: usize) -> Result<Self> {
        let mut servers = vec![Redis::start()?];
        let primary = servers[0].port();
        let of = format!("127.0.0.1 {primary}");
        for _ in 0..replicas {
            servers.push(Redis::start_with(&["--replicaof", &of, "--repl-diskless-sync-delay", "0"])?);
        }
        for replica in &servers[1..] {
            wait_until("the replica follows", Duration::from_secs(20), || {
                Ok(replica.command(&["INFO", "replication"])?.contains("master_link_status:up"))
            })?;
        }
        let sentinels = (0..SENTINELS).map(|_| Redis::start_sentinel(NAME, primary, 2)).collect::<Result<Vec<_>>>()?;
        for sentinel in &sentinels {
            // They find replicas and each other by way of the primary.
            wait_until("the sentinels know everybody", Duration::from_secs(30), || {
                let known = sentinel.command(&["SENTINEL", "MASTER", NAME])?;
                let number = |field: &str| {
                    let rest = known.split_once(&format!("{field}\r\n"))?.1;
                    rest.lines().nth(1)?.parse::<usize>().ok()
                };
                Ok(number("num-slaves") == Some(replicas) && number("num-other-sentinels") == Some(SENTINELS - 1))
            })?;
        }
        Ok(Self { servers, sentinels })
    }

    pub fn url(&self) -> String {
        let sentinels: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        format!("redis+sentinel://{}/{NAME}", sentinels.join(","))
    }

    /// Cuts the first replica off from its primary, so that it hears of nothing more: it stands still, and the primary
    /// has closed the connection on which it would find the rest when it goes on.
    pub fn cut_off_replica(&self) -> Result<()> {
        self.servers[1].pause()?;
        let answer = self.servers[0].command(&["CLIENT", "KILL", "TYPE", "replica"])?;
        ensure!(answer.starts_with(":1"), "the primary had another number of replicas: {answer}");
        Ok(())
    }

    /// Waits until the sentinels have made another server than this one the primary; returns it.
    pub fn promoted(&self, instead_of: u16) -> Result<&Redis> {
        let mut found = None;
        wait_until("a replica is promoted", Duration::from_secs(30), || {
            found = self.servers.iter().position(|server| {
                let role = server.command(&["ROLE"]).unwrap_or_default();
                server.port() != instead_of && role.contains("\r\nmaster\r\n")
            });
            Ok(found.is_some())
        })?;
        found.and_then(|index| self.servers.get(index)).context("it was found a moment ago")
    }
}
