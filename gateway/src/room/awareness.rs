//! Presence, kept per client id. It is never stored: sessions and other gateways renew it, or it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Now, SessionId};
use crate::protocol::yjs::Presence;
use editorcluster_core::lib0::MAX_UINT;

/// A client of another gateway that has not been renewed for this long is gone; y-protocols uses the same.
pub const REMOTE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Session(SessionId),
    Remote,
}

#[derive(Debug)]
struct State {
    clock: u64,
    /// `null` stays, so that an older state that arrives late does not bring the client back.
    json: String,
    owner: Owner,
    updated: Now,
}

#[derive(Debug, Default)]
pub struct Awareness {
    states: BTreeMap<u64, State>,
    /// The clients that have changed, and whether through a session of this process.
    news: BTreeMap<u64, bool>,
}

impl Awareness {
    /// Takes in what is newer than what is known: a higher clock, or the same clock and a removal. What is not known
    /// yet by everybody waits in [`take_news`](Self::take_news).
    pub fn apply(&mut self, now: Now, owner: Owner, list: &[Presence]) {
        for presence in list {
            let newer = self.states.get(&presence.client).is_none_or(|known| {
                presence.clock > known.clock
                    || presence.clock == known.clock && presence.json == "null" && known.json != "null"
            });
            if newer {
                let (clock, json) = (presence.clock, presence.json.clone());
                self.states.insert(presence.client, State { clock, json, owner, updated: now });
                self.note(presence.client, owner);
            }
        }
    }

    /// Everybody who is present.
    pub fn all(&self) -> Vec<Presence> {
        self.present(|_| true)
    }

    /// Who is present through a session of this process.
    pub fn local(&self) -> Vec<Presence> {
        self.present(|owner| owner != Owner::Remote)
    }

    /// Removes the clients of a session.
    pub fn leave(&mut self, now: Now, session: SessionId) {
        self.remove(now, |state| state.owner == Owner::Session(session));
    }

    /// Removes the remote clients that were not renewed, and forgets removals as old.
    pub fn expire(&mut self, now: Now) {
        let old = |state: &State| now.saturating_sub(state.updated) >= REMOTE_TIMEOUT;
        self.states.retain(|_, state| state.json != "null" || !old(state));
        self.remove(now, |state| state.owner == Owner::Remote && old(state));
    }

    /// Whether something has changed since the last [`take_news`](Self::take_news).
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// What has changed since the last call, the newest of each client: for everybody here, and of that the part that
    /// came through sessions of this process, for the other gateways.
    pub fn take_news(&mut self) -> (Vec<Presence>, Vec<Presence>) {
        let (mut all, mut local) = (Vec::with_capacity(self.news.len()), Vec::new());
        for (client, is_local) in std::mem::take(&mut self.news) {
            let Some(state) = self.states.get(&client) else { continue };
            let presence = Presence { client, clock: state.clock, json: state.json.clone() };
            if is_local {
                local.push(presence.clone());
            }
            all.push(presence);
        }
        (all, local)
    }

    fn note(&mut self, client: u64, owner: Owner) {
        *self.news.entry(client).or_default() |= owner != Owner::Remote;
    }

    fn present(&self, wanted: impl Fn(Owner) -> bool) -> Vec<Presence> {
        let states = self.states.iter().filter(|(_, state)| state.json != "null" && wanted(state.owner));
        states.map(|(&client, state)| Presence { client, clock: state.clock, json: state.json.clone() }).collect()
    }

    fn remove(&mut self, now: Now, gone: impl Fn(&State) -> bool) {
        for (&client, state) in self.states.iter_mut().filter(|(_, state)| state.json != "null" && gone(state)) {
            // At the largest clock, a removal at the same clock counts too.
            state.clock = (state.clock + 1).min(MAX_UINT);
            state.json = "null".to_owned();
            state.updated = now;
            *self.news.entry(client).or_default() |= state.owner != Owner::Remote;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Duration::from_secs(100);

    fn presence(clock: u64, json: &str) -> Presence {
        Presence { client: 7, clock, json: json.to_owned() }
    }

    #[test]
    fn a_state_is_taken_if_its_clock_is_newer_or_it_removes_at_the_same_clock() {
        for (next, expected) in [
            (presence(6, "new"), vec![presence(6, "new")]),
            (presence(5, "new"), vec![presence(5, "old")]),
            (presence(5, "null"), vec![]),
            (presence(4, "null"), vec![presence(5, "old")]),
        ] {
            let mut awareness = Awareness::default();
            awareness.apply(NOW, Owner::Remote, &[presence(5, "old")]);
            awareness.apply(NOW, Owner::Remote, std::slice::from_ref(&next));
            assert_eq!(awareness.all(), expected, "{next:?}");
        }
    }

    #[test]
    fn a_session_takes_its_clients_with_it_and_only_once() {
        let mut awareness = Awareness::default();
        awareness.apply(NOW, Owner::Session(SessionId(1)), &[presence(5, "me")]);
        assert_eq!(awareness.local().len(), 1);
        assert_eq!(awareness.take_news(), (vec![presence(5, "me")], vec![presence(5, "me")]));
        awareness.leave(NOW, SessionId(2));
        assert!(!awareness.has_news());
        awareness.leave(NOW, SessionId(1));
        assert_eq!(awareness.take_news(), (vec![presence(6, "null")], vec![presence(6, "null")]));
        awareness.leave(NOW, SessionId(1));
        assert!(!awareness.has_news());
        awareness.apply(NOW, Owner::Remote, &[presence(5, "late")]);
        assert_eq!(awareness.all(), vec![]);
    }

    #[test]
    fn only_a_remote_client_expires() {
        for (owner, left) in [(Owner::Remote, 0), (Owner::Session(SessionId(1)), 1)] {
            let mut awareness = Awareness::default();
            awareness.apply(NOW, owner, &[presence(5, "me")]);
            awareness.expire(NOW + REMOTE_TIMEOUT - Duration::from_millis(1));
            assert_eq!(awareness.all().len(), 1);
            awareness.expire(NOW + REMOTE_TIMEOUT);
            assert_eq!(awareness.all().len(), left);
        }
    }

    #[test]
    fn news_hold_the_newest_of_each_client_and_only_ours_for_the_other_gateways() {
        let mut awareness = Awareness::default();
        awareness.apply(NOW, Owner::Session(SessionId(1)), &[presence(1, "a")]);
        awareness.apply(NOW, Owner::Session(SessionId(1)), &[presence(2, "b")]);
        awareness.apply(NOW, Owner::Remote, &[Presence { client: 9, clock: 1, json: "far".to_owned() }]);
        let (all, local) = awareness.take_news();
        assert_eq!((all.len(), local), (2, vec![presence(2, "b")]));
    }
}
