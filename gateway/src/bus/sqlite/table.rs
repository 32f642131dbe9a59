//! The log's tables, and what is known of them without asking.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::{SWEEP_STEP, unavailable};
use crate::bus::{BusError, Result};
use crate::room::log::{Entry, Epoch, Head, Position, Tenure};
use crate::store::checksum::Checksum;
use crate::store::row::{epoch_from_column, epoch_to_column};
use crate::store::sqlite::SqliteError as _;

/// The log's thread alone writes these tables.
pub(super) struct Table {
    db: Connection,
    pub(super) tenure: Tenure,
    /// Where each open stream stands: this process alone writes, so the table need not be asked each time. A document
    /// is in here from its first call until it is covered.
    heads: HashMap<String, (Head, Position)>,
    /// Entries that the transaction still has to write.
    rows: Vec<(String, Entry)>,
    /// What is wrong with the table of entries. Then nobody can say whose are missing.
    damage: Option<String>,
}

impl From<rusqlite::Error> for BusError {
    fn from(error: rusqlite::Error) -> Self {
        if error.is_damage() { Self::Corrupt(error.to_string()) } else { unavailable(error) }
    }
}

fn entry_checksum(document: &str, entry: &Entry) -> i64 {
    Checksum::default()
        .with(document.as_bytes())
        .with(&entry.position.epoch.0.to_le_bytes())
        .with(&entry.position.n.to_le_bytes())
        .with(&entry.update)
        .column()
}

fn head_checksum(document: &str, epoch: Epoch, tenure: &str, last: i64) -> i64 {
    Checksum::default()
        .with(document.as_bytes())
        .with(&epoch.0.to_le_bytes())
        .with(tenure.as_bytes())
        .with(&last.to_le_bytes())
        .column()
}

impl Table {
    /// Looks through the entries first: there are no more than what no checkpoint has.
    pub(super) fn new(db: Connection) -> Result<Self> {
        let tenure = db.query_row("SELECT tenure FROM log_tenure", [], |row| row.get(0))?;
        let found: rusqlite::Result<String> = db.query_row("PRAGMA integrity_check(log)", [], |row| row.get(0));
        let damage = match found {
            Ok(found) if found == "ok" => None,
            Ok(found) => Some(found),
            Err(error) => Some(error.to_string()),
        };
        if let Some(damage) = &damage {
            tracing::error!(damage, "the log's table is damaged: no document is opened; restore the file");
        }
        Ok(Self { db, tenure: Tenure(tenure), heads: HashMap::new(), rows: Vec::new(), damage })
    }

    fn execute(&self, query: &str, values: impl Params) -> rusqlite::Result<()> {
        self.db.prepare_cached(query)?.execute(values).map(drop)
    }

    /// Immediate: a transaction that reads first and writes later would fail when the store wrote in between.
    pub(super) fn begin(&self) -> Result<()> {
        Ok(self.execute("BEGIN IMMEDIATE", [])?)
    }

    /// Commits, or takes all back if the outcome is none.
    pub(super) fn end(&self, mut outcome: Result<()>) -> Result<()> {
        if outcome.is_ok() {
            outcome = self.execute("COMMIT", []).map_err(BusError::from);
        }
        if outcome.is_err() {
            // The failure may have ended the transaction already.
            let _ = self.execute("ROLLBACK", []);
        }
        outcome
    }

    /// After a transaction that failed.
    pub(super) fn forget<'a>(&mut self, documents: impl Iterator<Item = &'a str>) {
        self.rows.clear();
        documents.for_each(|document| drop(self.heads.remove(document)));
    }

    /// The head of a document's stream and the last position given out in it.
    pub(super) fn head(&mut self, document: &str) -> Result<Option<(Head, Position)>> {
        if let Some(known) = self.heads.get(document) {
            return Ok(Some(known.clone()));
        }
        // The head's row has the position as of the last OPEN or COVER; the entries have those after it.
        let mut query = self.db.prepare_cached(
            "SELECT epoch, tenure, last_n, checksum, coalesce((SELECT max(n) FROM log \
             WHERE log.document = log_head.document AND log.epoch = log_head.epoch), 0) \
             FROM log_head WHERE document = ?",
        )?;
        let row: Option<(i64, String, i64, Option<i64>, i64)> =
            query.query_row([document], |row| row.try_into()).optional()?;
        let Some((epoch, tenure, last, checksum, end)) = row else { return Ok(None) };
        let epoch = epoch_from_column(epoch);
        if checksum.is_some_and(|checksum| checksum != head_checksum(document, epoch, &tenure, last)) {
            return Err(BusError::Corrupt("the head of its log is not what was written".to_owned()));
        }
        let position = Position { epoch, n: last.max(end).cast_unsigned() };
        let state = (Head { epoch, tenure: Tenure(tenure) }, position);
        self.heads.insert(document.to_owned(), state.clone());
        Ok(Some(state))
    }

    pub(super) fn append(&mut self, document: &str, head: Head, n: u64, update: &Bytes) -> Entry {
        let position = Position { epoch: head.epoch, n };
        let entry = Entry { position, update: update.clone() };
        self.rows.push((document.to_owned(), entry.clone()));
        self.heads.insert(document.to_owned(), (head, position));
        entry
    }

    /// Writes the entries that were appended. Whatever asks the table for entries does this first.
    pub(super) fn flush(&mut self) -> Result<()> {
        let query = "INSERT INTO log (document, epoch, n, bytes, checksum) VALUES (?, ?, ?, ?, ?)";
        for (document, entry) in &self.rows {
            let (epoch, n) = (epoch_to_column(entry.position.epoch), entry.position.n.cast_signed());
            let checksum = entry_checksum(document, entry);
            self.execute(query, params![document, epoch, n, entry.update.as_ref(), checksum])?;
        }
        self.rows.clear();
        Ok(())
    }

    pub(super) fn write_head(&self, document: &str, head: &Head, last: u64) -> Result<()> {
        let (epoch, tenure, last) = (epoch_to_column(head.epoch), &head.tenure.0, last.cast_signed());
        let checksum = head_checksum(document, head.epoch, tenure, last);
        Ok(self.execute(
            "INSERT OR REPLACE INTO log_head (document, epoch, tenure, last_n, checksum) VALUES (?, ?, ?, ?, ?)",
            params![document, epoch, tenure, last, checksum],
        )?)
    }

    pub(super) fn entries(&mut self, document: &str) -> Result<Vec<Entry>> {
        if let Some(damage) = &self.damage {
            return Err(BusError::Corrupt(damage.clone()));
        }
        self.flush()?;
        let mut query =
            self.db.prepare_cached("SELECT epoch, n, bytes, checksum FROM log WHERE document = ? ORDER BY seq")?;
        let entry = |(epoch, n, bytes, checksum): (i64, i64, Vec<u8>, Option<i64>)| {
            let position = Position { epoch: epoch_from_column(epoch), n: n.cast_unsigned() };
            let entry = Entry { position, update: bytes.into() };
            match checksum {
                Some(checksum) if checksum != entry_checksum(document, &entry) => {
                    Err(BusError::Corrupt(format!("entry {n} of its log is not what was written")))
                }
                _ => Ok(entry),
            }
        };
        query.query_map([document], |row| row.try_into())?.map(|row| entry(row?)).collect()
    }

    pub(super) fn has_entries(&mut self, document: &str) -> Result<bool> {
        self.flush()?;
        Ok(self.db.prepare_cached("SELECT 1 FROM log WHERE document = ? LIMIT 1")?.exists([document])?)
    }

    /// The documents with entries.
    pub(super) fn documents(&mut self, behind: u64) -> Result<Vec<String>> {
        self.flush()?;
        let query = "SELECT DISTINCT document FROM log ORDER BY document LIMIT ? OFFSET ?";
        let mut query = self.db.prepare_cached(query)?;
        let documents = query.query_map(params![SWEEP_STEP, behind.cast_signed()], |row| row.get(0))?;
        Ok(documents.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn delete(&mut self, document: &str) -> Result<()> {
        self.flush()?;
        for query in ["DELETE FROM log WHERE document = ?", "DELETE FROM log_head WHERE document = ?"] {
            self.execute(query, [document])?;
        }
        self.heads.remove(document);
        Ok(())
    }

    /// At once, not late as in Redis: log and checkpoint are one file, so they are lost together or not at all.
    /// Entries of older epochs go too, as in Redis. Head stays, as the checkpoint's row does.
    pub(super) fn cover(&mut self, document: &str, position: Position, head: &Head, last: u64) -> Result<()> {
        self.flush()?;
        self.execute(
            "DELETE FROM log WHERE document = ? AND (epoch <> ? OR n <= ?)",
            params![document, epoch_to_column(position.epoch), position.n.cast_signed()],
        )?;
        // Its entries no longer tell where the stream ends.
        self.write_head(document, head, last)?;
        self.heads.remove(document);
        Ok(())
    }
}
