//! Documents whose content cannot be read cost the request, and not the gateway, which is a process of its own here.

use std::fs;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use editorcluster_core::lib0::{write_var_string, write_var_uint};
use gateway::store::Store;
use gateway::store::sqlite::SqliteStore;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use yrs::{Doc, ReadTxn, StateVector, Text, Transact};

use crate::client::Client;
use crate::gateway_process::{eventually, metric_at};
use crate::process::Process;
use crate::rest::{Reply, get, post_json, send};

const DOCUMENTS: &str = "/api/v1/documents";
/// Takes a minute to be read.
const COMPETING: u64 = 20_000;

/// On which side of an item its neighbour stands that it names.
const BEHIND: u8 = 0x80;
const IN_FRONT_OF: u8 = 0x40;

/// The structs of one client, and a state that has those of all.
struct Structs(u64, u64, BytesMut);

impl Structs {
    fn by(client: u64) -> Self {
        Self(client, 0, BytesMut::new())
    }

    /// An item of this kind, beside another one or in the text, and the content that is written.
    fn item(&mut self, kind: u8, beside: Option<(u8, u64, u64)>, write: impl FnOnce(&mut BytesMut)) {
        let Self(_, count, bytes) = self;
        *count += 1;
        if let Some((side, client, clock)) = beside {
            bytes.put_u8(kind | side);
            write_var_uint(bytes, client);
            write_var_uint(bytes, clock);
        } else {
            bytes.put_u8(kind);
            write_var_uint(bytes, 1);
            write_var_string(bytes, "text");
        }
        write(bytes);
    }
}

fn state(clients: &[Structs]) -> Bytes {
    let mut state = BytesMut::new();
    write_var_uint(&mut state, clients.len() as u64);
    for Structs(client, count, bytes) in clients {
        for number in [*count, *client, 0] {
            write_var_uint(&mut state, number);
        }
        state.extend_from_slice(bytes);
    }
    write_var_uint(&mut state, 0);
    state.freeze()
}

/// A row of items, and as many that compete for its place: to find the place of each, all those before it are looked at.
fn slow() -> Bytes {
    const EMBED: u8 = 5;
    let embed = |bytes: &mut BytesMut| write_var_string(bytes, "1");
    let (mut row, mut others) = (Structs::by(5), Structs::by(6));
    for clock in 0..COMPETING {
        row.item(EMBED, clock.checked_sub(1).map(|before| (BEHIND, 5, before)), embed);
    }
    others.item(EMBED, Some((BEHIND, 5, COMPETING - 1)), embed);
    for _ in 0..COMPETING {
        others.item(EMBED, None, embed);
    }
    state(&[row, others])
}

/// A long format, and many letters that have it. Each letter is told with the format, so 50,000 letters, which are a
/// megabyte, become five gigabytes.
fn wide(letters: u32) -> Bytes {
    let (mut structs, mut clock) = (Structs::by(1), 0);
    let mut push = |kind: u8, parts: &[&str]| {
        structs.item(kind, u64::checked_sub(clock, 1).map(|before| (BEHIND, 1, before)), |bytes| {
            parts.iter().for_each(|part| write_var_string(bytes, part));
        });
        clock += 1;
    };
    push(6, &["comment", &format!("\"{}\"", "y".repeat(100_000))]);
    for letter in 0..letters {
        push(6, &["bold", if letter % 2 == 0 { "true" } else { "null" }]);
        push(4, &["x"]);
    }
    state(&[structs])
}

/// Single letters, each in front of the one before.
fn letters(count: u64) -> Bytes {
    let mut structs = Structs::by(1);
    for clock in 0..count {
        let beside = clock.checked_sub(1).map(|before| (IN_FRONT_OF, 1, before));
        structs.item(4, beside, |bytes| write_var_string(bytes, "x"));
    }
    state(&[structs])
}

fn long_text(bytes: usize) -> Bytes {
    let mut structs = Structs::by(1);
    structs.item(4, None, |content| write_var_string(content, &"x".repeat(bytes)));
    state(&[structs])
}

/// A letter in the middle of an emoji, at which the library panics when it removes them.
fn cut() -> Bytes {
    let mut structs = Structs::by(7);
    structs.item(4, None, |bytes| write_var_string(bytes, "\u{1F600}"));
    structs.item(4, Some((BEHIND, 7, 0)), |bytes| write_var_string(bytes, "c"));
    state(&[structs])
}

fn words(name: &str) -> Bytes {
    let doc = Doc::with_client_id(1);
    doc.get_or_insert_text(name).push(&mut doc.transact_mut(), "words");
    doc.transact().encode_state_as_update_v1(&StateVector::default()).into()
}

/// A gateway whose database has these documents.
async fn start(data: &Path, documents: &[(&str, Bytes)], flags: &[&str]) -> Process {
    let store = SqliteStore::open(&data.join("editorcluster.db")).await.expect("the database takes it");
    for (name, state) in documents {
        store.write(name, 0, state.clone(), None).await.expect("the database takes it");
    }
    let own = ["--data-dir", data.to_str().expect("a path in UTF-8"), "--api", "admin"];
    Process::start(&[&own, flags].concat()).await
}

async fn text(gateway: &Process, document: &str) -> Reply {
    get(gateway.admin, &format!("{DOCUMENTS}/{document}/versions/current?format=text")).await
}

async fn outcome(gateway: &Process, outcome: &str) -> f64 {
    metric_at(gateway.admin, &format!("editorcluster_history_reads_total{{outcome=\"{outcome}\"}}")).await
}

/// The processes that a process has started and that have not been waited for.
fn children(of: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("a system with /proc").filter_map(|entry| {
        let id = entry.ok()?.file_name().to_str()?.parse::<i32>().ok()?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<i32>().ok()?;
        (parent == of).then_some(id)
    });
    processes.collect()
}

/// The process that reads for the gateway, once it does.
async fn reader(gateway: &Process) -> i32 {
    eventually("it works", async || {
        let busy = |id: &i32| fs::read_dir(format!("/proc/{id}/task")).is_ok_and(|tasks| tasks.count() == 3);
        children(gateway.id()).iter().any(busy)
    })
    .await;
    children(gateway.id())[0]
}

async fn asks_for(gateway: &Process, document: &str) -> TcpStream {
    let mut asking = TcpStream::connect(gateway.admin).await.expect("the port is open");
    let request = format!("GET {DOCUMENTS}/{document}/versions/current?format=text HTTP/1.1\r\nHost: test\r\n\r\n");
    asking.write_all(request.as_bytes()).await.expect("the request is taken");
    asking
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_takes_too_long_too_much_memory_or_the_process_costs_its_request_alone() {
    let data = tempfile::tempdir().unwrap();
    let documents = [("slow", slow()), ("wide", wide(50_000)), ("cut", words("other")), ("good", words("text"))];
    let flags = ["--history-timeout", "1s", "--max-history-memory-bytes", "134217728"];
    let gateway = start(data.path(), &documents, &flags).await;
    let version = post_json(gateway.admin, &format!("{DOCUMENTS}/cut/versions"), r#"{"name": "whole"}"#).await.json();
    assert_eq!(send(gateway.admin, "POST", &format!("{DOCUMENTS}/cut/import"), "", &cut()).await.status, 204);
    let restore = format!("{DOCUMENTS}/cut/versions/{}/restore", version["id"]);

    let mut client = Client::synced(gateway.public, "open").await;
    for (name, status, counted, says) in [
        ("slow", 422, "timeout", "--history-timeout"),
        ("wide", 422, "memory", "--max-history-memory-bytes"),
        ("cut", 500, "crashed", "log says more"),
    ] {
        let reply = async {
            if name == "cut" { post_json(gateway.admin, &restore, "").await } else { text(&gateway, name).await }
        };
        let (reply, ()) = tokio::join!(reply, client.write_acknowledged("words"));
        let (found, detail) = reply.problem();
        assert!(found == status && detail.contains(says), "{name}: {found} {detail}");
        assert_eq!(outcome(&gateway, counted).await, 1.0, "{name}");
        let log = gateway.log();
        let lines = log.lines().filter(|line| line.contains("not read") && line.contains(name)).count();
        assert_eq!(lines, 1, "{name} in {log}");
        assert_eq!(children(gateway.id()), [] as [i32; 0], "{name}");
        assert_eq!(text(&gateway, "good").await.text(), "== text\nwords\n", "{name}");
    }
    assert!(gateway.log().contains("panicked"), "{}", gateway.log());
    assert_eq!(outcome(&gateway, "ok").await, 3.0);
    for name in ["slow", "wide", "cut"] {
        assert_eq!(get(gateway.admin, &format!("{DOCUMENTS}/{name}/export")).await.status, 200, "{name}");
    }
    client.write_acknowledged(" and more").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_documents_are_read_within_the_memory_that_the_documentation_names() {
    const ITSELF: usize = 24 << 20;
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&data.path().join("editorcluster.db")).await.unwrap();
    for (name, state, times) in [("letters", letters(500_000), 40), ("text", long_text(16 << 20), 8)] {
        store.write(name, 0, state.clone(), None).await.unwrap();
        let limit = (ITSELF + state.len() * times).to_string();
        let gateway = start(data.path(), &[], &["--max-history-memory-bytes", &limit]).await;
        for format in ["text", "json"] {
            let path = format!("{DOCUMENTS}/{name}/versions/current?format={format}");
            assert_eq!(get(gateway.admin, &path).await.status, 200, "{name} as {format} in {limit} bytes");
        }
        gateway.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_too_long_for_the_gateway_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let gateway = start(data.path(), &[("wide", wide(1000))], &[]).await;
    let (status, detail) = text(&gateway, "wide").await.problem();
    assert!(status == 422 && detail.contains("export the document"), "{status} {detail}");
    assert_eq!(outcome(&gateway, "refused").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_for_a_turn_is_told_when_to_come_back() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--max-history-readers", "1", "--history-timeout", "4s"];
    let gateway = start(data.path(), &[("slow", slow()), ("good", words("text"))], &flags).await;
    let slow = asks_for(&gateway, "slow").await;
    let first = reader(&gateway).await;
    let waiting = text(&gateway, "good").await;
    assert_eq!(children(gateway.id()), [first], "nobody else is read meanwhile");
    let (status, detail) = waiting.problem();
    assert!(status == 503 && waiting.head.contains("\r\nretry-after: 5"), "{status} {detail} {}", waiting.head);
    assert_eq!(outcome(&gateway, "busy").await, 1.0);
    // This one waits as well, and its turn comes.
    assert_eq!(text(&gateway, "good").await.text(), "== text\nwords\n");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_reads_has_nothing_of_the_gateway_and_its_crash_is_an_answer() {
    let data = tempfile::tempdir().unwrap();
    let gateway = start(data.path(), &[("slow", slow())], &["--max-history-memory-bytes", "134217728"]).await;
    let _session = Client::synced(gateway.public, "open").await;
    for (signal, counted, status) in [(Signal::SIGABRT, "crashed", 500), (Signal::SIGKILL, "memory", 422)] {
        let observe = async {
            let id = reader(&gateway).await;
            let proc = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).expect("it is there");
            let environment = proc("environ");
            assert!(environment.starts_with("MALLOC_CONF=") && environment.matches('\0').count() == 1, "{environment}");
            for limit in ["core file size", "data size", "cpu time", "file size"] {
                let limits = proc("limits");
                let line = limits.lines().find(|line| line.contains(limit)).expect("a limit");
                assert!(!line.contains("unlimited"), "{line}");
            }
            assert_eq!(proc("oom_score_adj").trim(), "1000");
            for entry in fs::read_dir(format!("/proc/{id}/fd")).expect("its files") {
                let target = fs::read_link(entry.expect("an entry").path()).expect("a link");
                let target = target.to_string_lossy();
                let of_the_gateway =
                    target.starts_with("socket:") || target.starts_with(&*data.path().to_string_lossy());
                assert!(!of_the_gateway, "{target}");
            }
            kill(Pid::from_raw(id), signal).expect("it runs");
        };
        let (reply, ()) = tokio::join!(text(&gateway, "slow"), observe);
        assert_eq!((reply.problem().0, outcome(&gateway, counted).await), (status, 1.0), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_reads_ends_with_its_request_and_with_its_gateway() {
    let data = tempfile::tempdir().unwrap();
    let gateway = start(data.path(), &[("slow", slow())], &[]).await;
    let asking = asks_for(&gateway, "slow").await;
    reader(&gateway).await;
    drop(asking);
    eventually("nobody wants to know", async || children(gateway.id()).is_empty()).await;

    let _asking = asks_for(&gateway, "slow").await;
    let id = reader(&gateway).await;
    gateway.kill().await;
    // Whoever has inherited it may take its time to bury it.
    let is_over =
        |stat: String| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
    eventually("the gateway is gone", async || fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, is_over))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_is_the_gateways_own_and_says_so() {
    let gateway = tokio::process::Command::new(env!("CARGO_BIN_EXE_gateway")).arg("read-history").output();
    let output = gateway.await.expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success() && said.contains("gateways start this by themselves"), "{said}");
}
