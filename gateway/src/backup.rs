//! `gateway export` and `gateway import`: documents as files, while gateways run.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::bus::{Bus, Cursor, Event};
use crate::config::{LogBackend, Storage, StoreBackend};
use crate::history::portable::{AuthorEntry, Manifest, VersionEntry, sha256, stem, time};
use crate::quarantine::marks::Marks;
use crate::quarantine::raw;
use crate::server;
use crate::store::StoreError;
use crate::store::archive::{Adopted, Archive};
use crate::transfer::{TransferError, merge_in, tell_rooms, whole};

/// Log and database must answer within this time.
const REACH_WITHIN: Duration = Duration::from_secs(30);
const REACH_EVERY: Duration = Duration::from_millis(50);
const PAGE: u32 = 500;

/// Log and database, for a command that does one thing and ends.
pub(crate) struct Places {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) archive: Arc<dyn Archive>,
    /// Whether the log may be written by more than one process.
    shared_log: bool,
    /// What the bus hears is nobody's business here.
    _events: mpsc::UnboundedReceiver<Event>,
}

pub(crate) async fn open(storage: &Storage) -> Result<Places> {
    let (log, archive) = server::open(storage, crate::history::policy::Policy::default()).await?;
    let (events, mut heard) = mpsc::unbounded_channel();
    let bus = log.bus(events)?;
    let connected = async { while !matches!(heard.recv().await, Some(Event::Connected { .. }) | None) {} };
    if tokio::time::timeout(REACH_WITHIN, connected).await.is_err() {
        bail!("the log did not answer within {} s; check --redis-url", REACH_WITHIN.as_secs());
    }
    let deadline = Instant::now() + REACH_WITHIN;
    while let Err(error) = archive.ping().await {
        ensure!(Instant::now() < deadline, "{error}; check --database-url");
        sleep(REACH_EVERY).await;
    }
    Ok(Places { bus, archive, shared_log: matches!(storage.log, LogBackend::Redis(_)), _events: heard })
}

/// Or a command would make an empty database, and say that it has exported all of it.
pub(crate) fn is_there(storage: &Storage) -> Result<()> {
    if let StoreBackend::Sqlite(path) = &storage.store {
        ensure!(path.exists(), "there is no database at {}; check --data-dir or --database-url", path.display());
    }
    Ok(())
}

/// Writes the bytes of what is in quarantine, or of one document whatever its state is, undecoded. Returns how many.
///
/// # Errors
/// Something cannot be read or written.
pub async fn export_raw(storage: &Storage, document: Option<&str>, to: &Path) -> Result<usize> {
    is_there(storage)?;
    let places = open(storage).await?;
    let documents = match document {
        Some(document) => vec![document.to_owned()],
        None => places.archive.quarantined().await?.into_iter().map(|quarantined| quarantined.document).collect(),
    };
    let mut count = 0;
    for document in &documents {
        count += usize::from(raw::export(&places, document, to).await.with_context(|| format!("`{document}`"))?);
    }
    Ok(count)
}

/// Writes a document, or all, into a directory. Returns how many.
///
/// # Errors
/// Something cannot be read or written. With all documents the others are written before this is said. What is in
/// quarantine is left out and named.
pub async fn export(storage: &Storage, document: Option<&str>, to: &Path) -> Result<usize> {
    is_there(storage)?;
    let places = open(storage).await?;
    tokio::fs::create_dir_all(to).await.with_context(|| format!("cannot make the directory {}", to.display()))?;
    if let Some(document) = document {
        ensure!(export_one(&places, document, to).await?, "there is no document `{document}`");
        return Ok(1);
    }
    let mut all = ExportOfAll { places: &places, to, count: 0, failed: 0 };
    let mut after = String::new();
    loop {
        let page = places.archive.documents(&after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id.clone();
        for info in page {
            all.take(&info.id).await;
        }
    }
    // What is younger than its first checkpoint is in the log alone. The log may name a document twice.
    let (mut young, mut next) = (BTreeSet::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        let page = places.bus.uncovered(cursor).await?;
        next = page.next;
        for document in page.documents {
            let has_row = places.archive.document(&document).await?.is_some();
            if !has_row && young.insert(document.clone()) {
                all.take(&document).await;
            }
        }
    }
    ensure!(all.failed == 0, "{} documents were exported, {} could not be: see above", all.count, all.failed);
    Ok(all.count)
}

/// What is known of an export of all documents.
struct ExportOfAll<'a> {
    places: &'a Places,
    to: &'a Path,
    count: usize,
    failed: usize,
}

impl ExportOfAll<'_> {
    /// The others are exported although one cannot be.
    async fn take(&mut self, document: &str) {
        match export_one(self.places, document, self.to).await {
            Ok(exported) => self.count += usize::from(exported),
            Err(error) if matches!(error.downcast_ref(), Some(TransferError::Store(StoreError::Quarantined))) => {
                eprintln!("gateway: `{document}` is in quarantine and was left out; --quarantined writes its bytes");
            }
            Err(error) => {
                eprintln!("gateway: `{document}`: {error:#}");
                self.failed += 1;
            }
        }
    }
}

/// False: it is not there, or no longer.
async fn export_one(places: &Places, document: &str, to: &Path) -> Result<bool> {
    let state = match whole(&*places.bus, &*places.archive, document, &Marks::default()).await {
        Ok(Some(state)) => state,
        Ok(None) | Err(TransferError::Store(StoreError::Deleted)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let authors = places.archive.authors(document).await?.into_iter().map(|author| AuthorEntry {
        client: author.client,
        user: author.user,
        first_seen: time(author.first_seen),
        last_seen: time(author.last_seen),
    });
    let versions = export_versions(&*places.archive, document, to).await?;
    let manifest = Manifest::new(document, Timestamp::now().as_second(), &state, authors.collect(), versions);
    let (manifest_file, state_file) = files(to, document);
    // The manifest last: where there is one, its state is whole.
    write(&state_file, &state).await?;
    write(&manifest_file, &serde_json::to_vec_pretty(&manifest)?).await?;
    Ok(true)
}

/// Writes each version's state into a file of its own.
pub(crate) async fn export_versions(archive: &dyn Archive, document: &str, to: &Path) -> Result<Vec<VersionEntry>> {
    let (mut entries, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = archive.versions(document, before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = last.id;
        for info in page {
            // One that is gone meanwhile was removed because of its age.
            let Some((_, state)) = archive.version(document, info.id).await? else { continue };
            write(&version_file(to, document, info.id), &state).await?;
            entries.push(VersionEntry {
                id: info.id,
                name: info.name,
                created_at: time(info.created_at),
                authors: info.authors,
                bytes: state.len() as u64,
                sha256: sha256(&state),
            });
        }
    }
    entries.reverse();
    Ok(entries)
}

fn version_file(directory: &Path, document: &str, version: i64) -> PathBuf {
    directory.join(format!("{}.v{version}.yjs", stem(document)))
}

fn files(directory: &Path, document: &str) -> (PathBuf, PathBuf) {
    let stem = stem(document);
    (directory.join(format!("{stem}.json")), directory.join(format!("{stem}.yjs")))
}

/// Whole or not at all.
pub(crate) async fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_added_extension("unfinished");
    let written = async {
        tokio::fs::write(&unfinished, bytes).await?;
        tokio::fs::rename(&unfinished, path).await
    };
    written.await.with_context(|| format!("cannot write {}", path.display()))
}

/// Merges a document's files, or all that a directory holds, into the database. What is newer there stays. Returns how
/// many.
///
/// # Errors
/// The first file that cannot be read or is not what was exported, or a document that was deleted, unless `revive` says
/// that it shall come back.
pub async fn import(storage: &Storage, document: Option<&str>, from: &Path, revive: bool) -> Result<usize> {
    let manifests = match document {
        Some(document) => vec![files(from, document).0],
        None => manifests(from).await?,
    };
    ensure!(!manifests.is_empty(), "there are no documents in {}", from.display());
    let places = open(storage).await?;
    for manifest in &manifests {
        import_one(&places, manifest, revive).await.with_context(|| manifest.display().to_string())?;
    }
    Ok(manifests.len())
}

async fn manifests(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the directory {}", directory.display());
    let mut entries = tokio::fs::read_dir(directory).await.with_context(unreadable)?;
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await.with_context(unreadable)? {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

async fn import_one(places: &Places, manifest_file: &Path, revive: bool) -> Result<()> {
    let manifest = tokio::fs::read(manifest_file).await.context("cannot read it")?;
    let manifest: Manifest = serde_json::from_slice(&manifest).context("it is no manifest of a document")?;
    let state_file = manifest_file.with_extension("yjs");
    let state = tokio::fs::read(&state_file).await.with_context(|| format!("cannot read {}", state_file.display()))?;
    manifest.check(&state)?;
    let (document, state) = (manifest.id.as_str(), Bytes::from(state));
    if revive {
        places.archive.revive(document).await?;
    }
    match merge_in(&*places.archive, document, &state).await {
        Err(TransferError::Store(StoreError::Deleted)) => {
            bail!("`{document}` was deleted; with --revive it comes back")
        }
        merged => merged?,
    }
    if places.shared_log {
        tell_rooms(&*places.bus, document, state).await?;
    }
    let directory = manifest_file.parent().unwrap_or(Path::new(""));
    import_versions(&*places.archive, document, &manifest.versions, directory).await
}

/// Those that the database does not have: an import may be repeated, and go where the export came from.
async fn import_versions(archive: &dyn Archive, document: &str, entries: &[VersionEntry], from: &Path) -> Result<()> {
    let (mut known, mut before) = (HashSet::new(), i64::MAX);
    loop {
        let page = archive.versions(document, before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = last.id;
        for info in page {
            known.insert((Adopted { name: info.name, created_at: info.created_at, authors: info.authors }, info.bytes));
        }
    }
    for entry in entries {
        let version =
            Adopted { name: entry.name.clone(), created_at: entry.seconds()?, authors: entry.authors.clone() };
        if known.contains(&(version.clone(), entry.bytes.cast_signed())) {
            continue;
        }
        let file = version_file(from, document, entry.id);
        let state = tokio::fs::read(&file).await.with_context(|| format!("cannot read {}", file.display()))?;
        entry.check(&state).with_context(|| file.display().to_string())?;
        archive.adopt_version(document, &version, state.into()).await?;
    }
    Ok(())
}
