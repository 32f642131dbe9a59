//! The places of a lobby, as tasks see them: taken, given back when dropped, lost when somebody else needs it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;
use tokio::sync::oneshot;

use super::lobby::{Lobby, Ticket};
use crate::metrics::{Limited, Metrics};

pub(super) struct Places {
    lobby: Mutex<Lobby<oneshot::Sender<()>>>,
    /// Why a connection has lost its place.
    reason: Limited,
    gauge: Option<IntGauge>,
    metrics: Arc<Metrics>,
}

/// A connection's place.
pub(super) struct Place {
    places: Arc<Places>,
    ticket: Ticket,
    out: oneshot::Receiver<()>,
}

impl Places {
    pub(super) fn new(count: usize, reason: Limited, gauge: Option<IntGauge>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { lobby: Mutex::new(Lobby::new(count)), reason, gauge, metrics })
    }

    /// Always succeeds; somebody else may lose theirs for it.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Place {
        let (kept, out) = oneshot::channel();
        let mut lobby = self.lobby();
        let (ticket, pushed) = lobby.enter(peer, kept);
        self.count(&lobby, pushed.is_some());
        Place { places: self.clone(), ticket, out }
    }

    /// Takes so many places away, because the process needs what they hold.
    pub(super) fn clear(&self, count: usize) {
        let mut lobby = self.lobby();
        for _ in 0..count {
            let pushed = lobby.push_out();
            self.count(&lobby, pushed.is_some());
        }
    }

    fn count(&self, lobby: &Lobby<oneshot::Sender<()>>, pushed: bool) {
        if pushed {
            self.metrics.limited(self.reason);
        }
        if let Some(gauge) = &self.gauge {
            gauge.set(lobby.len() as i64);
        }
    }

    fn lobby(&self) -> MutexGuard<'_, Lobby<oneshot::Sender<()>>> {
        // Each change is done or not done when something panics, so the lobby is whole.
        self.lobby.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the place is lost.
    pub(super) async fn lost(&mut self) {
        // Nothing is ever sent: the other end is dropped.
        let _ = (&mut self.out).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lobby = self.places.lobby();
        lobby.leave(self.ticket);
        self.places.count(&lobby, false);
    }
}
