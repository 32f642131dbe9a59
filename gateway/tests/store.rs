//! Both stores keep the same promises.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use bytes::Bytes;
use e2e_servers::Postgres;
use gateway::room::log::{Epoch, Position, Row};
use gateway::store::archive::Archive;
use gateway::store::postgres::PostgresStore;
use gateway::store::quarantine::{Cause, Strike};
use gateway::store::sqlite::SqliteStore;
use gateway::store::{Store, StoreError, Written};

use crate::ready::reached;

mod ready;

fn all_bytes() -> Bytes {
    (0..=255u8).cycle().take(1 << 20).collect::<Vec<_>>().into()
}

async fn keeps_the_promises(store: &dyn Store) {
    let document = "a {b} ü\u{1F600} / 50%";
    let position = Some(Position { epoch: Epoch(u64::MAX - 5), n: 7 });
    assert_eq!(store.load(document).await.unwrap(), None);
    assert_eq!(store.rev(document).await.unwrap(), 0);

    // An update of a row that is not there, then the first write, then a second first write.
    assert_eq!(store.write(document, 3, Bytes::new(), None).await.unwrap(), Written::Conflict);
    assert_eq!(store.write(document, 0, all_bytes(), position).await.unwrap(), Written::Rev(1));
    assert_eq!(store.write(document, 0, Bytes::new(), None).await.unwrap(), Written::Conflict);
    let row = store.load(document).await.unwrap();
    assert_eq!(row, Some(Row { state: all_bytes(), position, rev: 1 }));

    assert_eq!(store.write(document, 1, Bytes::from_static(b"x"), None).await.unwrap(), Written::Rev(2));
    assert_eq!(store.write(document, 1, Bytes::from_static(b"late"), position).await.unwrap(), Written::Conflict);
    let row = store.load(document).await.unwrap();
    assert_eq!(row, Some(Row { state: Bytes::from_static(b"x"), position: None, rev: 2 }));
    assert_eq!(store.rev(document).await.unwrap(), 2);
    assert_eq!(store.load("a").await.unwrap(), None);
}

async fn of_many_writers_one_wins(store: &dyn Store) {
    for expected in 0..5 {
        let writes = (0..8u8).map(|n| store.write("contended", expected, Bytes::from(vec![n]), None));
        let results = futures::future::join_all(writes).await;
        let won = results.iter().filter(|result| matches!(result, Ok(Written::Rev(_)))).count();
        let lost = results.iter().filter(|result| matches!(result, Ok(Written::Conflict))).count();
        assert_eq!((won, lost), (1, 7), "{results:?}");
    }
}

/// A process that was working on so many documents, among them this one.
fn strike(document: &str, run: u64, suspects: u32) -> Strike {
    Strike { document: document.to_owned(), run, cause: Cause::Died, doing: "opening", suspects }
}

async fn keeps_the_quarantine(store: &dyn Archive) {
    let (row, young) = ("quarantined with a row", "quarantined in the log alone");
    assert_eq!(store.write(row, 0, Bytes::from_static(b"kept"), None).await.unwrap(), Written::Rev(1));
    for document in [row, young] {
        assert!(!store.strike(&strike(document, u64::MAX, 1)).await.unwrap());
        assert!(!store.strike(&strike(document, u64::MAX, 1)).await.unwrap(), "the same process again");
        assert_eq!(store.strikes(document).await.unwrap().len(), 1);
        assert!(store.load(document).await.is_ok(), "one strike is none");
        assert!(store.strike(&strike(document, 2, 2)).await.unwrap());
        assert!(!store.strike(&strike(document, 3, 1)).await.unwrap(), "it is in there already");
        assert!(matches!(store.load(document).await, Err(StoreError::Quarantined)));
        assert!(store.is_quarantined(document).await.unwrap());
    }
    let names: Vec<_> = store.quarantined().await.unwrap().into_iter().map(|found| found.document).collect();
    assert_eq!(names, [young, row]);
    // Whoever had it open before goes on, and its bytes are there.
    assert_eq!(store.write(row, 1, Bytes::from_static(b"more"), None).await.unwrap(), Written::Rev(2));
    let raw = store.raw(row).await.unwrap().unwrap();
    assert_eq!((&raw.state[..], raw.rev, raw.sound, raw.deleted), (&b"more"[..], 2, true, false));
    assert_eq!(store.raw(young).await.unwrap(), None);
    store.tidy().await.unwrap();
    assert_eq!(store.strikes(row).await.unwrap().len(), 3);

    assert!(store.release(row).await.unwrap());
    assert!(!store.release(row).await.unwrap());
    assert_eq!((store.load(row).await.unwrap().unwrap().rev, store.strikes(row).await.unwrap()), (2, vec![]));
    assert!(store.delete(young).await.unwrap());
    assert!(matches!(store.load(young).await, Err(StoreError::Deleted)));
    assert_eq!((store.quarantined().await.unwrap(), store.strikes(young).await.unwrap()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_promises() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.ping().await.unwrap();
    keeps_the_promises(&store).await;
    of_many_writers_one_wins(&store).await;
    keeps_the_quarantine(&store).await;
    drop(store);
    let again = SqliteStore::open(&path).await.unwrap();
    assert_eq!(again.load("contended").await.unwrap().unwrap().rev, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_promises() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::connect(&server.url(), 4).unwrap();
    reached(&store).await;
    keeps_the_promises(&store).await;
    of_many_writers_one_wins(&store).await;
    keeps_the_quarantine(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_start_together_migrate_once() {
    let server = Postgres::start().unwrap();
    let stores: Vec<_> = (0..6).map(|_| PostgresStore::connect(&server.url(), 2).unwrap()).collect();
    for store in &stores {
        reached(store).await;
    }
    assert_eq!(stores[0].write("d", 0, Bytes::from_static(b"1"), None).await.unwrap(), Written::Rev(1));
    assert_eq!(stores[5].load("d").await.unwrap().unwrap().rev, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_before_its_postgres_and_outlives_its_restart() {
    let mut server = Postgres::prepare().unwrap();
    let store = PostgresStore::connect(&server.url(), 2).unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.load("d").await, Err(StoreError::Unavailable(_))));

    server.run().unwrap();
    reached(&store).await;
    assert_eq!(store.write("d", 0, Bytes::from_static(b"1"), None).await.unwrap(), Written::Rev(1));

    server.stop().unwrap();
    assert!(matches!(store.load("d").await, Err(StoreError::Unavailable(_))));
    server.run().unwrap();
    reached(&store).await;
    assert_eq!(store.load("d").await.unwrap().unwrap().state, Bytes::from_static(b"1"));
}
