//! S7: what it costs to let somebody in: TCP, the upgrade, and the first sync.

use anyhow::Result;

use super::{Settings, shape};
use crate::crowd::Crowd;
use crate::report::{Figure, Report};
use crate::subject::{Joined, Subject};

const DOCUMENTS: usize = 100;
const CLIENTS: usize = 50;
/// Microseconds.
const TARGET: f64 = 110.0;

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for &kind in &settings.kinds {
        let subject = Subject::start(kind, Joined::Alone)?;
        let open = Crowd::gather(shape(&subject, DOCUMENTS, 1)).await?;
        let before = subject.cpu_time()?;
        let crowd = Crowd::gather(shape(&subject, DOCUMENTS, CLIENTS)).await?;
        let cpu = subject.cpu_time()? - before;
        let each = cpu.as_secs_f64() * 1e6 / crowd.clients.len() as f64;
        report.figure(Figure::new("S7", kind, "cpu_us_per_connection", each, "us").target(TARGET))?;
        drop(open);
    }
    Ok(())
}
