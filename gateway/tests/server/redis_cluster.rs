//! A Redis Cluster: documents everywhere, a slot that moves, a primary that dies, slots that nobody has yet.

use bytes::Bytes;
use e2e_servers::{Postgres, Redis, RedisCluster, free_port, wait_until};
use gateway::bus::redis::RedisBus;
use gateway::bus::{Bus, Event};
use gateway::room::log::{Appended, Epoch, Opened, Position};
use tokio::sync::mpsc::unbounded_channel;

use crate::client::Client;
use crate::gateway_process::DEADLINE;
use crate::redis_failover::{acknowledged, all_agree, pod};

const KEY: &str = "ec:{notes}:log";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_on_all_servers_and_each_is_heard_from_its_own() {
    let cluster = RedisCluster::start().unwrap();
    let (sender, mut events) = unbounded_channel();
    let bus = RedisBus::connect(cluster.url().as_str(), sender).unwrap();
    let mut next = async || tokio::time::timeout(DEADLINE, events.recv()).await.expect("in time").expect("an event");
    assert!(matches!(next().await, Event::Connected { generation: 1 }));
    let epoch = Epoch(1 << 32);
    let mut used = [0; 3];
    for document in (0..30).map(|number| format!("{number} {{of}} 30")) {
        bus.subscribe(&document).await.unwrap();
        let tenure = bus.read(&document).await.unwrap().tenure;
        let opened = bus.open(&document, None, epoch, &tenure, Bytes::from_static(b"0")).await.unwrap();
        assert_eq!(opened, Opened::Opened);
        let large = Bytes::from(vec![1; 100_000]);
        let at = Position { epoch, n: 1 };
        assert_eq!(bus.append(&document, epoch, large.clone()).await.unwrap(), Appended::At(at));
        assert!(matches!(next().await, Event::Entry { entry, .. } if entry.position.n == 0));
        assert!(
            matches!(next().await, Event::Entry { entry, document: of } if entry.update == large && of == document)
        );
        let key = format!("ec:{{{}}}:log", document.replace('{', "%7B").replace('}', "%7D"));
        let primary = cluster.primary_of(&key).unwrap();
        assert_eq!(cluster.servers[primary].command(&["XLEN", &key]).unwrap(), ":2\r\n");
        used[primary] += 1;
    }
    assert!(used.iter().all(|documents| *documents > 0), "{used:?}");
    bus.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_while_its_document_is_edited_and_nothing_is_lost() {
    let (cluster, postgres) = (RedisCluster::start().unwrap(), Postgres::start().unwrap());
    let pods = [pod(&cluster.url(), &postgres).await, pod(&cluster.url(), &postgres).await];
    let mut ann = Client::synced(pods[0].public_addr, "notes").await;
    let mut bob = Client::synced(pods[1].public_addr, "notes").await;
    let from = cluster.primary_of(KEY).unwrap();
    let to = (from + 1) % 3;
    let mut last = (Bytes::new(), Bytes::new());
    for round in 0..60 {
        if round == 20 {
            bob.until("an edit of Ann", |bob| bob.text().contains("ann")).await;
            cluster.move_slot(KEY, from, to).unwrap();
        }
        last = (ann.write("ann ").await, bob.write("bob ").await);
        tokio::task::yield_now().await;
    }
    ann.until("the acknowledgement", |ann| acknowledged(ann, &last.0)).await;
    bob.until("the acknowledgement", |bob| acknowledged(bob, &last.1)).await;
    let whole = |client: &Client| client.text().len() == 2 * 60 * 4;
    ann.until("all edits", whole).await;
    bob.until("all edits", whole).await;
    assert_eq!(cluster.servers[to].command(&["EXISTS", KEY]).unwrap(), ":1\r\n");
    all_agree(&cluster.url(), &postgres, pods, ann, bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_of_a_cluster_is_killed_under_edits_and_none_is_lost() {
    let (mut cluster, postgres) = (RedisCluster::start().unwrap(), Postgres::start().unwrap());
    let url = cluster.url();
    let pods = [pod(&url, &postgres).await, pod(&url, &postgres).await];
    let mut ann = Client::synced(pods[0].public_addr, "notes").await;
    let mut bob = Client::synced(pods[1].public_addr, "notes").await;
    let primary = cluster.primary_of(KEY).unwrap();
    let mut last = (Bytes::new(), Bytes::new());
    for round in 0..60 {
        if round == 20 {
            bob.until("an edit of Ann", |bob| bob.text().contains("ann")).await;
            cluster.servers[primary].kill9();
        }
        last = (ann.write("ann ").await, bob.write("bob ").await);
        tokio::task::yield_now().await;
    }
    ann.until("the acknowledgement", |ann| acknowledged(ann, &last.0)).await;
    bob.until("the acknowledgement", |bob| acknowledged(bob, &last.1)).await;
    let whole = |client: &Client| client.text().len() == 2 * 60 * 4;
    ann.until("all edits", whole).await;
    bob.until("all edits", whole).await;
    let replica = cluster.servers[primary + 3].command(&["ROLE"]).unwrap();
    assert!(replica.contains("master"), "the replica has not taken over: {replica}");
    all_agree(&url, &postgres, pods, ann, bob).await;
}

/// A server that has a third of the slots; nobody has the others.
fn a_third(coverage: &str) -> Redis {
    let port = free_port().expect("a port").to_string();
    let words = ["--cluster-enabled", "yes", "--cluster-port", &port, "--cluster-require-full-coverage", coverage];
    let server = Redis::start_with(&words).expect("a server");
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "5460"]).expect("an answer");
    server
}

/// In slot 12182 (`CLUSTER KEYSLOT`).
const LATER: &str = "foo";

async fn reads_when_whole(server: &Redis, generation: u64, before: impl Fn(&Redis) -> bool) {
    let (sender, mut events) = unbounded_channel();
    let bus =
        RedisBus::connect(format!("redis+cluster://127.0.0.1:{}", server.port()).as_str(), sender).expect("a URL");
    wait_until("the bus has looked", DEADLINE, || Ok(before(server))).expect("in time");
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "5461", "16383"]).expect("an answer");
    loop {
        let event = tokio::time::timeout(DEADLINE, events.recv()).await.expect("in time").expect("an event");
        if matches!(event, Event::Connected { generation: is } if is == generation) {
            break;
        }
    }
    bus.read(LATER).await.expect("a log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_still_being_made_is_waited_for() {
    let tried = |server: &Redis| server.command(&["INFO", "commandstats"]).unwrap().contains("cluster|slots");
    reads_when_whole(&a_third("yes"), 1, tried).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_were_nobodys_are_found_when_they_are_somebodys() {
    let loaded = |server: &Redis| server.command(&["FUNCTION", "LIST"]).unwrap().contains("ec_read");
    reads_when_whole(&a_third("no"), 2, loaded).await;
}
