//! Looks after all sessions once a second. One timer for a shard and none for a session.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::inbound::Refusal;
use super::state::Shared;
use super::vitals::Care;
use crate::protocol::websocket::Opcode;

const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(shared: Rc<Shared>) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let state = &mut *shared.state.borrow_mut();
        state.delivery.flush();
        let now = Instant::now();
        let sessions = state.sessions.iter_mut();
        let needy: Vec<_> = sessions.filter_map(|(id, session)| Some((*id, session.care(now)?))).collect();
        for (id, care) in needy {
            match care {
                Care::Ping => shared.control(state, id, Opcode::Ping, b""),
                Care::Stuck => shared.close(state, id, Refusal::too_slow()),
                Care::Gone => shared.end(state, id),
            }
        }
    }
}
