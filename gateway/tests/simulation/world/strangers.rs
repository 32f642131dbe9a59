//! Strangers: they come, send, are closed and come back. Their messages reach the room in order, and what they are told
//! reaches them at once.

use gateway::protocol::yjs::Message;
use gateway::room::{CloseReason, SessionId};
use rand::Rng as _;

use super::{Down, Event, GATEWAYS, Up, World, ms};
use crate::stranger::Stranger;

impl World {
    pub(super) fn new_strangers(&mut self) {
        for number in 0..self.plan.strangers {
            self.strangers.push(Stranger::new(number, self.plan.seed));
            self.after(ms(20), Event::Stranger(number));
        }
    }

    /// Comes, or does the next thing.
    pub(super) fn stranger(&mut self, number: usize) {
        if !self.busy() {
            return;
        }
        let wait = self.strangers[number].wait(self.plan.pace.clone());
        self.after(ms(wait), Event::Stranger(number));
        if self.now < self.strangers_away_until {
            self.stranger_leaves(number);
        } else if self.strangers[number].link.is_none() {
            let gateway = self.random.random_range(0..GATEWAYS);
            let session = SessionId(self.scheduled);
            let hello = self.strangers[number].connect(self.now, gateway, session);
            self.stranger_sends(number, Up::Join);
            self.stranger_sends(number, Up::Message(hello));
        } else if self.strangers[number].is_moody() {
            self.stranger_leaves(number);
        } else {
            for message in self.strangers[number].act() {
                self.stranger_sends(number, Up::Message(message));
            }
        }
    }

    pub(crate) fn stranger_leaves(&mut self, number: usize) {
        if self.strangers[number].link.is_some() {
            self.stranger_sends(number, Up::Leave);
            self.strangers[number].link = None;
        }
    }

    fn stranger_sends(&mut self, number: usize, what: Up) {
        let delay = self.delay();
        let stranger = &mut self.strangers[number];
        if let Up::Message(message) = &what {
            stranger.sends(message);
        }
        let Some(link) = &mut stranger.link else { return };
        link.up = link.up.max(self.now + delay);
        let (at, gateway, session) = (link.up, link.gateway, link.session);
        let process = self.gateways[gateway].process;
        self.at(at, Event::Up { gateway, process, session, what });
    }

    /// Whose session that is, if it is a stranger's.
    pub(super) fn stranger_of(&self, session: SessionId) -> Option<usize> {
        let is_theirs = |stranger: &Stranger| stranger.link.as_ref().is_some_and(|link| link.session == session);
        self.strangers.iter().position(is_theirs)
    }

    pub(super) fn stranger_is_told(&mut self, number: usize, what: Down) {
        match what {
            Down::Message(message) => {
                if let Some(answer) = self.strangers[number].receive(message) {
                    self.stranger_sends(number, Up::Message(answer));
                }
            }
            Down::Acknowledge(update) => self.strangers[number].acknowledge(&update),
        }
    }

    /// The room has ended a session, which is no client's that does what it should.
    pub(super) fn closed(&mut self, session: SessionId, reason: &CloseReason) {
        must!(!self.sessions.contains_key(&session), "a well-behaved client was closed: {reason:?}");
        if let Some(stranger) = self.stranger_of(session) {
            self.strangers[stranger].link = None;
        }
    }

    /// Two tabs tell each other of edits, and the other one is no better than it should be.
    pub(super) fn overhear(&mut self, message: &Message) {
        if let Message::Update(update) = message {
            self.strangers.iter_mut().for_each(|stranger| stranger.overhears(update));
        }
    }

    /// Everybody whose gateway has died.
    pub(crate) fn strangers_of(&mut self, gateway: usize) {
        for stranger in &mut self.strangers {
            stranger.link.take_if(|link| link.gateway == gateway);
        }
    }
}
