//! S8: what an open document costs, and how soon somebody has it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Settings, shape};
use crate::client::Listener;
use crate::crowd::{Crowd, Shape};
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind, Subject};

const DOCUMENTS: usize = 1000;
/// A document of a real size with a real history.
const PAPER: &[u8] = include_bytes!("../../data/automerge-paper.bin");
/// Bytes of memory for each encoded byte.
const TARGET_MEMORY: f64 = 1.5;
/// Milliseconds at the 99th percentile.
const TARGET_SYNC: f64 = 30.0;

/// The documents' content is of no interest here.
struct Deaf;

impl Listener for Deaf {
    fn update(&self, _: usize, _: &[u8], _: Instant) -> Result<()> {
        Ok(())
    }

    fn edit(&self, _: usize, _: u64, _: u32, _: Instant) {}

    fn awareness(&self, _: usize, _: &[u8], _: Instant) -> Result<()> {
        Ok(())
    }
}

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for &kind in settings.kinds.iter().filter(|kind| **kind != Kind::SocketIo) {
        measure(kind, report).await?;
    }
    Ok(())
}

async fn measure(kind: Kind, report: &mut Report) -> Result<()> {
    let mut subject = Subject::start(kind, Joined::Alone)?;
    // Few at a time: the time of one is asked for, not that of a herd.
    let gather = async |subject: &Subject| {
        Crowd::gather_for(Shape { arriving: 4, ..shape(subject, DOCUMENTS, 1) }, Rc::new(Deaf)).await
    };
    let mut empty = subject.resident()?;
    let mut open = gather(&subject).await?;
    for client in &open.clients {
        let mut frame = Vec::new();
        open.shape.dialect.update(&client.document, PAPER, &mut frame);
        client.send(&frame)?;
        client.sent().await?;
    }
    let figure = |metric, value, unit| Figure::new("S8", kind, metric, value, unit);
    if kind.is_gateway() {
        // From its database, as documents are opened mostly.
        drop(open);
        subject.at_rest().await?;
        subject.restart()?;
        empty = subject.resident()?;
        open = gather(&subject).await?;
        report.figure(figure("first_sync_from_database_p99", p99(&open.arrivals), "ms").target(TARGET_SYNC))?;
    }
    subject.at_rest().await?;
    let each = (subject.resident()? as f64 - empty as f64) / DOCUMENTS as f64;
    report.figure(figure("bytes_per_open_document", each, "B"))?;
    report.figure(figure("bytes_per_encoded_byte", each / PAPER.len() as f64, "").target(TARGET_MEMORY))?;
    let second = gather(&subject).await?;
    report.figure(figure("first_sync_p99", p99(&second.arrivals), "ms").target(TARGET_SYNC))?;
    drop((open, second));
    Ok(())
}

fn p99(durations: &[Duration]) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() * 99 / 100].as_secs_f64() * 1e3
}
