//! Signs of life of one connection, and what follows from them. Pure.

use std::time::{Duration, Instant};

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A client that was not heard for this long is gone. Once five ninths of it are over (25 of 45 s) it is asked
    /// whether it is there: often enough for the load balancers that drop what is silent for 60 s.
    pub idle: Duration,
    /// A socket that takes nothing for this long is closed (1013).
    pub stuck: Duration,
}

/// A message may come as slowly as this, in bytes a second, once `Patience::idle` is over.
const SLOWEST: usize = 16 << 10;
/// For the client's answer to our close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Vitals {
    heard: Instant,
    pinged: bool,
    /// When the socket last took something, or when something was queued after it had taken everything.
    progressed: Instant,
    /// When the message began whose end has not come.
    message: Option<Instant>,
    /// When our close frame was queued.
    closing: Option<Instant>,
}

/// What a connection does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doing {
    /// Something is queued to the socket.
    pub(super) waiting: bool,
    /// The socket is read.
    pub(super) read: bool,
    /// Bytes of a message whose end has not come.
    pub(super) unfinished: usize,
}

/// What a connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    Ping,
    /// It takes nothing: to be closed.
    Stuck,
    /// Its message does not end: to be closed.
    SlowMessage,
    /// Nobody is there, though asked: to be forgotten.
    Silent,
    /// It does not answer our close: to be forgotten.
    Gone,
}

impl Vitals {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, pinged: false, progressed: now, message: None, closing: None }
    }

    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    pub(super) fn progress(&mut self, now: Instant) {
        self.progressed = now;
    }

    /// After a read: whether a message has come to its end in it, and whether one has begun that has not.
    pub(super) fn message(&mut self, ended: bool, unfinished: bool, now: Instant) {
        let begun = if ended { None } else { self.message };
        self.message = unfinished.then(|| begun.unwrap_or(now));
    }

    /// Our close frame is queued: from now on the session only waits for the client's end.
    pub(super) fn close(&mut self, now: Instant) {
        self.closing = Some(now);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// What must be done now.
    pub(super) fn care(&mut self, patience: Patience, doing: Doing, now: Instant) -> Option<Care> {
        let since = |then: Instant| now.saturating_duration_since(then);
        if let Some(closing) = self.closing {
            return (since(closing) > CLOSE_WITHIN).then_some(Care::Gone);
        }
        if doing.waiting && since(self.progressed) > patience.stuck {
            return Some(Care::Stuck);
        }
        if !doing.read {
            // Whom we do not listen to cannot be silent, nor slow.
            self.hear(now);
            self.message = self.message.map(|_| now);
            return None;
        }
        let allowed = patience.idle + Duration::from_secs((doing.unfinished / SLOWEST) as u64);
        if self.message.is_some_and(|begun| since(begun) > allowed) {
            return Some(Care::SlowMessage);
        }
        // Not before it was asked: whoever looks after it may be late.
        if self.pinged && since(self.heard) > patience.idle {
            return Some(Care::Silent);
        }
        let ask = since(self.heard) > patience.idle * 5 / 9;
        (ask && !std::mem::replace(&mut self.pinged, true)).then_some(Care::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { idle: Duration::from_secs(45), stuck: Duration::from_secs(30) };
    const IDLE: Doing = Doing { waiting: false, read: true, unfinished: 0 };
    const WAITING: Doing = Doing { waiting: true, ..IDLE };

    /// What a connection that does nothing needs, second by second.
    fn course(vitals: &mut Vitals, start: Instant, doing: Doing) -> Vec<(u64, Care)> {
        let seconds = 1..=60;
        let cares = seconds.map(|second| (second, vitals.care(PATIENCE, doing, start + Duration::from_secs(second))));
        cares.filter_map(|(second, care)| Some((second, care?))).collect()
    }

    #[test]
    fn a_silent_client_is_pinged_once_and_then_given_up() {
        let start = Instant::now();
        let course = course(&mut Vitals::new(start), start, IDLE);
        assert_eq!(course[..2], [(26, Care::Ping), (46, Care::Silent)]);
    }

    #[test]
    fn a_client_that_answers_stays() {
        let (start, mut vitals) = (Instant::now(), Vitals::new(Instant::now()));
        vitals.care(PATIENCE, IDLE, start + Duration::from_secs(26));
        vitals.hear(start + Duration::from_secs(27));
        assert_eq!(vitals.care(PATIENCE, IDLE, start + Duration::from_secs(47)), None);
        assert_eq!(vitals.care(PATIENCE, IDLE, start + Duration::from_secs(53)), Some(Care::Ping));
    }

    #[test]
    fn a_socket_that_takes_nothing_is_closed_though_its_client_sends() {
        let (start, mut vitals) = (Instant::now(), Vitals::new(Instant::now()));
        vitals.hear(start + Duration::from_secs(30));
        assert_eq!(vitals.care(PATIENCE, WAITING, start + Duration::from_secs(29)), None);
        assert_eq!(vitals.care(PATIENCE, WAITING, start + Duration::from_secs(31)), Some(Care::Stuck));
        vitals.progress(start + Duration::from_secs(31));
        assert_eq!(vitals.care(PATIENCE, WAITING, start + Duration::from_secs(40)), None);
    }

    #[test]
    fn a_client_that_is_not_read_is_not_blamed_for_its_silence() {
        let start = Instant::now();
        assert_eq!(course(&mut Vitals::new(start), start, Doing { read: false, ..IDLE }), []);
    }

    #[test]
    fn a_client_has_five_seconds_to_answer_a_close() {
        let start = Instant::now();
        let mut vitals = Vitals::new(start);
        vitals.close(start);
        assert_eq!(course(&mut vitals, start, WAITING)[0], (6, Care::Gone));
    }

    #[test]
    fn a_message_that_comes_byte_by_byte_is_given_up_though_its_client_is_heard() {
        let (start, mut vitals) = (Instant::now(), Vitals::new(Instant::now()));
        let mut given_up = None;
        for second in 1..100 {
            let now = start + Duration::from_secs(second);
            vitals.hear(now);
            vitals.message(false, true, now);
            let doing = Doing { unfinished: second as usize, ..IDLE };
            given_up = given_up.or(vitals.care(PATIENCE, doing, now).map(|care| (second, care)));
        }
        assert_eq!(given_up, Some((47, Care::SlowMessage)));
    }

    #[test]
    fn a_long_message_over_a_slow_line_may_take_its_time_and_the_next_one_begins_anew() {
        let (start, mut vitals) = (Instant::now(), Vitals::new(Instant::now()));
        for second in 1..1000 {
            let now = start + Duration::from_secs(second);
            vitals.hear(now);
            vitals.message(second % 300 == 0, true, now);
            let doing = Doing { unfinished: second as usize % 300 * SLOWEST, ..IDLE };
            assert_eq!(vitals.care(PATIENCE, doing, now), None, "after {second} s");
        }
    }
}
