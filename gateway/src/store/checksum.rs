//! What SQLite, and Postgres without data checksums, does not notice of damage: a byte that is another one in the middle
//! of a value. So rows have a checksum.

use sha2::{Digest as _, Sha256};

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
