//! Which of SQLite's errors are damage.

use crate::store::StoreError;

const SQLITE_ERROR: i32 = 1;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_NOTADB: i32 = 26;

/// Whether the error says that the file holds what it never should.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<i32>().ok());
            // The lowest byte is the kind, the others say more.
            match code.map(|code| code & 0xff) {
                Some(SQLITE_CORRUPT | SQLITE_NOTADB) => true,
                // What the migrations have made is there, so its name is another one in the file.
                Some(SQLITE_ERROR) => error.message().starts_with("no such "),
                _ => false,
            }
        }
        _ => false,
    }
}

pub(super) fn unavailable(error: sqlx::Error) -> StoreError {
    if is_damage(&error) { StoreError::Corrupt(error.to_string()) } else { StoreError::Unavailable(error.to_string()) }
}
