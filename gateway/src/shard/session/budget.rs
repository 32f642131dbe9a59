//! How much a session may ask: a token bucket. Pure.
//!
//! A session that has spent its tokens is not read for a while, so that its own client waits and nothing is lost. A
//! message costs a token; one that takes the shard long, or is long, costs more, since those behind it in the shard wait
//! for its time and not for its number.

use std::time::{Duration, Instant};

/// What a session that always asks may take of its shard's time: at 500 tokens a second a twentieth of it.
const TOKEN_TIME: Duration = Duration::from_micros(100);
/// What it may send, or be sent because it asked: at 500 tokens a second 4 MiB a second.
const TOKEN_BYTES: f64 = 8192.0;
/// Presence goes to everybody at once and then to nobody: at 500 tokens a second 256 KiB a second, which is everybody
/// of a thousand moving all the time, told again by each, as y-websocket does.
const TOKEN_PRESENCE_BYTES: f64 = 512.0;
/// Seconds of tokens that a rested session has, a new one too: somebody who comes back with a day's work. Not more, since
/// whoever is at the end of it may just connect again.
const BURST: f64 = 2.0;
/// Seconds of tokens that it may owe, so that one message which took long for another reason does not silence it.
const DEBT: f64 = 4.0;
/// Seconds of tokens with which it goes on, so that it is not woken for each message.
const RESUME: f64 = 0.05;

/// The price of bytes that were read, or of an answer.
pub(in crate::shard) fn bytes(count: usize) -> f64 {
    count as f64 / TOKEN_BYTES
}

/// The price of presence, besides that of its bytes.
pub(super) fn presence(count: usize) -> f64 {
    count as f64 / TOKEN_PRESENCE_BYTES
}

/// The price of a message that has taken so long, besides that of its bytes.
pub(super) fn message(took: Duration) -> f64 {
    took.div_duration_f64(TOKEN_TIME).max(1.0)
}

#[derive(Debug)]
pub(in crate::shard) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    /// A rested session's. `rate`: tokens a second.
    pub(super) fn new(rate: f64, now: Instant) -> Self {
        Self { left: BURST * rate, at: now }
    }

    /// Takes the price of something.
    pub(in crate::shard) fn spend(&mut self, rate: f64, tokens: f64, now: Instant) {
        self.left = (self.left(rate, now) - tokens).max(-DEBT * rate);
        // `now` may be that of the read, before what was handled since: no time is to count twice.
        self.at = self.at.max(now);
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

    const RATE: f64 = 500.0;

    /// How many messages a session gets through in ten seconds, if it rests when it must.
    fn taken(took: Duration, length: usize) -> usize {
        let start = Instant::now();
        let (mut budget, mut now, mut count) = (Budget::new(RATE, start), start, 0);
        while now < start + Duration::from_secs(10) {
            match budget.rest_until(RATE, now) {
                Some(rested) => now = rested,
                None => {
                    now += took;
                    budget.spend(RATE, message(took) + bytes(length), now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn a_flood_of_cheap_messages_has_the_burst_and_then_the_rate() {
        let count = taken(Duration::from_micros(1), 0);
        assert!((5_900..=6_100).contains(&count), "{count}");
    }

    #[test]
    fn messages_that_take_long_or_are_long_are_fewer() {
        let slow = taken(Duration::from_millis(10), 0);
        assert!((55..=65).contains(&slow), "{slow}");
        let long = taken(Duration::from_micros(1), 1 << 20);
        assert!((43..=50).contains(&long), "{long}");
    }

    #[test]
    fn somebody_who_types_never_rests() {
        let start = Instant::now();
        let mut budget = Budget::new(RATE, start);
        for turn in 0..10_000 {
            let now = start + Duration::from_millis(20) * turn;
            budget.spend(RATE, message(Duration::from_micros(200)) + bytes(40), now);
            assert_eq!(budget.rest_until(RATE, now), None);
        }
    }

    #[test]
    fn a_price_that_is_taken_late_gives_no_time_twice() {
        let start = Instant::now();
        let mut budget = Budget::new(RATE, start);
        for turn in 0..2000 {
            budget.spend(RATE, 1.0, start + Duration::from_micros(turn));
            budget.spend(RATE, 0.0, start);
        }
        assert!(budget.rest_until(RATE, start + Duration::from_micros(2000)).is_some());
    }

    #[test]
    fn one_message_that_took_a_minute_silences_a_session_for_seconds_only() {
        let start = Instant::now();
        let mut budget = Budget::new(RATE, start);
        budget.spend(RATE, message(Duration::from_secs(60)), start);
        let rest = budget.rest_until(RATE, start).unwrap() - start;
        assert!(rest < Duration::from_secs(5), "{rest:?}");
    }
}
