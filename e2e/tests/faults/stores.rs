//! What happens to Redis and Postgres.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use crate::load::{Breaks, Fault, Moved};

const PARTITION: Duration = Duration::from_secs(30);
const OUTAGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn fault_redis_killed() -> Result<()> {
    let mut fault = Fault::begin("fault_redis_killed", Breaks::ItsNamespace, "").await?;
    fault.redis().await?.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    fault.restarted("docs-redis-0").await?;
    fault.goes_on(300).await?;
    fault.end(Moved::No).await
}

#[tokio::test]
async fn fault_redis_restart_empty() -> Result<()> {
    let mut fault = Fault::begin("fault_redis_restart_empty", Breaks::ItsNamespace, "").await?;
    wipe_redis(&fault).await?;
    fault.vanish().await?;
    fault.restarted("docs-redis-0").await?;
    fault.goes_on(300).await?;
    fault.end(Moved::No).await
}

/// Under `Log` an edit may be lost that only these two had; under `Database` an acknowledgement means more.
#[tokio::test]
async fn fault_gateway_and_redis_at_once_under_database_durability() -> Result<()> {
    let name = "fault_gateway_and_redis_at_once_under_database_durability";
    let mut fault = Fault::begin(name, Breaks::ItsNamespace, "durability: Database").await?;
    let victim = fault.busiest().await?;
    let gateway = fault.processes(&victim.name).await?;
    wipe_redis(&fault).await?;
    gateway.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    fault.restarted(&victim.name).await?;
    fault.restarted("docs-redis-0").await?;
    fault.goes_on(300).await?;
    fault.end(Moved::Yes).await
}

/// Between one gateway and Redis, in both directions and without a word.
#[tokio::test]
async fn fault_redis_partition() -> Result<()> {
    let mut fault = Fault::begin("fault_redis_partition", Breaks::ItsNamespace, "").await?;
    let gateway = fault.processes(&fault.busiest().await?.name).await?;
    gateway.drop_packets("OUTPUT -p tcp --dport 6379").await?;
    gateway.drop_packets("INPUT -p tcp --sport 6379").await?;
    fault.vanish().await?;
    sleep(PARTITION).await;
    gateway.heal().await?;
    fault.goes_on(300).await?;
    fault.end(Moved::No).await
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
    sleep(OUTAGE).await;
    // Its network is the pod's, which is the old one.
    fault.restarted("docs-postgres-0").await?;
    fault.postgres().await?.heal().await?;
    fault.goes_on(300).await?;
    fault.end(Moved::No).await
}

/// Its files are gone and it is killed before it can write them again.
async fn wipe_redis(fault: &Fault) -> Result<()> {
    let redis = fault.redis().await?;
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
