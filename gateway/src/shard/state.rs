//! What a shard holds, and its main loop.
//!
//! Everything runs on one thread. The state is borrowed by one task at a time and never across an await, so each
//! method sees it whole.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use prometheus::local::LocalHistogram;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

use super::rooms::Slot;
use super::session::{self, Session};
use super::wakes::Wakes;
use super::{Command, Elsewhere, Setup, closing, edits, sweep};
use crate::bus::{Bus, Event};
use crate::room::{Effect, Input, Now, SessionId};

/// Commands or events that are taken in one turn.
const BATCH: usize = 256;

/// The shard's state and what its tasks wait for.
pub(super) struct Shared {
    pub(super) state: RefCell<State>,
    /// Something was queued to a socket.
    pub(super) dirty: Notify,
    /// The first timer is an earlier one.
    pub(super) earlier: Notify,
    /// A session or a room is gone.
    pub(super) gone: Notify,
    pub(super) setup: Setup,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) elsewhere: Elsewhere,
    started: Instant,
}

pub(super) struct State {
    pub(super) rooms: HashMap<Rc<str>, Slot>,
    /// Boxed: a map has up to twice the places that it needs, and a session is large.
    pub(super) sessions: HashMap<SessionId, Box<Session>>,
    /// Members of rooms without a socket, and who waits for the acknowledgement.
    pub(super) edits: HashMap<SessionId, edits::Done>,
    pub(super) wakes: Wakes,
    /// Documents whose subscription is being ended, and whether a new room waits for that.
    pub(super) unsubscribing: HashMap<Rc<str>, Option<Waiting>>,
    /// Sessions with something to write.
    pub(super) dirty: Vec<SessionId>,
    /// When the input that is being handled came in.
    pub(super) received: Instant,
    pub(super) delivery: LocalHistogram,
    /// Where sockets are read into, one after the other.
    pub(super) scratch: BytesMut,
    /// Kept for its capacity.
    pub(super) effects: Vec<Effect>,
    pub(super) closing: bool,
    pub(super) last_id: u64,
}

/// A room's subscription that must wait until the one before it is ended.
pub(super) struct Waiting {
    pub(super) incarnation: u64,
    pub(super) call: u64,
}

impl Shared {
    pub(super) fn new(setup: Setup, elsewhere: Elsewhere, bus: Arc<dyn Bus>) -> Self {
        let state = State {
            rooms: HashMap::new(),
            sessions: HashMap::new(),
            edits: HashMap::new(),
            wakes: Wakes::default(),
            unsubscribing: HashMap::new(),
            dirty: Vec::new(),
            received: Instant::now(),
            delivery: setup.metrics.delivery.local(),
            scratch: BytesMut::new(),
            effects: Vec::new(),
            closing: false,
            last_id: 0,
        };
        Self {
            state: RefCell::new(state),
            dirty: Notify::new(),
            earlier: Notify::new(),
            gone: Notify::new(),
            setup,
            bus,
            elsewhere,
            started: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Now {
        self.started.elapsed()
    }

    /// Gives a tick to each room whose time has come. Returns whether one wants the next one at once.
    fn call_back(self: &Rc<Self>) -> bool {
        let (mut state, now) = (self.state.borrow_mut(), self.now());
        state.received = Instant::now();
        while let Some((at, document)) = state.wakes.take_due(now) {
            if state.rooms.get_mut(&document).is_some_and(|slot| slot.take_wake(at)) {
                self.input(&mut state, &document, Input::Tick);
            }
        }
        state.wakes.next().is_some_and(|at| at <= self.now())
    }

    pub(super) fn instant(&self, at: Now) -> Instant {
        self.started + at
    }
}

impl State {
    /// A number for a session or a room that no other one of this shard has had.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// Runs until nobody can send commands any more.
pub(super) async fn run(
    shared: Rc<Shared>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    mut heard: mpsc::UnboundedReceiver<Event>,
) {
    spawn_local(session::flush(shared.clone()));
    spawn_local(sweep::run(shared.clone()));
    spawn_local(tick(shared.clone()));
    let (mut commands, mut events) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            count = inbox.recv_many(&mut commands, BATCH) => {
                if count == 0 {
                    return;
                }
                for command in commands.drain(..) {
                    obey(&shared, command);
                }
            }
            _ = heard.recv_many(&mut events, BATCH) => {
                let mut state = shared.state.borrow_mut();
                state.received = Instant::now();
                for event in events.drain(..) {
                    shared.heard(&mut state, event);
                }
            }
        }
    }
}

fn obey(shared: &Rc<Shared>, command: Command) {
    match command {
        Command::Socket(socket) => session::start(shared, socket),
        Command::Sweep { document } => shared.sweep(&mut shared.state.borrow_mut(), &document.into()),
        Command::Edit(edit) => edits::start(shared, edit),
        Command::Close { window, done } => {
            let shared = shared.clone();
            spawn_local(async move {
                closing::close(shared, window).await;
                let _ = done.send(());
            });
        }
        Command::Flush { done } => {
            let shared = shared.clone();
            spawn_local(async move {
                closing::flush(shared).await;
                let _ = done.send(());
            });
        }
    }
}

/// Calls rooms back at the times for which they asked.
async fn tick(shared: Rc<Shared>) {
    loop {
        let next = shared.state.borrow().wakes.next();
        match next {
            None => shared.earlier.notified().await,
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(shared.instant(at).into()) => {}
                    () = shared.earlier.notified() => continue,
                }
            }
        }
        if shared.call_back() {
            // It has much to do, and others are to have their turn.
            tokio::task::yield_now().await;
        }
    }
}
