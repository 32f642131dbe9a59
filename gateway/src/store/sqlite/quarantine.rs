//! The quarantine in SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use super::damage::unavailable;
use crate::store::Result;
use crate::store::quarantine::{Quarantine, Quarantined, RawRow, Strike, StrikeColumns, StrikeInfo};
use crate::store::row::{self, ROW, RowColumns};

#[async_trait]
impl Quarantine for SqliteStore {
    async fn note_strike(&self, strike: &Strike) -> Result<()> {
        let query = "INSERT INTO strikes (document, run, cause, doing, suspects) VALUES (?, ?, ?, ?, ?) \
                     ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(&strike.document).bind(strike.run.cast_signed());
        let query = query.bind(strike.cause.as_str()).bind(strike.doing).bind(i64::from(strike.suspects));
        query.execute(&self.pool).await.map(drop).map_err(unavailable)
    }

    async fn strikes(&self, document: &str) -> Result<Vec<StrikeInfo>> {
        let query = "SELECT cause, doing, suspects, at, unixepoch() - at FROM strikes WHERE document = ? \
                     ORDER BY at DESC, run";
        let rows: Vec<StrikeColumns> =
            sqlx::query_as(query).bind(document).fetch_all(&self.pool).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(StrikeInfo::from).collect())
    }

    async fn quarantine(&self, document: &str) -> Result<bool> {
        let query = sqlx::query("INSERT INTO quarantine (document) VALUES (?) ON CONFLICT DO NOTHING").bind(document);
        Ok(query.execute(&self.pool).await.map_err(unavailable)?.rows_affected() == 1)
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>> {
        let query = sqlx::query_as("SELECT document, since FROM quarantine ORDER BY document");
        let rows: Vec<(String, i64)> = query.fetch_all(&self.pool).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|(document, since)| Quarantined { document, since }).collect())
    }

    async fn is_quarantined(&self, document: &str) -> Result<bool> {
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM quarantine WHERE document = ?)").bind(document);
        query.fetch_one(&self.pool).await.map_err(unavailable)
    }

    async fn release(&self, document: &str) -> Result<bool> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
        let strikes = sqlx::query("DELETE FROM strikes WHERE document = ?").bind(document);
        strikes.execute(&mut *transaction).await.map_err(unavailable)?;
        let done = sqlx::query("DELETE FROM quarantine WHERE document = ?").bind(document);
        let done = done.execute(&mut *transaction).await.map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(done.rows_affected() == 1)
    }

    async fn raw(&self, document: &str) -> Result<Option<RawRow>> {
        let query = sqlx::query_as::<_, RowColumns>(ROW).bind(document);
        let columns = query.fetch_optional(&self.pool).await.map_err(unavailable)?;
        Ok(columns.map(|columns| row::raw(document, columns)))
    }
}
