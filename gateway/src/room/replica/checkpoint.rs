//! Checkpoint and leave: the row of the database never shrinks, and a room closes only when all is in it.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;

use super::super::log::{Position, Row};
use super::super::{Effect, Failed, Now, Rule};
use super::Replica;

const RETRY: Duration = Duration::from_secs(1);
/// For so long after a row was asked for, or written, it counts as what the database has. Much shorter than the log's trim
/// is late.
const SURE_FOR: Duration = Duration::from_secs(5);

/// What is known of the row, and the write under way.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// The row's `rev` as last read or written; 0 is no row.
    rev: i64,
    row_position: Option<Position>,
    /// How far the row goes, as the last notice said.
    told: Option<Position>,
    /// All that was taken in up to this count is in the row.
    covered: u64,
    /// The log has not been told that all is covered.
    cover_due: bool,
    dirty_since: Option<Now>,
    retry_at: Option<Now>,
    /// What was taken in up to this count is in no log, and only an own write brings it to the row.
    owed: u64,
    /// Another room has written the row last. It goes on to, and this one waits longer: that saves most of the writes,
    /// and all of the conflicts, without a lease.
    follows: bool,
    /// The process drains: do not wait for `checkpoint_after`.
    flush: bool,
    step: Step,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    /// After a conflict: reads what another room has written.
    Loading {
        call: u64,
    },
    Writing {
        call: u64,
        begun: Now,
        taken: u64,
        position: Option<Position>,
        row_position: Option<Position>,
        plain: bool,
    },
    /// Asks whether the row is still the one that is known, because a COVER does not come right behind an own write: a
    /// database that failed over may have lost it since, and what is trimmed then is nowhere.
    Confirming {
        call: u64,
        begun: Now,
        position: Position,
    },
    Covering {
        call: u64,
        position: Position,
    },
}

/// The position for a row that is written by a room at `own` over one at `row`. Its epoch serves to find the next
/// generation, so the higher one stays.
fn highest(row: Option<Position>, own: Option<Position>) -> Option<Position> {
    let key = |at: &Position| (at.epoch.generation(), at.epoch.0, at.n);
    row.into_iter().chain(own).max_by_key(key)
}

impl Replica {
    pub(super) fn covered(&self) -> u64 {
        self.checkpoint.covered
    }

    pub(super) fn row_position(&self) -> Option<Position> {
        self.checkpoint.row_position
    }

    pub(super) fn row_covers(&self, at: Position) -> bool {
        self.checkpoint.row_position.is_some_and(|row| row.epoch == at.epoch && at.n <= row.n)
    }

    /// Whether a row of this `rev` holds what is not known here. An own write under way makes its own `rev`.
    pub(super) fn row_is_news(&self, rev: i64) -> bool {
        rev != self.checkpoint.rev && matches!(self.checkpoint.step, Step::Idle)
    }

    /// Whether the row, as read now, is an earlier one than what is known of it.
    pub(super) fn row_shrank(&self, row: Option<&Row>) -> bool {
        row.map_or(0, |row| row.rev) < self.checkpoint.rev
            && matches!(self.checkpoint.step, Step::Idle)
            && self.keeps(Rule::RewriteEarlierRow)
    }

    /// The row's `rev`. If that is still the one that is known, and a notice has said that another row goes further, that
    /// one is lost.
    pub(super) fn row_is_at(&mut self, rev: i64) {
        let told = self.checkpoint.told.take_if(|_| rev == self.checkpoint.rev);
        if told.is_some_and(|told| !self.row_covers(told)) && self.keeps(Rule::RewriteEarlierRow) {
            self.owe_row();
        }
    }

    /// Remembers the row; its state, if that is news.
    pub(super) fn take_row(&mut self, row: Option<Row>) -> Option<Bytes> {
        if row.is_none() {
            // Somebody deleted it; the next write makes it again.
            self.checkpoint.rev = 0;
        }
        let row = row.filter(|row| row.rev != self.checkpoint.rev)?;
        self.checkpoint.rev = row.rev;
        self.checkpoint.row_position = row.position;
        Some(row.state)
    }

    /// The row has lost something that the room holds: all is to be written.
    pub(super) fn owe_row(&mut self) {
        self.taken += 1;
        self.checkpoint.owed = self.taken;
    }

    /// Whatever came from the log is in the row or in the tail, and whatever is in no log in the queue: what is older than
    /// all of that is in the row.
    pub(super) fn count_covered(&mut self) {
        if self.checkpoint.owed > self.checkpoint.covered {
            return;
        }
        let uncovered = self.tail.iter().filter(|held| !self.row_covers(held.entry.position)).map(|held| held.seq);
        let queued = self.queue.front().map(|item| item.seq);
        let known = uncovered.chain(queued).min().map_or(self.taken, |first| first.saturating_sub(1));
        self.checkpoint.covered = self.checkpoint.covered.max(known);
    }

    /// Another room has written the row. What is in the log will be in its next one.
    fn follow(&mut self) {
        self.checkpoint.follows = true;
        if self.queue.is_empty() && self.checkpoint.owed <= self.checkpoint.covered {
            self.checkpoint.dirty_since = None;
        }
    }

    pub(super) fn log_grew(&mut self) {
        self.checkpoint.cover_due = true;
    }

    pub(super) fn log_is_empty(&mut self) {
        self.checkpoint.cover_due = false;
    }

    pub(in super::super) fn flush(&mut self) {
        self.checkpoint.flush = true;
    }

    fn due_at(&self, alone: bool) -> Option<Now> {
        let since = self.checkpoint.dirty_since?;
        let after = self.limits.checkpoint_after;
        let wait = match () {
            () if alone || self.checkpoint.flush => Duration::ZERO,
            () if self.checkpoint.follows => after + after / 4,
            () => after,
        };
        Some(since + wait)
    }

    pub(super) fn checkpoint_due(&self, alone: bool) -> Option<Now> {
        if !matches!(self.checkpoint.step, Step::Idle) {
            return None;
        }
        self.checkpoint.retry_at.or_else(|| self.due_at(alone))
    }

    pub(super) fn advance_checkpoint(&mut self, now: Now, alone: bool, effects: &mut Vec<Effect>) {
        let dirty = self.taken > self.checkpoint.covered;
        self.checkpoint.dirty_since = if dirty { self.checkpoint.dirty_since.or(Some(now)) } else { None };
        let waits = self.checkpoint.retry_at.is_some_and(|at| now < at);
        if !self.loaded || waits || !matches!(self.checkpoint.step, Step::Idle) {
            return;
        }
        self.checkpoint.retry_at = None;
        if self.due_at(alone).is_some_and(|at| now >= at) {
            self.begin_write(now, effects);
        } else if !dirty
            && self.checkpoint.cover_due
            && self.flight.is_none()
            && self.joined()
            && let Some(position) = self.position
        {
            if self.takes_cover() { self.confirm(now, position, effects) } else { self.open_for_cover(effects) }
        }
    }

    fn begin_write(&mut self, now: Now, effects: &mut Vec<Effect>) {
        // All that was taken in was validated, so this encodes; if it ever does not, nothing is written or covered.
        let Ok(state) = self.document.encode_state() else { return self.checkpoint_later(now) };
        let call = self.call();
        let row_position = highest(self.checkpoint.row_position, self.position);
        let (taken, position, plain) = (self.taken, self.position, self.is_plain());
        self.checkpoint.step = Step::Writing { call, begun: now, taken, position, row_position, plain };
        effects.push(Effect::Write { call, expected: self.checkpoint.rev, state, position: row_position });
    }

    /// Whether the document is what the known row and the log up to `position` make. Other rooms at that position then
    /// need not read the row that is written from it.
    fn is_plain(&self) -> bool {
        let heard = |at: Position| self.position.is_some_and(|mine| mine.epoch != at.epoch || at.n <= mine.n);
        self.joined()
            && self.queue.is_empty()
            && self.flight.is_none()
            && !self.row_due
            && self.tail.iter().all(|held| heard(held.entry.position))
    }

    fn takes_cover(&self) -> bool {
        self.head.as_ref().is_some_and(|head| self.is_at(head))
    }

    fn confirm(&mut self, now: Now, position: Position, effects: &mut Vec<Effect>) {
        if !self.keeps(Rule::ConfirmBeforeCover) {
            return self.begin_cover(position, None, effects);
        }
        let call = self.call();
        self.checkpoint.step = Step::Confirming { call, begun: now, position };
        effects.push(Effect::Rev { call });
    }

    /// Whether the answer was to a question of this kind.
    pub(super) fn confirmed(
        &mut self,
        now: Now,
        call: u64,
        result: Result<i64, Failed>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Step::Confirming { call: mine, begun, position } = self.checkpoint.step else { return false };
        if mine != call {
            return false;
        }
        self.checkpoint.step = Step::Idle;
        match result {
            Ok(rev) if self.row_is_news(rev) => self.join_and_load(effects),
            Ok(rev) => {
                self.row_is_at(rev);
                // Else it is asked again.
                if now < begun + SURE_FOR
                    && self.checkpoint.owed <= self.checkpoint.covered
                    && self.joined()
                    && self.takes_cover()
                {
                    self.begin_cover(position, None, effects);
                }
            }
            Err(Failed) => self.checkpoint_later(now),
        }
        true
    }

    fn begin_cover(&mut self, position: Position, rev: Option<i64>, effects: &mut Vec<Effect>) {
        let call = self.call();
        self.checkpoint.step = Step::Covering { call, position };
        effects.push(Effect::Cover { call, position, rev });
    }

    pub(in super::super) fn written(
        &mut self,
        now: Now,
        call: u64,
        result: Result<Option<i64>, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        let Step::Writing { call: mine, begun, taken, position, row_position, plain } = self.checkpoint.step else {
            return;
        };
        if mine != call {
            return;
        }
        self.checkpoint.step = Step::Idle;
        match result {
            Ok(Some(rev)) => {
                self.checkpoint.rev = rev;
                self.checkpoint.row_position = row_position;
                self.checkpoint.covered = self.checkpoint.covered.max(taken);
                self.checkpoint.dirty_since = None;
                self.checkpoint.follows = false;
                if now >= begun + SURE_FOR && self.keeps(Rule::ConfirmBeforeCover) {
                    // Nobody covers a log that is gone.
                    self.checkpoint.cover_due |= position.is_some() && self.position.is_some();
                } else if let Some(position) = position
                    && self.joined()
                    && self.takes_cover()
                {
                    self.begin_cover(position, plain.then_some(rev), effects);
                }
            }
            Ok(None) => {
                let call = self.call();
                self.checkpoint.step = Step::Loading { call };
                effects.push(Effect::Load { call });
            }
            Err(Failed) => self.checkpoint_later(now),
        }
    }

    pub(in super::super) fn row_read(
        &mut self,
        now: Now,
        call: u64,
        result: Result<Option<Row>, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        if !matches!(self.checkpoint.step, Step::Loading { call: mine } if mine == call) {
            return self.loaded_for_join(now, call, result, effects);
        }
        self.checkpoint.step = Step::Idle;
        match result {
            Ok(row) => {
                let shrank = self.row_shrank(row.as_ref());
                let state = self.take_row(row);
                self.unite(state, []);
                if shrank {
                    self.owe_row();
                }
                self.count_covered();
                self.follow();
            }
            Err(Failed) => self.checkpoint_later(now),
        }
    }

    pub(in super::super) fn cover_done(
        &mut self,
        now: Now,
        call: u64,
        result: Result<bool, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        let Step::Covering { call: mine, position } = self.checkpoint.step else { return };
        if mine != call {
            return;
        }
        self.checkpoint.step = Step::Idle;
        match result {
            Ok(true) => _ = self.drop_covered(position),
            // Another epoch is open, or none any more.
            Ok(false) => {
                self.checkpoint_later(now);
                self.join(effects);
            }
            Err(Failed) => self.checkpoint_later(now),
        }
    }

    /// A notice: the row holds everything of this epoch up to here, by whoever wrote it.
    pub(in super::super) fn covered_notice(&mut self, position: Position, rev: Option<i64>) {
        let Some(mine) = self.position.filter(|mine| mine.epoch == position.epoch) else { return };
        self.checkpoint.told = Some(position);
        if let Some(rev) = rev
            && rev == self.checkpoint.rev + 1
            && position.n <= mine.n
            && self.joined()
            && !matches!(self.checkpoint.step, Step::Loading { .. })
        {
            // What that row holds is held here: the row before it, and the log up to there.
            self.checkpoint.rev = rev;
            self.checkpoint.row_position = highest(self.checkpoint.row_position, Some(position));
        }
        let own = matches!(self.checkpoint.step, Step::Covering { position: mine, .. } if mine == position);
        let told = self.drop_covered(position);
        if self.joined() {
            self.count_covered();
            if told && !own {
                self.follow();
            }
        }
    }

    /// Whether there was something to drop.
    fn drop_covered(&mut self, covered: Position) -> bool {
        let (lower, before) = (|at: Position| at.epoch.generation() < covered.epoch.generation(), self.tail.len());
        self.tail.retain(|held| {
            let at = held.entry.position;
            !(lower(at) || at.epoch == covered.epoch && at.n <= covered.n)
        });
        if self.position == Some(covered) {
            self.checkpoint.cover_due = false;
        }
        self.tail.len() < before
    }

    fn checkpoint_later(&mut self, now: Now) {
        self.checkpoint.retry_at = Some(now + RETRY.mul_f64(self.random.random_range(0.5..1.0)));
    }

    /// Whether nothing would be missing if this replica ended now.
    pub(in super::super) fn may_leave(&self) -> bool {
        self.queue.is_empty() && self.flight.is_none() && (self.all_is_covered() || !self.keeps(Rule::LeaveWhenCovered))
    }

    fn all_is_covered(&self) -> bool {
        self.taken == self.checkpoint.covered
            && !self.checkpoint.cover_due
            && self.tail.is_empty()
            && matches!(self.checkpoint.step, Step::Idle)
    }
}
