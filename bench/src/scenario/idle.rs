//! S6: what a connection costs in memory, before and after it has had one large message.

use anyhow::Result;

use super::{Settings, shape};
use crate::crowd::Crowd;
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind, Subject};

const DOCUMENTS: usize = 100;
const CLIENTS: usize = 100;
const MESSAGE: usize = 16 << 10;
/// Bytes.
const TARGET: f64 = 2560.0;

pub(super) async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for &kind in settings.kinds.iter().filter(|kind| **kind != Kind::SocketIo) {
        let subject = Subject::start(kind, Joined::Alone)?;
        // The documents exist and are open, so that only connections are counted.
        let first = Crowd::gather(shape(&subject, DOCUMENTS, 1)).await?;
        let empty = subject.resident()?;
        let crowd = Crowd::gather(shape(&subject, DOCUMENTS, CLIENTS)).await?;
        subject.at_rest().await?;
        let connections = crowd.clients.len() as f64;
        let idle = (subject.resident()? as f64 - empty as f64) / connections;

        // Each client says something large, and is told something large.
        for client in &crowd.clients {
            let mut frame = Vec::new();
            crowd.shape.dialect.question(&client.document, MESSAGE, &mut frame);
            client.send(&frame)?;
            client.sent().await?;
        }
        let body = format!("\"{}\"", "x".repeat(MESSAGE));
        for document in 0..DOCUMENTS {
            let client = &crowd.clients[document * CLIENTS];
            let mut frame = Vec::new();
            crowd.shape.dialect.presence_of(&client.document, 1, 1, &body, &mut frame);
            client.send(&frame)?;
        }
        subject.at_rest().await?;
        let after = (subject.resident()? as f64 - empty as f64) / connections;
        for (metric, value) in [("bytes_per_idle_connection", idle), ("bytes_after_16_KiB_message", after)] {
            report.figure(Figure::new("S6", kind, metric, value, "B").target(TARGET))?;
        }
        drop((first, crowd));
    }
    Ok(())
}
