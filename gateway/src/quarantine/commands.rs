//! `gateway quarantine ...`: for whoever has to decide what becomes of a document that no gateway opens.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Subcommand;
use editorcluster_core::document::check;

use super::{left, raw};
use crate::backup::{self, Places};
use crate::config::{LogBackend, Storage};
use crate::history::portable::time;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Names the documents in quarantine, with the time since when and how many processes died or stalled in each.
    List,
    /// Shows what is known of a document: sizes, strikes, and last whether its bytes pass the check. The check reads the
    /// document in this process, which may die of it.
    Show { document: String },
    /// Lets gateways open the document again, and forgets its strikes. Export it before.
    Release { document: String },
    /// Deletes the document, its versions and its log for good, as DELETE of the REST interface does. Export it before.
    Delete { document: String },
    /// Writes a document's row, log entries and versions into files, as they are. Also of documents that are damaged or
    /// not in quarantine.
    Export {
        document: String,
        /// The directory. Made if it is missing.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// Carries the command out and prints what it has to say. `marks_dir`: where a gateway on this storage has its marks.
///
/// # Errors
/// Database or log do not answer, or there is no such document.
pub async fn run(storage: &Storage, marks_dir: Option<&Path>, command: Command) -> Result<()> {
    backup::is_there(storage)?;
    let places = backup::open(storage).await?;
    match command {
        Command::List => list(&places).await,
        Command::Show { document } => show(&places, &document).await,
        Command::Release { document } => {
            ensure!(places.archive.release(&document).await?, "`{document}` is not in quarantine");
            println!("released `{document}`; clients that were refused connect again once they are loaded again");
            Ok(())
        }
        Command::Delete { document } => delete(&places, storage, marks_dir, &document).await,
        Command::Export { document, to } => {
            ensure!(raw::export(&places, &document, &to).await?, "there is nothing of `{document}`");
            println!("exported the bytes of `{document}` to {}", to.display());
            Ok(())
        }
    }
}

async fn list(places: &Places) -> Result<()> {
    for quarantined in places.archive.quarantined().await? {
        let strikes = places.archive.strikes(&quarantined.document).await?.len();
        println!("{}\tsince {}\t{strikes} strikes", quarantined.document, time(quarantined.since));
    }
    Ok(())
}

async fn show(places: &Places, document: &str) -> Result<()> {
    let all = places.archive.quarantined().await?;
    match all.iter().find(|quarantined| quarantined.document == document) {
        Some(quarantined) => println!("in quarantine since {}", time(quarantined.since)),
        None => println!("not in quarantine"),
    }
    for strike in places.archive.strikes(document).await? {
        let of = if strike.suspects == 1 { "alone".to_owned() } else { format!("one of {}", strike.suspects) };
        println!("strike {}: a process {} at `{}`, {of}", time(strike.at), strike.cause, strike.doing);
    }
    let row = places.archive.raw(document).await?;
    match &row {
        Some(row) if row.deleted => println!("row: deleted"),
        Some(row) => {
            let sound = if row.sound { "as it was written" } else { "NOT what was written" };
            println!("row: {} bytes, rev {}, {sound}", row.state.len(), row.rev);
        }
        None => println!("row: none"),
    }
    let entries = match places.bus.read(document).await {
        Ok(reply) => reply.entries,
        Err(error) => {
            println!("log: {error}");
            Vec::new()
        }
    };
    let bytes: usize = entries.iter().map(|entry| entry.update.len()).sum();
    println!("log: {} entries, {bytes} bytes", entries.len());
    // Last: this may be what the processes died of.
    if let Some(row) = row.filter(|row| !row.deleted) {
        println!("check of the row: {}", passes(&row.state));
    }
    for entry in &entries {
        let (epoch, n) = (entry.position.epoch.0, entry.position.n);
        println!("check of entry {epoch}/{n}, {} bytes: {}", entry.update.len(), passes(&entry.update));
    }
    Ok(())
}

fn passes(update: &[u8]) -> String {
    check(update).map_or_else(|refused| format!("refused: {refused}"), |()| "passes".to_owned())
}

async fn delete(places: &Places, storage: &Storage, marks_dir: Option<&Path>, document: &str) -> Result<()> {
    // With an embedded log a gateway knows the log's end without asking the file.
    ensure!(
        !matches!(storage.log, LogBackend::Sqlite(_)) || !marks_dir.is_some_and(left::is_in_use),
        "a gateway runs on these files; end it, or ask it: DELETE /api/v1/documents/..."
    );
    ensure!(
        places.archive.raw(document).await?.is_some() || places.bus.read(document).await?.last.is_some(),
        "there is nothing of `{document}`"
    );
    // First the row: from then on nothing is written, and whoever opens it is refused.
    places.archive.delete(document).await?;
    places.bus.delete(document).await?;
    println!("deleted `{document}`");
    Ok(())
}
