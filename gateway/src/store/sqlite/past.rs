//! The row and the history before a checkpoint. A checkpoint reads them on the store's thread, a version that gets a name
//! through the pool.

use crate::history::policy::{ClientId, LastVersion, Past, Written};
use crate::store::{Result, StoreError};

/// Of a document that is not deleted.
pub(super) const ROW: &str = "SELECT d.rev, unixepoch(), d.created_at, d.updated_at, v.rev, v.created_at, v.authors \
     FROM documents d LEFT JOIN versions v ON v.id = (SELECT id FROM versions \
         WHERE document = d.id AND name IS NULL AND rev > 0 ORDER BY id DESC LIMIT 1) \
     WHERE d.id = ? AND d.deleted_at IS NULL";
pub(super) const AUTHORS: &str = "SELECT client, clock, last_rev FROM authors WHERE document = ?";

/// The columns of `ROW`.
pub(super) type RowColumns = (i64, i64, i64, i64, Option<i64>, Option<i64>, Option<String>);
/// The columns of `AUTHORS`.
pub(super) type AuthorColumns = (i64, u32, i64);

pub(super) fn past(row: RowColumns, authors: Vec<AuthorColumns>) -> Result<Past> {
    let (rev, now, created_at, updated_at, version_rev, version_created_at, version_authors) = row;
    let last = match (version_rev, version_created_at, version_authors) {
        (Some(rev), Some(created_at), Some(authors)) => {
            Some(LastVersion { rev, created_at, authors: clients(&authors)? })
        }
        _ => None,
    };
    let written = authors
        .into_iter()
        .map(|(client, clock, last_rev)| Written { client: client.cast_unsigned(), clock, last_rev })
        .collect();
    Ok(Past { rev, now, created_at, updated_at, last, written })
}

pub(super) fn clients(json: &str) -> Result<Vec<ClientId>> {
    serde_json::from_str(json).map_err(|error| StoreError::Corrupt(format!("a version's authors `{json}`: {error}")))
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    // Lists of numbers.
    serde_json::to_string(value).unwrap_or_default()
}
