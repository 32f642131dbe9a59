//! Redis Cluster: which server has a document, and a connection to each primary.
//!
//! The connections to all primaries are one generation: when one of them breaks, or a server says MOVED, all end, the
//! slots are asked anew, and the rooms join again. So a document's commands and subscription are always on one
//! connection, to the server that had its slot when the generation began, which is what the log protocol asks for. A
//! connection of its own for each document's server would spare the other documents the join, but rooms know one
//! generation. A slot that is only on its way (ASK, TRYAGAIN) fails the call and ends nothing.
//!
//! Notices are published with PUBLISH, which a cluster passes on to every server. So a room whose slot has moved, and
//! that has not said anything since, goes on hearing.

use std::time::Duration;

use rand::seq::IndexedRandom;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, FromRedisValue, RedisError, Value};

use super::sentinel::Server;
use super::source::Loaded;
use crate::bus::{BusError, Result};

const SLOTS: u16 = 16384;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Who has which slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) primaries: Vec<Server>,
    /// First slot, last slot, index of the primary; in order.
    ranges: Vec<(u16, u16, usize)>,
}

impl Map {
    /// The index of the primary of a slot. None: the slot is nobody's.
    fn primary(&self, slot: u16) -> Option<usize> {
        let after = self.ranges.partition_point(|(first, ..)| *first <= slot);
        let (_, last, primary) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(*primary)
    }

    /// Whether each slot has a primary. Not in every cluster that works: `cluster-require-full-coverage` may be off.
    pub(super) fn is_whole(&self) -> bool {
        self.ranges.iter().map(|(first, last, _)| usize::from(last - first) + 1).sum::<usize>() == usize::from(SLOTS)
    }

    /// From CLUSTER SLOTS' answer; a server that does not say its host is the one that was asked.
    fn decode(answer: Value, asked: &str) -> Option<Self> {
        let mut map = Self::default();
        for range in Vec::<Value>::from_redis_value(answer).ok()? {
            let mut parts = Vec::<Value>::from_redis_value(range).ok()?.into_iter();
            let first = u16::from_redis_value(parts.next()?).ok()?;
            let last = u16::from_redis_value(parts.next()?).ok()?;
            let mut server = Vec::<Value>::from_redis_value(parts.next()?).ok()?.into_iter();
            let host = Option::<String>::from_redis_value(server.next()?).ok()?.filter(|host| !host.is_empty());
            let port = u16::from_redis_value(server.next()?).ok()?;
            let server = (host.unwrap_or_else(|| asked.to_owned()), port);
            let known = map.primaries.iter().position(|primary| *primary == server);
            let primary = known.unwrap_or_else(|| {
                map.primaries.push(server);
                map.primaries.len() - 1
            });
            map.ranges.push((first, last, primary));
        }
        map.ranges.sort_unstable();
        Some(map)
    }
}

/// Asks for the slots of a cluster that works: one server of those in the URL, whichever answers first, beginning
/// anywhere, since one that a partition has left behind must not be asked for ever.
pub(super) async fn ask(loaded: &Loaded, seeds: &[ConnectionInfo]) -> Result<Map> {
    let mut problem = String::new();
    let in_any_order: Vec<_> = seeds.choose_multiple(&mut rand::rng(), seeds.len()).collect();
    for seed in in_any_order {
        let ask = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            let mut connection =
                loaded.client(seed.clone())?.get_multiplexed_async_connection_with_config(&config).await?;
            let mut asks = redis::pipe();
            asks.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
            asks.query_async::<(String, Value)>(&mut connection).await
        };
        let asked = match seed.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => continue,
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask).await;
        match answer.map(|answer| answer.map(|(info, slots)| (info, Map::decode(slots, asked)))) {
            // While a cluster is made, its first servers know of no other, and so of few slots.
            Ok(Ok((info, _))) if !info.contains("cluster_state:ok") => {
                problem = format!("{} says that the cluster is down or not whole yet", seed.addr());
            }
            Ok(Ok((_, Some(map)))) if !map.primaries.is_empty() => return Ok(map),
            Ok(Ok(_)) => problem = format!("{} knows of no server that has slots", seed.addr()),
            Ok(Err(error)) => problem = format!("{}: {error}", seed.addr()),
            Err(_) => problem = format!("{} does not answer", seed.addr()),
        }
    }
    Err(BusError::Unavailable(format!("no server of the cluster says who has which slots; the last one: {problem}")))
}

/// A connection to each primary.
pub(super) struct Cluster {
    pub(super) map: Map,
    pub(super) connections: Vec<MultiplexedConnection>,
}

impl Cluster {
    /// The connection to the server that has the document whose key's tag this is.
    pub(super) fn connection(&self, tag: &str) -> Result<&MultiplexedConnection> {
        let slot = slot(tag);
        let connection = self.map.primary(slot).and_then(|primary| self.connections.get(primary));
        connection.ok_or_else(|| BusError::Unavailable(format!("no server of the cluster has slot {slot}")))
    }
}

/// Whether the document's slot is only on its way to another server: the same call will do in a moment.
pub(super) fn is_on_its_way(error: &RedisError) -> bool {
    error.code().is_some_and(|code| matches!(code, "ASK" | "TRYAGAIN"))
}

/// CRC-16/XMODEM, as the cluster's specification has it.
fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("user1000"), 3443);
        assert_eq!(slot(""), 0);
    }

    #[test]
    fn a_slot_belongs_to_the_range_that_it_is_in_or_to_nobody() {
        let server = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::SimpleString("id".into())]);
        let named = |host: &str| Value::BulkString(host.as_bytes().to_vec());
        let range = |first, last, server| Value::Array(vec![Value::Int(first), Value::Int(last), server]);
        let answer = Value::Array(vec![
            range(100, 199, server(named("b"), 2)),
            range(0, 99, server(Value::Nil, 1)),
            range(300, 300, server(Value::Nil, 1)),
        ]);
        let map = Map::decode(answer, "asked").unwrap();
        assert_eq!(map.primaries, [("b".to_owned(), 2), ("asked".to_owned(), 1)]);
        let owners = [0, 99, 100, 199, 200, 299, 300, 301, SLOTS - 1].map(|slot| map.primary(slot));
        assert_eq!(owners, [Some(1), Some(1), Some(0), Some(0), None, None, Some(1), None, None]);
        assert_eq!(Map::default().primary(0), None);
        assert!(!map.is_whole());
        let all = range(0, i64::from(SLOTS) - 1, server(named("a"), 1));
        assert!(Map::decode(Value::Array(vec![all]), "asked").unwrap().is_whole());
        assert_eq!(Map::decode(Value::Array(vec![Value::Int(1)]), "asked"), None);
    }
}
