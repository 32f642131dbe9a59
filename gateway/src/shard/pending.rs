//! What of an open document waits for something that nobody has told: it was stored so, or it came from the log before
//! what it refers to. It is a part of the document, and nobody is shown it.

use crate::metrics::Metrics;

/// What was reported of one open document.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: i64,
    is_told: bool,
}

impl Pending {
    /// `bytes` wait now. `is_stored`: the document was just read, or is about to be written. What comes and goes in between
    /// is counted, and no reason to say anything.
    pub(super) fn note(&mut self, document: &str, bytes: usize, is_stored: bool, metrics: &Metrics) {
        let now = i64::try_from(bytes).unwrap_or(i64::MAX);
        if now != self.bytes {
            metrics.pending_bytes.add(now - self.bytes);
            self.bytes = now;
        }
        if is_stored && now > 0 && !self.is_told {
            self.is_told = true;
            tracing::warn!(document, bytes, "stored edits wait for others that nobody has told; nobody is shown them");
        }
    }

    /// The document is not open any more.
    pub(super) fn end(self, metrics: &Metrics) {
        metrics.pending_bytes.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_as_long_as_it_waits_and_its_document_is_open() {
        let metrics = Metrics::new().unwrap();
        let (mut one, mut other) = (Pending::default(), Pending::default());
        for (bytes, is_stored, is_told) in [(0, true, false), (5, false, false), (7, true, true), (3, true, true)] {
            one.note("one", bytes, is_stored, &metrics);
            assert_eq!((metrics.pending_bytes.get(), one.is_told), (bytes as i64, is_told));
        }
        other.note("other", 10, true, &metrics);
        assert_eq!(metrics.pending_bytes.get(), 13);
        one.end(&metrics);
        assert_eq!(metrics.pending_bytes.get(), 10);
        other.note("other", 0, false, &metrics);
        other.end(&metrics);
        assert_eq!(metrics.pending_bytes.get(), 0);
    }
}
