//! The quarantine in Postgres.

use async_trait::async_trait;

use super::PostgresStore;
use crate::store::Result;
use crate::store::quarantine::{Quarantine, Quarantined, RawRow, Strike, StrikeColumns, StrikeInfo};
use crate::store::row::{self, ROW, RowColumns};

#[async_trait]
impl Quarantine for PostgresStore {
    async fn note_strike(&self, strike: &Strike) -> Result<()> {
        let query = "INSERT INTO strikes (document, run, cause, doing, suspects) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(&strike.document).bind(strike.run.cast_signed());
        let query = query.bind(strike.cause.as_str()).bind(strike.doing).bind(i64::from(strike.suspects));
        self.call(query.execute(&self.pool)).await.map(drop)
    }

    async fn strikes(&self, document: &str) -> Result<Vec<StrikeInfo>> {
        let query = sqlx::query_as::<_, StrikeColumns>(
            "SELECT cause, doing, suspects, extract(epoch FROM at)::bigint, extract(epoch FROM now() - at)::bigint \
             FROM strikes WHERE document = $1 ORDER BY at DESC, run",
        );
        let rows = self.call(query.bind(document).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(StrikeInfo::from).collect())
    }

    async fn quarantine(&self, document: &str) -> Result<bool> {
        let query = sqlx::query("INSERT INTO quarantine (document) VALUES ($1) ON CONFLICT DO NOTHING").bind(document);
        Ok(self.call(query.execute(&self.pool)).await?.rows_affected() == 1)
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>> {
        let query = sqlx::query_as::<_, (String, i64)>(
            "SELECT document, extract(epoch FROM since)::bigint FROM quarantine ORDER BY document",
        );
        let rows = self.call(query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(|(document, since)| Quarantined { document, since }).collect())
    }

    async fn is_quarantined(&self, document: &str) -> Result<bool> {
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM quarantine WHERE document = $1)").bind(document);
        self.call(query.fetch_one(&self.pool)).await
    }

    async fn release(&self, document: &str) -> Result<bool> {
        // One statement is a transaction of its own.
        let query = sqlx::query_scalar::<_, i64>(
            "WITH forgotten AS (DELETE FROM strikes WHERE document = $1), \
             released AS (DELETE FROM quarantine WHERE document = $1 RETURNING document) \
             SELECT count(*) FROM released",
        );
        Ok(self.call(query.bind(document).fetch_one(&self.pool)).await? == 1)
    }

    async fn raw(&self, document: &str) -> Result<Option<RawRow>> {
        let query = sqlx::query_as::<_, RowColumns>(ROW).bind(document);
        let columns = self.call(query.fetch_optional(&self.pool)).await?;
        Ok(columns.map(|columns| row::raw(document, columns)))
    }
}
