//! A Redis Cluster of three primaries, each with a replica.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Redis, free_port, wait_until};

const PRIMARIES: usize = 3;
const SLOTS: usize = 16384;

/// Six servers; the first three were the primaries at the start, and the fourth is the first one's replica, and so on.
#[derive(Debug)]
pub struct RedisCluster {
    pub servers: Vec<Redis>,
}

impl RedisCluster {
    /// Starts them and waits until all agree that the cluster works.
    pub fn start() -> Result<Self> {
        let mut servers = Vec::new();
        let mut bus_ports = Vec::new();
        for _ in 0..2 * PRIMARIES {
            // The default, the server's port and 10,000, need not be a port at all.
            let bus_port = free_port()?.to_string();
            servers.push(Redis::start_with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus_port,
                "--cluster-node-timeout",
                "1000",
                "--repl-diskless-sync-delay",
                "0",
            ])?);
            bus_ports.push(bus_port);
        }
        let cluster = Self { servers };
        for (index, server) in cluster.servers[..PRIMARIES].iter().enumerate() {
            let first = (index * SLOTS / PRIMARIES).to_string();
            let last = ((index + 1) * SLOTS / PRIMARIES - 1).to_string();
            done(server, &["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
        }
        for (server, bus_port) in cluster.servers[1..].iter().zip(&bus_ports[1..]) {
            let port = server.port().to_string();
            done(&cluster.servers[0], &["CLUSTER", "MEET", "127.0.0.1", &port, bus_port])?;
        }
        for server in &cluster.servers {
            wait_until("all servers know each other", Duration::from_secs(30), || {
                let nodes = server.command(&["CLUSTER", "NODES"])?;
                Ok(nodes.lines().filter(|line| line.contains("connected")).count() == 2 * PRIMARIES
                    && !nodes.contains("handshake"))
            })?;
        }
        for (replica, primary) in cluster.servers[PRIMARIES..].iter().zip(&cluster.servers) {
            done(replica, &["CLUSTER", "REPLICATE", &id(primary)?])?;
        }
        cluster.settled()?;
        Ok(cluster)
    }

    fn settled(&self) -> Result<()> {
        for server in &self.servers {
            wait_until("the cluster works", Duration::from_secs(30), || {
                let works = server.command(&["CLUSTER", "INFO"])?.contains("cluster_state:ok");
                let nodes = server.command(&["CLUSTER", "NODES"])?;
                let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
                let follows = server.command(&["INFO", "replication"])?;
                let linked = follows.contains("role:master") || follows.contains("master_link_status:up");
                Ok(works && replicas == PRIMARIES && linked)
            })?;
        }
        Ok(())
    }

    pub fn url(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        format!("redis+cluster://{}", servers.join(","))
    }

    /// The index of the primary that has a key, among the first three.
    pub fn primary_of(&self, key: &str) -> Result<usize> {
        let slot: usize = number(&self.servers[0].command(&["CLUSTER", "KEYSLOT", key])?)?;
        Ok((0..PRIMARIES).rfind(|index| index * SLOTS / PRIMARIES <= slot).unwrap_or_default())
    }

    /// Moves a key's slot, with all that is in it, as an operator of a cluster does.
    pub fn move_slot(&self, key: &str, from: usize, to: usize) -> Result<()> {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let slot = number(&source.command(&["CLUSTER", "KEYSLOT", key])?)?.to_string();
        let (source_id, target_id) = (id(source)?, id(target)?);
        done(target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id])?;
        done(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id])?;
        let port = target.port().to_string();
        // One key at a time, so that there is a moment in which a document is in both places.
        loop {
            let keys = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"])?;
            let Some(key) = keys.lines().nth(2) else { break };
            let moved = source.command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])?;
            ensure!(moved.starts_with("+OK") || moved.starts_with("+NOKEY"), "MIGRATE: {moved}");
        }
        for server in [target, source] {
            done(server, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id])?;
        }
        Ok(())
    }
}

fn done(server: &Redis, command: &[&str]) -> Result<()> {
    let answer = server.command(command)?;
    ensure!(answer.starts_with("+OK"), "{command:?}: {answer}");
    Ok(())
}

fn id(server: &Redis) -> Result<String> {
    let answer = server.command(&["CLUSTER", "MYID"])?;
    answer.lines().nth(1).map(str::to_owned).context("a server of a cluster has an id")
}

fn number(answer: &str) -> Result<usize> {
    answer.trim().trim_start_matches(':').parse().with_context(|| format!("no number: {answer}"))
}
