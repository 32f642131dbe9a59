//! The tick: now and then a replica compares the log's end, head, tenure and the row's `rev` with what it knows. It
//! finds what silently lost notices would have told, and what only the row holds.

use std::time::Duration;

use rand::Rng as _;

use super::super::log::{Position, Tip};
use super::super::{Effect, Failed, Now, Rule};
use super::Replica;

/// At the latest this long after the last look or join.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// An entry that the log has must have been heard this long after.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// When the next step is due, and how far the look is.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) at: Option<Now>,
    step: Step,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    Peeking {
        call: u64,
    },
    /// The log was ahead. In a busy document that is the rule: its entries are on their way.
    Hearing {
        last: Position,
    },
    Asking {
        call: u64,
    },
}

impl Replica {
    pub(super) fn look_later(&mut self, now: Now) {
        self.look = Look { at: Some(now + LOOK_AGAIN.mul_f64(self.random.random_range(0.5..1.0))), step: Step::Idle };
    }

    /// Takes the step that is due.
    pub(super) fn look(&mut self, effects: &mut Vec<Effect>) {
        self.look.at = None;
        if !self.joined() {
            return;
        }
        match self.look.step {
            Step::Hearing { last } if self.has_heard(last) => self.ask_rev(effects),
            Step::Hearing { .. } => self.join(effects),
            _ => {
                let call = self.call();
                self.look.step = Step::Peeking { call };
                effects.push(Effect::Peek { call });
            }
        }
    }

    fn has_heard(&self, last: Position) -> bool {
        self.position.is_some_and(|mine| mine.epoch == last.epoch && mine.n >= last.n)
    }

    fn ask_rev(&mut self, effects: &mut Vec<Effect>) {
        let call = self.call();
        self.look.step = Step::Asking { call };
        effects.push(Effect::Rev { call });
    }

    pub(in super::super) fn peeked(
        &mut self,
        now: Now,
        call: u64,
        result: Result<Tip, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        if !matches!(self.look.step, Step::Peeking { call: mine } if mine == call) {
            return;
        }
        let Ok(tip) = result else { return self.fall_apart(now) };
        if tip.head != self.head || self.tenure.as_ref() != Some(&tip.tenure) || self.row_due {
            return self.join(effects);
        }
        match (tip.last, self.position) {
            (None, None) => self.ask_rev(effects),
            (Some(last), _) if self.has_heard(last) => self.ask_rev(effects),
            (Some(last), Some(mine)) if mine.epoch == last.epoch => {
                self.look = Look { at: Some(now + ON_ITS_WAY), step: Step::Hearing { last } };
            }
            _ => self.join(effects),
        }
    }

    pub(in super::super) fn rev_read(
        &mut self,
        now: Now,
        call: u64,
        result: Result<i64, Failed>,
        effects: &mut Vec<Effect>,
    ) {
        if self.confirmed(now, call, result, effects)
            || !matches!(self.look.step, Step::Asking { call: mine } if mine == call)
        {
            return;
        }
        match result {
            Ok(rev) if self.row_is_news(rev) && self.keeps(Rule::CompareRev) => self.join_and_load(effects),
            Ok(rev) => {
                self.row_is_at(rev);
                self.look_later(now);
            }
            // Without a database: the next look asks again.
            Err(Failed) => self.look_later(now),
        }
    }
}
