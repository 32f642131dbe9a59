//! Which sessions are closed when the process is about to be killed for its memory: those that hold most of it, so that
//! all others stay.

use std::collections::HashSet;
use std::rc::Rc;

use super::inbound::Refusal;
use super::state::{Shared, State};
use crate::metrics::Limited;
use crate::room::SessionId;

/// Whoever holds less is not the reason.
const HOLDS_MUCH: usize = 1 << 20;

/// Sessions that share memory, and how much that is.
struct Holder {
    bytes: usize,
    sessions: Vec<SessionId>,
}

impl Shared {
    /// Closes sessions until at least so many bytes will be free, largest holders first.
    pub(super) fn shed(self: &Rc<Self>, state: &mut State, mut bytes: u64) {
        let mut holders = holders(state);
        holders.retain(|holder| holder.bytes >= HOLDS_MUCH);
        holders.sort_unstable_by_key(|holder| holder.bytes);
        let mut closed = HashSet::new();
        while bytes > 0
            && let Some(holder) = holders.pop()
        {
            bytes = bytes.saturating_sub(holder.bytes as u64);
            for id in holder.sessions.into_iter().filter(|id| closed.insert(*id)) {
                self.setup.metrics.limited(Limited::Shed);
                if state.sessions.get(&id).is_some_and(|session| session.held() > 0) {
                    // What is queued to it goes now, and not when it has taken that.
                    self.end(state, id);
                } else {
                    self.close(state, id, Refusal::memory());
                }
            }
        }
    }
}

/// Each session with what is queued to it, and each room with what it keeps.
fn holders(state: &State) -> Vec<Holder> {
    let sessions = state.sessions.iter().map(|(id, session)| Holder { bytes: session.held(), sessions: vec![*id] });
    let rooms = state
        .rooms
        .values()
        .map(|slot| Holder { bytes: slot.turn.memory() + slot.streams.memory(), sessions: slot.sessions() });
    sessions.chain(rooms).filter(|holder| !holder.sessions.is_empty()).collect()
}
