//! Looks after all sessions once a second: pings, and the end of connections that are dead or stuck. One timer for a
//! shard and none for a session.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::inbound::Refusal;
use super::session::Session;
use super::state::Shared;
use crate::protocol::websocket::Opcode;

const EVERY: Duration = Duration::from_secs(1);
/// A client that was not heard for this long is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(25);
/// And it is gone when it has not answered this long after.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// A socket that takes nothing for this long is closed (1013).
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// For the client's answer to our close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    Ping,
    /// It takes nothing.
    Stuck,
    Gone,
}

pub(super) async fn run(shared: Rc<Shared>) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let state = &mut *shared.state.borrow_mut();
        state.delivery.flush();
        let now = Instant::now();
        let needy: Vec<_> =
            state.sessions.iter_mut().filter_map(|(id, session)| Some((*id, care(session, now)?))).collect();
        for (id, care) in needy {
            match care {
                Care::Ping => shared.control(state, id, Opcode::Ping, b""),
                Care::Stuck => shared.close(state, id, Refusal::too_slow()),
                Care::Gone => shared.end(state, id),
            }
        }
    }
}

fn care(session: &mut Session, now: Instant) -> Option<Care> {
    if let Some(since) = session.closing {
        return (now - since > CLOSE_WITHIN).then_some(Care::Gone);
    }
    if !session.outbox.is_empty() && now.saturating_duration_since(session.last_progress) > STUCK_AFTER {
        return Some(Care::Stuck);
    }
    if !session.is_read() {
        // Whom we do not listen to cannot be silent.
        session.last_heard = now;
        return None;
    }
    let silent = now.saturating_duration_since(session.last_heard);
    if silent > PING_AFTER + PONG_WITHIN {
        return Some(Care::Gone);
    }
    (silent > PING_AFTER && !std::mem::replace(&mut session.pinged, true)).then_some(Care::Ping)
}
