//! A document as files: its state, a Yjs update in encoding v1 that any Yjs can apply, and what there is to know of it.

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const FORMAT: &str = "editorcluster-document";
const FORMAT_VERSION: u32 = 1;
const ENCODING: &str = "yjs-update-v1";

/// File systems take names of 255 bytes.
const LONGEST_STEM: usize = 200;
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// What stands beside a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    format_version: u32,
    pub id: String,
    /// RFC 3339.
    pub exported_at: String,
    encoding: String,
    pub bytes: u64,
    /// Of the state, in hexadecimal.
    pub sha256: String,
    /// Who wrote in it.
    pub authors: Vec<AuthorEntry>,
    /// The oldest first. Files that were exported before there were any have none.
    #[serde(default)]
    pub versions: Vec<VersionEntry>,
}

/// A version, whose state is in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// Where it was exported; it gets another one where it is imported.
    pub id: i64,
    /// None: made automatically.
    pub name: Option<String>,
    /// When the content was written: RFC 3339.
    pub created_at: String,
    /// The Yjs clients that wrote since the automatic version before.
    pub authors: Vec<u64>,
    pub bytes: u64,
    /// Of the state, in hexadecimal.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorEntry {
    /// The Yjs client.
    pub client: u64,
    pub user: Option<String>,
    /// RFC 3339.
    pub first_seen: String,
    pub last_seen: String,
}

/// Why files are not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it is no document of EditorCluster: its format is `{0}`")]
    Format(String),
    #[error("`{0}` is no time; it is written as 2027-01-15T08:00:00Z")]
    Time(String),
    #[error("it was made by a newer version (format {0}); import it with that one")]
    Newer(u32),
    #[error("the state's encoding is `{0}`; only {ENCODING} is known")]
    Encoding(String),
    #[error("the state is not what was exported: {expected} was written down, {found} is there; copy the file again")]
    Damaged { expected: String, found: String },
}

impl Manifest {
    pub fn new(
        id: &str,
        exported_at: i64,
        state: &[u8],
        authors: Vec<AuthorEntry>,
        versions: Vec<VersionEntry>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            id: id.to_owned(),
            exported_at: time(exported_at),
            encoding: ENCODING.to_owned(),
            bytes: state.len() as u64,
            sha256: sha256(state),
            authors,
            versions,
        }
    }

    /// Whether this is the state that was exported.
    ///
    /// # Errors
    /// It is not, or not by a version whose files this one can read.
    pub fn check(&self, state: &[u8]) -> Result<(), Unusable> {
        if self.format != FORMAT {
            return Err(Unusable::Format(self.format.clone()));
        }
        if self.format_version > FORMAT_VERSION {
            return Err(Unusable::Newer(self.format_version));
        }
        if self.encoding != ENCODING {
            return Err(Unusable::Encoding(self.encoding.clone()));
        }
        check_sha256(&self.sha256, state)
    }
}

impl VersionEntry {
    /// Whether this is the state that was exported.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, state: &[u8]) -> Result<(), Unusable> {
        check_sha256(&self.sha256, state)
    }

    /// When the content was written, in Unix seconds.
    ///
    /// # Errors
    /// The entry holds no time.
    pub fn seconds(&self) -> Result<i64, Unusable> {
        let time: Timestamp = self.created_at.parse().map_err(|_| Unusable::Time(self.created_at.clone()))?;
        Ok(time.as_second())
    }
}

fn check_sha256(expected: &str, state: &[u8]) -> Result<(), Unusable> {
    let found = sha256(state);
    if found == expected { Ok(()) } else { Err(Unusable::Damaged { expected: expected.to_owned(), found }) }
}

/// The name of a document's files without their endings; no two documents have the same.
pub fn stem(id: &str) -> String {
    let mut stem = utf8_percent_encode(id, PLAIN).to_string();
    // A name of dots alone, or one that is hidden.
    if stem.starts_with('.') {
        stem.replace_range(..1, "%2E");
    }
    if stem.len() > LONGEST_STEM {
        // The end of an escape may be cut off; the name is not decoded again.
        stem.truncate(LONGEST_STEM - 40);
        stem = format!("{stem}~{}", &sha256(id.as_bytes())[..32]);
    }
    stem
}

/// A Unix time as RFC 3339.
pub fn time(seconds: i64) -> String {
    // Out of range only for a database that holds nonsense.
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// In hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_document_has_a_file_name_of_its_own() {
        let long = "ü/".repeat(128);
        let ids = ["a", "A", "a b", "a%20b", "a/b", "..", ".", ".a", "%2Ea", "con", &long, &format!("{long}x")];
        let stems: BTreeSet<_> = ids.iter().map(|id| stem(id)).collect();
        assert_eq!(stems.len(), ids.len());
        for stem in stems {
            assert!(stem.len() <= LONGEST_STEM && !stem.contains('/') && !stem.starts_with('.'), "{stem}");
        }
    }

    #[test]
    fn a_file_from_before_there_were_versions_is_read() {
        let manifest = Manifest::new("d", 1_800_000_000, b"state", Vec::new(), Vec::new());
        let mut json = serde_json::to_value(&manifest).unwrap();
        json.as_object_mut().unwrap().remove("versions").unwrap();
        assert_eq!(serde_json::from_value::<Manifest>(json).unwrap(), manifest);
    }

    #[test]
    fn a_changed_state_and_a_foreign_file_are_refused() {
        let manifest = Manifest::new("d", 1_800_000_000, b"state", Vec::new(), Vec::new());
        assert_eq!(manifest.exported_at, "2027-01-15T08:00:00Z");
        assert_eq!(manifest.check(b"state"), Ok(()));
        assert!(matches!(manifest.check(b"other"), Err(Unusable::Damaged { .. })));
        let newer = Manifest { format_version: 2, ..manifest.clone() };
        assert_eq!(newer.check(b"state"), Err(Unusable::Newer(2)));
        let foreign = Manifest { format: "x".to_owned(), ..manifest.clone() };
        assert_eq!(foreign.check(b"state"), Err(Unusable::Format("x".to_owned())));
        let v2 = Manifest { encoding: "yjs-update-v2".to_owned(), ..manifest };
        assert!(matches!(v2.check(b"state"), Err(Unusable::Encoding(_))));
    }
}
