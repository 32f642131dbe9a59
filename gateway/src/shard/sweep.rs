//! Looks after all sessions once a second. One timer for a shard and none for a session.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::inbound::Refusal;
use super::state::Shared;
use super::vitals::Care;
use crate::metrics::Limited;
use crate::protocol::websocket::Opcode;

const EVERY: Duration = Duration::from_secs(1);
/// The memory of sessions that were closed is free after their rooms have been written.
const SHED_AGAIN: Duration = Duration::from_secs(3);

pub(super) async fn run(shared: Rc<Shared>) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shed_at = Instant::now();
    loop {
        interval.tick().await;
        let state = &mut *shared.state.borrow_mut();
        let excess = shared.setup.memory.excess();
        if excess > 0 && Instant::now() >= shed_at {
            shared.shed(state, excess);
            shed_at = Instant::now() + SHED_AGAIN;
        }
        state.delivery.flush();
        let (patience, now) = (shared.setup.patience, Instant::now());
        let sessions = state.sessions.iter_mut();
        let needy: Vec<_> = sessions.filter_map(|(id, session)| Some((*id, session.care(patience, now)?))).collect();
        let limited = |reason| shared.setup.metrics.limited(reason);
        for (id, care) in needy {
            match care {
                Care::Ping => shared.control(state, id, Opcode::Ping, b""),
                Care::Stuck => {
                    limited(Limited::Stuck);
                    shared.close(state, id, Refusal::too_slow());
                }
                Care::SlowMessage => {
                    limited(Limited::SlowMessage);
                    shared.close(state, id, Refusal::slow_message());
                }
                Care::Silent => {
                    limited(Limited::Silent);
                    shared.end(state, id);
                }
                Care::Gone => shared.end(state, id),
            }
        }
    }
}
