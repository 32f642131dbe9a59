//! A client: a Yjs document that edits, re-synchronises at each connection, and counts what was acknowledged.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use gateway::protocol::yjs::Message;
use gateway::room::{Now, SessionId};
use rand::Rng as _;
use rand::rngs::SmallRng;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{Doc, GetString as _, ReadTxn as _, StateVector, Text as _, Transact as _};

use crate::checker::tokens_in;
use crate::reader::{clocks_of, for_yrs};

/// One connection to a gateway: in order, both ways.
pub(crate) struct Link {
    pub(crate) gateway: usize,
    pub(crate) session: SessionId,
    /// When the last message of each direction arrives; a later one does not overtake it.
    pub(crate) up: Now,
    pub(crate) down: Now,
    /// The client has answered the room's Step1; before that its edits wait for the answer.
    synced: bool,
    /// Sent and not acknowledged, with the number of own tokens that the room then has.
    sent: VecDeque<(Bytes, usize)>,
    /// Acknowledged by what was none, as all bytes look the same to a client.
    mistaken: Vec<Bytes>,
}

pub(crate) struct Client {
    name: usize,
    doc: Doc,
    received: Vec<Bytes>,
    pub(crate) link: Option<Link>,
    /// Its tokens, and when it wrote them.
    pub(crate) own: Vec<(String, Now)>,
    pub(crate) acknowledged: usize,
    /// Never comes back.
    pub(crate) gone: bool,
}

impl Client {
    pub(crate) fn new(name: usize) -> Self {
        let doc = Doc::with_client_id(name as u64 + 1);
        Self { name, doc, received: Vec::new(), link: None, own: Vec::new(), acknowledged: 0, gone: false }
    }

    pub(crate) fn text(&self) -> String {
        let text = self.doc.get_or_insert_text("t");
        text.get_string(&self.doc.transact())
    }

    /// How many structs of each client it has.
    pub(crate) fn clocks(&self) -> BTreeMap<u64, u32> {
        clocks_of(&self.doc.transact().state_vector())
    }

    /// Whether it was told something that waits for something else.
    pub(crate) fn lacks(&self) -> bool {
        self.doc.transact().has_missing_updates()
    }

    /// The first message of a connection.
    pub(crate) fn connect(&mut self, now: Now, gateway: usize, session: SessionId) -> Message {
        self.link = Some(Link {
            gateway,
            session,
            up: now,
            down: now,
            synced: false,
            sent: VecDeque::new(),
            mistaken: Vec::new(),
        });
        Message::SyncStep1(self.doc.transact().state_vector().encode_v1().into())
    }

    /// Inserts a token or deletes one, whole; what is to be sent, and the token that was deleted.
    pub(crate) fn edit(&mut self, now: Now, random: &mut SmallRng) -> (Option<Message>, Option<String>) {
        let before = self.text();
        let tokens = tokens_in(&before);
        let text = self.doc.get_or_insert_text("t");
        let mut transaction = self.doc.transact_mut();
        let mut deleted = None;
        if tokens.len() > 3 && random.random_bool(0.15) {
            let token = tokens[random.random_range(1..tokens.len())].clone();
            text.remove_range(&mut transaction, token.start as u32, token.len() as u32);
            deleted = Some(before[token].to_owned());
        } else {
            let at = random.random_range(0..=tokens.len());
            let at = if at == 0 { 0 } else { tokens[at - 1].end };
            let token = format!("[{}.{}]", self.name, self.own.len());
            text.insert(&mut transaction, at as u32, &token);
            self.own.push((token, now));
        }
        let update = Bytes::from(transaction.encode_update_v1());
        drop(transaction);
        let own = self.own.len();
        let message = self.link.as_mut().filter(|link| link.synced).map(|link| {
            link.sent.push_back((update.clone(), own));
            Message::Update(update)
        });
        (message, deleted)
    }

    /// A message of the room; the answer, if there is one.
    pub(crate) fn receive(&mut self, message: Message) -> Option<Message> {
        let is_update = matches!(message, Message::Update(_));
        match message {
            Message::SyncStep1(vector) => {
                let vector = StateVector::decode_v1(&vector).unwrap();
                let update = Bytes::from(self.doc.transact().encode_state_as_update_v1(&vector));
                let link = self.link.as_mut()?;
                link.synced = true;
                link.sent.push_back((update.clone(), self.own.len()));
                Some(Message::SyncStep2(update))
            }
            Message::SyncStep2(update) | Message::Update(update) => {
                if is_update && self.link.as_ref()?.sent.front().is_some_and(|(sent, _)| *sent == update) {
                    self.acknowledge(&update);
                    self.link.as_mut()?.mistaken.push(update.clone());
                }
                self.received.push(update);
                let last = self.received.len() - 1;
                let waited = self.doc.transact().has_missing_updates();
                if self.apply(last) || waited {
                    // yrs forgets some of what waits, and Yjs does not: it is told all again.
                    (0..=last).for_each(|index| _ = self.apply(index));
                }
                None
            }
            _ => None,
        }
    }

    /// Whether something waits for something else.
    fn apply(&mut self, index: usize) -> bool {
        let mut transaction = self.doc.transact_mut();
        transaction.apply_update(for_yrs(&self.received[index])).unwrap();
        transaction.has_missing_updates()
    }

    /// For an acknowledgement.
    pub(crate) fn waits(&self) -> bool {
        self.link.as_ref().is_none_or(|link| !link.sent.is_empty())
    }

    /// Acknowledgements come in the order in which the client sent.
    pub(crate) fn acknowledge(&mut self, update: &Bytes) {
        let link = self.link.as_mut().unwrap();
        if let Some(at) = link.mistaken.iter().position(|mistaken| mistaken == update) {
            link.mistaken.remove(at);
            return;
        }
        let (sent, own) = link.sent.pop_front().expect("acknowledged but never sent");
        must!(sent == *update, "acknowledged out of order");
        self.acknowledged = self.acknowledged.max(own);
    }
}
