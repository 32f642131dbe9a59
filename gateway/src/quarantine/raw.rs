//! A document's bytes as files, as they are in database and log. Nothing is decoded, so this works for what no gateway
//! opens, and it loses nothing.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::backup::{Places, export_versions, write};
use crate::bus::BusError;
use crate::history::portable::{sha256, stem};

/// Writes `NAME.row`, `NAME.log1` and so on in the log's order, `NAME.vID.yjs` for each version, and last `NAME.raw`, which
/// says what the others are. No `.json`: an import of all would take it for a document's. False: there is nothing of
/// this name.
///
/// # Errors
/// Database or log do not answer, or a file cannot be written. What could be read until then is written.
pub(crate) async fn export(places: &Places, document: &str, to: &Path) -> Result<bool> {
    tokio::fs::create_dir_all(to).await.with_context(|| format!("cannot make the directory {}", to.display()))?;
    let file = |kind: &str| to.join(format!("{}.{kind}", stem(document)));
    let row = places.archive.raw(document).await?;
    if let Some(row) = &row {
        write(&file("row"), &row.state).await?;
    }
    let (log, damage) = match places.bus.read(document).await {
        Ok(reply) => (reply.entries, None),
        Err(BusError::Corrupt(damage)) => (Vec::new(), Some(damage)),
        Err(error) => return Err(error.into()),
    };
    if row.is_none() && log.is_empty() && damage.is_none() {
        return Ok(false);
    }
    let mut entries = Vec::new();
    for (index, entry) in log.iter().enumerate() {
        let kind = format!("log{}", index + 1);
        write(&file(&kind), &entry.update).await?;
        let (epoch, n) = (entry.position.epoch.0, entry.position.n);
        entries.push(json!({ "file": kind, "epoch": epoch, "n": n, "sha256": sha256(&entry.update) }));
    }
    let versions = export_versions(&*places.archive, document, to).await?;
    let row = row.map(|row| {
        json!({
            "rev": row.rev, "epoch": row.epoch, "n": row.n, "bytes": row.state.len(), "sha256": sha256(&row.state),
            "sound": row.sound, "deleted": row.deleted,
        })
    });
    let content = json!({ "id": document, "row": row, "log": entries, "log_damage": damage, "versions": versions });
    write(&file("raw"), &serde_json::to_vec_pretty(&content)?).await?;
    Ok(true)
}
