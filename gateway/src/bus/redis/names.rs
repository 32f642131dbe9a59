//! Key and channel names of a document.
//!
//! All hold the document's id in braces: Redis Cluster hashes only what is between them, so a document's keys share a
//! slot. `{`, `}` and `%` of the id itself are percent-encoded; otherwise `a}b` would share the tag of `a`.

use std::borrow::Cow;

const PREFIX: &str = "ec:{";
/// The pattern of all streams' keys.
pub(super) const STREAMS: &str = "ec:{*}:log";

pub(super) struct Names {
    pub(super) stream: String,
    pub(super) head: String,
    /// Entries and covered positions.
    pub(super) log: String,
    pub(super) awareness: String,
}

impl Names {
    pub(super) fn of(document: &str) -> Self {
        let base = format!("{PREFIX}{}}}", encode(document));
        Self {
            stream: format!("{base}:log"),
            head: format!("{base}:head"),
            awareness: format!("{base}:awareness"),
            log: base,
        }
    }

    /// What Redis Cluster hashes of the keys.
    pub(super) fn tag(&self) -> &str {
        &self.log[PREFIX.len()..self.log.len() - 1]
    }
}

/// The document of a channel name; None for a channel that is not ours.
pub(super) fn document(channel: &[u8]) -> Option<String> {
    let (tag, rest) = std::str::from_utf8(channel).ok()?.strip_prefix(PREFIX)?.split_once('}')?;
    (rest.is_empty() || rest == ":awareness").then(|| decode(tag))
}

/// The document of a stream's key; None for a key that is not ours.
pub(super) fn document_of_stream(key: &str) -> Option<String> {
    let tag = key.strip_prefix(PREFIX)?.strip_suffix("}:log")?;
    Some(decode(tag))
}

fn encode(document: &str) -> Cow<'_, str> {
    // An empty tag is no tag; "%" alone is never the encoding of something else.
    if document.is_empty() {
        return "%".into();
    }
    if !document.contains(['%', '{', '}']) {
        return document.into();
    }
    document.replace('%', "%25").replace('{', "%7B").replace('}', "%7D").into()
}

fn decode(tag: &str) -> String {
    match tag {
        "%" => String::new(),
        plain if !plain.contains('%') => plain.to_owned(),
        encoded => encoded.replace("%7D", "}").replace("%7B", "{").replace("%25", "%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_survives_the_way_there_and_back() {
        for id in ["plain", "", "{a}", "a}b", "50%", "%7B", "%25", "%", "a b/ü\u{1F600}"] {
            let names = Names::of(id);
            assert_eq!(document(names.log.as_bytes()).as_deref(), Some(id));
            assert_eq!(document(names.awareness.as_bytes()).as_deref(), Some(id));
            assert_eq!(document_of_stream(&names.stream).as_deref(), Some(id));
        }
    }

    #[test]
    fn the_tag_is_the_whole_id() {
        assert_eq!(Names::of("a}b").stream, "ec:{a%7Db}:log");
        assert_eq!(Names::of("a}b").tag(), "a%7Db");
    }
}
