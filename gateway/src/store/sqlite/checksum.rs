//! What SQLite does not notice of damage: a byte that is another one in the middle of a value. So rows have a checksum.

use sha2::{Digest as _, Sha256};

use crate::store::StoreError;

/// Of the values of a row, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checksum(Sha256);

impl Checksum {
    pub(crate) fn with(mut self, value: &[u8]) -> Self {
        self.0.update((value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }

    /// As the database keeps it.
    pub(crate) fn column(self) -> i64 {
        let digest = self.0.finalize();
        digest.iter().take(8).fold(0, |column, byte| column << 8 | i64::from(*byte))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_run_into_each_other() {
        let of = |values: &[&[u8]]| values.iter().fold(Checksum::default(), |sum, value| sum.with(value)).column();
        assert_eq!(of(&[b"a", b"bc"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a", b"bc"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b""]));
    }
}
