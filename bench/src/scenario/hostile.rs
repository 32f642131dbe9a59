//! H1: what well-behaved clients notice of those that mean harm.
//!
//! First the well-behaved alone, then the same load beside each attack. An attack is a process of its own, on the load
//! generator's core but of the class `SCHED_IDLE`: it runs when the well-behaved clients sleep and is interrupted as soon
//! as one wakes. So a latency that is measured is the gateway's and not the attacker's.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum as _;

use super::{Settings, shape};
use crate::attack::Attack;
use crate::crowd::Crowd;
use crate::process;
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind, Subject};

const DOCUMENTS: usize = 100;
const CLIENTS: usize = 10;
/// Edits a second and client.
const RATE: f64 = 1.0;
const WARM_UP: Duration = Duration::from_secs(3);
/// Times the latency without an attack, at the 99th percentile.
const TARGET: f64 = 2.0;
const MIB: f64 = (1 << 20) as f64;

/// The figures of one attack: the latency's multiple, the gateway's memory beside it, what the attacker used.
const ATTACKS: &[(Attack, [&str; 3])] = &[
    (Attack::Handshakes, ["handshakes_p99_multiple", "handshakes_memory", "handshakes_attacker_core"]),
    (Attack::Drips, ["drips_p99_multiple", "drips_memory", "drips_attacker_core"]),
    (Attack::HalfOpen, ["half_open_p99_multiple", "half_open_memory", "half_open_attacker_core"]),
    (Attack::SlowReaders, ["slow_readers_p99_multiple", "slow_readers_memory", "slow_readers_attacker_core"]),
    (Attack::Refused, ["refused_p99_multiple", "refused_memory", "refused_attacker_core"]),
    (Attack::Fragments, ["fragments_p99_multiple", "fragments_memory", "fragments_attacker_core"]),
    (Attack::Pings, ["pings_p99_multiple", "pings_memory", "pings_attacker_core"]),
    (Attack::Questions, ["questions_p99_multiple", "questions_memory", "questions_attacker_core"]),
    (Attack::Presences, ["presences_p99_multiple", "presences_memory", "presences_attacker_core"]),
    (Attack::Updates, ["updates_p99_multiple", "updates_memory", "updates_attacker_core"]),
    (Attack::Nested, ["nested_p99_multiple", "nested_memory", "nested_attacker_core"]),
    (Attack::Chain, ["chain_p99_multiple", "chain_memory", "chain_attacker_core"]),
    (Attack::Conflict, ["conflict_p99_multiple", "conflict_memory", "conflict_attacker_core"]),
    (Attack::Orphans, ["orphans_p99_multiple", "orphans_memory", "orphans_attacker_core"]),
    (Attack::Dense, ["dense_p99_multiple", "dense_memory", "dense_attacker_core"]),
    (Attack::Clients, ["clients_p99_multiple", "clients_memory", "clients_attacker_core"]),
    (Attack::Scattered, ["scattered_p99_multiple", "scattered_memory", "scattered_attacker_core"]),
    (Attack::OwnFuture, ["own_future_p99_multiple", "own_future_memory", "own_future_attacker_core"]),
    (Attack::Joins, ["joins_p99_multiple", "joins_memory", "joins_attacker_core"]),
];

struct Attacker(Child);

impl Attacker {
    fn start(attack: Attack, subject: &Subject, prefix: &str) -> Result<Self> {
        let name = attack.to_possible_value().context("every attack has a name")?;
        let address = subject.addresses().first().context("a gateway")?.to_string();
        let child = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(std::env::current_exe()?)
            .args(["attack", name.get_name(), "--address", &address])
            .args(["--prefix", prefix, "--documents", &DOCUMENTS.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start `chrt` of the package util-linux")?;
        Ok(Self(child))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("process {} may be left running: {error}", self.0.id());
        }
    }
}

/// What the well-behaved had.
struct Seen {
    /// Milliseconds.
    p99: f64,
    lost: u64,
    duplicated: u64,
    /// Percent of the subject's core.
    core: f64,
}

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.kinds.contains(&Kind::Gateway) {
        return Ok(());
    }
    let figure = |metric, value, unit| Figure::new("H1", Kind::Gateway, metric, value, unit);
    let mut alone = Vec::new();
    for &(attack, [multiple, memory, used]) in ATTACKS {
        let subject = Subject::start(Kind::Gateway, Joined::Alone)?;
        let crowd = Crowd::gather(shape(&subject, DOCUMENTS, CLIENTS)).await?;
        crowd.write(CLIENTS, RATE, WARM_UP, false).await?;
        let before = write(&crowd, &subject, settings.length).await?;
        let resident = subject.resident()?;
        let mut attacker = Attacker::start(attack, &subject, &crowd.shape.prefix)?;
        crowd.write(CLIENTS, RATE, WARM_UP, false).await?;
        let attacker_before = process::cpu_time(attacker.0.id())?;
        let beside = write(&crowd, &subject, settings.length).await?;
        let own = process::cpu_time(attacker.0.id())? - attacker_before;
        ensure!(attacker.0.try_wait()?.is_none(), "the attacker {attack:?} has ended");
        let grown = (subject.resident()? as f64 - resident as f64) / MIB;
        println!(
            "     {attack:?}: p99 {:.2} ms alone, {:.2} ms beside; gateway {:.0} % and {:.0} % of a core; memory {:.0} MiB before",
            before.p99,
            beside.p99,
            before.core,
            beside.core,
            resident as f64 / MIB
        );
        let account = (beside.lost, beside.duplicated);
        report.figure(figure(multiple, beside.p99 / before.p99, "x").target(TARGET).account(account.0, account.1))?;
        report.figure(figure(memory, grown, "MiB"))?;
        report.figure(figure(used, own.as_secs_f64() / settings.length.as_secs_f64() * 100.0, "%"))?;
        alone.push(before.p99);
    }
    alone.sort_by(f64::total_cmp);
    report.figure(figure("alone_p99", alone[alone.len() / 2], "ms"))
}

async fn write(crowd: &Crowd, subject: &Subject, length: Duration) -> Result<Seen> {
    let duplicated = {
        let mut ledger = crowd.ledger.borrow_mut();
        ledger.begin();
        ledger.duplicated
    };
    let cpu = subject.cpu_time()?;
    crowd.write(CLIENTS, RATE, length, false).await?;
    let core = (subject.cpu_time()? - cpu).as_secs_f64() / length.as_secs_f64() * 100.0;
    let lost = crowd.settle().await;
    let ledger = crowd.ledger.borrow();
    let p99 = ledger.latency.value_at_quantile(0.99) as f64 / 1e3;
    Ok(Seen { p99, lost, duplicated: ledger.duplicated - duplicated, core })
}
