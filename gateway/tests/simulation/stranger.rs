//! A client that is hostile or has a bug: it sends whatever it likes, over a session of its own. What it is told it
//! remembers and uses.

use std::collections::VecDeque;

use bytes::Bytes;
use editorcluster_core::document::{Document, EMPTY_VECTOR, merge};
use gateway::protocol::yjs::Message;
use gateway::room::{Now, SessionId};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use yrs::updates::decoder::Decode as _;
use yrs::{ClientID, StateVector};

use crate::forgery::{Place, text, update};

/// Of these the others are told, and may send them as well.
const REMEMBERED: usize = 30;
/// Used by all strangers, each with other content at the same clocks.
const TWIN: u64 = 2000;

/// Whether what this client writes has two contents at one clock.
pub(crate) fn is_twin(client: u64) -> bool {
    client == TWIN
}

/// Whether yrs reads what this client writes. Beside the content of a client that is used twice that is an item whose
/// parent is no type: Yjs makes a GC struct of it, yrs stops in the middle of the update.
pub(crate) fn is_read_by_yrs(client: u64) -> bool {
    !(2000..5000).contains(&client)
}

mod lies;

pub(crate) struct Link {
    pub(crate) gateway: usize,
    pub(crate) session: SessionId,
    pub(crate) up: Now,
    /// What was sent and may be acknowledged.
    sent: VecDeque<Bytes>,
}

pub(crate) struct Stranger {
    number: u64,
    random: SmallRng,
    pub(crate) link: Option<Link>,
    /// What it knows to be in the document.
    known: Document,
    told: VecDeque<Bytes>,
    /// Its well-formed updates, which it sends again when it is asked.
    written: Vec<Bytes>,
    tokens: u64,
    clock: u64,
    pub(crate) acknowledged: Vec<Bytes>,
}

impl Stranger {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        Self {
            number: number as u64,
            random: SmallRng::seed_from_u64(seed ^ (0x5e + number as u64)),
            link: None,
            known: Document::default(),
            told: VecDeque::new(),
            written: Vec::new(),
            tokens: 0,
            clock: 0,
            acknowledged: Vec::new(),
        }
    }

    pub(crate) fn wait(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.random.random_range(range)
    }

    pub(crate) fn is_moody(&mut self) -> bool {
        self.random.random_bool(0.05)
    }

    pub(crate) fn connect(&mut self, now: Now, gateway: usize, session: SessionId) -> Message {
        self.link = Some(Link { gateway, session, up: now, sent: VecDeque::new() });
        let known = self.random.random_bool(0.5);
        let vector = if known { self.known.state_vector() } else { Bytes::from_static(EMPTY_VECTOR) };
        Message::SyncStep1(vector)
    }

    pub(crate) fn sends(&mut self, message: &Message) {
        if let (Some(link), Message::Update(update) | Message::SyncStep2(update)) = (&mut self.link, message) {
            link.sent.push_back(update.clone());
        }
    }

    /// Something that it may send as well, before or after whoever wrote it does.
    pub(crate) fn overhears(&mut self, update: &Bytes) {
        self.told.push_back(update.clone());
        if self.told.len() > REMEMBERED {
            self.told.pop_front();
        }
    }

    /// A message of the room; the answer, if there is one.
    pub(crate) fn receive(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::SyncStep1(_) => {
                let all = merge(self.written.iter().map(|update| &update[..])).expect("they are updates");
                Some(Message::SyncStep2(if self.random.random_bool(0.7) { all } else { self.anything_told() }))
            }
            Message::SyncStep2(update) | Message::Update(update) => {
                self.known.take(&update).expect("it is an update");
                self.overhears(&update);
                None
            }
            _ => None,
        }
    }

    /// In order. What waits for nothing that comes is dropped, and not acknowledged.
    pub(crate) fn acknowledge(&mut self, update: &Bytes) {
        let sent = &mut self.link.as_mut().expect("it is connected").sent;
        let at = sent.iter().position(|sent| sent == update);
        must!(at.is_some(), "a stranger is acknowledged what it has not sent");
        sent.drain(..=at.unwrap_or(0));
        self.acknowledged.push(update.clone());
        self.known.take(update).expect("it was admitted");
    }

    /// What it sends next, in this order.
    pub(crate) fn act(&mut self) -> Vec<Message> {
        let updates = match self.random.random_range(0..19) {
            0..3 => vec![self.token()],
            3 => self.out_of_order(),
            4 => vec![self.own_future()],
            5 => vec![self.empty()],
            6 => vec![self.dangling()],
            7 => vec![self.chain()],
            8 => vec![self.parent_is_no_type()],
            9 | 10 => vec![self.anything_told()],
            11 | 12 => vec![self.a_part()],
            13 | 14 => vec![self.twin()],
            15 => vec![self.unknown_deletion()],
            16 => vec![self.truncated()],
            17 => vec![self.enormous()],
            _ => vec![self.nest()],
        };
        if self.random.random_bool(0.02) {
            return vec![Message::SyncStep1(self.truncated())];
        }
        updates.into_iter().map(Message::Update).collect()
    }

    /// The clock behind what it knows of a client.
    fn next(&self, client: u64) -> u64 {
        StateVector::decode_v1(&self.known.state_vector()).expect("it is one").get(&ClientID::new(client)).into()
    }

    fn writer(&self) -> u64 {
        1000 + self.number
    }

    /// A well-formed edit, in the text in which all write.
    fn token(&mut self) -> Bytes {
        let token = format!("[s{}.{}]", self.number, self.tokens);
        // Clients write tokens whole, so that is behind one of theirs.
        let other = self.random.random_range(1..4);
        let place = match (self.next(other), self.clock) {
            (next @ 1.., _) if self.random.random_bool(0.4) => Place::Behind((other, next - 1)),
            (_, clock @ 1..) if self.random.random_bool(0.8) => Place::Behind((self.writer(), clock - 1)),
            _ => Place::Root("t"),
        };
        let made = update((self.writer(), self.clock), text(place, &token));
        self.tokens += 1;
        self.clock += token.len() as u64;
        self.written.push(made.clone());
        made
    }

    fn out_of_order(&mut self) -> Vec<Bytes> {
        let mut tokens: Vec<Bytes> = (0..self.random.random_range(2..4)).map(|_| self.token()).collect();
        tokens.reverse();
        tokens
    }

    fn anything_told(&mut self) -> Bytes {
        match self.told.len() {
            0 => self.token(),
            count => self.told[self.random.random_range(0..count)].clone(),
        }
    }
}
