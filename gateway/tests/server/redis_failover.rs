//! Two gateways on a Redis with replicas and sentinels: the primary dies while people edit.

use bytes::Bytes;
use e2e_servers::{Postgres, Replicated};
use gateway::bus::redis::RedisBus;
use gateway::bus::{Bus, Event};
use gateway::drain;
use gateway::protocol::yjs::Message;
use gateway::room::log::{Appended, Opened, ReadReply};
use gateway::server::Running;
use tokio::sync::mpsc::unbounded_channel;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, Transact, Update};

use crate::client::Client;
use crate::gateway_process::{DEADLINE, eventually, get, start};

/// Nothing is checkpointed before the drain: what the tests see in the log, the log has kept.
pub(crate) async fn pod(redis: &str, postgres: &Postgres) -> Running {
    let flags = ["--target", "socket", "--redis-url", redis, "--database-url", &postgres.url(), "--settle", "0s"];
    let gateway = start(&[&flags[..], &["--checkpoint-after", "1h"]].concat()).await;
    eventually("it is ready", async || get(gateway.admin_addr, "/readyz").await.status == 200).await;
    gateway
}

pub(crate) fn acknowledged(client: &Client, update: &Bytes) -> bool {
    client.heard.iter().any(|message| matches!(message, Message::Update(echo) if echo == update))
}

async fn connect(url: &str) -> RedisBus {
    let (sender, mut events) = unbounded_channel();
    let bus = RedisBus::connect(url, sender).expect("a URL");
    let connected = tokio::time::timeout(DEADLINE, events.recv()).await.expect("connected in time");
    assert!(matches!(connected, Some(Event::Connected { generation: 1 })));
    bus
}

/// The text that a stream alone makes.
fn text_of(reply: &ReadReply) -> String {
    let doc = Doc::new();
    for entry in &reply.entries {
        doc.transact_mut().apply_update(Update::decode_v1(&entry.update).expect("an update")).expect("it applies");
    }
    let read = doc.transact();
    read.get_text("text").map(|text| text.get_string(&read)).unwrap_or_default()
}

/// Both have all of it, and so has a gateway that starts when they are gone.
pub(crate) async fn all_agree(redis: &str, postgres: &Postgres, pods: [Running; 2], mut ann: Client, mut bob: Client) {
    let text = ann.text();
    bob.until_text(&text).await;
    let [left, right] = pods;
    tokio::join!(drain::run(&left), drain::run(&right), ann.closed(), bob.closed());
    drop((left, right));
    let again = pod(redis, postgres).await;
    assert_eq!(Client::synced(again.public_addr, "notes").await.text(), text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_killed_under_edits_and_none_is_lost() {
    let (mut redis, postgres) = (Replicated::start(2).unwrap(), Postgres::start().unwrap());
    let url = redis.url();
    let pods = [pod(&url, &postgres).await, pod(&url, &postgres).await];
    let mut ann = Client::synced(pods[0].public_addr, "notes").await;
    let mut bob = Client::synced(pods[1].public_addr, "notes").await;
    let mut last = (Bytes::new(), Bytes::new());
    for round in 0..200 {
        if round == 20 {
            bob.until("some edits of Ann", |bob| bob.text().contains("ann")).await;
            redis.servers[0].kill9();
        }
        last = (ann.write("ann ").await, bob.write("bob ").await);
        tokio::task::yield_now().await;
    }
    ann.until("the acknowledgement", |ann| acknowledged(ann, &last.0)).await;
    bob.until("the acknowledgement", |bob| acknowledged(bob, &last.1)).await;
    let whole = |client: &Client| client.text().len() == 2 * 200 * 4;
    ann.until("all edits", whole).await;
    bob.until("all edits", whole).await;
    redis.promoted(redis.servers[0].port()).unwrap();
    all_agree(&url, &postgres, pods, ann, bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_that_lagged_is_given_what_it_lacks() {
    let (mut redis, postgres) = (Replicated::start(1).unwrap(), Postgres::start().unwrap());
    let url = redis.url();
    let pods = [pod(&url, &postgres).await, pod(&url, &postgres).await];
    let mut ann = Client::synced(pods[0].public_addr, "notes").await;
    let mut bob = Client::synced(pods[1].public_addr, "notes").await;
    let first = ann.write("before. ").await;
    ann.until("the acknowledgement", |ann| acknowledged(ann, &first)).await;
    let replica = &redis.servers[1];
    eventually("the replica has it", async || !replica.command(&["XLEN", "ec:{notes}:log"]).unwrap().contains(":0"))
        .await;

    redis.cut_off_replica().unwrap();
    let lacked = ann.write("the replica lacks this. ").await;
    ann.until("the acknowledgement", |ann| acknowledged(ann, &lacked)).await;
    let before = connect(&url).await.read("notes").await.unwrap();
    redis.servers[0].kill9();
    redis.servers[1].resume().unwrap();
    let promoted = redis.promoted(redis.servers[0].port()).unwrap();

    let after = bob.write("after.").await;
    bob.until("the acknowledgement", |bob| acknowledged(bob, &after)).await;
    ann.until("Bob's edit", |ann| ann.text().contains("after.")).await;
    for words in ["before. ", "the replica lacks this. ", "after."] {
        assert!(ann.text().contains(words), "{}", ann.text());
    }
    // The promoted server has another tenure and by now everything, and lets nobody go on in the old epoch.
    let bus = connect(&promoted.url()).await;
    let now = bus.read("notes").await.unwrap();
    assert_ne!(now.tenure, before.tenure);
    assert_eq!(now.head.as_ref().unwrap().tenure, now.tenure);
    assert_eq!(text_of(&now), ann.text());
    let old = before.head.unwrap();
    assert_eq!(bus.append("notes", old.epoch, lacked.clone()).await.unwrap(), Appended::Refused);
    assert_eq!(bus.open("notes", Some(&old), old.epoch, &old.tenure, lacked).await.unwrap(), Opened::Refused);
    all_agree(&url, &postgres, pods, ann, bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_comes_back_as_a_replica_is_left_for_the_new_one() {
    let redis = Replicated::start(1).unwrap();
    let (sender, mut events) = unbounded_channel();
    let bus = RedisBus::connect(redis.url().as_str(), sender).unwrap();
    let mut next = async || tokio::time::timeout(DEADLINE, events.recv()).await.expect("in time").expect("an event");
    assert!(matches!(next().await, Event::Connected { generation: 1 }));
    let tenure = bus.read("d").await.unwrap().tenure;
    // It stands still for long enough to be deposed, and goes on as if nothing had happened.
    redis.servers[0].pause().unwrap();
    let promoted = redis.promoted(redis.servers[0].port());
    redis.servers[0].resume().unwrap();
    promoted.unwrap();
    assert!(matches!(next().await, Event::Disconnected { generation: 1 }));
    assert!(matches!(next().await, Event::Connected { generation: 2 }));
    let new = bus.read("d").await.unwrap().tenure;
    assert_ne!(new, tenure);
    let info = redis.servers[1].command(&["INFO", "replication"]).unwrap();
    assert!(info.contains(&format!("master_replid:{}", new.0)), "{info}");
}
