//! The log's tables, and what is known of them without asking.

use std::collections::HashMap;

use bytes::Bytes;
use sqlx::pool::PoolConnection;
use sqlx::{QueryBuilder, Sqlite};

use super::{SWEEP_STEP, unavailable};
use crate::bus::{BusError, Result};
use crate::room::log::{Entry, Epoch, Head, Position, Tenure};
use crate::store::checksum::Checksum;
use crate::store::row::{epoch_from_column, epoch_to_column};
use crate::store::sqlite::SqliteError as _;

/// Entries of one statement.
pub(super) const ROWS: usize = 16;

/// The log's thread alone writes these tables.
pub(super) struct Table {
    db: PoolConnection<Sqlite>,
    pub(super) tenure: Tenure,
    /// Where each open stream stands: this process alone writes, so the table need not be asked each time. A document
    /// is in here from its first call until it is covered.
    heads: HashMap<String, (Head, Position)>,
    /// Entries that the transaction still has to write.
    rows: Vec<(String, Entry)>,
    /// What is wrong with the table of entries. Then nobody can say whose are missing.
    damage: Option<String>,
}

impl From<sqlx::Error> for BusError {
    fn from(error: sqlx::Error) -> Self {
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
    pub(super) async fn new(mut db: PoolConnection<Sqlite>) -> Result<Self> {
        let (tenure,): (String,) = sqlx::query_as("SELECT tenure FROM log_tenure").fetch_one(&mut *db).await?;
        let found: sqlx::Result<String> = sqlx::query_scalar("PRAGMA integrity_check(log)").fetch_one(&mut *db).await;
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

    /// Immediate: a transaction that reads first and writes later would fail when the store wrote in between.
    pub(super) async fn begin(&mut self) -> Result<()> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *self.db).await?;
        Ok(())
    }

    /// Commits, or takes all back if the outcome is none.
    pub(super) async fn end(&mut self, mut outcome: Result<()>) -> Result<()> {
        if outcome.is_ok() {
            outcome = sqlx::query("COMMIT").execute(&mut *self.db).await.map(drop).map_err(BusError::from);
        }
        if outcome.is_err() {
            // The failure may have ended the transaction already.
            let _ = sqlx::query("ROLLBACK").execute(&mut *self.db).await;
        }
        outcome
    }

    /// After a transaction that failed.
    pub(super) fn forget<'a>(&mut self, documents: impl Iterator<Item = &'a str>) {
        self.rows.clear();
        documents.for_each(|document| drop(self.heads.remove(document)));
    }

    pub(super) fn knows(&self, document: &str) -> bool {
        self.heads.contains_key(document)
    }

    /// The head of a document's stream and the last position given out in it.
    pub(super) async fn head(&mut self, document: &str) -> Result<Option<(Head, Position)>> {
        if let Some(known) = self.heads.get(document) {
            return Ok(Some(known.clone()));
        }
        // The head's row has the position as of the last OPEN or COVER; the entries have those after it.
        let row: Option<(i64, String, i64, Option<i64>, i64)> = sqlx::query_as(
            "SELECT epoch, tenure, last_n, checksum, coalesce((SELECT max(n) FROM log \
             WHERE log.document = log_head.document AND log.epoch = log_head.epoch), 0) \
             FROM log_head WHERE document = ?",
        )
        .bind(document)
        .fetch_optional(&mut *self.db)
        .await?;
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
    pub(super) async fn flush(&mut self) -> Result<()> {
        for rows in self.rows.chunks(ROWS) {
            let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO log (document, epoch, n, bytes, checksum) ");
            query.push_values(rows, |mut row, (document, entry)| {
                row.push_bind(document)
                    .push_bind(epoch_to_column(entry.position.epoch))
                    .push_bind(entry.position.n.cast_signed())
                    .push_bind(entry.update.as_ref())
                    .push_bind(entry_checksum(document, entry));
            });
            query.build().execute(&mut *self.db).await?;
        }
        self.rows.clear();
        Ok(())
    }

    pub(super) async fn write_head(&mut self, document: &str, head: &Head, last: u64) -> Result<()> {
        let last = last.cast_signed();
        sqlx::query(
            "INSERT OR REPLACE INTO log_head (document, epoch, tenure, last_n, checksum) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(document)
        .bind(epoch_to_column(head.epoch))
        .bind(&head.tenure.0)
        .bind(last)
        .bind(head_checksum(document, head.epoch, &head.tenure.0, last))
        .execute(&mut *self.db)
        .await?;
        Ok(())
    }

    pub(super) async fn entries(&mut self, document: &str) -> Result<Vec<Entry>> {
        if let Some(damage) = &self.damage {
            return Err(BusError::Corrupt(damage.clone()));
        }
        self.flush().await?;
        let rows: Vec<(i64, i64, Vec<u8>, Option<i64>)> =
            sqlx::query_as("SELECT epoch, n, bytes, checksum FROM log WHERE document = ? ORDER BY seq")
                .bind(document)
                .fetch_all(&mut *self.db)
                .await?;
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
        rows.into_iter().map(entry).collect()
    }

    pub(super) async fn has_entries(&mut self, document: &str) -> Result<bool> {
        self.flush().await?;
        let any = sqlx::query("SELECT 1 FROM log WHERE document = ? LIMIT 1").bind(document);
        Ok(any.fetch_optional(&mut *self.db).await?.is_some())
    }

    /// The documents with entries.
    pub(super) async fn documents(&mut self, behind: u64) -> Result<Vec<String>> {
        self.flush().await?;
        let documents = sqlx::query_scalar("SELECT DISTINCT document FROM log ORDER BY document LIMIT ? OFFSET ?")
            .bind(SWEEP_STEP)
            .bind(behind.cast_signed())
            .fetch_all(&mut *self.db);
        Ok(documents.await?)
    }

    pub(super) async fn delete(&mut self, document: &str) -> Result<()> {
        self.flush().await?;
        for query in ["DELETE FROM log WHERE document = ?", "DELETE FROM log_head WHERE document = ?"] {
            sqlx::query(query).bind(document).execute(&mut *self.db).await?;
        }
        self.heads.remove(document);
        Ok(())
    }

    /// At once, not late as in Redis: log and checkpoint are one file, so they are lost together or not at all.
    /// Entries of older epochs go too, as in Redis. Head stays, as the checkpoint's row does.
    pub(super) async fn cover(&mut self, document: &str, position: Position, head: &Head, last: u64) -> Result<()> {
        self.flush().await?;
        sqlx::query("DELETE FROM log WHERE document = ? AND (epoch <> ? OR n <= ?)")
            .bind(document)
            .bind(epoch_to_column(position.epoch))
            .bind(position.n.cast_signed())
            .execute(&mut *self.db)
            .await?;
        // Its entries no longer tell where the stream ends.
        self.write_head(document, head, last).await?;
        self.heads.remove(document);
        Ok(())
    }
}
