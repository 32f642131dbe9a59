//! Signs of life of one connection, and what follows from them. Pure.

use std::time::{Duration, Instant};

/// A client that was not heard for this long is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(25);
/// And it is gone when it has not answered this long after.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// A socket that takes nothing for this long is closed (1013).
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// For the client's answer to our close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Vitals {
    heard: Instant,
    pinged: bool,
    /// When the socket last took something, or when something was queued after it had taken everything.
    progressed: Instant,
    /// When our close frame was queued.
    closing: Option<Instant>,
}

/// What a connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    Ping,
    /// It takes nothing: to be closed.
    Stuck,
    /// Nobody is there: to be forgotten.
    Gone,
}

impl Vitals {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, pinged: false, progressed: now, closing: None }
    }

    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    pub(super) fn progress(&mut self, now: Instant) {
        self.progressed = now;
    }

    /// Our close frame is queued: from now on the session only waits for the client's end.
    pub(super) fn close(&mut self, now: Instant) {
        self.closing = Some(now);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// What must be done now. `waiting`: something is queued to the socket; `read`: the socket is read.
    pub(super) fn care(&mut self, waiting: bool, read: bool, now: Instant) -> Option<Care> {
        let since = |then: Instant| now.saturating_duration_since(then);
        if let Some(closing) = self.closing {
            return (since(closing) > CLOSE_WITHIN).then_some(Care::Gone);
        }
        if waiting && since(self.progressed) > STUCK_AFTER {
            return Some(Care::Stuck);
        }
        if !read {
            // Whom we do not listen to cannot be silent.
            self.hear(now);
            return None;
        }
        if since(self.heard) > PING_AFTER + PONG_WITHIN {
            return Some(Care::Gone);
        }
        (since(self.heard) > PING_AFTER && !std::mem::replace(&mut self.pinged, true)).then_some(Care::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection that does nothing needs, second by second.
    fn course(vitals: &mut Vitals, start: Instant, waiting: bool, read: bool) -> Vec<(u64, Care)> {
        let seconds = 1..=60;
        let cares = seconds.map(|second| (second, vitals.care(waiting, read, start + Duration::from_secs(second))));
        cares.filter_map(|(second, care)| Some((second, care?))).collect()
    }

    #[test]
    fn a_silent_client_is_pinged_once_and_then_given_up() {
        let start = Instant::now();
        let course = course(&mut Vitals::new(start), start, false, true);
        assert_eq!(course[..2], [(26, Care::Ping), (46, Care::Gone)]);
    }

    #[test]
    fn a_client_that_answers_stays() {
        let (start, mut vitals) = (Instant::now(), Vitals::new(Instant::now()));
        vitals.care(false, true, start + Duration::from_secs(26));
        vitals.hear(start + Duration::from_secs(27));
        assert_eq!(vitals.care(false, true, start + Duration::from_secs(47)), None);
        assert_eq!(vitals.care(false, true, start + Duration::from_secs(53)), Some(Care::Ping));
    }

    #[test]
    fn a_socket_that_takes_nothing_is_closed_though_its_client_sends() {
        let (start, mut vitals) = (Instant::now(), Vitals::new(Instant::now()));
        vitals.hear(start + Duration::from_secs(30));
        assert_eq!(vitals.care(true, true, start + Duration::from_secs(29)), None);
        assert_eq!(vitals.care(true, true, start + Duration::from_secs(31)), Some(Care::Stuck));
        vitals.progress(start + Duration::from_secs(31));
        assert_eq!(vitals.care(true, true, start + Duration::from_secs(40)), None);
    }

    #[test]
    fn a_client_that_is_not_read_is_not_blamed_for_its_silence() {
        let start = Instant::now();
        assert_eq!(course(&mut Vitals::new(start), start, false, false), []);
    }

    #[test]
    fn a_client_has_five_seconds_to_answer_a_close() {
        let start = Instant::now();
        let mut vitals = Vitals::new(start);
        vitals.close(start);
        assert_eq!(course(&mut vitals, start, true, true)[0], (6, Care::Gone));
    }
}
