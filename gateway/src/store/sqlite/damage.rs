//! Which of SQLite's errors are damage.

use std::fmt::Display;

use crate::store::StoreError;

const SQLITE_ERROR: i32 = 1;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_NOTADB: i32 = 26;

/// An error of SQLite, by whichever of the two libraries that call it.
pub(crate) trait SqliteError: Display {
    /// Whether the error says that the file holds what it never should.
    fn is_damage(&self) -> bool;
}

fn says_damage(code: i32, message: &str) -> bool {
    // The lowest byte is the kind, the others say more.
    match code & 0xff {
        SQLITE_CORRUPT | SQLITE_NOTADB => true,
        // What the migrations have made is there, so its name is another one in the file.
        SQLITE_ERROR => message.starts_with("no such "),
        _ => false,
    }
}

impl SqliteError for sqlx::Error {
    fn is_damage(&self) -> bool {
        match self {
            Self::ColumnDecode { .. } | Self::Decode(_) => true,
            Self::Database(error) => {
                let code = error.code().and_then(|code| code.parse().ok());
                code.is_some_and(|code| says_damage(code, error.message()))
            }
            _ => false,
        }
    }
}

impl SqliteError for rusqlite::Error {
    fn is_damage(&self) -> bool {
        match self {
            Self::FromSqlConversionFailure(..)
            | Self::IntegralValueOutOfRange(..)
            | Self::InvalidColumnType(..)
            | Self::Utf8Error(..) => true,
            Self::SqliteFailure(error, message) => {
                says_damage(error.extended_code, message.as_deref().unwrap_or_default())
            }
            Self::SqlInputError { error, msg, .. } => says_damage(error.extended_code, msg),
            _ => false,
        }
    }
}

pub(super) fn unavailable(error: impl SqliteError) -> StoreError {
    let text = error.to_string();
    if error.is_damage() { StoreError::Corrupt(text) } else { StoreError::Unavailable(text) }
}
