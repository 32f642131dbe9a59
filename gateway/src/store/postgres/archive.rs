//! Versions, authors and deletion in Postgres.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::PgConnection;

use super::PostgresStore;
use crate::history::policy::{ClientId, LastVersion, Past, Written};
use crate::store::Result;
use crate::store::archive::{Adopted, Archive, Author, DocumentInfo, Packed, VersionInfo, authors_of, pack, unpack};

const DOCUMENT: &str = "SELECT id, octet_length(state)::bigint, rev, extract(epoch FROM created_at)::bigint, \
                        extract(epoch FROM updated_at)::bigint FROM documents WHERE deleted_at IS NULL";
const VERSION: &str = "id, name, extract(epoch FROM created_at)::bigint, authors, bytes";

type DocumentColumns = (String, i64, i64, i64, i64);
type VersionColumns = (i64, Option<String>, i64, Vec<i64>, i64);

fn document((id, bytes, rev, created_at, updated_at): DocumentColumns) -> DocumentInfo {
    DocumentInfo { id, bytes, rev, created_at, updated_at }
}

fn version((id, name, created_at, authors, bytes): VersionColumns) -> VersionInfo {
    VersionInfo { id, name, created_at, authors: clients(authors), bytes }
}

fn clients(column: Vec<i64>) -> Vec<ClientId> {
    column.into_iter().map(i64::cast_unsigned).collect()
}

fn column(clients: &[ClientId]) -> Vec<i64> {
    clients.iter().copied().map(u64::cast_signed).collect()
}

/// Writes down whose writing has grown in the row of this `rev`.
pub(super) async fn note_authors(
    db: &mut PgConnection,
    document: &str,
    grown: &[(ClientId, u32)],
    rev: i64,
) -> sqlx::Result<()> {
    if grown.is_empty() {
        return Ok(());
    }
    let (clients, clocks): (Vec<i64>, Vec<i64>) =
        grown.iter().map(|(client, clock)| (client.cast_signed(), i64::from(*clock))).unzip();
    let query = "INSERT INTO authors (document, client, clock, last_rev) \
                 SELECT $1, client, clock, $2 FROM unnest($3::bigint[], $4::bigint[]) AS grown (client, clock) \
                 ON CONFLICT (document, client) DO UPDATE \
                 SET clock = excluded.clock, last_rev = excluded.last_rev, last_seen = now()";
    sqlx::query(query).bind(document).bind(rev).bind(clients).bind(clocks).execute(db).await.map(drop)
}

impl PostgresStore {
    /// The row and the history before a checkpoint. None: no row, or a deleted one.
    pub(super) async fn past(&self, document: &str) -> Result<Option<Past>> {
        type Columns = (i64, i64, i64, i64, Option<i64>, Option<i64>, Option<Vec<i64>>);
        let row = sqlx::query_as::<_, Columns>(
            "SELECT d.rev, extract(epoch FROM now())::bigint, extract(epoch FROM d.created_at)::bigint, \
                 extract(epoch FROM d.updated_at)::bigint, v.rev, extract(epoch FROM v.created_at)::bigint, v.authors \
             FROM documents d LEFT JOIN LATERAL (SELECT rev, created_at, authors FROM versions \
                 WHERE document = d.id AND name IS NULL AND rev > 0 ORDER BY id DESC LIMIT 1) v ON true \
             WHERE d.id = $1 AND d.deleted_at IS NULL",
        );
        let written =
            sqlx::query_as::<_, (i64, i64, i64)>("SELECT client, clock, last_rev FROM authors WHERE document = $1");
        // Both on one connection: two would wait for each other when all are in use.
        let found = self
            .call(async {
                let mut connection = self.pool.acquire().await?;
                let row = row.bind(document).fetch_optional(&mut *connection).await?;
                Ok((row, written.bind(document).fetch_all(&mut *connection).await?))
            })
            .await?;
        let (Some((rev, now, created_at, updated_at, version_rev, version_created_at, authors)), written) = found
        else {
            return Ok(None);
        };
        let last = match (version_rev, version_created_at, authors) {
            (Some(rev), Some(created_at), Some(authors)) => {
                Some(LastVersion { rev, created_at, authors: clients(authors) })
            }
            _ => None,
        };
        let written = written
            .into_iter()
            .map(|(client, clock, last_rev)| Written {
                client: client.cast_unsigned(),
                clock: u32::try_from(clock).unwrap_or(u32::MAX),
                last_rev,
            })
            .collect();
        Ok(Some(Past { rev, now, created_at, updated_at, last, written }))
    }

    /// The row's state, ready to become a version. If the row is another one by now, the compare-and-set fails and
    /// this goes with it.
    pub(super) async fn pack_row(&self, document: &str) -> Result<Packed> {
        let query = sqlx::query_as("SELECT state FROM documents WHERE id = $1").bind(document);
        let (state,): (Vec<u8>,) = self.call(query.fetch_one(&self.pool)).await?;
        pack(state.into()).await
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
        Ok(rows.into_iter().map(document).collect())
    }

    async fn document(&self, id: &str) -> Result<Option<DocumentInfo>> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{DOCUMENT} AND id = $1"))).bind(id);
        let row: Option<DocumentColumns> = self.call(query.fetch_optional(&self.pool)).await?;
        Ok(row.map(document))
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
            for query in ["DELETE FROM versions WHERE document = $1", "DELETE FROM authors WHERE document = $1"] {
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
        let Some(past) = self.past(document).await? else { return Ok(None) };
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
        let query = sqlx::query_as::<_, (i64, Option<String>, i64, i64)>(
            "SELECT client, user_name, extract(epoch FROM first_seen)::bigint, extract(epoch FROM last_seen)::bigint \
             FROM authors WHERE document = $1 ORDER BY last_rev DESC, client",
        );
        let rows = self.call(query.bind(document).fetch_all(&self.pool)).await?;
        let author = |(client, user, first_seen, last_seen): (i64, Option<String>, i64, i64)| Author {
            client: client.cast_unsigned(),
            user,
            first_seen,
            last_seen,
        };
        Ok(rows.into_iter().map(author).collect())
    }

    async fn tidy(&self) -> Result<u64> {
        let mut gone = 0;
        for (query, time) in [
            (
                "DELETE FROM versions WHERE name IS NULL AND made_at < now() - make_interval(secs => $1)",
                self.policy.keep_for,
            ),
            ("DELETE FROM documents WHERE deleted_at < now() - make_interval(secs => $1)", self.policy.tombstone),
        ] {
            let query = sqlx::query(query).bind(time.as_secs_f64());
            gone += self.call(query.execute(&self.pool)).await?.rows_affected();
        }
        Ok(gone)
    }
}
