//! Processes die or stall in a document, and then no gateway opens it.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e_servers::{Postgres, Redis};
use gateway::backup::{export, export_raw, import};
use gateway::metrics::Metrics;
use gateway::protocol::yjs::Message;
use gateway::quarantine::marks::{Doing, Marks};
use gateway::quarantine::watchdog;
use gateway::store::Store;
use gateway::store::quarantine::Quarantine;
use gateway::store::sqlite::SqliteStore;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::timeout;
use yrs::{Doc, ReadTxn, StateVector, Text, Transact};

use crate::backup::embedded;
use crate::client::Client;
use crate::gateway_process::{DEADLINE, eventually, get as http_get, metric, metric_at, start, start_embedded};
use crate::process::Process;
use crate::rest::{get, send};
use crate::stopped::Stopped;
use crate::two_gateways::pod;

const QUARANTINED: u16 = 4423;
const DAMAGED: u16 = 4422;
const DELETED: u16 = 4404;
/// Structs of a document whose opening takes long enough to be killed in.
const STRUCTS: usize = 60_000;

fn heavy() -> Bytes {
    made_of(STRUCTS)
}

/// An update of so many structs, of eleven bytes each at most.
fn made_of(structs: usize) -> Bytes {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    let mut edit = doc.transact_mut();
    for _ in 0..structs {
        // In front of each other, so that no two become one.
        text.insert(&mut edit, 0, "x");
    }
    drop(edit);
    doc.transact().encode_state_as_update_v1(&StateVector::default()).into()
}

/// What the files of marks say is being done in the document.
fn marked(directory: &Path, document: &str) -> Vec<u8> {
    let is_marks = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("marks-"));
    let names = |place: &[u8]| place[..2] != [0, 0] && place[3..].starts_with(document.as_bytes());
    let files = fs::read_dir(directory).expect("a directory").filter_map(|entry| Some(entry.ok()?.path()));
    let files = files.filter(is_marks).filter_map(|path| fs::read(path).ok());
    files
        .flat_map(|file| file.chunks(1024).filter(|place| names(place)).map(|place| place[2]).collect::<Vec<_>>())
        .collect()
}

/// Whether a file of marks names the document.
fn is_marked(directory: &Path, document: &str) -> bool {
    !marked(directory, document).is_empty()
}

/// Opens the document, and kills the process as soon as that marks it. It may be too quick.
async fn dies_in(gateway: Process, directory: &Path, document: &'static str) {
    // The marks of the one that died before would be taken for this one's.
    eventually("the dead are struck", async || !is_marked(directory, document)).await;
    let (id, directory, over) = (Pid::from_raw(gateway.id()), directory.to_owned(), Arc::new(AtomicBool::new(false)));
    let is_over = over.clone();
    let killer = std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            if is_marked(&directory, document) {
                kill(id, Signal::SIGKILL).expect("it runs");
                return;
            }
        }
    });
    let _ = Client::open(gateway.public, document).await;
    over.store(true, Ordering::Relaxed);
    killer.join().expect("the killer ends");
    gateway.kill().await;
}

/// What a process that was killed leaves, with its lock gone.
fn leave_marks(directory: &Path, documents: &[&str]) {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let marks = Marks::open(elsewhere.path()).expect("it takes a file");
    let guards: Vec<_> = documents.iter().map(|document| marks.enter(document, Doing::Opening)).collect();
    let name = format!("marks-{:016x}", marks.run());
    fs::copy(elsewhere.path().join(&name), directory.join(&name)).expect("a copy");
    drop(guards);
}

/// What `gateway quarantine ...` says of an embedded storage, and whether it has done it.
async fn command(data: &str, words: &[&str]) -> (bool, String) {
    command_at(&["--data-dir", data], words).await
}

/// The same with these flags for the storage.
async fn command_at(storage: &[&str], words: &[&str]) -> (bool, String) {
    let mut gateway = tokio::process::Command::new(env!("CARGO_BIN_EXE_gateway"));
    let output = gateway.args(storage).arg("quarantine").args(words).output().await.expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_killed_two_processes_is_refused_until_released() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let flags = ["--data-dir", path, "--checkpoint-after", "20ms", "--api", "admin", "--sweep-every", "1h"];
    let gateway = Process::start(&flags).await;
    let mut client = Client::synced(gateway.public, "heavy").await;
    client.send(&[Message::Update(heavy())]).await;
    client.acknowledged(1).await;
    drop(client);
    Client::synced(gateway.public, "other").await.write_acknowledged("words").await;
    let ended = async || metric_at(gateway.admin, "editorcluster_documents").await == 0.0;
    eventually("all is in the database", ended).await;
    gateway.kill().await;

    let store = SqliteStore::open(&data.path().join("editorcluster.db")).await.unwrap();
    let mut tries = 0;
    while store.strikes("heavy").await.unwrap().len() < 2 {
        tries += 1;
        assert!(tries < 20, "it is never marked");
        dies_in(Process::start(&flags).await, data.path(), "heavy").await;
    }

    let gateway = Process::start(&flags).await;
    for _ in 0..2 {
        assert_eq!(Client::open(gateway.public, "heavy").await.err(), Some(QUARANTINED));
    }
    assert_eq!(metric_at(gateway.admin, "editorcluster_quarantined_total").await, 2.0);
    let counted = async || metric_at(gateway.admin, "editorcluster_quarantined_documents").await == 1.0;
    eventually("it is counted", counted).await;
    assert!(gateway.log().contains("in quarantine"), "{}", gateway.log());
    assert_eq!(Client::synced(gateway.public, "other").await.text(), "words");

    let document = "/api/v1/documents/heavy";
    for path in ["/export", "/versions", "/versions/current?format=text", "/versions/1/authors"] {
        assert_eq!(get(gateway.admin, &format!("{document}{path}")).await.problem().0, 423, "{path}");
    }
    let (status, detail) = send(gateway.admin, "POST", &format!("{document}/import"), "", &[0, 0]).await.problem();
    assert!(status == 423 && detail.contains("gateway quarantine show"), "{status} {detail}");
    let described = get(gateway.admin, document).await.json();
    assert_eq!((&described["quarantined"], &described["pending_bytes"]), (&Value::Bool(true), &Value::Null));

    let (files, place) = (tempfile::tempdir().unwrap(), embedded(data.path()));
    assert_eq!(export(&place, None, files.path()).await.unwrap(), 1, "the other one");
    assert!(export(&place, Some("heavy"), files.path()).await.is_err());
    assert_eq!(export_raw(&place, None, files.path()).await.unwrap(), 1);
    let raw = store.raw("heavy").await.unwrap().unwrap();
    assert_eq!(fs::read(files.path().join("heavy.row")).unwrap(), raw.state);
    assert_eq!(import(&place, None, files.path(), false).await.unwrap(), 1, "raw files are no documents");

    let (listed, list) = command(path, &["list"]).await;
    assert!(listed && list.starts_with("heavy\tsince 20"), "{list}");
    let (shown, show) = command(path, &["show", "heavy"]).await;
    for part in ["in quarantine since", "a process died at", "as it was written", "check of the row: passes"] {
        assert!(shown && show.contains(part), "{part} is missing in {show}");
    }
    let (deleted, refusal) = command(path, &["delete", "heavy"]).await;
    assert!(!deleted && refusal.contains("a gateway runs on these files"), "{refusal}");
    assert!(command(path, &["release", "heavy"]).await.0);
    assert!(!command(path, &["release", "heavy"]).await.0, "it is not in there any more");
    assert_eq!(Client::synced(gateway.public, "heavy").await.text().len(), STRUCTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_accident_of_several_documents_locks_none_of_them_out() {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir_all(data.path()).unwrap();
    leave_marks(data.path(), &["a", "b", "c"]);
    leave_marks(data.path(), &["a", "b", "d"]);
    let gateway = start(&["--data-dir", data.path().to_str().unwrap()]).await;
    for document in ["a", "b", "c", "d"] {
        Client::synced(gateway.public_addr, document).await.write_acknowledged("words").await;
    }
    assert_eq!(metric(&gateway, "editorcluster_strikes_total").await, 6.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateways_dead_tell_all_gateways_and_the_sweep_skips() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let other = pod(&redis, &postgres, &["--checkpoint-after", "1h", "--sweep-every", "1h"]).await;
    let mut inside = Client::synced(other.public_addr, "bad").await;
    inside.write_acknowledged("only in the log").await;

    let volume = tempfile::tempdir().unwrap();
    leave_marks(volume.path(), &["bad"]);
    leave_marks(volume.path(), &["bad"]);
    let marks = volume.path().to_str().unwrap();
    let flags = ["--marks-dir", marks, "--sweep-every", "200ms", "--checkpoint-after", "50ms"];
    let gateway = pod(&redis, &postgres, &flags).await;
    assert_eq!(Client::open(gateway.public_addr, "bad").await.err(), Some(QUARANTINED));
    let skipped = async || metric(&gateway, "editorcluster_sweep_skipped_total").await >= 1.0;
    eventually("the sweep leaves its log alone", skipped).await;
    assert_eq!(metric(&gateway, "editorcluster_swept_total").await, 0.0);
    // Whoever had it open goes on; a gateway that opens it anew does not.
    inside.write_acknowledged(" and still").await;
    let third = pod(&redis, &postgres, &[]).await;
    assert_eq!(Client::open(third.public_addr, "bad").await.err(), Some(QUARANTINED));
    Client::synced(third.public_addr, "good").await.write_acknowledged("words").await;
    let own: Vec<_> = fs::read_dir(volume.path()).unwrap().collect();
    assert_eq!(own.len(), 1, "what was struck is removed, and its own is there: {own:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_does_not_come_back_strikes_its_document_once() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&data.path().join("editorcluster.db")).await.unwrap();
    let (marks, metrics) = (Marks::open(data.path()).unwrap(), Arc::new(Metrics::new().unwrap()));
    let patience = Duration::from_millis(300);
    let _watchdog =
        watchdog::start(marks.clone(), Arc::new(store.clone()), metrics.clone(), Handle::current(), patience).unwrap();
    let stalled = marks.enter("stalled", Doing::Message).unwrap();
    eventually("it is struck", async || !store.strikes("stalled").await.unwrap().is_empty()).await;
    assert_eq!(metrics.stalled.get(), 1);

    // The process is killed then, and the next one finds the mark.
    let elsewhere = tempfile::tempdir().unwrap();
    let name = format!("marks-{:016x}", marks.run());
    fs::copy(data.path().join(&name), elsewhere.path().join(&name)).unwrap();
    let flags = ["--data-dir", data.path().to_str().unwrap(), "--marks-dir", elsewhere.path().to_str().unwrap()];
    let gateway = start(&flags).await;
    Client::synced(gateway.public_addr, "stalled").await.write_acknowledged("words").await;
    let [strike] = &store.strikes("stalled").await.unwrap()[..] else { panic!("one process, one strike") };
    assert_eq!((strike.cause.as_str(), strike.doing.as_str()), ("stalled", "message"));
    drop(stalled);
    eventually("it has come back", async || metrics.stalled.get() == 0).await;
}

/// Kills the process once `is_there`, while `work` goes on.
async fn killed_in(
    gateway: Process,
    is_there: impl Fn() -> bool + Send + 'static,
    work: impl Future<Output = Infallible>,
) {
    let id = Pid::from_raw(gateway.id());
    let killer = tokio::task::spawn_blocking(move || {
        while !is_there() {
            std::thread::yield_now();
        }
        kill(id, Signal::SIGKILL).expect("it runs");
    });
    tokio::select! {
        killed = timeout(DEADLINE, killer) => killed.expect("it is killed in time").expect("the killer ends"),
        never = work => match never {},
    }
    gateway.kill().await;
}

/// Stops the thread that works on what takes long for good once `is_there`, while `work` goes on, and then kills the process after `then`.
async fn stopped_in(
    gateway: Process,
    is_there: impl Fn() -> bool + Send + 'static,
    work: impl Future<Output = Infallible>,
    then: impl AsyncFnOnce(&Process),
) {
    let id = gateway.id();
    let (stopped, is_stopped) = tokio::sync::oneshot::channel();
    let (release, is_released) = std::sync::mpsc::channel::<()>();
    // A thread's tracer is a thread, and what it has stopped goes on when it ends.
    let tracer = std::thread::spawn(move || {
        let thread = Stopped::thread(id, "aside");
        thread.stop_as_soon_as(is_there);
        let _ = stopped.send(());
        let _ = is_released.recv();
    });
    tokio::select! {
        stopped = timeout(DEADLINE, is_stopped) => stopped.expect("it is stopped in time").expect("it is stopped"),
        never = work => match never {},
    }
    then(&gateway).await;
    kill(Pid::from_raw(id), Signal::SIGKILL).expect("it runs");
    // A traced thread's end is its tracer's to see first.
    drop(release);
    tracer.join().expect("the tracer ends");
    gateway.kill().await;
}

/// A thread of the process does not come back from the document, as in a loop without end. It is killed then, as a kubelet
/// does that asks `/livez`.
async fn stalls_in(gateway: Process, directory: &Path, document: &'static str) {
    let (marks, public) = (directory.to_owned(), gateway.public);
    let sending = async {
        let mut client = Client::connect(public, document).await;
        // Each is long enough to be marked and not so long that another thread cuts it, and one of them is being taken in
        // when the thread is stopped.
        loop {
            client.send(&[Message::Update(made_of(8000))]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let is_told = async |gateway: &Process| {
        let is_dead = async || http_get(gateway.admin, "/livez").await.status == 503;
        eventually("the process says that it does not live", is_dead).await;
        assert_eq!(metric_at(gateway.admin, "editorcluster_stalled").await, 1.0);
        let struck = || gateway.log().contains("a process died or stalled in this document");
        eventually("it is written down", async || struck()).await;
    };
    stopped_in(gateway, move || is_marked(&marks, document), sending, is_told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_it_cuts_a_large_answer_leaves_a_strike_that_says_so() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--data-dir", data.path().to_str().unwrap(), "--checkpoint-after", "20ms"];
    // The thread that cuts may have come to its end before it is killed.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let gateway = Process::start(&flags).await;
        let (marks, public) = (data.path().to_owned(), gateway.public);
        let joining = async {
            let mut author = Client::connect(public, "large").await;
            author.send(&[Message::Update(heavy())]).await;
            // Each joiner is given another answer, since it is kept as long as nothing changes.
            loop {
                author.write("x").await;
                let _ = Client::connect(public, "large").await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let is_cutting = move || marked(&marks, "large").contains(&(Doing::Streaming as u8));
        killed_in(gateway, is_cutting.clone(), joining).await;
        if is_cutting() {
            break;
        }
        assert!(Instant::now() < deadline, "in vain: it is killed while it cuts");
    }

    let store = SqliteStore::open(&data.path().join("editorcluster.db")).await.unwrap();
    let _gateway = Process::start(&flags).await;
    eventually("it is struck", async || !store.strikes("large").await.unwrap().is_empty()).await;
    assert_eq!(store.strikes("large").await.unwrap()[0].doing, "streaming");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_in_which_two_processes_stalled_is_refused_until_deleted() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let flags = ["--data-dir", path, "--stall-after", "1s", "--api", "admin"];
    let gateway = Process::start(&flags).await;
    Client::synced(gateway.public, "other").await.write_acknowledged("words").await;
    stalls_in(gateway, data.path(), "endless").await;

    let store = SqliteStore::open(&data.path().join("editorcluster.db")).await.unwrap();
    let gateway = Process::start(&flags).await;
    Client::synced(gateway.public, "endless").await.write_acknowledged("words").await;
    let strikes = store.strikes("endless").await.unwrap();
    let [strike] = &strikes[..] else { panic!("one process, one strike, and not {strikes:?}") };
    assert_eq!((strike.cause.as_str(), strike.suspects), ("stalled", 1));
    stalls_in(gateway, data.path(), "endless").await;

    let gateway = Process::start(&flags).await;
    assert_eq!(Client::open(gateway.public, "endless").await.err(), Some(QUARANTINED));
    assert_eq!(Client::synced(gateway.public, "other").await.text(), "words");
    assert!(command(path, &["list"]).await.1.starts_with("endless\tsince 20"));
    assert!(!command(path, &["delete", "endless"]).await.0, "a gateway runs on these files");
    gateway.kill().await;

    let (deleted, said) = command(path, &["delete", "endless"]).await;
    assert!(deleted && said.contains("deleted `endless`"), "{said}");
    assert_eq!(command(path, &["list"]).await, (true, String::new()));
    let gateway = Process::start(&flags).await;
    assert_eq!(Client::open(gateway.public, "endless").await.err(), Some(DELETED));
    assert_eq!(Client::synced(gateway.public, "other").await.text(), "words");
    let (deleted, said) = command(path, &["delete", "never"]).await;
    assert!(!deleted && said.contains("a gateway runs"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_and_postgres_a_document_in_quarantine_is_deleted_while_gateways_run() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let storage = ["--target", "socket", "--redis-url", &redis.url(), "--database-url", &postgres.url()];
    let first = Process::start(&[&storage[..], &["--checkpoint-after", "1h"]].concat()).await;
    let mut inside = Client::synced(first.public, "bad").await;
    inside.write_acknowledged("only in the log").await;

    let volume = tempfile::tempdir().unwrap();
    leave_marks(volume.path(), &["bad"]);
    leave_marks(volume.path(), &["bad"]);
    let second = Process::start(&[&storage[..], &["--marks-dir", volume.path().to_str().unwrap()]].concat()).await;
    assert_eq!(Client::open(second.public, "bad").await.err(), Some(QUARANTINED));
    let log = || redis.command(&["KEYS", "ec:{bad}:*"]).unwrap();
    assert!(log().contains("bad"), "{}", log());

    let (deleted, said) = command_at(&storage, &["delete", "bad"]).await;
    assert!(deleted && said.contains("deleted `bad`"), "{said}");
    assert_eq!(inside.closed().await, DELETED, "also who had it open");
    for gateway in [&first, &second] {
        assert_eq!(Client::open(gateway.public, "bad").await.err(), Some(DELETED));
        Client::synced(gateway.public, "good").await.write_acknowledged("words").await;
    }
    eventually("nothing is left in Redis", async || !log().contains("bad")).await;
    let (listed, list) = command_at(&storage, &["list"]).await;
    assert!(listed && !list.contains("bad"), "{list}");
    let (deleted, said) = command_at(&storage, &["delete", "never"]).await;
    assert!(!deleted && said.contains("there is nothing of `never`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_no_update_is_never_written_over_and_its_bytes_are_exported() {
    let (gateway, data) = start_embedded(&["--api", "admin"]).await;
    let store = SqliteStore::open(&data.path().join("editorcluster.db")).await.unwrap();
    store.write("old", 0, Bytes::from_static(b"no update"), None).await.unwrap();
    let before = store.raw("old").await.unwrap();
    let mut client = Client::connect(gateway.public_addr, "old").await;
    client.write("words").await;
    assert_eq!(client.closed().await, DAMAGED);
    for body in [&[0, 0][..], b"no update"] {
        let answer = send(gateway.admin_addr, "POST", "/api/v1/documents/old/import", "", body).await;
        assert!(answer.status >= 400, "{}", answer.text());
    }
    let (files, place) = (tempfile::tempdir().unwrap(), embedded(data.path()));
    assert!(export(&place, Some("old"), files.path()).await.is_err());
    assert_eq!(export_raw(&place, Some("old"), files.path()).await.unwrap(), 1);
    assert_eq!(fs::read(files.path().join("old.row")).unwrap(), b"no update");
    assert_eq!(store.raw("old").await.unwrap(), before);
}
