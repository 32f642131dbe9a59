//! The last long answer to somebody who lacked much of the document. It is made once for all who lack the same, as long
//! as the document has not changed much: each is told in the end what came after it.

use bytes::Bytes;

#[derive(Debug, Default)]
pub(super) struct Stream {
    number: u64,
    /// The state vector of those who lack it, and that of the document when it was made.
    last: Option<(Bytes, Bytes)>,
}

impl Stream {
    /// The number of a stream for somebody with this state vector, and the document's state vector when it was made.
    pub(super) fn of(&self, asked: &Bytes) -> Option<(u64, Bytes)> {
        let (lacked, as_of) = self.last.as_ref()?;
        (lacked == asked).then(|| (self.number, as_of.clone()))
    }

    /// Begins another one. Returns its number.
    pub(super) fn begin(&mut self, asked: Bytes, as_of: Bytes) -> u64 {
        self.number += 1;
        self.last = Some((asked, as_of));
        self.number
    }

    /// Nobody is to be given the last one any more.
    pub(super) fn end(&mut self) {
        self.last = None;
    }

    pub(super) fn is_open(&self) -> bool {
        self.last.is_some()
    }
}
