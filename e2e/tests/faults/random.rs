//! Two faults at once, again and again, drawn at random. `SEED=7 cargo e2e test fault_many` draws the same ones again.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::scenario::container::Processes;
use e2e::scenario::until;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;

use crate::load::{Breaks, Cost, Fault, GATEWAYS, seed};
use crate::stores::wipe_redis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    GatewayCutOffFromRedis,
    GatewayCutOffFromPostgres,
    GatewayKilled,
    GatewayPaused,
    PostgresKilled,
    PostgresPaused,
    RedisEmptied,
    RedisKilled,
    RedisPaused,
}

impl Strike {
    const ALL: [Self; 9] = [
        Self::GatewayCutOffFromRedis,
        Self::GatewayCutOffFromPostgres,
        Self::GatewayKilled,
        Self::GatewayPaused,
        Self::PostgresKilled,
        Self::PostgresPaused,
        Self::RedisEmptied,
        Self::RedisKilled,
        Self::RedisPaused,
    ];

    fn takes_from_redis(self) -> bool {
        matches!(self, Self::RedisEmptied | Self::RedisKilled)
    }

    /// Two gateways can be hit at once; of the stores there is one each.
    fn excludes(self, other: Self) -> bool {
        let store = |strike| match strike {
            Self::PostgresKilled | Self::PostgresPaused => Some("Postgres"),
            Self::RedisEmptied | Self::RedisKilled | Self::RedisPaused => Some("Redis"),
            Self::GatewayCutOffFromRedis
            | Self::GatewayCutOffFromPostgres
            | Self::GatewayKilled
            | Self::GatewayPaused => None,
        };
        store(self).is_some() && store(self) == store(other)
    }
}

/// Everything, since an acknowledgement means that the database has the edit.
#[tokio::test]
async fn fault_many_at_random_under_database_durability() -> Result<()> {
    play("fault_many_at_random_under_database_durability", "durability: Database", &Strike::ALL).await
}

/// Redis keeps what it has: with a gateway's death beside it, more is not promised.
#[tokio::test]
async fn fault_many_at_random_under_log_durability() -> Result<()> {
    let strikes: Vec<_> = Strike::ALL.into_iter().filter(|strike| !strike.takes_from_redis()).collect();
    play("fault_many_at_random_under_log_durability", "durability: Log", &strikes).await
}

/// Each strike comes twice, beside one that is drawn for it. Between two rounds edits are acknowledged again.
async fn play(name: &'static str, gateway: &str, strikes: &[Strike]) -> Result<()> {
    let seed = seed()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut fault = Fault::begin(name, Breaks::ItsNamespace, gateway).await?;
    let (mut first, mut second) = (strikes.to_vec(), strikes.to_vec());
    first.shuffle(&mut random);
    while first.iter().zip(&second).any(|(one, other)| one.excludes(*other)) {
        second.shuffle(&mut random);
    }
    for (round, both) in first.into_iter().zip(second).enumerate() {
        let context = || format!("SEED={seed}, round {round}: {both:?}");
        strike(&mut fault, [both.0, both.1], round == strikes.len() / 2, &mut random).await.with_context(context)?;
    }
    fault.end(Cost::Connections).await.with_context(|| format!("SEED={seed}"))
}

/// Strikes twice, and heals after up to 8 s what does not heal by itself. On request some people vanish meanwhile.
async fn strike(fault: &mut Fault, both: [Strike; 2], vanish: bool, random: &mut StdRng) -> Result<()> {
    let mut gateways = fault.cluster.settled_at(GATEWAYS, Duration::from_secs(120)).await?;
    gateways.shuffle(random);
    // What was killed some rounds ago may have been put off by the kubelet.
    let stores = || async { Ok(Some((fault.redis().await?, fault.postgres().await?))) };
    let (redis, postgres) = until("Redis and Postgres run again", Duration::from_secs(120), stores).await?;
    let mut struck = Vec::new();
    for (strike, pod) in both.into_iter().zip(gateways) {
        let gateway = fault.processes(&pod.name).await?;
        match strike {
            Strike::GatewayCutOffFromRedis => cut_off(&gateway, 6379).await?,
            Strike::GatewayCutOffFromPostgres => cut_off(&gateway, 5432).await?,
            Strike::GatewayKilled => gateway.signal(Signal::SIGKILL)?,
            Strike::GatewayPaused => gateway.signal(Signal::SIGSTOP)?,
            Strike::PostgresKilled => postgres.signal(Signal::SIGKILL)?,
            Strike::PostgresPaused => postgres.signal(Signal::SIGSTOP)?,
            Strike::RedisEmptied => wipe_redis(&redis)?,
            Strike::RedisKilled => redis.signal(Signal::SIGKILL)?,
            Strike::RedisPaused => redis.signal(Signal::SIGSTOP)?,
        }
        struck.push((strike, gateway));
    }
    if vanish {
        fault.vanish().await?;
    }
    sleep(Duration::from_millis(random.random_range(500..8000))).await;
    for (strike, gateway) in struck {
        match strike {
            Strike::GatewayCutOffFromRedis | Strike::GatewayCutOffFromPostgres => gateway.heal().await?,
            Strike::GatewayPaused => gateway.signal(Signal::SIGCONT)?,
            Strike::PostgresPaused => postgres.signal(Signal::SIGCONT)?,
            Strike::RedisPaused => redis.signal(Signal::SIGCONT)?,
            Strike::GatewayKilled | Strike::PostgresKilled | Strike::RedisEmptied | Strike::RedisKilled => {}
        }
    }
    fault.goes_on(100).await
}

async fn cut_off(gateway: &Processes, port: u16) -> Result<()> {
    gateway.drop_packets(&format!("OUTPUT -p tcp --dport {port}")).await?;
    gateway.drop_packets(&format!("INPUT -p tcp --sport {port}")).await
}
