//! What a session's update brings to the room: the document's verdict first, then who is told, and when it is acknowledged.

use bytes::Bytes;
use editorcluster_core::document::{Admitted, Refused};

use super::Room;
use super::io::{CloseReason, Effect, Now, SessionId};
use super::members::Audience;

impl Room {
    /// Nothing is acknowledged, relayed or logged before the document has admitted it. `whole`: the message that ends with
    /// this update.
    pub(super) fn update(
        &mut self,
        now: Now,
        session: SessionId,
        update: Bytes,
        whole: Option<Bytes>,
        effects: &mut Vec<Effect>,
    ) {
        let admitted = self.replica.admit(&update);
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refused) => return self.refuse(now, session, refused, effects),
        };
        self.share(session, &admitted, effects);
        let Admitted { news, waits, .. } = admitted;
        if waits.is_some() && !self.held.holds(session) {
            // It has what its update refers to, or it could not refer to it.
            self.ask(session, effects);
        }
        if waits.is_some() || self.held.holds(session) {
            self.held.hold(now, session, update, whole, waits);
        } else if let Some(whole) = whole {
            self.replica.acknowledge_later(session, whole, news.is_some());
        }
        if news.is_some() {
            self.retry_held(now, effects);
        }
    }

    fn refuse(&mut self, now: Now, session: SessionId, refused: Refused, effects: &mut Vec<Effect>) {
        self.held.leave(session);
        let reason = match refused {
            Refused::DocumentTooLarge => CloseReason::DocumentTooLarge,
            refused => CloseReason::Refused(refused),
        };
        self.close(now, session, reason, effects);
    }

    /// Looks again at updates that were held, after the document has grown.
    pub(super) fn retry_held(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(index) = self.held.due(&self.replica.document) {
            let (session, update) = self.held.at(index);
            let admitted = match self.replica.admit(&update) {
                Ok(admitted) => admitted,
                // What is behind that for which it waited is judged only now.
                Err(refused) => {
                    self.refuse(now, session, refused, effects);
                    continue;
                }
            };
            self.share(session, &admitted, effects);
            self.held.settle(index, admitted.waits);
        }
        for (session, update) in self.held.take_settled() {
            self.replica.acknowledge_later(session, update, true);
        }
    }

    /// Passes on what a session has brought. What that has released came from somewhere else, so its author is told it too:
    /// as a Step2, which is never an acknowledgement.
    fn share(&mut self, author: SessionId, admitted: &Admitted, effects: &mut Vec<Effect>) {
        let Some(news) = &admitted.news else { return };
        self.tell(Some(author), news.clone(), effects);
        if let Some(update) = admitted.released.clone().filter(|_| self.members.has_been_given(author)) {
            effects.push(Effect::Tell { as_update: Vec::new(), as_step2: vec![author], update });
        }
        self.replica.local(news.clone());
    }

    /// Tells what `author` wrote, or somebody elsewhere.
    pub(super) fn tell(&self, author: Option<SessionId>, update: Bytes, effects: &mut Vec<Effect>) {
        let mut awaiting = self.held.awaiting(&update);
        awaiting.extend(self.early.awaiting(&update));
        let Audience { as_update, as_step2 } = self.members.audience(author, &update, &awaiting);
        if !as_update.is_empty() || !as_step2.is_empty() {
            effects.push(Effect::Tell { as_update, as_step2, update });
        }
    }
}
