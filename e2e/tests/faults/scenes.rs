//! What happens in `mutations`: each scene is the one that a rule of the log protocol is there for.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::scenario::kubectl::kubectl_with;
use e2e::scenario::until;
use e2e::shell;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::load::{Fault, NAME, count};
use crate::mutations::Reckoning;

/// A sweep every 5 s, which looks twice within 11 s, by a gateway that has to start first.
const SWEPT: Duration = Duration::from_secs(40);
/// An acknowledgement that does not wait for anything has come by then.
const AT_ONCE: Duration = Duration::from_secs(4);
/// Less than the 15 s after which the rooms look for themselves.
const BEFORE_A_TICK: &str = "8";

const FUNCTIONS: &str = include_str!("../../../gateway/src/bus/redis/functions.lua");
/// Where an entry is announced with its bytes.
const NOTICE: &str = r"redis.call('PUBLISH', channel, 'e' .. id .. '\n' .. update)";

/// A gateway dies, and all who had its documents open are gone for good. Some time later Redis is lost.
pub(crate) async fn nobody_comes_back(fault: &mut Fault) -> Result<Reckoning> {
    gateway_and_people_die(fault).await?;
    // Without a sweep that much time passes, and the reckoning says what it was good for.
    let _swept = all_covered(fault, SWEPT).await;
    let pods = fault.cluster.settled_at(fault.gateways, Duration::from_secs(60)).await?;
    Ok(Reckoning::of(&[fault.read_from_the_database(&pods).await?]))
}

/// Redis comes back with files of an earlier time, so that positions are to be given out which the row already has. Then
/// the gateway dies, and all who had its documents open are gone for good.
pub(crate) async fn redis_starts_with_older_files(fault: &mut Fault) -> Result<Reckoning> {
    let copy = tempfile::tempdir()?;
    copy_files(&fault.redis().await?.folder("/data"), copy.path()).await?;
    fault.goes_on(150).await?;
    fault.tell("rest", "rested").await?;
    all_covered(fault, Duration::from_secs(30)).await?;

    let redis = fault.redis().await?;
    redis.signal(Signal::SIGSTOP)?;
    let data = redis.folder("/data");
    shell::run("find", &[data.as_os_str(), "-mindepth".as_ref(), "1".as_ref(), "-delete".as_ref()]).await?;
    copy_files(copy.path(), &data).await?;
    redis.signal(Signal::SIGKILL)?;
    until("Redis answers again", Duration::from_secs(60), || async {
        Ok((fault.redis_cli(&redis_pod(), &["ping"]).await?.trim() == "PONG").then_some(()))
    })
    .await?;

    write_on(fault).await?;
    gateway_and_people_die(fault).await?;
    reckon(fault, "").await
}

/// While Postgres takes nothing, somebody writes into a document that was all in the database, and whose log has a time to
/// live since; the gateway dies, and all are gone for good. Postgres is back only when that time is over.
pub(crate) async fn postgres_is_away_for_an_hour(fault: &mut Fault) -> Result<Reckoning> {
    fault.tell("rest", "rested").await?;
    all_covered(fault, Duration::from_secs(30)).await?;
    let postgres = fault.postgres().await?;
    postgres.signal(Signal::SIGSTOP)?;
    write_on(fault).await?;
    gateway_and_people_die(fault).await?;
    expire(fault).await?;
    postgres.signal(Signal::SIGCONT)?;
    reckon(fault, "").await
}

/// Of what two gateways write into one log, half is not announced, in runs of four entries. No tick comes in time.
pub(crate) async fn notices_are_lost(fault: &mut Fault) -> Result<Reckoning> {
    ensure!(
        FUNCTIONS.matches(NOTICE).count() == 1,
        "the log's functions announce an entry in another way now: {NOTICE}"
    );
    let some = format!("if tonumber(string.match(id, '%d+$')) % 8 < 4 then {NOTICE} end");
    load_functions(fault, &FUNCTIONS.replace(NOTICE, &some)).await?;
    fault.goes_on(200).await?;
    load_functions(fault, FUNCTIONS).await?;
    fault.goes_on(20).await?;
    reckon(fault, BEFORE_A_TICK).await
}

/// A gateway reaches neither Redis nor Postgres. Its clients lose their connections, come back to it, and have nothing to
/// tell that it does not hold. Then it dies, and they are gone for good.
pub(crate) async fn a_client_comes_back_to_a_gateway_that_is_cut_off(fault: &mut Fault) -> Result<Reckoning> {
    let name = fault.busiest().await?.name;
    let gateway = fault.processes(&name).await?;
    for port in ["6379", "5432"] {
        gateway.drop_packets(&format!("OUTPUT -p tcp --dport {port}")).await?;
        gateway.drop_packets(&format!("INPUT -p tcp --sport {port}")).await?;
    }
    let waiting = |it: &Value| count(it, "written") - count(it, "acknowledged");
    let held = "edits that nobody acknowledges";
    fault.people.line(held, Duration::from_secs(30), |it| it["event"] == "status" && waiting(it) > 30).await?;
    fault.tell("rest", "rested").await?;
    fault.tell("reconnect", "reconnected").await?;
    // With the rule it does not come, and the reckoning says what it was worth if it does.
    let all = |it: &Value| it["event"] == "status" && waiting(it) == 0;
    let _told = fault.people.line("everything acknowledged", AT_ONCE, all).await;
    gateway_and_people_die(fault).await?;
    // Its network is the pod's, which stays.
    until("the gateway started again, and its network mended", Duration::from_secs(60), || async {
        fault.processes(&name).await?.heal().await.map(Some)
    })
    .await?;
    reckon(fault, "").await
}

async fn gateway_and_people_die(fault: &mut Fault) -> Result<()> {
    let gateway = fault.busiest().await?;
    fault.processes(&gateway.name).await?.signal(Signal::SIGKILL)?;
    fault.vanish().await
}

/// Who had rested writes again, and some of it is acknowledged.
async fn write_on(fault: &mut Fault) -> Result<()> {
    fault.tell("write", "writing").await?;
    fault.goes_on(10).await
}

/// What is there at once, for who is there and for new readers, and what is there once Redis is lost.
async fn reckon(fault: &mut Fault, seconds: &str) -> Result<Reckoning> {
    let pods = fault.cluster.settled_at(fault.gateways, Duration::from_secs(120)).await?;
    let settled = fault.settle(&pods, seconds).await?;
    let cold = fault.read_from_the_database(&pods).await?;
    Ok(Reckoning::of(&[settled, cold]))
}

fn redis_pod() -> String {
    format!("{NAME}-redis-0")
}

/// The log of every document has a time to live, because all of it is in the database.
async fn all_covered(fault: &Fault, deadline: Duration) -> Result<()> {
    let uncovered = "local found = 0
        for _, log in ipairs(redis.call('KEYS', 'ec:{*}:log')) do
            if redis.call('PTTL', log) == -1 then found = found + 1 end
        end
        return found";
    until("every log covered", deadline, || async {
        let found = fault.redis_cli(&redis_pod(), &["eval", uncovered, "0"]).await?;
        ensure!(found.trim() == "0", "{} are not", found.trim());
        Ok(Some(()))
    })
    .await
}

/// The hour is over: what of the logs has a time to live is gone.
async fn expire(fault: &Fault) -> Result<()> {
    let expire = "local gone = 0
        for _, key in ipairs(redis.call('KEYS', 'ec:{*}:*')) do
            if redis.call('PTTL', key) > 0 then gone = gone + redis.call('DEL', key) end
        end
        return gone";
    let gone = fault.redis_cli(&redis_pod(), &["eval", expire, "0"]).await?;
    gone.trim().parse::<u64>().with_context(|| format!("Redis says {gone}"))?;
    Ok(())
}

/// From now on the server has these functions, until a gateway connects.
async fn load_functions(fault: &Fault, library: &str) -> Result<()> {
    let (namespace, pod) = (&fault.namespace.name, redis_pod());
    let cli = ["exec", "-i", "-n", namespace, &pod, "-c", "redis", "--", "timeout", "5", "redis-cli", "-x"];
    let said = kubectl_with(&[&cli[..], &["function", "load", "replace"]].concat(), library).await?;
    ensure!(said.starts_with("editorcluster"), "Redis does not take the functions: {said}");
    Ok(())
}

/// With their owners, and with what is in their folders.
async fn copy_files(from: &Path, to: &Path) -> Result<()> {
    shell::run("cp", &["-a".as_ref(), from.join(".").as_os_str(), to.as_os_str()]).await?;
    Ok(())
}
