//! When a version is made, and how long it stays.
//!
//! A version closes a piece of work: what becomes a version is not the new checkpoint but the row that it replaces. So
//! the version before somebody else's first edit has none of that edit in it, and the one before a pause is the whole of
//! what was written before it. The document's latest content needs no version; it is the document.

use std::collections::BTreeSet;
use std::time::Duration;

use editorcluster_core::document;

/// How often versions are made and how long they are kept. Named ones are kept until their document is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Work that goes on becomes a version this often.
    pub every: Duration,
    /// Work that goes on after nothing has changed for this long closes what was before.
    pub pause: Duration,
    /// Automatic versions of one document at most. 0: none are made.
    pub keep: u32,
    /// Automatic versions go after this long.
    pub keep_for: Duration,
    /// A deleted document's id is refused for this long.
    pub tombstone: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            every: Duration::from_secs(10 * 60),
            pause: Duration::from_secs(2 * 60),
            keep: 200,
            keep_for: DAY * 90,
            tombstone: DAY * 30,
        }
    }
}

/// Yjs clients: every browser tab has its own.
pub type ClientId = u64;

/// What is known of one client's writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub client: ClientId,
    /// How far its writing goes.
    pub clock: u32,
    /// The last row in which it had grown.
    pub last_rev: i64,
}

/// A document's row and history before a checkpoint replaces it. Times are Unix seconds by the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    pub rev: i64,
    pub now: i64,
    pub created_at: i64,
    pub updated_at: i64,
    /// The last automatic version.
    pub last: Option<LastVersion>,
    pub written: Vec<Written>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastVersion {
    pub rev: i64,
    pub created_at: i64,
    pub authors: Vec<ClientId>,
}

/// What a checkpoint means for the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Clients whose writing has grown, and how far it goes now.
    pub grown: Vec<(ClientId, u32)>,
    /// The row that is replaced becomes a version, by these authors.
    pub version: Option<Vec<ClientId>>,
}

impl Past {
    /// The clients that wrote since the last automatic version, up to the row.
    pub fn authors(&self) -> Vec<ClientId> {
        let since = self.last.as_ref().map_or(0, |last| last.rev);
        self.written.iter().filter(|written| written.last_rev > since).map(|written| written.client).collect()
    }

    /// Of a state's clocks, those that the row has not.
    pub fn grown(&self, clocks: &[(ClientId, u32)]) -> Vec<(ClientId, u32)> {
        let known: std::collections::HashMap<_, _> =
            self.written.iter().map(|written| (written.client, written.clock)).collect();
        let is_news = |(client, clock): &(ClientId, u32)| *clock > known.get(client).copied().unwrap_or(0);
        clocks.iter().copied().filter(is_news).collect()
    }
}

/// How far each client's writing goes in a state.
pub fn clocks(state: &[u8]) -> Vec<(ClientId, u32)> {
    // What does not walk has no authors that could be named; the checkpoint must not fail for it.
    document::clocks(state).unwrap_or_default()
}

impl Policy {
    /// What a checkpoint with these clocks means for the history.
    pub fn plan(&self, past: &Past, clocks: &[(ClientId, u32)]) -> Plan {
        let grown = past.grown(clocks);
        let version = self.is_due(past, &grown).then(|| past.authors());
        Plan { grown, version }
    }

    fn is_due(&self, past: &Past, grown: &[(ClientId, u32)]) -> bool {
        let last = past.last.as_ref();
        if self.keep == 0 || past.rev == 0 || last.is_some_and(|last| last.rev >= past.rev) {
            return false;
        }
        let at_least = |seconds: i64, time: Duration| u64::try_from(seconds).is_ok_and(|s| s >= time.as_secs());
        let since = last.map_or(past.created_at, |last| last.created_at);
        if at_least(past.now - past.updated_at, self.pause) || at_least(past.updated_at - since, self.every) {
            return true;
        }
        // Two who write by turns are one piece of work, and a crowd that comes in must not make a version each.
        let mut known: BTreeSet<_> = past.authors().into_iter().collect();
        let anybody = !known.is_empty();
        known.extend(last.iter().flat_map(|last| &last.authors));
        let spaced = last.is_none_or(|last| at_least(past.now - last.created_at, self.every / 10));
        anybody && spaced && grown.iter().any(|(client, _)| !known.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        every: Duration::from_secs(600),
        pause: Duration::from_secs(120),
        keep: 10,
        keep_for: Duration::from_secs(1 << 20),
        tombstone: Duration::from_secs(1 << 20),
    };

    fn written(client: ClientId, clock: u32, last_rev: i64) -> Written {
        Written { client, clock, last_rev }
    }

    /// Ann (1) and Bob (2) write; the last version is of rev 3, by Ann.
    fn past() -> Past {
        Past {
            rev: 7,
            now: 1_000_005,
            created_at: 900_000,
            updated_at: 1_000_000,
            last: Some(LastVersion { rev: 3, created_at: 999_900, authors: vec![1] }),
            written: vec![written(1, 50, 3), written(2, 10, 7)],
        }
    }

    #[test]
    fn only_a_pause_a_new_author_or_the_time_make_a_version() {
        let all = [(1, 50), (2, 10)];
        let with = |client, clock| all.iter().copied().chain([(client, clock)]).collect::<Vec<_>>();
        let later = |seconds| Past { now: past().now + seconds, ..past() };
        let long = Past { updated_at: 1_000_600, now: 1_000_605, ..past() };
        for (name, past, clocks, version) in [
            ("the same author goes on", past(), vec![(1, 50), (2, 11)], None),
            ("the last version's author goes on", past(), vec![(1, 51), (2, 10)], None),
            ("somebody new", past(), with(3, 1), Some(vec![2])),
            ("nothing but deletions", past(), all.to_vec(), None),
            ("after a pause", later(120), vec![(1, 50), (2, 11)], Some(vec![2])),
            ("deletions after a pause", later(120), all.to_vec(), Some(vec![2])),
            ("ten minutes of work", long, vec![(1, 50), (2, 11)], Some(vec![2])),
            (
                "the row is a version already",
                Past { last: Some(LastVersion { rev: 7, ..Default::default() }), ..later(999) },
                with(3, 1),
                None,
            ),
            (
                "a crowd comes in",
                Past { last: Some(LastVersion { rev: 3, created_at: 999_980, authors: vec![1] }), ..past() },
                with(3, 1),
                None,
            ),
            ("a new document", Past { now: 5, ..Past::default() }, with(3, 1), None),
        ] {
            assert_eq!(POLICY.plan(&past, &clocks).version, version, "{name}");
        }
        assert_eq!(Policy { keep: 0, ..POLICY }.plan(&later(999), &with(3, 1)).version, None);
    }

    #[test]
    fn the_first_version_of_a_document_comes_with_its_second_author() {
        let first =
            Past { rev: 1, now: 905, created_at: 900, updated_at: 900, last: None, written: vec![written(1, 5, 1)] };
        assert_eq!(POLICY.plan(&first, &[(1, 9)]), Plan { grown: vec![(1, 9)], version: None });
        let plan = POLICY.plan(&first, &[(1, 5), (2, 1)]);
        assert_eq!(plan, Plan { grown: vec![(2, 1)], version: Some(vec![1]) });
    }

    #[test]
    fn the_clocks_of_a_state_are_its_clients() {
        use yrs::{Doc, ReadTxn as _, StateVector, Text as _, Transact as _, Update, updates::decoder::Decode as _};

        let (ann, bob) = (Doc::with_client_id(1), Doc::with_client_id(2));
        ann.get_or_insert_text("t").push(&mut ann.transact_mut(), "hello");
        let state = ann.transact().encode_state_as_update_v1(&StateVector::default());
        bob.transact_mut().apply_update(Update::decode_v1(&state).unwrap()).unwrap();
        bob.get_or_insert_text("t").push(&mut bob.transact_mut(), "hi");
        let mut clocks = clocks(&bob.transact().encode_state_as_update_v1(&StateVector::default()));
        clocks.sort_unstable();
        assert_eq!(clocks, [(1, 5), (2, 2)]);
    }
}
