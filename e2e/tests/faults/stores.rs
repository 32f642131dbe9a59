//! What happens to Redis and Postgres.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use e2e::scenario::container::Processes;
use e2e::scenario::until;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use crate::load::{Breaks, Cost, Fault};

const PARTITION: Duration = Duration::from_secs(30);
const OUTAGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn fault_redis_killed() -> Result<()> {
    let mut fault = Fault::begin("fault_redis_killed", Breaks::ItsNamespace, "").await?;
    fault.redis().await?.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    fault.restarted("docs-redis-0").await?;
    fault.goes_on(300).await?;
    fault.end(Cost::A_RESTART).await
}

#[tokio::test]
async fn fault_redis_restart_empty() -> Result<()> {
    let mut fault = Fault::begin("fault_redis_restart_empty", Breaks::ItsNamespace, "").await?;
    wipe_redis(&fault.redis().await?)?;
    fault.vanish().await?;
    fault.restarted("docs-redis-0").await?;
    fault.goes_on(300).await?;
    fault.end(Cost::A_RESTART).await
}

/// Under `Log` an edit may be lost that only these two had; under `Database` an acknowledgement means more.
#[tokio::test]
async fn fault_gateway_and_redis_at_once_under_database_durability() -> Result<()> {
    let name = "fault_gateway_and_redis_at_once_under_database_durability";
    let mut fault = Fault::begin(name, Breaks::ItsNamespace, "durability: Database").await?;
    let victim = fault.busiest().await?;
    let gateway = fault.processes(&victim.name).await?;
    wipe_redis(&fault.redis().await?)?;
    gateway.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    fault.restarted(&victim.name).await?;
    fault.restarted("docs-redis-0").await?;
    fault.goes_on(300).await?;
    fault.end(Cost::Connections).await
}

#[tokio::test]
async fn fault_redis_rolled() -> Result<()> {
    rolled("fault_redis_rolled", "Standalone", Cost::A_RESTART).await
}

/// Primaries hand over before they go, so this may cost nothing.
#[tokio::test]
async fn fault_redis_replicated_rolled() -> Result<()> {
    rolled("fault_redis_replicated_rolled", "Replicated", Cost::Nothing).await
}

#[tokio::test]
async fn fault_redis_cluster_rolled() -> Result<()> {
    rolled("fault_redis_cluster_rolled", "Cluster", Cost::Nothing).await
}

async fn rolled(name: &'static str, mode: &str, cost: Cost) -> Result<()> {
    let mut fault = Fault::begin_with_redis(name, mode).await?;
    fault.roll_redis().await?;
    fault.goes_on(300).await?;
    fault.end(cost).await
}

/// The primary of three servers is killed and out of reach, as if its node were gone, until another one is the primary;
/// then it comes back as a replica of that one.
#[tokio::test]
async fn fault_redis_primary_dies() -> Result<()> {
    let mut fault = Fault::begin_with_redis("fault_redis_primary_dies", "Replicated").await?;
    let victim = fault.redis_primary().await?;
    let pod = fault.processes(&victim).await?;
    pod.drop_packets("INPUT ! -i lo").await?;
    pod.drop_packets("OUTPUT ! -o lo").await?;
    pod.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    let promoted = until("another Redis is the primary", Duration::from_secs(60), || async {
        Ok(Some(fault.redis_primary().await?).filter(|primary| *primary != victim))
    })
    .await?;
    fault.goes_on(300).await?;
    // Its network is the pod's, which is the old one.
    fault.processes(&victim).await?.heal().await?;
    let follows = format!("{promoted}.docs-redis.{}.svc", fault.namespace.name);
    until("the killed one follows the new primary", Duration::from_secs(120), || async {
        let role = fault.redis_cli(&victim, &["role"]).await?;
        Ok((role.contains(&follows) && role.contains("connected")).then_some(()))
    })
    .await?;
    fault.restarted(&victim).await?;
    fault.goes_on(300).await?;
    fault.end(Cost::A_RESTART).await
}

/// One of a Redis Cluster's three primaries, in the same way.
#[tokio::test]
async fn fault_redis_cluster_primary_dies() -> Result<()> {
    let mut fault = Fault::begin_with_redis("fault_redis_cluster_primary_dies", "Cluster").await?;
    let before = fault.redis_cluster_primaries("docs-redis-0").await?;
    let [victim, survivor, _] = &before[..] else { bail!("three primaries and not {before:?}") };
    let pod = fault.processes(victim).await?;
    pod.drop_packets("INPUT ! -i lo").await?;
    pod.drop_packets("OUTPUT ! -o lo").await?;
    pod.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    let after = until("its replica is a primary", Duration::from_secs(60), || async {
        let primaries = fault.redis_cluster_primaries(survivor).await?;
        Ok(Some(primaries).filter(|primaries| primaries.len() == before.len() && !primaries.contains(victim)))
    })
    .await?;
    fault.goes_on(300).await?;
    // Its network is the pod's, which is the old one.
    fault.processes(victim).await?.heal().await?;
    until("the killed one is a replica", Duration::from_secs(120), || async {
        let role = fault.redis_cli(victim, &["role"]).await?;
        Ok((role.starts_with("slave") && role.contains("connected")).then_some(()))
    })
    .await?;
    fault.restarted(victim).await?;
    ensure!(
        fault.redis_cluster_primaries(victim).await? == after,
        "the killed one sees other primaries than {after:?}"
    );
    fault.goes_on(300).await?;
    fault.end(Cost::A_RESTART).await
}

/// Between one gateway and Redis, in both directions and without a word.
#[tokio::test]
async fn fault_redis_partition() -> Result<()> {
    let mut fault = Fault::begin_at_gateways("fault_redis_partition").await?;
    let gateway = fault.first_authors().await?;
    gateway.drop_packets("OUTPUT -p tcp --dport 6379").await?;
    gateway.drop_packets("INPUT -p tcp --sport 6379").await?;
    fault.vanish().await?;
    sleep(PARTITION).await;
    gateway.heal().await?;
    fault.goes_on(300).await?;
    fault.end(Cost::A_RESTART).await
}

/// Killed, and out of reach for a minute: acknowledgements go on, since they mean the log.
#[tokio::test]
async fn fault_postgres_down_for_a_minute() -> Result<()> {
    let mut fault = Fault::begin("fault_postgres_down_for_a_minute", Breaks::ItsNamespace, "").await?;
    let postgres = fault.postgres().await?;
    postgres.reset_connections("INPUT ! -i lo -p tcp --dport 5432").await?;
    postgres.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    fault.goes_on(300).await?;
    // Its pod is well, or will be soon: it is the gateways that know.
    let message = fault.cluster.reason("StorageReady", "Unreachable").await?;
    ensure!(message.contains("gateways cannot reach Postgres"), "{message}");
    sleep(OUTAGE).await;
    // Its network is the pod's, which is the old one.
    fault.restarted("docs-postgres-0").await?;
    fault.postgres().await?.heal().await?;
    fault.goes_on(300).await?;
    fault.cluster.reason("StorageReady", "ForTrying").await?;
    fault.end(Cost::Nothing).await
}

/// Its files are gone and it is killed before it can write them again.
pub(crate) fn wipe_redis(redis: &Processes) -> Result<()> {
    let mut wiped = 0;
    for entry in fs::read_dir(redis.folder("/data"))?.flatten() {
        let is_folder = entry.file_type()?.is_dir();
        if is_folder {
            fs::remove_dir_all(entry.path())?
        } else {
            fs::remove_file(entry.path())?
        }
        wiped += 1;
    }
    ensure!(wiped > 0, "Redis kept nothing in /data, so nothing was taken from it");
    redis.signal(Signal::SIGKILL)
}
