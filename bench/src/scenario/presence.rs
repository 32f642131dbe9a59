//! S5: everybody moves a cursor in one document.

use std::time::Duration;

use anyhow::Result;

use super::{Settings, shape};
use crate::crowd::Crowd;
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind, Subject};

const CLIENTS: usize = 500;
const WARM_UP: Duration = Duration::from_secs(2);
/// Percent of a core.
const TARGET: f64 = 10.0;

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    // Socket.IO has no presence.
    for &kind in settings.kinds.iter().filter(|kind| **kind != Kind::SocketIo) {
        let subject = Subject::start(kind, Joined::Alone)?;
        let crowd = Crowd::gather(shape(&subject, 1, CLIENTS)).await?;
        crowd.write(CLIENTS, 1.0, WARM_UP, true).await?;
        crowd.settle().await;
        crowd.ledger.borrow_mut().begin();
        let before = subject.cpu_time()?;
        crowd.write(CLIENTS, 1.0, settings.length, true).await?;
        // Only the newest cursor of each matters, and everybody must have it.
        let lost = crowd.settle().await;
        let cpu = subject.cpu_time()? - before;
        let ledger = crowd.ledger.borrow();
        let used = cpu.as_secs_f64() / settings.length.as_secs_f64() * 100.0;
        let p99 = ledger.latency.value_at_quantile(0.99) as f64 / 1e3;
        report.figure(Figure::new("S5", kind, "core_used", used, "%").target(TARGET).account(lost, 0))?;
        report.figure(Figure::new("S5", kind, "latency_p99", p99, "ms").account(lost, 0))?;
    }
    Ok(())
}
