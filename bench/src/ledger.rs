//! Who wrote what when, and who has got it: nothing may be lost, nothing may come twice.

use std::collections::BTreeSet;
use std::time::Instant;

use hdrhistogram::Histogram;

/// What one receiver has of the authors in its document.
struct Seen {
    /// By author: everything below this number has come.
    next: Box<[u32]>,
    /// What came before its turn: author and number.
    early: BTreeSet<(usize, u32)>,
}

/// The account of one load: clients are numbered through, `per_document` to a document.
pub struct Ledger {
    first_author: u64,
    per_document: usize,
    /// By client: when each of its edits was due.
    sent: Vec<Vec<Instant>>,
    seen: Vec<Seen>,
    /// By client: how many of its own edits came back to it, which acknowledges them.
    acknowledged: Vec<u32>,
    pub deliveries: u64,
    pub duplicated: u64,
    /// Microseconds from the moment at which an edit was due until another client had it.
    pub latency: Histogram<u64>,
    /// Microseconds until its author had its acknowledgement.
    pub acknowledgement: Histogram<u64>,
}

fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_max(1000, 2).unwrap_or_else(|error| panic!("a valid precision: {error}"));
    histogram.auto(true);
    histogram
}

fn note(histogram: &mut Histogram<u64>, microseconds: u64) {
    // It grows as it must, so this does not fail.
    let _ = histogram.record(microseconds);
}

impl Ledger {
    /// `first_author`: the Yjs client id of client 0; the others' follow.
    pub fn new(first_author: u64, clients: usize, per_document: usize) -> Self {
        let seen = || Seen { next: vec![0; per_document].into(), early: BTreeSet::new() };
        Self {
            first_author,
            per_document,
            sent: vec![Vec::new(); clients],
            seen: std::iter::repeat_with(seen).take(clients).collect(),
            acknowledged: vec![0; clients],
            deliveries: 0,
            duplicated: 0,
            latency: histogram(),
            acknowledgement: histogram(),
        }
    }

    /// Notes the client's next edit and returns its author id and its number.
    pub fn send(&mut self, client: usize, due: Instant) -> (u64, u32) {
        let clock = self.sent[client].len() as u32;
        self.sent[client].push(due);
        (self.first_author + client as u64, clock)
    }

    /// A run of edits has come to a client.
    pub fn receive(&mut self, client: usize, author: u64, clock: u32, length: u32, now: Instant) {
        let Some(author) = author.checked_sub(self.first_author).map(|author| author as usize) else { return };
        if author >= self.sent.len() || author / self.per_document != client / self.per_document {
            // Written by an earlier load into the same document.
            return;
        }
        for clock in clock..clock + length {
            let Some(due) = self.sent[author].get(clock as usize) else { continue };
            let waited = now.saturating_duration_since(*due).as_micros() as u64;
            if author == client {
                self.acknowledged[client] += 1;
                note(&mut self.acknowledgement, waited);
            } else if self.seen[client].take(author % self.per_document, clock) {
                self.deliveries += 1;
                note(&mut self.latency, waited);
            } else {
                self.duplicated += 1;
            }
        }
    }

    /// A presence has come: the newest counts, those before it may be left out.
    pub fn present(&mut self, client: usize, author: u64, clock: u32, now: Instant) {
        let Some(author) = author.checked_sub(self.first_author).map(|author| author as usize) else { return };
        if author == client || author >= self.sent.len() || author / self.per_document != client / self.per_document {
            return;
        }
        let next = &mut self.seen[client].next[author % self.per_document];
        if clock >= *next
            && let Some(due) = self.sent[author].get(clock as usize)
        {
            *next = clock + 1;
            self.deliveries += 1;
            note(&mut self.latency, now.saturating_duration_since(*due).as_micros() as u64);
        }
    }

    /// Deliveries that are still due.
    pub fn missing(&self) -> u64 {
        let missing = |(client, seen): (usize, &Seen)| -> u64 {
            let first = client - client % self.per_document;
            let authors = (0..self.per_document).filter(|author| first + author != client);
            authors.map(|author| (self.sent[first + author].len() - seen.next[author] as usize) as u64).sum::<u64>()
                - seen.early.len() as u64
        };
        self.seen.iter().enumerate().map(missing).sum()
    }

    /// Edits whose author has not had them back.
    pub fn unacknowledged(&self) -> u64 {
        self.sent
            .iter()
            .zip(&self.acknowledged)
            .map(|(sent, &back)| (sent.len() as u64).saturating_sub(back.into()))
            .sum()
    }

    /// Forgets the latencies and the count so far: the measured time begins.
    pub fn begin(&mut self) {
        self.deliveries = 0;
        self.latency.reset();
        self.acknowledgement.reset();
    }
}

impl Seen {
    /// False: it was there.
    fn take(&mut self, author: usize, clock: u32) -> bool {
        let next = &mut self.next[author];
        if clock < *next {
            return false;
        }
        if clock > *next {
            return self.early.insert((author, clock));
        }
        *next += 1;
        while self.early.remove(&(author, *next)) {
            *next += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_late_or_out_of_order_is_told_apart() {
        let now = Instant::now();
        let mut ledger = Ledger::new(100, 4, 2);
        for _ in 0..3 {
            ledger.send(0, now);
        }
        assert_eq!((ledger.missing(), ledger.unacknowledged()), (3, 3));
        ledger.receive(1, 100, 2, 1, now);
        ledger.receive(1, 100, 0, 2, now);
        assert_eq!((ledger.missing(), ledger.deliveries, ledger.duplicated), (0, 3, 0));
        ledger.receive(1, 100, 1, 1, now);
        assert_eq!((ledger.deliveries, ledger.duplicated), (3, 1));
        // Its own, and one that is not of its document.
        ledger.receive(0, 100, 0, 3, now);
        ledger.receive(2, 100, 0, 3, now);
        assert_eq!((ledger.unacknowledged(), ledger.deliveries, ledger.duplicated), (0, 3, 1));
    }
}
