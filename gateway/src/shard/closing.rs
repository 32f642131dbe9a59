//! A shard's part of the drain.

use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep_until};

use super::inbound::Refusal;
use super::state::Shared;
use crate::room::{Input, SessionId};

/// Closes every session with 1012, spread over the window and in random order, since y-websocket's clients come back
/// without jitter of their own. Returns when the last one is gone.
pub(super) async fn close(shared: Rc<Shared>, window: Duration) {
    let mut sessions: Vec<SessionId> = {
        let mut state = shared.state.borrow_mut();
        state.closing = true;
        state.sessions.keys().copied().collect()
    };
    sessions.shuffle(&mut rand::rng());
    let (start, count) = (Instant::now(), sessions.len() as f64);
    for (index, id) in sessions.into_iter().enumerate() {
        if !shared.state.borrow().sessions.contains_key(&id) {
            continue;
        }
        // The first one at the window's beginning, so that a single session does not wait for nothing.
        let jitter = if index == 0 { 0.0 } else { rand::rng().random_range(0.0..1.0) };
        sleep_until(start + window.mul_f64((index as f64 + jitter) / count)).await;
        shared.close(&mut shared.state.borrow_mut(), id, Refusal::restart());
    }
    until_gone(&shared, || shared.state.borrow().sessions.is_empty()).await;
}

/// Brings every room to its end: its checkpoint is written. Returns when the last one is gone.
pub(super) async fn flush(shared: Rc<Shared>) {
    {
        let state = &mut *shared.state.borrow_mut();
        shared.input_all(state, &Input::Flush);
    }
    until_gone(&shared, || shared.state.borrow().rooms.is_empty()).await;
}

async fn until_gone(shared: &Shared, is_so: impl Fn() -> bool) {
    loop {
        let gone = shared.gone.notified();
        if is_so() {
            return;
        }
        gone.await;
    }
}
