//! Messages that came before the document was there, and parts of long ones that wait for their turn: in order, so that
//! what comes behind them waits as well.

use std::collections::VecDeque;

use bytes::Bytes;

use super::SessionId;
use crate::protocol::yjs::Message;

/// What a session has said.
#[derive(Debug)]
pub(super) enum Said {
    Message(Message),
    /// A part of an update or Step2. `ends`: the whole message, of which it is the last part.
    Part {
        part: Bytes,
        ends: Option<Message>,
    },
}

impl Said {
    /// What it takes while it waits. Also of empty messages there can be many.
    pub(super) fn size(&self) -> usize {
        let body = match self {
            Self::Part { part, .. } => part.len(),
            Self::Message(
                Message::SyncStep1(bytes)
                | Message::SyncStep2(bytes)
                | Message::Update(bytes)
                | Message::Awareness(bytes),
            ) => bytes.len(),
            Self::Message(Message::QueryAwareness) => 0,
            Self::Message(Message::PermissionDenied(reason)) => reason.len(),
        };
        size_of::<(SessionId, Self)>() + body
    }

    /// Whether it changes the document.
    pub(super) fn is_edit(&self) -> bool {
        matches!(self, Self::Part { .. } | Self::Message(Message::SyncStep2(_) | Message::Update(_)))
    }
}

#[derive(Debug, Default)]
pub(super) struct Early {
    queue: VecDeque<(SessionId, Said)>,
    bytes: usize,
}

impl Early {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What all of it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, session: SessionId, said: Said) {
        self.bytes += said.size();
        self.queue.push_back((session, said));
    }

    pub(super) fn pop(&mut self) -> Option<(SessionId, Said)> {
        let first = self.queue.pop_front()?;
        self.bytes -= first.1.size();
        Some(first)
    }

    /// Who waits for these bytes as an acknowledgement.
    pub(super) fn awaiting(&self, update: &Bytes) -> Vec<SessionId> {
        let is_it =
            |message: &Message| matches!(message, Message::Update(own) | Message::SyncStep2(own) if own == update);
        let awaits = |said: &Said| match said {
            Said::Message(message) => is_it(message),
            Said::Part { ends, .. } => ends.as_ref().is_some_and(is_it),
        };
        self.queue.iter().filter(|(_, said)| awaits(said)).map(|(session, _)| *session).collect()
    }

    /// Drops what a session has said that may not say it.
    pub(super) fn leave(&mut self, session: SessionId) {
        self.queue.retain(|(from, _)| *from != session);
        self.bytes = self.queue.iter().map(|(_, said)| said.size()).sum();
    }
}
