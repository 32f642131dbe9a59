//! SOAK: a busy day in minutes: people write, come and go, documents open and close; memory must not grow.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Settings, shape};
use crate::crowd::{Crowd, Shape};
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind, Subject};

/// Those that write. Few to a document, so that the load generator has time for them.
const DOCUMENTS: usize = 200;
const CLIENTS: usize = 4;
/// Those that come and go.
const GUEST_DOCUMENTS: usize = 20;
const GUESTS: usize = 5;
const STAY: Duration = Duration::from_secs(2);
/// Percent of a core that the gateway is to use while people write; between two shifts it is less.
const LOAD: f64 = 75.0;
/// Edits a second and client with which the calibration begins.
const FIRST_RATE: f64 = 4.0;
const CALIBRATION: Duration = Duration::from_secs(4);
const CALIBRATIONS: usize = 3;
/// How long one crowd writes before all of it goes and another comes to other documents: what is open would grow
/// otherwise with what is written.
const SHIFT: Duration = Duration::from_secs(30);
/// Percent of the mean that memory may grow over the last two thirds: no more than the figure moves from shift to shift.
const TARGET: f64 = 5.0;
const MIB: f64 = (1 << 20) as f64;

#[derive(Default)]
struct Account {
    lost: Cell<u64>,
    duplicated: Cell<u64>,
}

impl Account {
    async fn add(&self, crowd: &Crowd) {
        self.lost.set(self.lost.get() + crowd.settle().await);
        self.duplicated.set(self.duplicated.get() + crowd.ledger.borrow().duplicated);
    }
}

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.kinds.contains(&Kind::Gateway) {
        return Ok(());
    }
    let subject = Subject::start(Kind::Gateway, Joined::Alone)?;
    let rate = calibrate(&subject).await?;
    let (account, mut samples, begin) = (Account::default(), Vec::new(), Instant::now());
    let cpu = subject.cpu_time()?;
    tokio::select! {
        done = write(&subject, rate, settings.length, &account) => done?,
        failed = come_and_go(&subject, &account) => match failed? {},
        failed = sample(&subject, &mut samples) => match failed? {},
    }
    let core = (subject.cpu_time()? - cpu).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;

    let last = &samples[samples.len() / 3..];
    let Trend { mean, slope, spread } = Trend::of(last);
    let span = last[last.len() - 1].0 - last[0].0;
    let figure = |metric, value, unit| {
        Figure::new("SOAK", Kind::Gateway, metric, value, unit).account(account.lost.get(), account.duplicated.get())
    };
    report.figure(figure("edits_per_client", rate, "1/s"))?;
    report.figure(figure("core_used", core, "%"))?;
    report.figure(figure("memory_mean", mean, "MiB"))?;
    report.figure(figure("memory_spread", spread, "MiB"))?;
    report.figure(figure("memory_slope", slope * 3600.0, "MiB/h"))?;
    report.figure(figure("memory_growth", slope * span / mean * 100.0, "%").target(TARGET))
}

/// The rate at which the gateway uses what it is to use.
async fn calibrate(subject: &Subject) -> Result<f64> {
    let mut rate = FIRST_RATE;
    for round in 0..CALIBRATIONS {
        let shape = Shape { prefix: format!("calibration-{round}"), ..shape(subject, DOCUMENTS, CLIENTS) };
        let crowd = Crowd::gather(shape).await?;
        let (cpu, begin) = (subject.cpu_time()?, Instant::now());
        crowd.write(CLIENTS, rate, CALIBRATION, false).await?;
        let used = (subject.cpu_time()? - cpu).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;
        println!("     {rate:.1} edits/s and client: {used:.0} % of a core");
        // What an edit costs falls with their number, so not all at once.
        rate *= (LOAD / used).clamp(0.5, 2.5);
        crowd.settle().await;
    }
    Ok(rate)
}

async fn write(subject: &Subject, rate: f64, length: Duration, account: &Account) -> Result<()> {
    let begin = Instant::now();
    for shift in 0.. {
        let left = length.saturating_sub(begin.elapsed());
        if left.is_zero() {
            break;
        }
        let shape = Shape { prefix: format!("shift-{shift}"), ..shape(subject, DOCUMENTS, CLIENTS) };
        let crowd = Crowd::gather(shape).await?;
        crowd.write(CLIENTS, rate, left.min(SHIFT), false).await?;
        account.add(&crowd).await;
    }
    Ok(())
}

/// Every second visit is to documents that were there before.
async fn come_and_go(subject: &Subject, account: &Account) -> Result<Infallible> {
    for visit in 0u64.. {
        let shape = Shape { prefix: format!("visit-{}", visit / 2), ..shape(subject, GUEST_DOCUMENTS, GUESTS) };
        let crowd = Crowd::gather(shape).await?;
        crowd.write(GUESTS, 1.0, STAY, visit % 3 == 0).await?;
        account.add(&crowd).await;
    }
    anyhow::bail!("there are no numbers left")
}

/// Second by second: when, and MiB.
async fn sample(subject: &Subject, samples: &mut Vec<(f64, f64)>) -> Result<Infallible> {
    let (begin, mut due) = (Instant::now(), tokio::time::interval(Duration::from_secs(1)));
    loop {
        due.tick().await;
        samples.push((begin.elapsed().as_secs_f64(), subject.resident()? as f64 / MIB));
        ensure!(samples.len() < 1_000_000, "a soak of more than eleven days");
    }
}

/// The straight line through samples, by least squares.
struct Trend {
    mean: f64,
    /// A second.
    slope: f64,
    /// From the smallest to the largest.
    spread: f64,
}

impl Trend {
    fn of(samples: &[(f64, f64)]) -> Self {
        let count = samples.len() as f64;
        let mean = samples.iter().map(|(_, value)| value).sum::<f64>() / count;
        let middle = samples.iter().map(|(at, _)| at).sum::<f64>() / count;
        let covariance: f64 = samples.iter().map(|(at, value)| (at - middle) * (value - mean)).sum();
        let variance: f64 = samples.iter().map(|(at, _)| (at - middle).powi(2)).sum();
        let values = || samples.iter().map(|&(_, value)| value);
        let spread = values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min);
        Self { mean, slope: covariance / variance, spread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_in_what_moves_around_it() {
        let samples: Vec<_> =
            (0..600).map(|at| (f64::from(at), 100.0 + 0.5 * f64::from(at) + f64::from(at % 2))).collect();
        let trend = Trend::of(&samples);
        assert!((trend.slope - 0.5).abs() < 0.001, "{}", trend.slope);
        assert!((trend.mean - 250.25).abs() < 0.1 && (trend.spread - 300.5).abs() < 0.1);
    }
}
