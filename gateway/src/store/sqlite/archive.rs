//! Versions, authors and deletion in SQLite.

use async_trait::async_trait;
use bytes::Bytes;

use super::SqliteStore;
use super::damage::unavailable;
use super::past::{self, clients, json};
use crate::history::policy::Past;
use crate::store::Result;
use crate::store::archive::{
    Adopted, Archive, Author, AuthorColumns, DocumentColumns, DocumentInfo, STRIKES_KEEP_FOR, VersionInfo, authors_of,
    pack, unpack,
};

const DOCUMENT: &str = "SELECT id, length(state), rev, created_at, updated_at FROM documents WHERE deleted_at IS NULL";
const VERSION: &str = "id, name, created_at, authors, bytes";

type VersionColumns = (i64, Option<String>, i64, String, i64);

fn version((id, name, created_at, authors, bytes): VersionColumns) -> Result<VersionInfo> {
    Ok(VersionInfo { id, name, created_at, authors: clients(&authors)?, bytes })
}

impl SqliteStore {
    /// The row and the history, for a version of now. None: no row, or a deleted one.
    async fn past(&self, document: &str) -> Result<Option<Past>> {
        let row = sqlx::query_as(past::ROW).bind(document).fetch_optional(&self.pool).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let authors = sqlx::query_as(past::AUTHORS).bind(document).fetch_all(&self.pool).await.map_err(unavailable)?;
        past::past(row, authors).map(Some)
    }
}

#[async_trait]
impl Archive for SqliteStore {
    async fn documents(&self, after: &str, limit: u32) -> Result<Vec<DocumentInfo>> {
        let query = format!("{DOCUMENT} AND id > ? ORDER BY id LIMIT ?");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(after).bind(limit);
        let rows: Vec<DocumentColumns> = query.fetch_all(&self.pool).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(DocumentInfo::from).collect())
    }

    async fn document(&self, id: &str) -> Result<Option<DocumentInfo>> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{DOCUMENT} AND id = ?"))).bind(id);
        let row: Option<DocumentColumns> = query.fetch_optional(&self.pool).await.map_err(unavailable)?;
        Ok(row.map(DocumentInfo::from))
    }

    async fn delete(&self, document: &str) -> Result<bool> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
        let done = sqlx::query(
            "INSERT INTO documents (id, state, rev, deleted_at) VALUES (?, x'', 1, unixepoch()) \
             ON CONFLICT (id) DO UPDATE SET state = x'', epoch = NULL, n = NULL, checksum = NULL, rev = rev + 1, \
             updated_at = unixepoch(), deleted_at = unixepoch() WHERE deleted_at IS NULL",
        )
        .bind(document)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        for query in [
            "DELETE FROM versions WHERE document = ?",
            "DELETE FROM authors WHERE document = ?",
            "DELETE FROM strikes WHERE document = ?",
            "DELETE FROM quarantine WHERE document = ?",
        ] {
            sqlx::query(query).bind(document).execute(&mut *transaction).await.map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)?;
        Ok(done.rows_affected() == 1)
    }

    async fn revive(&self, document: &str) -> Result<bool> {
        let query = sqlx::query("DELETE FROM documents WHERE id = ? AND deleted_at IS NOT NULL").bind(document);
        Ok(query.execute(&self.pool).await.map_err(unavailable)?.rows_affected() == 1)
    }

    async fn versions(&self, document: &str, before: i64, limit: u32) -> Result<Vec<VersionInfo>> {
        let query = format!("SELECT {VERSION} FROM versions WHERE document = ? AND id < ? ORDER BY id DESC LIMIT ?");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(document).bind(before).bind(limit);
        let rows: Vec<VersionColumns> = query.fetch_all(&self.pool).await.map_err(unavailable)?;
        rows.into_iter().map(version).collect()
    }

    async fn version(&self, document: &str, id: i64) -> Result<Option<(VersionInfo, Bytes)>> {
        let query = format!("SELECT {VERSION}, state FROM versions WHERE document = ? AND id = ?");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(document).bind(id);
        let row: Option<(i64, Option<String>, i64, String, i64, Vec<u8>)> =
            query.fetch_optional(&self.pool).await.map_err(unavailable)?;
        let Some((id, name, created_at, authors, bytes, state)) = row else { return Ok(None) };
        let version = version((id, name, created_at, authors, bytes))?;
        let state = unpack(&version, state).await?;
        Ok(Some((version, state)))
    }

    async fn name_version(&self, document: &str, name: &str, state: Bytes) -> Result<Option<VersionInfo>> {
        let Some(past) = self.past(document).await? else { return Ok(None) };
        let (rev, authors, packed) = (past.rev, authors_of(past, state.clone()).await?, pack(state).await?);
        let query = format!(
            "INSERT INTO versions (document, rev, name, created_at, authors, bytes, state) \
             SELECT id, ?, ?, unixepoch(), ?, ?, ? FROM documents WHERE id = ? AND deleted_at IS NULL \
             RETURNING {VERSION}"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(rev).bind(name).bind(json(&authors));
        let query = query.bind(packed.bytes).bind(packed.compressed).bind(document);
        let row: Option<VersionColumns> = query.fetch_optional(&self.pool).await.map_err(unavailable)?;
        row.map(version).transpose()
    }

    async fn adopt_version(&self, document: &str, version: &Adopted, state: Bytes) -> Result<Option<VersionInfo>> {
        let packed = pack(state).await?;
        // Of a row that never was: numbers below 0.
        let query = format!(
            "INSERT INTO versions (document, rev, name, created_at, authors, bytes, state) \
             SELECT id, (SELECT min(0, coalesce(min(rev), 0)) - 1 FROM versions WHERE document = d.id), ?, ?, ?, ?, ? \
             FROM documents d WHERE id = ? AND deleted_at IS NULL RETURNING {VERSION}"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(&version.name).bind(version.created_at);
        let query = query.bind(json(&version.authors)).bind(packed.bytes).bind(packed.compressed).bind(document);
        let row: Option<VersionColumns> = query.fetch_optional(&self.pool).await.map_err(unavailable)?;
        row.map(self::version).transpose()
    }

    async fn authors(&self, document: &str) -> Result<Vec<Author>> {
        let query = "SELECT client, user_name, first_seen, last_seen FROM authors WHERE document = ? \
                     ORDER BY last_rev DESC, client";
        let rows: Vec<AuthorColumns> =
            sqlx::query_as(query).bind(document).fetch_all(&self.pool).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(Author::from).collect())
    }

    async fn tidy(&self) -> Result<u64> {
        let mut gone = 0;
        for (query, time) in [
            ("DELETE FROM versions WHERE name IS NULL AND made_at < unixepoch() - ?", self.policy.keep_for),
            ("DELETE FROM documents WHERE deleted_at < unixepoch() - ?", self.policy.tombstone),
            (
                "DELETE FROM strikes WHERE at < unixepoch() - ? AND document NOT IN (SELECT document FROM quarantine)",
                STRIKES_KEEP_FOR,
            ),
        ] {
            let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            let done = sqlx::query(query).bind(seconds).execute(&self.pool).await.map_err(unavailable)?;
            gone += done.rows_affected();
        }
        Ok(gone)
    }
}
