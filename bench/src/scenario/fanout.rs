//! S1 to S4: edits that go to everybody else in their document.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::{Settings, shape};
use crate::crowd::Crowd;
use crate::ledger::Ledger;
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind, Subject};

pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) documents: usize,
    /// Of each document.
    pub(super) clients: usize,
    /// Of each document.
    pub(super) writers: usize,
    /// Edits a second and writer.
    pub(super) rate: f64,
    pub(super) joined: Joined,
    /// Floors for one delivery.
    pub(super) target: f64,
    /// Milliseconds at the 99th percentile.
    pub(super) p99: Option<f64>,
}

pub(super) const S1: Load = Load {
    name: "S1",
    documents: 100,
    clients: 10,
    writers: 10,
    rate: 1.0,
    joined: Joined::Alone,
    target: 2.5,
    p99: None,
};
pub(super) const S2: Load = Load { name: "S2", documents: 1, clients: 1001, writers: 1, rate: 10.0, target: 1.4, ..S1 };
pub(super) const S3: Load = Load { name: "S3", documents: 50, joined: Joined::OverRedis(2), target: 3.5, ..S1 };
pub(super) const S4: Load = Load { name: "S4", rate: 10.0, target: 1.2, p99: Some(10.0), ..S1 };

const WARM_UP: Duration = Duration::from_secs(2);

pub(super) async fn run(load: &Load, settings: &Settings, report: &mut Report) -> Result<()> {
    for &kind in &settings.kinds {
        measure(load, kind, settings.length, report).await?;
    }
    Ok(())
}

/// What a load has cost, and its account.
pub(super) struct Observed {
    pub(super) cpu: Duration,
    pub(super) lost: u64,
    pub(super) ledger: Rc<RefCell<Ledger>>,
}

impl Observed {
    /// CPU time of one delivery, in microseconds.
    pub(super) fn each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.ledger.borrow().deliveries as f64
    }
}

/// Starts the subject, gathers the clients and lets them write, after a warm-up.
pub(super) async fn observe(load: &Load, kind: Kind, length: Duration) -> Result<Observed> {
    let subject = Subject::start(kind, load.joined)?;
    let crowd = Crowd::gather(shape(&subject, load.documents, load.clients)).await?;
    crowd.write(load.writers, load.rate, WARM_UP, false).await?;
    crowd.settle().await;
    crowd.ledger.borrow_mut().begin();

    let before = subject.cpu_time()?;
    crowd.write(load.writers, load.rate, length, false).await?;
    let lost = crowd.settle().await;
    Ok(Observed { cpu: subject.cpu_time()? - before, lost, ledger: crowd.ledger.clone() })
}

async fn measure(load: &Load, kind: Kind, length: Duration, report: &mut Report) -> Result<()> {
    let observed = observe(load, kind, length).await?;
    let (lost, ledger) = (observed.lost, observed.ledger.borrow());
    let milliseconds = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    let figure =
        |metric, value, unit| Figure::new(load.name, kind, metric, value, unit).account(lost, ledger.duplicated);
    report.cpu(figure("cpu_us_per_delivery", observed.each(), "us").target(load.target))?;
    report.figure(figure("core_used", observed.cpu.as_secs_f64() / length.as_secs_f64() * 100.0, "%"))?;
    report.figure(figure("latency_p50", milliseconds(&ledger.latency, 0.5), "ms"))?;
    let p99 = figure("latency_p99", milliseconds(&ledger.latency, 0.99), "ms");
    report.figure(match load.p99 {
        Some(target) => p99.target(target),
        None => p99,
    })?;
    if kind.is_gateway() {
        report.figure(figure("acknowledged_p99", milliseconds(&ledger.acknowledgement, 0.99), "ms"))?;
        report.figure(figure("not_acknowledged", ledger.unacknowledged() as f64, "").target(0.0))?;
    }
    Ok(())
}
