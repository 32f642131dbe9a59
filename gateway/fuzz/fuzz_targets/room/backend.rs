//! An honest log and database, and the calls to them that are under way. What they are given is always an update, also
//! if somebody else speaks for them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use editorcluster_core::document::check;
use gateway::room::log::{Opened, Row};
use gateway::room::{Effect, Failed, Input, Now};

use crate::redis::{Notice, Redis};

/// Of a log that the database holds.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);

pub(crate) struct Backend {
    pub(crate) redis: Redis,
    pub(crate) row: Option<Row>,
    pub(crate) calls: Vec<Effect>,
    pub(crate) notices: VecDeque<Notice>,
    pub(crate) generation: u64,
    pub(crate) connected: bool,
    subscribed: bool,
}

impl Backend {
    pub(crate) fn new() -> Self {
        Self {
            redis: Redis::new(0, TIME_TO_LIVE, None),
            row: None,
            calls: Vec::new(),
            notices: VecDeque::new(),
            generation: 1,
            connected: true,
            subscribed: false,
        }
    }

    /// What is there for whoever reads all of it.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Bytes> {
        self.row.iter().map(|row| &row.state).chain(self.redis.entries().map(|entry| &entry.update))
    }

    pub(crate) fn unsubscribe(&mut self) {
        self.subscribed = false;
        self.notices.clear();
    }

    pub(crate) fn disconnect(&mut self) {
        self.connected = false;
        self.unsubscribe();
    }

    pub(crate) fn publish(&mut self, notice: Option<Notice>) {
        if self.connected && self.subscribed {
            self.notices.extend(notice);
        }
    }

    /// Does what a call asks for, and answers it.
    pub(crate) fn answer(&mut self, now: Now, call: Effect) -> Input {
        let is_database = matches!(call, Effect::Load { .. } | Effect::Rev { .. } | Effect::Write { .. });
        if !self.connected && !is_database {
            return failed(call);
        }
        match call {
            Effect::Subscribe { call } => {
                self.subscribed = true;
                Input::Subscribed { call, result: Ok(self.generation) }
            }
            Effect::Read { call } => Input::Read { call, result: Ok(self.redis.read()) },
            Effect::Peek { call } => Input::Peeked { call, result: Ok(self.redis.peek()) },
            Effect::Load { call } => Input::Loaded { call, result: Ok(self.row.clone()) },
            Effect::Rev { call } => Input::RevRead { call, result: Ok(self.row.as_ref().map_or(0, |row| row.rev)) },
            Effect::Open { call, expected, epoch, tenure, update } => {
                assert!(check(&update).is_ok(), "what is opened with");
                let result = self.redis.open(expected.as_ref(), epoch, &tenure, update);
                let result = result.map(|(opened, notice)| {
                    self.publish(notice);
                    opened
                });
                Input::Opened { call, result }
            }
            Effect::Append { call, epoch, update } => {
                assert!(check(&update).is_ok(), "what is appended");
                let result = self.redis.append(epoch, update).map(|(appended, notice)| {
                    self.publish(notice);
                    appended
                });
                Input::Appended { call, result }
            }
            Effect::Write { call, expected, state, position } => {
                assert!(check(&state).is_ok(), "what is written");
                let rev = self.row.as_ref().map_or(0, |row| row.rev);
                let written = (rev == expected).then(|| {
                    self.row = Some(Row { state, position, rev: rev + 1 });
                    rev + 1
                });
                Input::Written { call, result: Ok(written) }
            }
            Effect::Cover { call, position, rev } => {
                let (done, notice) = self.redis.cover(now, position, rev);
                self.publish(notice);
                Input::CoverDone { call, result: Ok(done) }
            }
            other => unreachable!("{other:?} is no call"),
        }
    }

    /// Another gateway writes to the log, if it is open.
    pub(crate) fn other_writes(&mut self, update: Bytes) {
        let Some(head) = self.redis.read().head else { return };
        if let Ok((_, notice)) = self.redis.append(head.epoch, update) {
            self.publish(notice);
        }
    }
}

/// The answer to a call of which nothing is known.
pub(crate) fn failed(call: Effect) -> Input {
    match call {
        Effect::Subscribe { call } => Input::Subscribed { call, result: Err(Failed) },
        Effect::Read { call } => Input::Read { call, result: Err(Failed) },
        Effect::Peek { call } => Input::Peeked { call, result: Err(Failed) },
        Effect::Load { call } => Input::Loaded { call, result: Err(Failed) },
        Effect::Rev { call } => Input::RevRead { call, result: Err(Failed) },
        Effect::Open { call, .. } => Input::Opened { call, result: Err::<Opened, _>(Failed) },
        Effect::Append { call, .. } => Input::Appended { call, result: Err(Failed) },
        Effect::Write { call, .. } => Input::Written { call, result: Err(Failed) },
        Effect::Cover { call, .. } => Input::CoverDone { call, result: Err(Failed) },
        other => unreachable!("{other:?} is no call"),
    }
}
