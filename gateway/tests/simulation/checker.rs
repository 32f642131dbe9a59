//! What must hold, and what may be lost: the table "What is survived" of `docs/log.md`.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use bytes::Bytes;
use editorcluster_core::document::Admitted;
use gateway::room::log::{Entry, Position, Row};
use gateway::room::{Durability, Now};

use crate::faults::Fault;
use crate::reader::{Contents, document_of, only_deletions, text_of};
use crate::world::{GATEWAYS, World};

/// Where the tokens of a text are. A token of which only a part is there is none.
pub(crate) fn tokens_in(text: &str) -> Vec<Range<usize>> {
    let ends = text.match_indices(']').map(|(at, _)| at + 1);
    let mut from = 0;
    let pieces = ends.map(|end| std::mem::replace(&mut from, end)..end);
    pieces.filter_map(|piece| Some(piece.start + text[piece.clone()].rfind('[')?..piece.end)).collect()
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> BTreeSet<String> {
    tokens_in(text).into_iter().map(|token| text[token].to_owned()).collect()
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
            must!(!self.clients[client].lacks(), "client {client} was told what waits for what nobody has");
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

    /// Open rooms, whoever opens the document now, and clients, as far as yrs reads it, have the same structs. Returns
    /// what that is.
    pub(crate) fn check_contents(&mut self) -> Contents {
        let cold = Contents::of(&mut document_of(self.cold()));
        for gateway in 0..GATEWAYS {
            if let Some(whole) = self.ask_for_all(gateway) {
                let contents = Contents::of(&mut document_of([&whole]));
                must!(contents == cold, "the room of gateway {gateway} has {contents:?}, a cold reader {cold:?}");
            }
        }
        for client in self.here() {
            let clocks = self.clients[client].clocks();
            must!(clocks == cold.clocks_in_yrs(), "client {client} has {clocks:?}, a cold reader {cold:?}");
        }
        cold
    }

    /// Strangers are owed the same as others: what they were acknowledged is there.
    pub(crate) fn check_strangers(&self) {
        if self.plan.durability == Durability::Log && self.losses.crashed.is_some() && self.losses.lost.is_some() {
            return;
        }
        let mut cold = document_of(self.cold());
        for (number, stranger) in self.strangers.iter().enumerate() {
            for update in &stranger.acknowledged {
                let admitted = cold.admit(update, usize::MAX);
                let there = match &admitted {
                    Ok(Admitted { waits: None, news: Some(news), .. }) => {
                        only_deletions(news).is_some_and(|deletions| deletions.is_empty())
                    }
                    admitted => *admitted == Ok(Admitted::default()),
                };
                must!(there, "stranger {number} was acknowledged {update:?}, and that is {admitted:?}");
            }
        }
    }

    /// What whoever has nothing but the database reads.
    pub(crate) fn row(&self) -> impl Iterator<Item = &Bytes> {
        self.row.iter().map(|row| &row.state)
    }

    /// What whoever opens the document now reads.
    pub(crate) fn cold(&self) -> impl Iterator<Item = &Bytes> {
        self.row().chain(self.servers[self.primary].entries().map(|entry| &entry.update))
    }
}
