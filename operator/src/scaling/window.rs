//! The values that `spec.replicas` had lately.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Each value and since when it stood; the last one stands now.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    values: VecDeque<(Instant, i32)>,
}

impl Window {
    /// Notes the value that stands now. `before` is what stood until now when nothing is known.
    pub(super) fn observe(&mut self, now: Instant, value: i32, before: i32) {
        if self.values.is_empty() {
            self.values.push_back((now, before));
        }
        if self.values.back().is_some_and(|(_, last)| *last != value) {
            self.values.push_back((now, value));
        }
    }

    /// The highest value that stood at any time in the last `span`. Forgets what is older.
    pub(super) fn highest(&mut self, now: Instant, span: Duration) -> i32 {
        while self.values.get(1).is_some_and(|(ended, _)| now.saturating_duration_since(*ended) >= span) {
            self.values.pop_front();
        }
        self.values.iter().map(|(_, value)| *value).max().unwrap_or_default()
    }

    /// How long until [`highest`](Self::highest) can be lower.
    pub(super) fn until_lower(&self, now: Instant, span: Duration) -> Option<Duration> {
        let (ended, _) = self.values.get(1)?;
        Some(span.saturating_sub(now.saturating_duration_since(*ended)))
    }
}
