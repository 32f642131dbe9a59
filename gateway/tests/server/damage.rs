//! The disk has changed what a gateway wrote: bytes of the database are others. Of an embedded one any, of Postgres those
//! of a row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use e2e_servers::{Postgres, Redis};
use gateway::backup::{export, import};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::backup::embedded;
use crate::client::Client;
use crate::gateway_process::{eventually, metric_at, try_start};
use crate::process::Process;
use crate::rest::send;
use crate::two_gateways::pod;

const DAMAGED: u16 = 4422;
const PAGE: usize = 4096;
const FLIPS: usize = 150;

fn file(data: &Path) -> PathBuf {
    data.join("editorcluster.db")
}

/// Everything is in the one file, so that it can be damaged.
async fn settle(data: &Path) {
    let mut db = SqliteConnectOptions::new().filename(file(data)).connect().await.expect("the database opens");
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut db).await.expect("nobody else has it open");
}

fn once(document: &str) -> String {
    format!("the words of {}, ", document.trim_start_matches("name-")).repeat(300)
}

/// What is in a document.
fn words(document: &str) -> String {
    once(document).repeat(if document == IN_BOTH { 2 } else { 1 })
}

const IN_ROWS: [&str; 4] = ["name-a", "name-b", "name-c", "name-d"];
const IN_LOG: [&str; 2] = ["name-y", "name-z"];
/// It has a row, and what is newer in the log.
const IN_BOTH: &str = "name-m";

/// Documents whose rows are the latest, and documents that are in the log alone.
async fn database() -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().to_str().expect("a path in UTF-8");
    for (documents, checkpoint) in [(&IN_ROWS[..], "20ms"), (&IN_LOG[..], "1h")] {
        let documents = [documents, &[IN_BOTH]].concat();
        let gateway = Process::start(&["--data-dir", path, "--checkpoint-after", checkpoint]).await;
        let mut inside = Vec::new();
        for document in documents {
            let mut client = Client::synced(gateway.public, document).await;
            client.write_acknowledged(&once(document)).await;
            inside.push(client);
        }
        if checkpoint == "20ms" {
            inside.clear();
            let ended = async || metric_at(gateway.admin, "editorcluster_documents").await == 0.0;
            eventually("all are in the database", ended).await;
        }
        gateway.kill().await;
    }
    settle(data.path()).await;
    data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_or_entry_is_reported_not_served_and_not_written_over_and_the_others_are_served() {
    let data = database().await;
    for document in ["name-b", "name-y"] {
        let sound = std::fs::read(file(data.path())).unwrap();
        let needle = format!("{}the words", &words(document)[..16]);
        let at = sound.windows(needle.len()).position(|bytes| bytes == needle.as_bytes()).expect("its text is there");
        let mut damaged = sound.clone();
        damaged[at] = b'T';
        std::fs::write(file(data.path()), &damaged).unwrap();

        let flags = ["--data-dir", data.path().to_str().unwrap(), "--sweep-every", "1h"];
        let gateway = Process::start(&flags).await;
        for _ in 0..2 {
            assert_eq!(Client::open(gateway.public, document).await.err(), Some(DAMAGED), "{document}");
        }
        assert_eq!(metric_at(gateway.admin, "editorcluster_damaged_total").await, 2.0);
        assert!(gateway.log().contains("is damaged and not served"), "{}", gateway.log());
        let mut other = Client::open(gateway.public, "name-c").await.unwrap();
        other.write_acknowledged("!").await;
        Client::open(gateway.public, "new").await.unwrap().write_acknowledged("new").await;
        gateway.kill().await;

        // Nothing was written over it: with the right byte it is the document again.
        settle(data.path()).await;
        let mut mended = std::fs::read(file(data.path())).unwrap();
        let wrong = needle.replacen('t', "T", 1);
        let at = mended.windows(wrong.len()).position(|bytes| bytes == wrong.as_bytes()).expect("it is still there");
        mended[at] = b't';
        std::fs::write(file(data.path()), &mended).unwrap();
        let gateway = Process::start(&flags).await;
        assert_eq!(Client::synced(gateway.public, document).await.text(), words(document));
        gateway.kill().await;
        settle(data.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_of_postgres_is_reported_and_not_served_and_the_others_are_served() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let gateway = pod(&redis, &postgres, &["--checkpoint-after", "20ms"]).await;
    for document in ["damaged", "sound"] {
        Client::synced(gateway.public_addr, document).await.write_acknowledged("words").await;
    }
    eventually("all are in the database", async || gateway.metrics.documents.get() == 0).await;
    // As a disk would: no trigger hears of it. It is a letter of the text, so the state stays an update.
    let flip = "SET session_replication_role = replica; \
                UPDATE documents SET state = set_byte(state, octet_length(state) - 3, \
                    get_byte(state, octet_length(state) - 3) # 1) WHERE id = 'damaged'";
    let mut db = PgConnection::connect(&postgres.url()).await.unwrap();
    sqlx::raw_sql(flip).execute(&mut db).await.unwrap();
    assert_eq!(Client::open(gateway.public_addr, "damaged").await.err(), Some(DAMAGED));
    assert_eq!(metric_at(gateway.admin_addr, "editorcluster_damaged_total").await, 1.0);
    assert_eq!(Client::synced(gateway.public_addr, "sound").await.text(), "words");
    // Nothing was written over it.
    sqlx::raw_sql(flip).execute(&mut db).await.unwrap();
    assert_eq!(Client::synced(gateway.public_addr, "damaged").await.text(), "words");
}

/// What became of each document: its text, or the code with which the session was closed. None: nothing was served.
async fn served(bytes: &[u8]) -> Option<BTreeMap<&'static str, Result<String, u16>>> {
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(file(data.path()), bytes).expect("room for it");
    let path = data.path().to_str().expect("a path in UTF-8");
    let gateway = try_start(&["--data-dir", path, "--shards", "1"]).await.ok()?;
    let mut served = BTreeMap::new();
    for document in IN_ROWS.into_iter().chain(IN_LOG).chain([IN_BOTH]) {
        let outcome = Client::open(gateway.public_addr, document).await;
        served.insert(document, outcome.map(|client| client.text()));
    }
    Some(served)
}

#[derive(Debug, Default)]
struct Outcomes {
    right: usize,
    refused: usize,
    silent: usize,
}

impl Outcomes {
    /// Each document is served as it is or not at all.
    fn count(&mut self, damage: &str, served: Option<BTreeMap<&'static str, Result<String, u16>>>) {
        let Some(served) = served else {
            self.silent += 1;
            return;
        };
        for (document, outcome) in served {
            match outcome {
                Ok(text) => {
                    assert!(text == words(document), "{damage}: `{document}` is served as `{text:.60}`");
                    self.right += 1;
                }
                Err(code) => {
                    assert_eq!(code, DAMAGED, "{damage}: `{document}`");
                    self.refused += 1;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_byte_or_a_page_is_damaged_no_document_is_served_as_what_it_is_not() {
    let data = database().await;
    let sound = std::fs::read(file(data.path())).unwrap();
    let seed = rand::random();
    println!("SEED {seed}, {} pages", sound.len() / PAGE);
    let random = &mut SmallRng::seed_from_u64(seed);
    let mut outcomes = Outcomes::default();
    for flip in 0..FLIPS {
        let (mut bytes, at) = (sound.clone(), random.random_range(0..sound.len()));
        if random.random_ratio(1, 4) {
            let page = at / PAGE * PAGE;
            random.fill(&mut bytes[page..page + PAGE]);
        } else {
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        outcomes.count(&format!("damage {flip} at {at}"), served(&bytes).await);
    }
    println!("{outcomes:?}");
    assert!(outcomes.right > FLIPS && outcomes.refused > 0, "{outcomes:?}");
}

/// A document whose name is another one in an index is not found, and must not be taken for a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_documents_name_is_damaged_it_is_not_served_as_empty_nor_as_less_than_it_is() {
    let data = database().await;
    let sound = std::fs::read(file(data.path())).unwrap();
    let mut outcomes = Outcomes::default();
    for document in ["name-b", "name-y", IN_BOTH] {
        let places = (0..sound.len()).filter(|at| sound[*at..].starts_with(document.as_bytes()));
        for at in places {
            let mut bytes = sound.clone();
            bytes[at + 5] = b'f';
            outcomes.count(&format!("{document} at {at}"), served(&bytes).await);
        }
    }
    println!("{outcomes:?}");
    assert!(outcomes.right > outcomes.refused && outcomes.refused > 1, "{outcomes:?}");
}

/// SQLite takes it for a mistake in the question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_name_in_the_schema_is_damage_and_no_outage() {
    let data = database().await;
    let mut bytes = std::fs::read(file(data.path())).unwrap();
    let column = b"checksum INTEGER";
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(column)).collect();
    assert_eq!(places.len(), 3, "of documents, log and log_head");
    for at in places {
        bytes[at] = b'k';
    }
    let mut outcomes = Outcomes::default();
    outcomes.count("the schema", served(&bytes).await);
    assert_eq!((outcomes.right, outcomes.silent), (0, 0), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_is_deleted_and_imported_again_and_an_export_of_all_has_the_others() {
    let (data, files) = (database().await, tempfile::tempdir().unwrap());
    let place = embedded(data.path());
    assert_eq!(export(&place, Some("name-b"), files.path()).await.unwrap(), 1);
    let mut db = SqliteConnectOptions::new().filename(file(data.path())).connect().await.unwrap();
    sqlx::query("UPDATE documents SET rev = rev + 1 WHERE id = 'name-b'").execute(&mut db).await.unwrap();
    db.close().await.unwrap();

    let flags = ["--data-dir", data.path().to_str().unwrap(), "--api", "admin"];
    let gateway = try_start(&flags).await.unwrap();
    assert_eq!(Client::open(gateway.public_addr, "name-b").await.err(), Some(DAMAGED));
    let all = export(&place, None, tempfile::tempdir().unwrap().path()).await.unwrap_err().to_string();
    assert!(all.starts_with("6 documents were exported, 1 could not be"), "{all}");

    let deleted = send(gateway.admin_addr, "DELETE", "/api/v1/documents/name-b", "", b"").await;
    assert!(deleted.status < 300, "{}", deleted.text());
    assert_eq!(import(&place, Some("name-b"), files.path(), true).await.unwrap(), 1);
    assert_eq!(Client::synced(gateway.public_addr, "name-b").await.text(), words("name-b"));
}

/// Numbers that are others would have entries be trimmed that no row holds, or be written twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_position_or_rev_is_noticed() {
    let data = database().await;
    let sound = std::fs::read(file(data.path())).unwrap();
    for (document, damage) in [
        // A row may have been written before its document had a position.
        ("name-b", "UPDATE documents SET epoch = coalesce(epoch, 1), n = coalesce(n + 1, 0) WHERE id = 'name-b'"),
        ("name-b", "UPDATE documents SET epoch = coalesce(epoch + 1, 1), n = coalesce(n, 0) WHERE id = 'name-b'"),
        ("name-b", "UPDATE documents SET rev = rev + 1 WHERE id = 'name-b'"),
        ("name-b", "UPDATE documents SET deleted_at = 1 WHERE id = 'name-b'"),
        ("name-y", "UPDATE log SET n = n + 1 WHERE document = 'name-y'"),
        ("name-y", "UPDATE log SET epoch = epoch + 1 WHERE document = 'name-y'"),
        ("name-y", "UPDATE log_head SET last_n = last_n + 1 WHERE document = 'name-y'"),
        ("name-y", "UPDATE log_head SET epoch = epoch + 1 WHERE document = 'name-y'"),
    ] {
        std::fs::write(file(data.path()), &sound).unwrap();
        let mut db = SqliteConnectOptions::new().filename(file(data.path())).connect().await.unwrap();
        sqlx::query(damage).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        settle(data.path()).await;
        let served = served(&std::fs::read(file(data.path())).unwrap()).await.expect("the gateway starts");
        for (name, outcome) in served {
            let expected = if name == document { Err(DAMAGED) } else { Ok(words(name)) };
            assert!(outcome == expected, "{damage}: `{name}` is {:?}", outcome.map(|text| text.len()));
        }
    }
}
