//! The Redis bus over TLS, as an ACL user with few rights, and with a URL that rotates, against real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use e2e_servers::Redis;
use e2e_servers::pki::Authority;
use gateway::bus::redis::{RedisBus, RedisSource, RedisUrl};
use gateway::bus::{Bus, Event};
use gateway::room::log::{Appended, Epoch, Opened, Position};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const LIMIT: Duration = Duration::from_secs(15);
const EPOCH: Epoch = Epoch(1 << 32);

async fn next(events: &mut UnboundedReceiver<Event>) -> Event {
    tokio::time::timeout(LIMIT, events.recv()).await.expect("no event in time").expect("the bus is gone")
}

async fn connected(source: RedisSource) -> (RedisBus, UnboundedReceiver<Event>) {
    let (sender, mut events) = unbounded_channel();
    let bus = RedisBus::connect(source, sender).unwrap();
    assert!(matches!(next(&mut events).await, Event::Connected { generation: 1 }));
    (bus, events)
}

/// Everything that a gateway does with its log.
async fn uses_everything(bus: &RedisBus, events: &mut UnboundedReceiver<Event>) {
    bus.subscribe("d").await.unwrap();
    let tenure = bus.read("d").await.unwrap().tenure;
    assert_eq!(bus.open("d", None, EPOCH, &tenure, Bytes::from_static(b"0")).await.unwrap(), Opened::Opened);
    let large = Bytes::from(vec![7; 100_000]);
    let last = Position { epoch: EPOCH, n: 1 };
    assert_eq!(bus.append("d", EPOCH, large.clone()).await.unwrap(), Appended::At(last));
    assert!(matches!(next(events).await, Event::Entry { entry, .. } if entry.position.n == 0));
    assert!(matches!(next(events).await, Event::Entry { entry, .. } if entry.update == large));
    assert!(bus.cover("d", last, None).await.unwrap());
    assert!(matches!(next(events).await, Event::Covered { position, .. } if position == last));
    bus.publish_awareness("d", Bytes::from_static(b"here")).await.unwrap();
    bus.query_awareness("d").await.unwrap();
    bus.unsubscribe("d").await.unwrap();
    bus.ping().await.unwrap();
}

/// A folder with an authority, and a server's and a client's certificate.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path(), "ca").unwrap();
    authority.issue("redis", "redis", None, &["localhost"]).unwrap();
    authority.issue("gateway", "gateway", None, &[]).unwrap();
    folder
}

fn tls(server: &Redis, folder: &Path, with_certificate: bool) -> RedisSource {
    RedisSource {
        url: RedisUrl::Text(format!("rediss://localhost:{}", server.tls_port())),
        ca_file: Some(folder.join("ca.crt")),
        client_certificate: with_certificate.then(|| (folder.join("gateway.crt"), folder.join("gateway.key"))),
    }
}

/// Waits until the server has logged such a refusal: whoever is refused tries again and again.
async fn is_refused(source: RedisSource, server: &Redis, reason: &str) {
    let (sender, mut events) = unbounded_channel();
    let _bus = RedisBus::connect(source, sender).unwrap();
    let refusals = || server.log().lines().filter(|line| line.contains(reason)).count();
    let refused_twice = async {
        let before = refusals();
        while refusals() < before + 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(LIMIT, refused_twice).await.is_err() {
        panic!("never `{reason}`, but:\n{}", server.log());
    }
    assert!(events.try_recv().is_err(), "it was let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_server_of_an_authority_of_ones_own_is_trusted() {
    let folder = certificates();
    let server = Redis::start_with_tls(folder.path(), false).unwrap();
    let (bus, mut events) = connected(tls(&server, folder.path(), false)).await;
    uses_everything(&bus, &mut events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_server_that_asks_for_a_certificate_is_shown_one() {
    let folder = certificates();
    let server = Redis::start_with_tls(folder.path(), true).unwrap();
    let (bus, mut events) = connected(tls(&server, folder.path(), true)).await;
    uses_everything(&bus, &mut events).await;
    is_refused(tls(&server, folder.path(), false), &server, "peer did not return a certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_server_of_another_authority_or_another_name_is_not_talked_to() {
    let (folder, other) = (certificates(), certificates());
    let server = Redis::start_with_tls(folder.path(), false).unwrap();
    is_refused(tls(&server, other.path(), false), &server, "alert").await;
    let other_name = RedisUrl::Text(format!("rediss://127.0.0.1:{}", server.tls_port()));
    is_refused(RedisSource { url: other_name, ..tls(&server, folder.path(), false) }, &server, "alert").await;
}

/// The line of `docs/redis.md`, with a password put in.
fn documented_acl() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/redis.md");
    let page = std::fs::read_to_string(page).unwrap();
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER")).expect("docs/redis.md has the ACL line");
    line.split(' ').map(|word| word.replace(">PASSWORD", ">p@ss")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_acl_user_may_do_what_a_gateway_does_and_nothing_else() {
    let server = Redis::start().unwrap();
    let acl = documented_acl();
    let words: Vec<_> = acl.iter().map(String::as_str).collect();
    assert_eq!(server.command(&words).unwrap(), "+OK\r\n");
    let url = format!("redis://editorcluster:p%40ss@127.0.0.1:{}", server.port());
    let (bus, mut events) = connected(url.as_str().into()).await;
    uses_everything(&bus, &mut events).await;
    assert!(server.command(&["ACL", "LOG"]).unwrap().starts_with("*0"), "something was refused on the way");

    let may = |command: &[&str]| {
        let answer = server.command(&[&["ACL", "DRYRUN", "editorcluster"], command].concat()).unwrap();
        answer.starts_with("+OK")
    };
    assert!(may(&["XRANGE", "ec:{d}:log", "-", "+"]) && may(&["ROLE"]) && may(&["SCAN", "0"]));
    for command in [&["XRANGE", "other", "-", "+"][..], &["KEYS", "*"], &["FLUSHALL"], &["CONFIG", "GET", "*"]] {
        assert!(!may(command), "{command:?}");
    }
}

struct UrlFile {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl UrlFile {
    fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Self { path: folder.path().join("url"), _folder: folder };
        file.set(url);
        file
    }

    /// At once, as the kubelet does it.
    fn set(&self, url: &str) {
        let next = self.path.with_extension("next");
        std::fs::write(&next, url).unwrap();
        std::fs::rename(next, &self.path).unwrap();
    }

    fn source(&self) -> RedisSource {
        RedisSource { url: RedisUrl::File(self.path.clone()), ca_file: None, client_certificate: None }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_rotates_is_taken_up_without_a_restart() {
    let (old, new) = (Redis::start().unwrap(), Redis::start().unwrap());
    // As an editor leaves it: with a line feed at its end.
    let file = UrlFile::new(&format!("{}\n", old.url()));
    let (bus, mut events) = connected(file.source()).await;
    let old_tenure = bus.read("d").await.unwrap().tenure;

    file.set(&new.url());
    assert!(matches!(next(&mut events).await, Event::Disconnected { generation: 1 }));
    assert!(matches!(next(&mut events).await, Event::Connected { generation: 2 }));
    assert_ne!(bus.read("d").await.unwrap().tenure, old_tenure);
    assert!(!old.command(&["CLIENT", "LIST"]).unwrap().contains("resp=3"), "the old connection is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_cannot_be_used_leaves_the_connection_and_the_next_one_is_used() {
    let (old, new) = (Redis::start().unwrap(), Redis::start().unwrap());
    let file = UrlFile::new(&old.url());
    let (bus, mut events) = connected(file.source()).await;
    let tenure = bus.read("d").await.unwrap().tenure;
    file.set("http://nonsense");
    // Two looks at the file: the pings that the server has answered count them.
    let pings = || {
        let stats = old.command(&["INFO", "commandstats"]).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_ping:calls=")).unwrap_or("0,");
        line.split(',').next().unwrap().parse::<u32>().unwrap()
    };
    let before = pings();
    let waits = async {
        while pings() < before + 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, waits).await.expect("the connection is watched");
    assert!(events.try_recv().is_err(), "a connection that works was given up");
    assert_eq!(bus.read("d").await.unwrap().tenure, tenure);
    file.set(&new.url());
    assert!(matches!(next(&mut events).await, Event::Disconnected { generation: 1 }));
    assert!(matches!(next(&mut events).await, Event::Connected { generation: 2 }));
}
