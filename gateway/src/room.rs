//! A room: one document while it is open in this process. Sans-IO.
//!
//! `Room::handle(now, input, &mut effects)` is the only way in and effects are the only way out: the shard carries
//! them out and brings the answers back as inputs. So the log protocol can be simulated with a seed, and no lock,
//! socket or clock is in here.
//!
//! - `io`: inputs and effects
//! - `log`: the words of the log protocol
//! - `replica`: the log protocol: join, write, live, acknowledge, checkpoint, leave
//! - `rule`: the protocol's rules by name, for tests that take one out
//! - `early`: messages that wait for the document, or for their turn
//! - `edits`: what a session's update brings: the verdict, and who is told
//! - `held`: updates that refer to what the room does not have
//! - `stream`: long answers, which several may be given
//! - `members`: who is there, and how each is told what others wrote
//! - `awareness`: presence, kept per client id, removed with its session

use std::time::Duration;

use bytes::Bytes;

use self::awareness::{Awareness, Owner, REMOTE_TIMEOUT};
use self::early::{Early, Said};
use self::held::Held;
pub use self::io::{CloseReason, Durability, Effect, Failed, Input, Limits, Now, SessionId};
use self::members::Members;
use self::replica::Replica;
pub use self::rule::Rule;
use self::stream::Stream;
use crate::protocol::yjs::{Message, decode_awareness, encode_awareness};
use editorcluster_core::document::{Document, Refused};

pub mod awareness;
mod early;
mod edits;
mod held;
mod io;
pub mod log;
mod members;
mod replica;
mod rule;
mod stream;

/// One document while it is open in this process.
pub struct Room {
    limits: Limits,
    members: Members,
    awareness: Awareness,
    replica: Replica,
    held: Held,
    early: Early,
    stream: Stream,
    joined_once: bool,
    /// Opened for its log's sake, with nobody in it.
    sweeping: bool,
    paused: bool,
    done: bool,
    wake_at: Option<Now>,
    expire_at: Option<Now>,
    /// Presence that has changed is told then.
    tell_at: Option<Now>,
    /// The tick after the last telling ends then.
    quiet_until: Option<Now>,
}

/// How long presence waits for more: a cursor's smoothness for a few, what a browser can draw for hundreds.
fn presence_tick(sessions: usize) -> Duration {
    Duration::from_millis((sessions as u64 / 2).clamp(16, 250))
}

impl Room {
    /// A room that has done nothing yet. `seed` makes its random choices: epochs and jitter.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            replica: Replica::new(limits.clone(), seed),
            limits,
            members: Members::default(),
            awareness: Awareness::default(),
            held: Held::default(),
            early: Early::default(),
            stream: Stream::default(),
            joined_once: false,
            sweeping: false,
            paused: false,
            done: false,
            wake_at: None,
            expire_at: None,
            tell_at: None,
            quiet_until: None,
        }
    }

    /// The same with this empty document. All gateways must agree on whether it keeps what is deleted: what one collects
    /// is gone.
    #[must_use]
    pub fn with(mut self, document: Document) -> Self {
        self.replica.document = document;
        self
    }

    /// The sessions that are in the room.
    pub fn sessions(&self) -> usize {
        self.members.len()
    }

    /// Bytes of document that the room keeps.
    pub fn bytes(&self) -> usize {
        self.replica.document.bytes()
    }

    /// Whether it has asked to be dropped (`Effect::Done`) and nothing has come since.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether something that a session has said waits for its turn.
    pub fn has_waiting(&self) -> bool {
        !self.early.is_empty()
    }

    /// About the memory that the document takes in this room.
    pub fn memory(&self) -> usize {
        self.replica.document.memory()
    }

    /// Bytes of the document's edits that wait for others that nobody has told.
    pub fn pending_bytes(&self) -> usize {
        self.replica.document.pending_bytes()
    }

    /// Takes one input and appends what is to be done to `effects`.
    pub fn handle(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        let was_loaded = self.replica.loaded();
        let replica = &mut self.replica;
        match input {
            Input::Join { session } => self.join(session, effects),
            Input::Message { session, message } => self.say(now, session, Said::Message(message), effects),
            Input::Parts { session, parts, message } => self.parts(now, session, parts, message, effects),
            Input::Streamed { session, as_of } => self.streamed(session, &as_of, effects),
            Input::Leave { session } => self.leave(now, session),
            Input::Sweep => self.sweep(effects),
            Input::Subscribed { call, result } => replica.subscribed(now, call, result, effects),
            Input::Read { call, result } => replica.read(now, call, result, effects),
            Input::Peeked { call, result } => replica.peeked(now, call, result, effects),
            Input::RevRead { call, result } => replica.rev_read(now, call, result, effects),
            Input::Prepared(document) => replica.prepare(*document),
            Input::Loaded { call, result } => replica.row_read(now, call, result, effects),
            Input::Opened { call, result } => replica.opened(now, call, result, effects),
            Input::Appended { call, result } => replica.appended(now, call, result, effects),
            Input::Written { call, result } => replica.written(now, call, result, effects),
            Input::CoverDone { call, result } => replica.cover_done(now, call, result, effects),
            Input::Entry(entry) => replica.heard(entry, effects),
            Input::Covered { position, rev } => replica.covered_notice(position, rev),
            Input::RemoteAwareness(update) => self.remote_awareness(now, update),
            Input::AwarenessQuery => self.publish_awareness(effects),
            Input::Disconnected { generation } => replica.disconnected(now, generation),
            // A room that has not begun yet joins when somebody comes.
            Input::Connected { .. } if self.joined_once => replica.connected(effects),
            Input::Connected { .. } => {}
            Input::Tick => self.serve_early(now, effects),
            Input::Flush => replica.flush(),
        }
        if !was_loaded && self.replica.loaded() {
            self.open(now, effects);
        }
        self.settle(now, effects);
        // As often as the document is written, whoever comes then is given all at once again.
        if self.stream.is_open() && effects.iter().any(|effect| matches!(effect, Effect::Write { .. })) {
            self.stream.end();
        }
    }

    fn join(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        self.members.join(session);
        self.done = false;
        if !self.joined_once {
            self.joined_once = true;
            self.replica.join(effects);
        }
        if self.replica.loaded() {
            self.greet(session, effects);
        }
    }

    /// Joins without a session. The room ends when all is covered, or at the first failure: the next sweep tries again.
    fn sweep(&mut self, effects: &mut Vec<Effect>) {
        self.sweeping = true;
        if !self.joined_once {
            self.joined_once = true;
            self.replica.join(effects);
        }
    }

    /// The document is there: everybody who waited is served, in order.
    fn open(&mut self, now: Now, effects: &mut Vec<Effect>) {
        effects.push(Effect::QueryAwareness);
        for session in self.members.all() {
            self.greet(session, effects);
        }
        self.serve_early(now, effects);
    }

    /// Serves what waits, in order; of much of it only the beginning, so that other documents have their turn.
    fn serve_early(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut bytes = 0;
        while self.replica.loaded()
            && bytes < self.limits.turn_bytes
            && let Some((session, said)) = self.early.pop()
        {
            bytes += said.size();
            // Of a session that has left meanwhile only its edits count: its presence would stay for good.
            if said.is_edit() || self.members.contains(session) {
                self.serve(now, session, said, effects);
            }
        }
    }

    fn greet(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        self.ask(session, effects);
        let all = self.awareness.all();
        if !all.is_empty() {
            effects.push(Effect::Send { to: vec![session], message: Message::Awareness(encode_awareness(&all)) });
        }
    }

    /// Asks a session for all that it has and the room has not.
    fn ask(&self, session: SessionId, effects: &mut Vec<Effect>) {
        let vector = self.replica.document.state_vector();
        effects.push(Effect::Send { to: vec![session], message: Message::SyncStep1(vector) });
    }

    fn say(&mut self, now: Now, session: SessionId, said: Said, effects: &mut Vec<Effect>) {
        if !self.members.contains(session) {
            return;
        }
        if self.replica.loaded() && self.early.is_empty() {
            self.serve(now, session, said, effects);
        } else {
            self.early.push(session, said);
        }
    }

    fn parts(&mut self, now: Now, session: SessionId, parts: Vec<Bytes>, of: Message, effects: &mut Vec<Effect>) {
        let last = parts.len().saturating_sub(1);
        for (number, part) in parts.into_iter().enumerate() {
            let ends = (number == last).then(|| of.clone());
            // One at a time, or the first would be served before the others wait.
            if self.members.contains(session) {
                self.early.push(session, Said::Part { part, ends });
            }
        }
        self.serve_early(now, effects);
    }

    fn serve(&mut self, now: Now, session: SessionId, said: Said, effects: &mut Vec<Effect>) {
        let message = match said {
            Said::Message(message) => message,
            Said::Part { part, ends } => {
                let whole = match ends {
                    Some(Message::SyncStep2(update)) => {
                        self.members.has_told(session, &update);
                        Some(update)
                    }
                    Some(Message::Update(update)) => Some(update),
                    _ => None,
                };
                return self.update(now, session, part, whole, effects);
            }
        };
        match message {
            Message::SyncStep1(vector) => {
                if let Err(refused) = self.answer(session, vector, effects) {
                    self.close(now, session, CloseReason::Refused(refused), effects);
                }
            }
            Message::SyncStep2(update) => {
                self.members.has_told(session, &update);
                self.update(now, session, update.clone(), Some(update), effects);
            }
            Message::Update(update) => self.update(now, session, update.clone(), Some(update), effects),
            Message::Awareness(body) => match decode_awareness(body) {
                Ok(list) => self.awareness.apply(now, Owner::Session(session), &list),
                Err(_) => self.close(now, session, CloseReason::Undecodable, effects),
            },
            Message::QueryAwareness => {
                let body = encode_awareness(&self.awareness.all());
                effects.push(Effect::Send { to: vec![session], message: Message::Awareness(body) });
            }
            // Servers say it; from a client it means nothing.
            Message::PermissionDenied(_) => {}
        }
    }

    /// Gives a session what it lacks.
    fn answer(&mut self, session: SessionId, vector: Bytes, effects: &mut Vec<Effect>) -> Result<(), Refused> {
        let (stream, answer, as_of) = match self.stream.of(&vector) {
            Some((stream, as_of)) => (stream, None, as_of),
            None => {
                let update = self.replica.document.diff(&vector)?;
                if update.len() < self.limits.stream_bytes {
                    self.give(session, update, effects);
                    return Ok(());
                }
                let as_of = self.replica.document.state_vector();
                (self.stream.begin(vector, as_of.clone()), Some(update), as_of)
            }
        };
        effects.push(Effect::Stream { session, stream, answer, as_of });
        Ok(())
    }

    fn streamed(&mut self, session: SessionId, as_of: &[u8], effects: &mut Vec<Effect>) {
        // The vector is one of our own.
        if self.members.contains(session)
            && let Ok(update) = self.replica.document.diff(as_of)
        {
            self.give(session, update, effects);
        }
    }

    fn give(&mut self, session: SessionId, update: Bytes, effects: &mut Vec<Effect>) {
        self.members.was_given(session);
        effects.push(Effect::Send { to: vec![session], message: Message::SyncStep2(update) });
    }

    fn close(&mut self, now: Now, session: SessionId, reason: CloseReason, effects: &mut Vec<Effect>) {
        // Unless it has left before what it sent was looked at.
        if self.members.contains(session) {
            effects.push(Effect::Close { session, reason });
            self.leave(now, session);
        }
        self.early.leave(session);
    }

    fn leave(&mut self, now: Now, session: SessionId) {
        if self.members.leave(session) {
            self.held.leave(session);
            self.awareness.leave(now, session);
        }
    }

    fn remote_awareness(&mut self, now: Now, update: Bytes) {
        // Another gateway decoded it before it was published; what does not decode is left out.
        if let Ok(list) = decode_awareness(update) {
            self.awareness.apply(now, Owner::Remote, &list);
            self.expire_at.get_or_insert(now + REMOTE_TIMEOUT);
        }
    }

    /// One combined frame for all presences that have changed: at once in a room that was quiet, else when the tick is
    /// over. So n people who move cost n writes a tick and not n².
    fn tell_presence(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.awareness.has_news() {
            return;
        }
        // The last one's removal must get to the other gateways before the room ends.
        let waits = !self.members.is_empty();
        if let Some(at) = self.quiet_until.filter(|at| waits && now < *at) {
            self.tell_at = Some(at);
            return;
        }
        let (all, local) = self.awareness.take_news();
        let to = self.members.all();
        if !to.is_empty() {
            effects.push(Effect::Send { to, message: Message::Awareness(encode_awareness(&all)) });
        }
        if !local.is_empty() {
            effects.push(Effect::PublishAwareness(encode_awareness(&local)));
        }
        self.tell_at = None;
        self.quiet_until = Some(now + presence_tick(self.members.len()));
    }

    fn publish_awareness(&mut self, effects: &mut Vec<Effect>) {
        let local = self.awareness.local();
        if !local.is_empty() {
            effects.push(Effect::PublishAwareness(encode_awareness(&local)));
        }
    }

    /// After every input: what is due, what the replica has for the sessions, and when to be called back.
    fn settle(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.expire_at.is_some_and(|at| now >= at) {
            self.awareness.expire(now);
            self.expire_at = (!self.awareness.all().is_empty()).then_some(now + REMOTE_TIMEOUT / 4);
        }
        self.tell_presence(now, effects);
        let alone = self.members.is_empty();
        self.replica.advance(now, alone, effects);
        self.held.expire(now);
        let news = std::mem::take(&mut self.replica.news);
        let grew = !news.is_empty();
        for update in news {
            self.tell(None, update, effects);
        }
        if grew || self.held.has_settled() {
            self.retry_held(now, effects);
            self.replica.advance(now, alone, effects);
        }
        for (session, update) in std::mem::take(&mut self.replica.acknowledged) {
            if self.members.contains(session) {
                self.members.was_acknowledged(session, &update);
                effects.push(Effect::Acknowledge { session, update });
            }
        }
        self.pause(effects);
        let sweeping = self.sweeping && !self.replica.is_apart();
        let waits = !self.early.is_empty();
        let never_began = !self.replica.loaded() && !waits && !sweeping;
        if alone && !self.done && (never_began || self.replica.loaded() && !waits && self.replica.may_leave()) {
            self.done = true;
            effects.push(Effect::Done);
        }
        let wake_at = self
            .replica
            .wake_at(alone)
            .into_iter()
            .chain(self.expire_at)
            .chain(self.tell_at)
            .chain(self.held.expires_at())
            .chain((waits && self.replica.loaded()).then_some(now))
            .min();
        if wake_at != self.wake_at || wake_at.is_some_and(|at| at <= now) {
            self.wake_at = wake_at;
            effects.extend(wake_at.map(Effect::WakeAt));
        }
    }

    fn pause(&mut self, effects: &mut Vec<Effect>) {
        let backlog = self.early.bytes() + self.replica.backlog();
        let pause =
            if self.paused { backlog > self.limits.backlog_bytes / 2 } else { backlog > self.limits.backlog_bytes };
        if pause != self.paused {
            self.paused = pause;
            effects.push(Effect::Pause(pause));
        }
    }
}

#[cfg(test)]
mod tests;
