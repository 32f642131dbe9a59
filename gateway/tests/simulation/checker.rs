//! What must hold, and what may be lost: the table "What is survived" of `docs/log.md`.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use gateway::room::log::{Entry, Position, Row};
use gateway::room::{Durability, Now};
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, GetString as _, Transact as _, Update};

use crate::faults::Fault;
use crate::world::World;

/// The text that these updates make.
pub(crate) fn text_of<'a>(updates: impl IntoIterator<Item = &'a Bytes>) -> String {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("t");
    for update in updates {
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
    text.get_string(&doc.transact())
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> BTreeSet<String> {
    text.split_inclusive(']').map(str::to_owned).collect()
}

/// Invariant 1: a position never has two contents, whichever server gave it out.
#[derive(Default)]
pub(crate) struct Numbers(HashMap<Position, Bytes>);

impl Numbers {
    pub(crate) fn check(&mut self, entry: &Entry) {
        let first = self.0.entry(entry.position).or_insert_with(|| entry.update.clone());
        must!(*first == entry.update, "two contents at {:?}", entry.position);
    }
}

/// The one loss that `log` allows: a gateway dies and Redis loses data, before a checkpoint has the edit. In which
/// order does not matter, but both must come after it. `database` allows none.
#[derive(Default)]
pub(crate) struct Losses {
    crashed: Option<Now>,
    lost: Option<Now>,
    /// In the row when something of that kind happened.
    safe: BTreeSet<String>,
}

impl Losses {
    pub(crate) fn strike(&mut self, now: Now, fault: Fault, row: Option<&Row>) {
        if fault == Fault::Crash {
            self.crashed = Some(now);
        }
        if fault.loses_data() {
            // A split brain loses its data when it ends, at most 16 s later.
            self.lost = Some(now + std::time::Duration::from_secs(16));
        }
        self.safe.extend(tokens(&text_of(row.map(|row| &row.state))));
    }

    fn excuse(&self, token: &str, written: Now, durability: Durability) -> bool {
        let after = |at: Option<Now>| at.is_some_and(|at| at >= written);
        durability == Durability::Log && after(self.crashed) && after(self.lost) && !self.safe.contains(token)
    }
}

impl World {
    /// Clients that are still there.
    pub(crate) fn here(&self) -> Vec<usize> {
        (0..self.clients.len()).filter(|client| !self.clients[*client].gone).collect()
    }

    /// All clients that are connected hold the same; that text.
    pub(crate) fn check_equal(&self) -> String {
        let here = self.here();
        let text = self.clients[here[0]].text();
        for client in here {
            must!(self.clients[client].link.is_some(), "client {client} is not connected");
            must!(self.clients[client].text() == text, "client {client} differs");
        }
        text
    }

    /// Everything that was acknowledged is held, and whoever is there has been acknowledged everything.
    pub(crate) fn check_acknowledged(&self, held: &BTreeSet<String>) {
        for (name, client) in self.clients.iter().enumerate() {
            must!(client.gone || client.acknowledged == client.own.len(), "client {name} waits for an acknowledgement");
            for (token, written) in &client.own[..client.acknowledged] {
                let excused = client.gone && self.losses.excuse(token, *written, self.plan.durability);
                let there = held.contains(token) || self.deleted.contains(token);
                must!(there || excused, "{token} of client {name} is lost");
            }
        }
    }

    /// What somebody reads who has nothing but the database.
    pub(crate) fn row_text(&self) -> String {
        text_of(self.row.iter().map(|row| &row.state))
    }

    /// What somebody reads who opens the document now.
    pub(crate) fn cold_text(&self) -> String {
        let stream = self.servers[self.primary].entries().map(|entry| &entry.update);
        text_of(self.row.iter().map(|row| &row.state).chain(stream))
    }
}
