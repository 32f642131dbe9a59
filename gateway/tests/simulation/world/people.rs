//! People: they come, edit, lose their connection and vanish.

use gateway::room::SessionId;
use rand::Rng as _;

use super::{Down, Event, GATEWAYS, Up, World, ms};
use crate::client::Client;

impl World {
    /// A client that comes within that many milliseconds.
    pub(super) fn new_client(&mut self, vacancy: u64) {
        self.clients.push(Client::new(self.clients.len()));
        let client = self.clients.len() - 1;
        let wait = self.draw(0..vacancy);
        self.unrest(ms(wait));
        self.after(ms(wait + 10), Event::Connect(client));
        self.after(ms(wait + 50), Event::Edit(client));
    }

    pub(super) fn connect(&mut self, client: usize) {
        if self.clients[client].gone || self.clients[client].link.is_some() {
            return;
        }
        let gateway = self.random.random_range(0..GATEWAYS);
        let session = SessionId(self.scheduled);
        self.sessions.insert(session, client);
        let hello = self.clients[client].connect(self.now, gateway, session);
        self.send_up(client, Up::Join);
        self.send_up(client, Up::Message(hello));
    }

    pub(super) fn edit(&mut self, client: usize) {
        if !self.busy() || self.clients[client].gone {
            return;
        }
        self.edit_once(client);
        let wait = ms(self.draw(self.plan.pace.clone()));
        self.after(wait, Event::Edit(client));
        // The network of a client fails now and then.
        if self.random.random_bool(self.plan.flaky) {
            self.disconnect(client);
            let wait = ms(self.random.random_range(5..4000));
            self.after(wait, Event::Connect(client));
        }
    }

    pub(crate) fn edit_once(&mut self, client: usize) {
        let (message, deleted) = self.clients[client].edit(self.now, &mut self.random);
        self.deleted.extend(deleted);
        if let Some(message) = message {
            self.overhear(&message);
            self.send_up(client, Up::Message(message));
        }
    }

    /// The client ends its connection; the gateway learns of it behind what was sent before.
    pub(crate) fn disconnect(&mut self, client: usize) {
        if self.clients[client].link.is_some() {
            self.send_up(client, Up::Leave);
            self.clients[client].link = None;
        }
    }

    pub(super) fn send_up(&mut self, client: usize, what: Up) {
        let delay = self.delay();
        let Some(link) = &mut self.clients[client].link else { return };
        link.up = link.up.max(self.now + delay);
        let (at, gateway, session) = (link.up, link.gateway, link.session);
        let process = self.gateways[gateway].process;
        self.at(at, Event::Up { gateway, process, session, what });
    }

    pub(super) fn send_down(&mut self, session: SessionId, what: Down) {
        let delay = self.delay();
        if let Some(stranger) = self.stranger_of(session) {
            return self.stranger_is_told(stranger, what);
        }
        let Some(&client) = self.sessions.get(&session) else { return };
        let Some(link) = self.clients[client].link.as_mut().filter(|link| link.session == session) else { return };
        link.down = link.down.max(self.now + delay);
        let at = link.down;
        self.at(at, Event::Down { client, session, what });
    }

    pub(super) fn down(&mut self, client: usize, session: SessionId, what: Down) {
        if self.clients[client].link.as_ref().is_none_or(|link| link.session != session) {
            return;
        }
        match what {
            Down::Message(message) => {
                if let Some(answer) = self.clients[client].receive(message) {
                    self.send_up(client, Up::Message(answer));
                }
            }
            Down::Acknowledge(update) => {
                self.clients[client].acknowledge(&update);
                // Some vanish for good right behind an acknowledgement: only the cluster has their edits then.
                if self.busy() && self.random.random_bool(self.plan.vanish) {
                    self.vanish(client);
                }
            }
        }
    }

    pub(super) fn vanish(&mut self, client: usize) {
        let gateway = self.clients[client].link.as_ref().map_or(0, |link| link.gateway);
        self.disconnect(client);
        self.clients[client].gone = true;
        self.new_client(self.plan.vacancy);
        while self.now > self.plan.busy / 8
            && let Some(fault) = self.ambush.pop()
        {
            let wait = ms(self.random.random_range(0..100));
            self.after(wait, Event::Fault { fault, gateway });
            self.unrest(wait);
            if self.random.random_bool(0.5) {
                break;
            }
        }
    }
}
