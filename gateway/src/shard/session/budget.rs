//! How much a session may ask: a token bucket. Pure.
//!
//! A session that has spent its tokens is not read for a while, so that its own client waits and nothing is lost. A
//! message costs a token; one that takes the shard long, or is long, costs more, since those behind it in the shard wait
//! for its time and not for its number.

use std::time::{Duration, Instant};

/// What a session that always asks may take of its shard's time: at 1,000 tokens a second a tenth of it.
const TOKEN_TIME: Duration = Duration::from_micros(100);
/// At 1,000 tokens a second 4 MiB a second. A message of the largest size costs about what a rested session has.
const TOKEN_BYTES: usize = 4 << 10;
/// Seconds of tokens that a rested session has: somebody who comes back with a day's work.
const BURST: f64 = 4.0;
/// Seconds of tokens that it may owe, so that one message which took long for another reason does not silence it.
const DEBT: f64 = 4.0;
/// Seconds of tokens with which it goes on, so that it is not woken for each message.
const RESUME: f64 = 0.05;

#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    /// A rested session's. `rate`: tokens a second.
    pub(super) fn new(rate: f64, now: Instant) -> Self {
        Self { left: BURST * rate, at: now }
    }

    /// Takes the price of a message.
    pub(super) fn spend(&mut self, rate: f64, took: Duration, bytes: usize, now: Instant) {
        let price = took.div_duration_f64(TOKEN_TIME).max(bytes as f64 / TOKEN_BYTES as f64).max(1.0);
        self.left = (self.left(rate, now) - price).max(-DEBT * rate);
        self.at = now;
    }

    /// When the session may be heard again; None: now.
    pub(super) fn rest_until(&self, rate: f64, now: Instant) -> Option<Instant> {
        let left = self.left(rate, now);
        (left < 0.0).then(|| now + Duration::from_secs_f64(RESUME - left / rate))
    }

    fn left(&self, rate: f64, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(BURST * rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 1000.0;

    /// How many messages of this price a session gets through in `seconds`, if it rests when it must.
    fn taken(seconds: u64, took: Duration, bytes: usize) -> usize {
        let start = Instant::now();
        let (mut budget, mut now, mut count) = (Budget::new(RATE, start), start, 0);
        while now < start + Duration::from_secs(seconds) {
            match budget.rest_until(RATE, now) {
                Some(rested) => now = rested,
                None => {
                    now += took;
                    budget.spend(RATE, took, bytes, now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn a_flood_of_cheap_messages_has_the_burst_and_then_the_rate() {
        let count = taken(10, Duration::from_micros(1), 10);
        assert!((13_900..=14_100).contains(&count), "{count}");
    }

    #[test]
    fn messages_that_take_long_or_are_long_are_fewer() {
        let slow = taken(10, Duration::from_millis(10), 10);
        assert!((130..=150).contains(&slow), "{slow}");
        let long = taken(10, Duration::from_micros(1), 1 << 20);
        assert!((50..=60).contains(&long), "{long}");
    }

    #[test]
    fn somebody_who_types_never_rests() {
        let start = Instant::now();
        let mut budget = Budget::new(RATE, start);
        for turn in 0..10_000 {
            let now = start + Duration::from_millis(20) * turn;
            budget.spend(RATE, Duration::from_micros(200), 40, now);
            assert_eq!(budget.rest_until(RATE, now), None);
        }
    }

    #[test]
    fn one_message_that_took_a_minute_silences_a_session_for_seconds_only() {
        let start = Instant::now();
        let mut budget = Budget::new(RATE, start);
        budget.spend(RATE, Duration::from_secs(60), 40, start);
        let rest = budget.rest_until(RATE, start).unwrap() - start;
        assert!(rest < Duration::from_secs(5), "{rest:?}");
    }
}
