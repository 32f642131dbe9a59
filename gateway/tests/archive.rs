//! Both stores keep the same history, and a deletion is final in both.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e_servers::Postgres;
use gateway::history::policy::Policy;
use gateway::store::archive::{Adopted, Archive};
use gateway::store::postgres::PostgresStore;
use gateway::store::sqlite::SqliteStore;
use gateway::store::{StoreError, Written};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Text, Transact, Update};

use crate::ready::reached;

mod ready;

/// Every other author makes a version, whenever the other came.
const EAGER: Policy = Policy {
    every: Duration::from_secs(9),
    pause: Duration::from_secs(3600),
    keep: 3,
    keep_for: Duration::from_secs(3600),
    tombstone: Duration::from_secs(3600),
};

/// A document that several clients write one after the other.
#[derive(Default)]
struct Script(Bytes);

impl Script {
    fn written_by(&mut self, client: u64, words: &str) -> Bytes {
        let doc = Doc::with_client_id(client);
        if !self.0.is_empty() {
            doc.transact_mut().apply_update(Update::decode_v1(&self.0).unwrap()).unwrap();
        }
        doc.get_or_insert_text("text").push(&mut doc.transact_mut(), words);
        self.0 = doc.transact().encode_state_as_update_v1(&StateVector::default()).into();
        self.0.clone()
    }
}

async fn write(store: &dyn Archive, document: &str, expected: i64, state: Bytes) {
    assert_eq!(store.write(document, expected, state, None).await.unwrap(), Written::Rev(expected + 1));
}

async fn keeps_history(store: &dyn Archive) {
    let mut script = Script::default();
    assert_eq!(store.document("d").await.unwrap(), None);
    assert_eq!(store.name_version("d", "nothing", Bytes::new()).await.unwrap(), None);
    write(store, "d", 0, script.written_by(1, "a")).await;
    let by_one = script.written_by(1, "b");
    write(store, "d", 1, by_one.clone()).await;
    assert_eq!(store.versions("d", i64::MAX, 10).await.unwrap(), []);

    // Somebody else's first checkpoint keeps what was there before it; one that fails keeps nothing.
    let by_two = script.written_by(2, "c");
    assert_eq!(store.write("d", 1, by_two.clone(), None).await.unwrap(), Written::Conflict);
    write(store, "d", 2, by_two.clone()).await;
    let versions = store.versions("d", i64::MAX, 10).await.unwrap();
    assert_eq!(versions.len(), 1);
    let first = &versions[0];
    assert_eq!((&first.name, &first.authors[..], first.bytes), (&None, &[1][..], by_one.len() as i64));
    assert_eq!(store.version("d", first.id).await.unwrap(), Some((first.clone(), by_one)));
    assert_eq!(store.version("e", first.id).await.unwrap(), None, "a version of another document");

    // A name keeps what is not in the row yet, too.
    let by_three = script.written_by(3, "d");
    let named = store.name_version("d", "draft", by_three.clone()).await.unwrap().unwrap();
    assert_eq!((named.name.as_deref(), &named.authors[..]), (Some("draft"), &[2, 3][..]));
    assert_eq!(store.version("d", named.id).await.unwrap().unwrap().1, by_three);
    let page = store.versions("d", named.id, 10).await.unwrap();
    assert_eq!(page, versions, "older than the named one");
    assert_eq!(store.versions("d", i64::MAX, 1).await.unwrap(), std::slice::from_ref(&named));

    // One from elsewhere is listed first, twice if asked, and is not what the next checkpoint is compared with.
    let adopted = Adopted { name: None, created_at: 7, authors: vec![9] };
    for _ in 0..2 {
        let version = store.adopt_version("d", &adopted, Bytes::from_static(b"x")).await.unwrap().unwrap();
        assert_eq!((version.created_at, &version.authors[..], version.bytes), (7, &[9][..], 1));
        assert_eq!(store.version("d", version.id).await.unwrap().unwrap().1, Bytes::from_static(b"x"));
    }
    assert_eq!(store.adopt_version("none", &adopted, Bytes::new()).await.unwrap(), None);
    let again = store.name_version("d", "again", by_three.clone()).await.unwrap().unwrap();
    assert_eq!(again.authors, named.authors);

    let authors = store.authors("d").await.unwrap();
    assert_eq!(authors.iter().map(|author| author.client).collect::<Vec<_>>(), [2, 1]);
    assert!(authors.iter().all(|author| author.user.is_none() && author.first_seen <= author.last_seen));
    let info = store.document("d").await.unwrap().unwrap();
    assert_eq!((info.id.as_str(), info.rev, info.bytes), ("d", 3, by_two.len() as i64));
}

/// Of two gateways with the same checkpoint one makes the version.
async fn one_checkpoint_makes_the_version(store: &dyn Archive) {
    let mut script = Script::default();
    write(store, "shared", 0, script.written_by(1, "a")).await;
    let state = script.written_by(2, "b");
    let writes = (0..8).map(|_| store.write("shared", 1, state.clone(), None));
    let written = futures::future::join_all(writes).await;
    assert_eq!(written.into_iter().filter(|written| matches!(written, Ok(Written::Rev(2)))).count(), 1);
    assert_eq!(store.versions("shared", i64::MAX, 10).await.unwrap().len(), 1);
}

async fn lists_documents_in_pages(store: &dyn Archive) {
    for document in ["p/1", "p/2", "p/3", "p/4"] {
        write(store, document, 0, Bytes::from_static(b"x")).await;
    }
    store.delete("p/2").await.unwrap();
    let ids = |list: Vec<gateway::store::archive::DocumentInfo>| -> Vec<String> {
        list.into_iter().map(|info| info.id).filter(|id| id.starts_with("p/")).collect()
    };
    assert_eq!(ids(store.documents("", 100).await.unwrap()), ["p/1", "p/3", "p/4"]);
    assert_eq!(ids(store.documents("p/1", 1).await.unwrap()), ["p/3"]);
    assert_eq!(ids(store.documents("p/4", 100).await.unwrap()), [""; 0]);
}

async fn a_deletion_is_final(store: &dyn Archive) {
    let mut script = Script::default();
    write(store, "gone", 0, script.written_by(1, "a")).await;
    write(store, "gone", 1, script.written_by(2, "b")).await;
    assert_eq!(store.versions("gone", i64::MAX, 9).await.unwrap().len(), 1);

    assert!(store.delete("gone").await.unwrap());
    assert!(!store.delete("gone").await.unwrap(), "twice");
    assert!(store.delete("never there").await.unwrap(), "a document that is only in the log");
    for document in ["gone", "never there"] {
        assert!(matches!(store.load(document).await, Err(StoreError::Deleted)), "{document}");
        // Whatever a room believes of the row, it cannot write.
        for expected in 0..5 {
            let late = store.write(document, expected, script.written_by(1, "late"), None).await.unwrap();
            assert_eq!(late, Written::Conflict, "{document} at {expected}");
        }
        assert_eq!(store.name_version(document, "late", Bytes::new()).await.unwrap(), None);
        assert_eq!(store.document(document).await.unwrap(), None);
        assert_eq!(store.versions(document, i64::MAX, 9).await.unwrap(), []);
        assert_eq!(store.authors(document).await.unwrap(), []);
    }
    assert!(store.revive("gone").await.unwrap());
    assert!(!store.revive("gone").await.unwrap());
    write(store, "gone", 0, script.written_by(1, "on purpose")).await;
    assert!(!store.revive("gone").await.unwrap(), "a document that is not deleted");
}

async fn keeps_all_promises(store: &dyn Archive) {
    keeps_history(store).await;
    one_checkpoint_makes_the_version(store).await;
    lists_documents_in_pages(store).await;
    a_deletion_is_final(store).await;
}

/// Each checkpoint is a version: there is no work that is too short.
fn every_checkpoint(keep_for: Duration) -> Policy {
    Policy { every: Duration::ZERO, pause: Duration::ZERO, keep_for, ..EAGER }
}

async fn keeps_so_many(store: &dyn Archive) {
    let mut script = Script::default();
    let mut named = None;
    for rev in 0..8 {
        write(store, "long", rev, script.written_by(1, "x")).await;
        if rev == 1 {
            named = store.name_version("long", "kept", script.0.clone()).await.unwrap();
        }
    }
    let versions = store.versions("long", i64::MAX, 100).await.unwrap();
    let names: Vec<_> = versions.iter().map(|version| version.name.as_deref()).collect();
    assert_eq!(names, [None, None, None, Some("kept")]);
    assert_eq!(versions.last(), named.as_ref());
}

/// With a policy under which everything is too old at once.
async fn tidies(store: &dyn Archive) {
    let mut script = Script::default();
    for rev in 0..3 {
        write(store, "old", rev, script.written_by(1, "x")).await;
    }
    store.name_version("old", "kept", script.0.clone()).await.unwrap().unwrap();
    store.delete("deleted").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.versions("old", i64::MAX, 9).await.unwrap().len() > 1 || store.load("deleted").await.is_err() {
        assert!(Instant::now() < deadline, "nothing was tidied away");
        store.tidy().await.unwrap();
    }
    assert_eq!(store.versions("old", i64::MAX, 9).await.unwrap()[0].name.as_deref(), Some("kept"));
    write(store, "deleted", 0, script.written_by(1, "a new document")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_all_promises() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("store.db")).await.unwrap().with_policy(EAGER);
    keeps_all_promises(&store).await;
    keeps_so_many(&store.clone().with_policy(every_checkpoint(EAGER.keep_for))).await;
    let hasty = Policy { tombstone: Duration::ZERO, ..every_checkpoint(Duration::ZERO) };
    tidies(&store.with_policy(hasty)).await;
}

async fn postgres(server: &Postgres, policy: Policy) -> PostgresStore {
    let store = PostgresStore::connect(&server.url(), 4).unwrap().with_policy(policy);
    reached(&store).await;
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_all_promises() {
    let server = Postgres::start().unwrap();
    keeps_all_promises(&postgres(&server, EAGER).await).await;
    keeps_so_many(&postgres(&server, every_checkpoint(EAGER.keep_for)).await).await;
    let hasty = Policy { tombstone: Duration::ZERO, ..every_checkpoint(Duration::ZERO) };
    tidies(&postgres(&server, hasty).await).await;
}
