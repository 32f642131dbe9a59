//! The power fails under a gateway with embedded storage: what its disk was told to sync is there, and of the rest
//! anything may be. The gateway runs once, and then the power fails at many moments of what it did.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gateway::bus::sqlite::SqliteLog;
use gateway::quarantine::marks::Marks;
use gateway::store::sqlite::SqliteStore;
use gateway::transfer::whole;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::mpsc;

use crate::client::{Client, text_of};
use crate::disk::Disk;
use crate::disk::journal::{Image, Op, Syncs, after_power_failure};
use crate::gateway_process::start;
use crate::people::{Acknowledged, Edit, missing, write};
use crate::process::Process;

const DOCUMENTS: [&str; 3] = ["a", "b", "c"];
const EDITS: usize = 400;
const FAILURES: usize = 200;

struct Run {
    journal: Vec<Op>,
    edits: Vec<Edit>,
}

async fn run() -> Run {
    let (disk, acknowledged) = (Arc::new(Disk::mount()), Acknowledged::default());
    let gateway = Process::start(&["--data-dir", disk.data(), "--checkpoint-after", "30ms"]).await;
    let clock = disk.clone();
    let people = write(gateway.public, &DOCUMENTS, "w", &acknowledged, move || clock.moment());
    acknowledged.until_there_are(EDITS).await;
    gateway.kill().await;
    people.join_all().await;
    Run { journal: disk.journal(), edits: acknowledged.edits() }
}

impl Run {
    /// A disk after a power failure, and what must be on it.
    fn failure(&self, syncs: Syncs, random: &mut SmallRng) -> (Image, Vec<Edit>) {
        // Half of them right after somebody was told that the edit is safe.
        let moment = if random.random() {
            self.edits[random.random_range(0..self.edits.len())].moment
        } else {
            random.random_range(0..=self.journal.len())
        };
        let image = after_power_failure(&self.journal[..moment], syncs, random);
        (image, self.edits.iter().filter(|edit| edit.moment <= moment).cloned().collect())
    }
}

/// What the disk holds of each document, in row and log together.
async fn texts(data: &Path) -> Result<BTreeMap<&'static str, String>, String> {
    let file = data.join("editorcluster.db");
    let mut db = SqliteConnectOptions::new().filename(&file).create_if_missing(true).connect().await.map_err(text)?;
    let found: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await.map_err(text)?;
    if found != "ok" {
        return Err(found);
    }
    let store = SqliteStore::open(&file).await.map_err(text)?;
    let bus = SqliteLog::open(&file).await.map_err(text)?.for_shard(mpsc::unbounded_channel().0);
    let mut texts = BTreeMap::new();
    for document in DOCUMENTS {
        let state = whole(&bus, &store, document, &Marks::default()).await.map_err(text)?;
        texts.insert(document, state.map(|state| text_of(&state)).unwrap_or_default());
    }
    Ok(texts)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

async fn damage(image: &Image, edits: &[Edit]) -> Option<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("room for it");
    image.write_to(directory.path());
    match texts(&data).await {
        Ok(texts) => {
            let lost = missing(edits, &texts);
            lost.first().map(|first| format!("{} of {} edits are lost, such as {first:?}", lost.len(), edits.len()))
        }
        Err(error) => Some(error),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_power_failure_takes_an_acknowledged_edit_or_damages_the_database() {
    let (run, seed) = (run().await, rand::random());
    println!("SEED {seed}, {} edits, {} operations", run.edits.len(), run.journal.len());
    let random = &mut SmallRng::seed_from_u64(seed);
    for failure in 0..FAILURES {
        let (image, edits) = run.failure(Syncs::Honest, random);
        assert_eq!(damage(&image, &edits).await, None, "failure {failure}");
    }

    // The same without syncs: if nothing were lost now, this test would see nothing.
    let mut seen = 0;
    for _ in 0..FAILURES / 10 {
        let (image, edits) = run.failure(Syncs::Ignored, random);
        seen += usize::from(damage(&image, &edits).await.is_some());
    }
    assert!(seen > FAILURES / 20, "without syncs only {seen} power failures of {} did harm", FAILURES / 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_after_a_power_failure_and_serves_every_acknowledged_edit() {
    let (run, seed) = (run().await, rand::random());
    println!("SEED {seed}");
    let random = &mut SmallRng::seed_from_u64(seed);
    for failure in 0..10 {
        let (image, edits) = run.failure(Syncs::Honest, random);
        let directory = tempfile::tempdir().unwrap();
        image.write_to(directory.path());
        let gateway = start(&["--data-dir", directory.path().join("data").to_str().unwrap()]).await;
        let mut texts = BTreeMap::new();
        for document in DOCUMENTS {
            let mut client = Client::synced(gateway.public_addr, document).await;
            texts.insert(document, client.text());
            client.write_acknowledged(" on").await;
        }
        let lost = missing(&edits, &texts);
        assert!(lost.is_empty(), "failure {failure}: {} of {} are lost: {:?}", lost.len(), edits.len(), lost.first());
    }
}
