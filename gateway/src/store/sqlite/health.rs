//! Whether the whole file is sound. A damaged index does not find a document that is there, and to serve it as a new
//! one would be to serve it as empty; no checksum of a row says that. So SQLite's own check runs at the start and once a
//! day, beside everything else, and what is not found is believed to be missing only if it has found nothing.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::SqliteError as _;
use crate::store::{Result, StoreError};

const RETRY: Duration = Duration::from_secs(1);
const CHECK_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What the last check has found: nothing, or what is damaged. None before the first one.
type Found = Option<std::result::Result<(), String>>;

#[derive(Clone, Debug)]
pub(super) struct Health {
    found: watch::Receiver<Found>,
    _check: Arc<AbortOnDropHandle<()>>,
}

impl Health {
    /// Checks on the current runtime until it is dropped.
    pub(super) fn watch(pool: SqlitePool) -> Self {
        let (tell, found) = watch::channel(None);
        let check = tokio::spawn(async move {
            loop {
                let found = match check(&pool).await {
                    Ok(found) => found,
                    Err(error) => {
                        tracing::warn!(%error, "the database cannot be checked; trying again");
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                };
                if let Err(damage) = &found {
                    tracing::error!(
                        damage,
                        "the database is damaged: what can be read is served, no new documents are made; restore it"
                    );
                }
                let _ = tell.send(Some(found));
                tokio::time::sleep(CHECK_EVERY).await;
            }
        });
        Self { found, _check: Arc::new(AbortOnDropHandle::new(check)) }
    }

    /// Waits for the first check.
    ///
    /// # Errors
    /// The database is damaged: what was not found may be there.
    pub(super) async fn vouches_for_what_is_missing(&self) -> Result<()> {
        let mut found = self.found.clone();
        let found = found.wait_for(Option::is_some).await;
        match found.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(damage))) => {
                Err(StoreError::Corrupt(format!("no such document was found, but the file is damaged: {damage}")))
            }
            Ok(None) | Err(_) => Err(StoreError::Unavailable("its check has ended".to_owned())),
        }
    }
}

async fn check(pool: &SqlitePool) -> sqlx::Result<std::result::Result<(), String>> {
    // One finding is enough.
    let found: sqlx::Result<String> = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(pool).await;
    match found {
        Ok(found) if found == "ok" => Ok(Ok(())),
        Ok(found) => Ok(Err(found)),
        Err(error) if error.is_damage() => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
