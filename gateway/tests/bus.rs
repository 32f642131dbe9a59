//! Both buses keep the log's promises; the Redis bus also outlives its server.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests; Clippy exempts only the tests themselves")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e_servers::Redis;
use gateway::bus::redis::RedisBus;
use gateway::bus::sqlite::SqliteLog;
use gateway::bus::{Bus, BusError, Cursor, Event};
use gateway::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure, Tip};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const LIMIT: Duration = Duration::from_secs(15);
/// An epoch that a Lua number cannot hold.
const EPOCH: Epoch = Epoch((1 << 62) + 12345);

async fn next(events: &mut UnboundedReceiver<Event>) -> Event {
    tokio::time::timeout(LIMIT, events.recv()).await.expect("no event in time").expect("the bus is gone")
}

/// Waits for the next connection; returns its generation.
async fn connected(events: &mut UnboundedReceiver<Event>) -> u64 {
    loop {
        if let Event::Connected { generation } = next(events).await {
            return generation;
        }
    }
}

async fn redis_bus(server: &Redis) -> (RedisBus, UnboundedReceiver<Event>) {
    let (sender, mut events) = unbounded_channel();
    let bus = RedisBus::connect(server.url().as_str(), sender).unwrap();
    assert_eq!(connected(&mut events).await, 1);
    (bus, events)
}

fn all_bytes(length: usize) -> Bytes {
    (0..=255u8).cycle().take(length).collect::<Vec<_>>().into()
}

fn at(n: u64) -> Position {
    Position { epoch: EPOCH, n }
}

async fn tenure(bus: &dyn Bus, document: &str) -> Tenure {
    bus.read(document).await.unwrap().tenure
}

/// Opens EPOCH with entry 0 and appends entries up to `last`.
async fn fill(bus: &dyn Bus, document: &str, last: u64) {
    let tenure = tenure(bus, document).await;
    assert_eq!(bus.open(document, None, EPOCH, &tenure, Bytes::from_static(b"0")).await.unwrap(), Opened::Opened);
    for n in 1..=last {
        let appended = bus.append(document, EPOCH, Bytes::from(n.to_string())).await.unwrap();
        assert_eq!(appended, Appended::At(at(n)));
    }
}

async fn keeps_the_promises(bus: &dyn Bus, events: &mut UnboundedReceiver<Event>) {
    for document in ["plain", "{a}b} {c", "ü\u{1F600} 50% / x", "{"] {
        bus.subscribe(document).await.unwrap();
        let empty = bus.read(document).await.unwrap();
        assert_eq!(empty, ReadReply { entries: vec![], last: None, head: None, tenure: empty.tenure.clone() });
        let tip = Tip { last: None, head: None, tenure: empty.tenure.clone() };
        assert_eq!(bus.peek(document).await.unwrap(), tip);
        let now = empty.tenure;

        // Nothing is open yet, or not by this name.
        let small = Bytes::from_static(b"\0\r\n");
        assert_eq!(bus.append(document, EPOCH, small.clone()).await.unwrap(), Appended::Refused);
        assert!(!bus.cover(document, at(0), None).await.unwrap());
        let other = Tenure("0123".to_owned());
        assert_eq!(bus.open(document, None, EPOCH, &other, small.clone()).await.unwrap(), Opened::Refused);

        assert_eq!(bus.open(document, None, EPOCH, &now, small.clone()).await.unwrap(), Opened::Opened);
        assert_eq!(bus.open(document, None, EPOCH, &now, small.clone()).await.unwrap(), Opened::Refused);
        // Every byte value, small enough to be published and too large for it; then a small one, to see the order.
        let updates = [small, all_bytes(1000), all_bytes(300_000), Bytes::from_static(b"after"), Bytes::new()];
        for (n, update) in (0..).zip(&updates).skip(1) {
            assert_eq!(bus.append(document, EPOCH, update.clone()).await.unwrap(), Appended::At(at(n)));
        }
        let entries: Vec<_> =
            (0..).zip(&updates).map(|(n, update)| Entry { position: at(n), update: update.clone() }).collect();
        for expected in &entries {
            match next(events).await {
                Event::Entry { document: of, entry } => assert_eq!((of.as_str(), &entry), (document, expected)),
                event => panic!("expected an entry, heard {event:?}"),
            }
        }
        let head = Head { epoch: EPOCH, tenure: now.clone() };
        let reply = bus.read(document).await.unwrap();
        assert_eq!(reply, ReadReply { entries, last: Some(at(4)), head: Some(head.clone()), tenure: now.clone() });
        let tip = Tip { last: Some(at(4)), head: Some(head.clone()), tenure: now.clone() };
        assert_eq!(bus.peek(document).await.unwrap(), tip);

        assert!(bus.cover(document, at(2), Some(7)).await.unwrap());
        assert!(!bus.cover(document, Position { epoch: Epoch(EPOCH.0 + 1), n: 4 }, None).await.unwrap());
        match next(events).await {
            Event::Covered { document: of, position, rev } => {
                assert_eq!((of.as_str(), position, rev), (document, at(2), Some(7)));
            }
            event => panic!("expected a cover, heard {event:?}"),
        }

        // Another epoch takes over; the old one is closed.
        let newer = Epoch(EPOCH.0 + (1 << 32));
        let opened = bus.open(document, Some(&head), newer, &now, Bytes::from_static(b"new")).await.unwrap();
        assert_eq!(opened, Opened::Opened);
        assert_eq!(bus.append(document, EPOCH, Bytes::from_static(b"old")).await.unwrap(), Appended::Refused);
        let reply = bus.read(document).await.unwrap();
        assert_eq!(reply.last, Some(Position { epoch: newer, n: 0 }));
        assert_eq!(reply.entries.last().unwrap().update, Bytes::from_static(b"new"));
        assert!(matches!(next(events).await, Event::Entry { entry, .. } if entry.position.epoch == newer));

        // A deleted document's log is gone, its subscribers know, and it can begin again.
        for _ in 0..2 {
            bus.delete(document).await.unwrap();
            assert!(matches!(next(events).await, Event::Deleted { document: of } if of == document));
        }
        assert_eq!(bus.append(document, newer, Bytes::new()).await.unwrap(), Appended::Refused);
        let reply = bus.read(document).await.unwrap();
        assert_eq!(reply, ReadReply { entries: vec![], last: None, head: None, tenure: now.clone() });
        assert_eq!(bus.open(document, None, EPOCH, &now, Bytes::new()).await.unwrap(), Opened::Opened);
        assert!(matches!(next(events).await, Event::Entry { entry, .. } if entry.position == at(0)));
        bus.unsubscribe(document).await.unwrap();
    }
    bus.ping().await.unwrap();
}

/// What a walk through all logs finds, each once.
async fn all_uncovered(bus: &dyn Bus) -> Vec<String> {
    let (mut found, mut next) = (std::collections::BTreeSet::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        let page = bus.uncovered(cursor).await.unwrap();
        found.extend(page.documents);
        next = page.next;
    }
    found.into_iter().collect()
}

/// Covers all of them but a few, and looks for those.
async fn finds_what_is_uncovered(bus: &dyn Bus, documents: usize) {
    let name = |number: usize| format!("swept {number:05} {{}}%");
    let left = [0, 7, documents - 1];
    for number in 0..documents {
        fill(bus, &name(number), 1).await;
        let covered = if left.contains(&number) { 0 } else { 1 };
        assert!(bus.cover(&name(number), at(covered), None).await.unwrap());
    }
    let found: Vec<String> =
        all_uncovered(bus).await.into_iter().filter(|document| document.starts_with("swept ")).collect();
    assert_eq!(found, left.map(name));
    assert_eq!(bus.uncovered_end(&name(7)).await.unwrap(), Some(at(1)));
    assert_eq!(bus.uncovered_end(&name(8)).await.unwrap(), None);
    assert_eq!(bus.uncovered_end("nobody wrote this").await.unwrap(), None);
}

/// Many writers at once: no number twice, none missing, and heard in order.
async fn numbers_without_gaps(bus: &dyn Bus, events: &mut UnboundedReceiver<Event>) {
    bus.subscribe("busy").await.unwrap();
    fill(bus, "busy", 0).await;
    let appends = (0..200u32).map(|n| bus.append("busy", EPOCH, Bytes::from(n.to_string())));
    let mut numbers: Vec<_> = futures::future::join_all(appends)
        .await
        .into_iter()
        .map(|result| match result.unwrap() {
            Appended::At(position) => position.n,
            Appended::Refused => panic!("refused"),
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    for n in 0..=200 {
        assert!(matches!(next(events).await, Event::Entry { entry, .. } if entry.position == at(n)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_finds_what_is_uncovered_for_one_gateway_at_a_time() {
    let server = Redis::start_in_memory().unwrap();
    let (one, _one_events) = redis_bus(&server).await;
    let (two, _two_events) = redis_bus(&server).await;
    finds_what_is_uncovered(&one, 1200).await;
    let every = Duration::from_secs(60);
    assert!(one.is_my_sweep(every).await.unwrap());
    assert!(!two.is_my_sweep(every).await.unwrap());
    assert!(!one.is_my_sweep(every).await.unwrap());
    server.command(&["DEL", "ec:sweeper"]).unwrap();
    assert!(two.is_my_sweep(every).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_finds_what_is_uncovered() {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&directory.path().join("store.db")).await.unwrap();
    let bus = log.for_shard(unbounded_channel().0);
    finds_what_is_uncovered(&bus, 12).await;
    assert!(bus.is_my_sweep(Duration::from_secs(60)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_promises() {
    let server = Redis::start().unwrap();
    let (bus, mut events) = redis_bus(&server).await;
    keeps_the_promises(&bus, &mut events).await;
    numbers_without_gaps(&bus, &mut events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_promises_and_its_tenure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let log = SqliteLog::open(&path).await.unwrap();
    let (sender, mut events) = unbounded_channel();
    let bus = log.for_shard(sender);
    assert_eq!(connected(&mut events).await, 1);
    keeps_the_promises(&bus, &mut events).await;
    numbers_without_gaps(&bus, &mut events).await;

    // What is covered is gone at once; the numbering goes on; the file remembers.
    assert!(bus.cover("busy", at(198), None).await.unwrap());
    let before = bus.read("busy").await.unwrap();
    assert_eq!(before.entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), [at(199), at(200)]);
    assert!(bus.cover("busy", at(200), None).await.unwrap());
    assert_eq!(bus.append("busy", EPOCH, Bytes::new()).await.unwrap(), Appended::At(at(201)));
    drop((bus, log));
    let log = SqliteLog::open(&path).await.unwrap();
    let reply = log.for_shard(unbounded_channel().0).read("busy").await.unwrap();
    assert_eq!((reply.tenure, reply.head, reply.last), (before.tenure, before.head, Some(at(201))));
    assert_eq!(reply.entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_data_is_another_tenure_and_refuses_the_old_one() {
    let mut server = Redis::start().unwrap();
    let (bus, mut events) = redis_bus(&server).await;
    fill(&bus, "d", 3).await;
    let before = bus.read("d").await.unwrap();

    server.kill9();
    assert!(matches!(next(&mut events).await, Event::Disconnected { generation: 1 }));
    let asked = Instant::now();
    assert!(matches!(bus.read("d").await, Err(BusError::Unavailable(_))));
    assert!(asked.elapsed() < Duration::from_secs(1), "a call during the outage must fail at once");
    server.run().unwrap();
    assert_eq!(connected(&mut events).await, 2);

    let after = bus.read("d").await.unwrap();
    assert_eq!((&after.entries, after.last, &after.head), (&before.entries, before.last, &before.head));
    assert_ne!(after.tenure, before.tenure);
    assert_eq!(bus.append("d", EPOCH, Bytes::new()).await.unwrap(), Appended::Refused);
    let newer = Epoch(EPOCH.0 + (1 << 32));
    let opened = bus.open("d", after.head.as_ref(), newer, &before.tenure, Bytes::new()).await.unwrap();
    assert_eq!(opened, Opened::Refused, "opened in a tenure that is over");
    let opened = bus.open("d", after.head.as_ref(), newer, &after.tenure, Bytes::new()).await.unwrap();
    assert_eq!(opened, Opened::Opened);
    assert_eq!(bus.subscribe("d").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_restart_and_forgotten_functions_are_made_good() {
    let mut server = Redis::start_in_memory().unwrap();
    let (bus, mut events) = redis_bus(&server).await;
    fill(&bus, "d", 3).await;
    server.restart().unwrap();
    assert_eq!(connected(&mut events).await, 2);
    let reply = bus.read("d").await.unwrap();
    assert_eq!((reply.entries.len(), reply.last, reply.head), (0, None, None));
    assert_eq!(bus.append("d", EPOCH, Bytes::new()).await.unwrap(), Appended::Refused);

    server.command(&["FUNCTION", "FLUSH"]).unwrap();
    fill(&bus, "d", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_wholly_covered_log_expires_and_an_append_stops_it() {
    let server = Redis::start().unwrap();
    let (bus, _events) = redis_bus(&server).await;
    let bus = bus.with_covered_ttl(Duration::from_secs(100));
    let ttl = |key: &str| server.command(&["TTL", key]).unwrap().trim().to_owned();
    let keys = ["ec:{a%7Bb}:log", "ec:{a%7Bb}:head"];
    fill(&bus, "a{b", 3).await;
    assert!(bus.cover("a{b", at(2), None).await.unwrap());
    assert_eq!(keys.map(ttl), [":-1", ":-1"]);
    assert!(bus.cover("a{b", at(3), None).await.unwrap());
    for key in keys {
        let left: i32 = ttl(key).trim_start_matches(':').parse().unwrap();
        assert!((90..=100).contains(&left), "{key}: {left}");
    }
    assert_eq!(bus.append("a{b", EPOCH, Bytes::new()).await.unwrap(), Appended::At(at(4)));
    assert_eq!(keys.map(ttl), [":-1", ":-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_trimmed_one_checkpoint_behind_and_late() {
    let server = Redis::start().unwrap();
    let (bus, _events) = redis_bus(&server).await;
    fill(&bus, "d", 9).await;
    for n in [2, 4, 5] {
        assert!(bus.cover("d", at(n), None).await.unwrap());
        assert_eq!(bus.read("d").await.unwrap().entries.len(), 10, "trimmed too early");
    }
    // The first candidate, 2, was covered long ago now; the server's clock cannot be turned, so its note is.
    server.command(&["HSET", "ec:{d}:head", "trim_at", "1000"]).unwrap();
    assert!(bus.cover("d", at(8), None).await.unwrap());
    let reply = bus.read("d").await.unwrap();
    assert_eq!(reply.entries.first().unwrap().position, at(3));
    assert_eq!((reply.entries.len(), reply.last), (7, Some(at(9))));
    server.command(&["HSET", "ec:{d}:head", "trim_at", "1000"]).unwrap();
    assert!(bus.cover("d", at(9), None).await.unwrap());
    assert_eq!(bus.read("d").await.unwrap().entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_hear_each_other_in_order_and_not_their_own_awareness() {
    let server = Redis::start().unwrap();
    let (one, mut one_events) = redis_bus(&server).await;
    let (two, mut two_events) = redis_bus(&server).await;
    one.subscribe("d").await.unwrap();
    two.subscribe("d").await.unwrap();
    fill(&one, "d", 0).await;
    for n in 1..100 {
        let writer: &RedisBus = if n % 2 == 0 { &one } else { &two };
        let length = if n % 10 == 0 { 100_000 } else { 10 };
        assert_eq!(writer.append("d", EPOCH, all_bytes(length)).await.unwrap(), Appended::At(at(n)));
    }
    for events in [&mut one_events, &mut two_events] {
        for n in 0..100 {
            let event = next(events).await;
            assert!(matches!(&event, Event::Entry { entry, .. } if entry.position == at(n)), "{n}: {event:?}");
        }
    }
    one.publish_awareness("d", Bytes::from_static(b"here")).await.unwrap();
    one.query_awareness("d").await.unwrap();
    two.publish_awareness("d", Bytes::from_static(b"there")).await.unwrap();
    assert!(matches!(next(&mut two_events).await, Event::Awareness { update, .. } if update == "here"));
    assert!(matches!(next(&mut two_events).await, Event::AwarenessQuery { document } if document == "d"));
    assert!(matches!(next(&mut one_events).await, Event::Awareness { update, .. } if update == "there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_noticed_without_a_call() {
    let server = Redis::start().unwrap();
    let (bus, mut events) = redis_bus(&server).await;
    server.pause().unwrap();
    assert!(matches!(next(&mut events).await, Event::Disconnected { generation: 1 }));
    server.resume().unwrap();
    assert_eq!(connected(&mut events).await, 2);
    bus.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_off_is_told_and_made_again() {
    let server = Redis::start().unwrap();
    let (bus, mut events) = redis_bus(&server).await;
    assert_eq!(bus.subscribe("d").await.unwrap(), 1);
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
    assert!(matches!(next(&mut events).await, Event::Disconnected { generation: 1 }));
    assert_eq!(connected(&mut events).await, 2);
    assert_eq!(bus.subscribe("d").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_before_its_redis() {
    let mut server = Redis::start().unwrap();
    server.stop().unwrap();
    let (sender, mut events) = unbounded_channel();
    let bus = RedisBus::connect(server.url().as_str(), sender).unwrap();
    assert!(matches!(bus.ping().await, Err(BusError::Unavailable(_))));
    server.run().unwrap();
    assert_eq!(connected(&mut events).await, 1);
    bus.ping().await.unwrap();
}
