//! Versions, authors and deletion in Postgres.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::{FromRow, PgConnection};

use super::PostgresStore;
use crate::history::policy::{ClientId, LastVersion, Past, Written};
use crate::store::Result;
use crate::store::archive::{
    Adopted, Archive, Author, AuthorColumns, DocumentColumns, DocumentInfo, Packed, STRIKES_KEEP_FOR, VersionInfo,
    authors_of, pack, unpack,
};

const DOCUMENT: &str = "SELECT id, octet_length(state)::bigint, rev, extract(epoch FROM created_at)::bigint, \
                        extract(epoch FROM updated_at)::bigint FROM documents WHERE deleted_at IS NULL";
const VERSION: &str = "id, name, extract(epoch FROM created_at)::bigint, authors, bytes";

type VersionColumns = (i64, Option<String>, i64, Vec<i64>, i64);

fn version((id, name, created_at, authors, bytes): VersionColumns) -> VersionInfo {
    VersionInfo { id, name, created_at, authors: clients(authors), bytes }
}

fn clients(column: Vec<i64>) -> Vec<ClientId> {
    column.into_iter().map(i64::cast_unsigned).collect()
}

fn column(clients: &[ClientId]) -> Vec<i64> {
    clients.iter().copied().map(u64::cast_signed).collect()
}

#[derive(FromRow)]
struct PastColumns {
    rev: i64,
    now: i64,
    created_at: i64,
    updated_at: i64,
    version_rev: Option<i64>,
    version_created_at: Option<i64>,
    version_authors: Option<Vec<i64>>,
    /// One item for each client, as the next two. None: nobody has written.
    clients: Option<Vec<i64>>,
    clocks: Option<Vec<i64>>,
    last_revs: Option<Vec<i64>>,
}

impl From<PastColumns> for Past {
    fn from(row: PastColumns) -> Self {
        let last = match (row.version_rev, row.version_created_at, row.version_authors) {
            (Some(rev), Some(created_at), Some(authors)) => {
                Some(LastVersion { rev, created_at, authors: clients(authors) })
            }
            _ => None,
        };
        let items = |column: Option<Vec<i64>>| column.unwrap_or_default().into_iter();
        let written = items(row.clients).zip(items(row.clocks)).zip(items(row.last_revs));
        let written = written.map(|((client, clock), last_rev)| Written {
            client: client.cast_unsigned(),
            clock: u32::try_from(clock).unwrap_or(u32::MAX),
            last_rev,
        });
        Self {
            rev: row.rev,
            now: row.now,
            created_at: row.created_at,
            updated_at: row.updated_at,
            last,
            written: written.collect(),
        }
    }
}

/// The row and the history before a checkpoint. None: no row, or a deleted one.
pub(super) async fn past(db: &mut PgConnection, document: &str) -> sqlx::Result<Option<Past>> {
    let query = sqlx::query_as::<_, PastColumns>(
        "SELECT d.rev, extract(epoch FROM now())::bigint AS now, extract(epoch FROM d.created_at)::bigint AS created_at, \
             extract(epoch FROM d.updated_at)::bigint AS updated_at, v.rev AS version_rev, \
             extract(epoch FROM v.created_at)::bigint AS version_created_at, v.authors AS version_authors, \
             a.clients, a.clocks, a.last_revs \
         FROM documents d LEFT JOIN LATERAL (SELECT rev, created_at, authors FROM versions \
             WHERE document = d.id AND name IS NULL AND rev > 0 ORDER BY id DESC LIMIT 1) v ON true, \
         LATERAL (SELECT array_agg(client) AS clients, array_agg(clock) AS clocks, array_agg(last_rev) AS last_revs \
             FROM authors WHERE document = d.id) a \
         WHERE d.id = $1 AND d.deleted_at IS NULL",
    );
    Ok(query.bind(document).fetch_optional(db).await?.map(Past::from))
}

impl PostgresStore {
    /// The row's state, ready to become a version. If the row is another one by now, the compare-and-set fails and
    /// this goes with it.
    pub(super) async fn pack_row(&self, db: &mut PgConnection, document: &str) -> Result<Packed> {
        let row = self.row(db, document).await?;
        pack(row.map(|row| row.state).unwrap_or_default()).await
    }

    /// Keeps the row of `rev` as an automatic version, and no more of those than the policy allows.
    pub(super) async fn keep(
        &self,
        db: &mut PgConnection,
        document: &str,
        rev: i64,
        created_at: i64,
        authors: &[ClientId],
        packed: Packed,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO versions (document, rev, created_at, authors, bytes, state) \
             VALUES ($1, $2, to_timestamp($3::bigint), $4, $5, $6)",
        )
        .bind(document)
        .bind(rev)
        .bind(created_at)
        .bind(column(authors))
        .bind(packed.bytes)
        .bind(packed.compressed)
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "DELETE FROM versions WHERE document = $1 AND name IS NULL AND id <= \
             (SELECT id FROM versions WHERE document = $1 AND name IS NULL ORDER BY id DESC LIMIT 1 OFFSET $2)",
        )
        .bind(document)
        .bind(i64::from(self.policy.keep))
        .execute(db)
        .await
        .map(drop)
    }
}

#[async_trait]
impl Archive for PostgresStore {
    async fn documents(&self, after: &str, limit: u32) -> Result<Vec<DocumentInfo>> {
        let query = format!("{DOCUMENT} AND id > $1 ORDER BY id LIMIT $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(after).bind(i64::from(limit));
        let rows: Vec<DocumentColumns> = self.call(query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(DocumentInfo::from).collect())
    }

    async fn document(&self, id: &str) -> Result<Option<DocumentInfo>> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{DOCUMENT} AND id = $1"))).bind(id);
        let row: Option<DocumentColumns> = self.call(query.fetch_optional(&self.pool)).await?;
        Ok(row.map(DocumentInfo::from))
    }

    async fn delete(&self, document: &str) -> Result<bool> {
        self.call(async {
            let mut transaction = self.pool.begin().await?;
            // It waits for a checkpoint that is being written, and a checkpoint that comes later finds another `rev`.
            let done = sqlx::query(
                "INSERT INTO documents (id, state, rev, deleted_at) VALUES ($1, '', 1, now()) \
                 ON CONFLICT (id) DO UPDATE SET state = '', epoch = NULL, n = NULL, rev = documents.rev + 1, \
                 updated_at = now(), deleted_at = now() WHERE documents.deleted_at IS NULL",
            )
            .bind(document)
            .execute(&mut *transaction)
            .await?;
            for query in [
                "DELETE FROM versions WHERE document = $1",
                "DELETE FROM authors WHERE document = $1",
                "DELETE FROM strikes WHERE document = $1",
                "DELETE FROM quarantine WHERE document = $1",
            ] {
                sqlx::query(query).bind(document).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(done.rows_affected() == 1)
        })
        .await
    }

    async fn revive(&self, document: &str) -> Result<bool> {
        let query = sqlx::query("DELETE FROM documents WHERE id = $1 AND deleted_at IS NOT NULL").bind(document);
        Ok(self.call(query.execute(&self.pool)).await?.rows_affected() == 1)
    }

    async fn versions(&self, document: &str, before: i64, limit: u32) -> Result<Vec<VersionInfo>> {
        let query = format!("SELECT {VERSION} FROM versions WHERE document = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(document).bind(before).bind(i64::from(limit));
        let rows: Vec<VersionColumns> = self.call(query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(version).collect())
    }

    async fn version(&self, document: &str, id: i64) -> Result<Option<(VersionInfo, Bytes)>> {
        let query = format!("SELECT {VERSION}, state FROM versions WHERE document = $1 AND id = $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(document).bind(id);
        let row: Option<(i64, Option<String>, i64, Vec<i64>, i64, Vec<u8>)> =
            self.call(query.fetch_optional(&self.pool)).await?;
        let Some((id, name, created_at, authors, bytes, state)) = row else { return Ok(None) };
        let version = version((id, name, created_at, authors, bytes));
        let state = unpack(&version, state).await?;
        Ok(Some((version, state)))
    }

    async fn name_version(&self, document: &str, name: &str, state: Bytes) -> Result<Option<VersionInfo>> {
        let past = self.call(async { past(&mut *self.pool.acquire().await?, document).await }).await?;
        let Some(past) = past else { return Ok(None) };
        let (rev, authors, packed) = (past.rev, authors_of(past, state.clone()).await?, pack(state).await?);
        // The row is locked, so that a deletion comes either before, and nothing is kept, or after, and takes it along.
        let query = format!(
            "INSERT INTO versions (document, rev, name, created_at, authors, bytes, state) \
             SELECT id, $1, $2, now(), $3, $4, $5 FROM documents WHERE id = $6 AND deleted_at IS NULL FOR SHARE \
             RETURNING {VERSION}"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(rev).bind(name).bind(column(&authors));
        let query = query.bind(packed.bytes).bind(packed.compressed).bind(document);
        let row: Option<VersionColumns> = self.call(query.fetch_optional(&self.pool)).await?;
        Ok(row.map(version))
    }

    async fn adopt_version(&self, document: &str, version: &Adopted, state: Bytes) -> Result<Option<VersionInfo>> {
        let packed = pack(state).await?;
        // Of a row that never was: numbers below 0. Who adopts locks the row, so that no two take one number.
        let query = format!(
            "WITH d AS (SELECT id FROM documents WHERE id = $6 AND deleted_at IS NULL FOR UPDATE) \
             INSERT INTO versions (document, rev, name, created_at, authors, bytes, state) \
             SELECT id, (SELECT least(0, coalesce(min(rev), 0)) - 1 FROM versions WHERE document = d.id), \
                 $1, to_timestamp($2::bigint), $3, $4, $5 FROM d RETURNING {VERSION}"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(&version.name).bind(version.created_at);
        let query = query.bind(column(&version.authors)).bind(packed.bytes).bind(packed.compressed).bind(document);
        let row: Option<VersionColumns> = self.call(query.fetch_optional(&self.pool)).await?;
        Ok(row.map(self::version))
    }

    async fn authors(&self, document: &str) -> Result<Vec<Author>> {
        let query = sqlx::query_as::<_, AuthorColumns>(
            "SELECT client, user_name, extract(epoch FROM first_seen)::bigint, extract(epoch FROM last_seen)::bigint \
             FROM authors WHERE document = $1 ORDER BY last_rev DESC, client",
        );
        let rows = self.call(query.bind(document).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Author::from).collect())
    }

    async fn tidy(&self) -> Result<u64> {
        let mut gone = 0;
        for (query, time) in [
            (
                "DELETE FROM versions WHERE name IS NULL AND made_at < now() - make_interval(secs => $1)",
                self.policy.keep_for,
            ),
            ("DELETE FROM documents WHERE deleted_at < now() - make_interval(secs => $1)", self.policy.tombstone),
            (
                "DELETE FROM strikes WHERE at < now() - make_interval(secs => $1) \
                 AND document NOT IN (SELECT document FROM quarantine)",
                STRIKES_KEEP_FOR,
            ),
        ] {
            let query = sqlx::query(query).bind(time.as_secs_f64());
            gone += self.call(query.execute(&self.pool)).await?.rows_affected();
        }
        Ok(gone)
    }
}
