//! The log protocol for one open document: what the room holds, what the log and the database hold, and how they stay
//! one. `docs/log.md` is its specification and gives the reason for each rule.
//!
//! - `join`: subscribe, READ, then the row, then union
//! - `look`: the tick, which finds what was silently lost
//! - `write`: OPEN and APPEND, what may be acknowledged; `queue`: the local updates that wait for that
//! - `checkpoint`: the compare-and-set of the row, COVER, leave

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use self::checkpoint::Checkpoint;
use self::join::Stage;
use self::look::Look;
use self::queue::Queue;
use self::write::{Flight, Waiting};
use super::log::{Entry, Head, Position, Tenure};
use super::{Effect, Limits, Now, Rule, SessionId};
use editorcluster_core::document::{Admitted, Document, Refused, merge};

mod checkpoint;
mod join;
mod look;
mod queue;
mod write;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// An entry of the log that is not known to be covered.
#[derive(Debug)]
struct Held {
    entry: Entry,
    /// As long as it is held, nothing that was taken in from this count on is known to be in the row.
    seq: u64,
}

/// One gateway's copy of a document.
pub(super) struct Replica {
    pub(super) document: Document,
    limits: Limits,
    random: SmallRng,
    calls: u64,

    stage: Stage,
    /// The row has been read and united once; before that the room serves nobody.
    loaded: bool,
    /// The row, read before it comes.
    prepared: Option<Document>,
    /// The row is to be read at the next join, because the last one could not.
    row_due: bool,
    /// Connections up to this generation are known to be dead.
    dead: Option<u64>,
    /// Heard while joining.
    buffer: Vec<Entry>,

    /// The contiguous frontier: everything of this epoch up to here is in the document.
    position: Option<Position>,
    head: Option<Head>,
    tenure: Option<Tenure>,
    /// The stream's entries that are not known to be covered, everyone's.
    tail: Vec<Held>,

    /// Local updates that are in no log yet, in order.
    queue: Queue,
    flight: Option<Flight>,
    /// The flight that a join or a failure has cut off: its outcome is unknown, its items are still in the queue.
    cut_off: Option<Flight>,
    /// Counts what was taken in, from sessions, log and row.
    taken: u64,
    waiting: VecDeque<Waiting>,

    checkpoint: Checkpoint,

    failures: u32,
    retry_at: Option<Now>,
    look: Look,

    /// Updates that the sessions have not seen, for the room to send.
    pub(super) news: Vec<Bytes>,
    /// Acknowledgements that are due, for the room to send.
    pub(super) acknowledged: Vec<(SessionId, Bytes)>,
}

impl Replica {
    pub(super) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            document: Document::default(),
            limits,
            random: SmallRng::seed_from_u64(seed),
            calls: 0,
            stage: Stage::Apart,
            loaded: false,
            prepared: None,
            row_due: false,
            dead: None,
            buffer: Vec::new(),
            position: None,
            head: None,
            tenure: None,
            tail: Vec::new(),
            queue: Queue::default(),
            flight: None,
            cut_off: None,
            taken: 0,
            waiting: VecDeque::new(),
            checkpoint: Checkpoint::default(),
            failures: 0,
            retry_at: None,
            look: Look::default(),
            news: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    /// Whether sessions can be served.
    pub(super) fn loaded(&self) -> bool {
        self.loaded
    }

    fn call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    fn joined(&self) -> bool {
        matches!(self.stage, Stage::Joined)
    }

    /// Whether it is not joined and not about to be.
    pub(super) fn is_apart(&self) -> bool {
        matches!(self.stage, Stage::Apart)
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.limits.without != Some(rule)
    }

    /// Tries again after a pause that doubles, with jitter.
    fn retry_later(&mut self, now: Now) {
        let most = RETRY_FIRST.saturating_mul(1 << self.failures.min(6)).min(RETRY_MOST);
        self.failures += 1;
        self.retry_at = Some(now + most.mul_f64(self.random.random_range(0.5..1.0)));
    }

    /// Takes in what a session's update brings, if the document admits it.
    pub(super) fn admit(&mut self, update: &Bytes) -> Result<Admitted, Refused> {
        if !self.keeps(Rule::VerdictFirst) {
            self.document.take(update)?;
            return Ok(Admitted { news: Some(update.clone()), ..Admitted::default() });
        }
        self.document.admit(update, self.limits.document_bytes)
    }

    /// Keeps what was read of the row until the row comes.
    pub(super) fn prepare(&mut self, document: Document) {
        self.prepared = (!self.loaded).then_some(document);
    }

    /// Takes content in that the sessions may lack: the database's row, entries of the log.
    fn unite(&mut self, row: Option<Bytes>, entries: impl IntoIterator<Item = Bytes>) {
        let prepared = self.prepared.take();
        // Both were checked before, by who asked for them.
        let row = row.and_then(|row| match prepared {
            Some(document) if document.is_as_loaded(&row) && self.document.is_untouched() && !self.loaded => {
                self.document = document;
                Some(Admitted::default())
            }
            _ => self.document.load(&row).ok(),
        });
        let entries = entries.into_iter().filter_map(|update| self.document.take(&update).ok());
        let admitted: Vec<Admitted> = row.into_iter().chain(entries).collect();
        if admitted.is_empty() {
            return;
        }
        self.taken += 1;
        let news: Vec<Bytes> = admitted.into_iter().filter_map(|admitted| admitted.news).collect();
        if self.loaded && !news.is_empty() {
            match merge(news.iter().map(|update| &update[..])) {
                Ok(merged) => self.news.push(merged),
                Err(_) => self.news.extend(news),
            }
        }
    }

    /// Something is due at the latest then.
    pub(super) fn wake_at(&self, alone: bool) -> Option<Now> {
        [self.retry_at, self.look.at, self.checkpoint_due(alone)].into_iter().flatten().min()
    }

    /// Time has passed, or something else has changed: begins whatever is due.
    pub(super) fn advance(&mut self, now: Now, alone: bool, effects: &mut Vec<Effect>) {
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            if !self.joined() {
                self.join(effects);
            }
        }
        if self.look.at.is_some_and(|at| now >= at) {
            self.look(effects);
        }
        if self.retry_at.is_none() {
            self.write(effects);
        }
        self.advance_checkpoint(now, alone, effects);
        self.acknowledge();
    }
}
