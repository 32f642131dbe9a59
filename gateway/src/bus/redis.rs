//! The bus over Redis 7 or later, for many gateways.
//!
//! A document has a stream `ec:{id}:log`, a hash `ec:{id}:head`, a channel `ec:{id}` for its log's notices and a
//! channel `ec:{id}:awareness`. The log's functions are in `redis/functions.lua`; they are loaded at each connection
//! and again when the server has forgotten them.
//!
//! - `names`: keys and channels
//! - `wire`: what is published
//! - `source`, `address`: where the server is: the URL, its file, the certificates
//! - `sentinel`: which server is the primary now
//! - `cluster`: which server has a document
//! - `functions`: the log's functions
//! - `link`: the connection, kept up
//! - `connect`, `live`, `watch`: one connection: how it is made, calls on it, when it is no good any more

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{FromRedisValue, Value};

use self::link::Link;
use self::live::CallError;
use self::names::Names;
pub use self::source::{RedisSource, RedisUrl};
use super::{Bus, BusError, Cursor, Events, Page, Result};
use crate::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure, Tip};

mod address;
mod cluster;
mod connect;
mod functions;
mod link;
mod live;
mod names;
mod sentinel;
mod source;
mod watch;
mod wire;

/// How long a log stays after all of it is in the database.
pub const COVERED_TTL: Duration = Duration::from_secs(60 * 60);
/// Who has this key sweeps.
const SWEEPER: &str = "ec:sweeper";
/// Keys that one step of a sweep looks at, more or less: half a millisecond of the server's time.
const SWEEP_STEP: usize = 500;

/// One shard's connection to Redis. Must be dropped after its calls; dropping it closes the connection.
pub struct RedisBus {
    link: Link,
    instance: u64,
    covered_ttl: Duration,
}

impl RedisBus {
    /// Connects in the background, on the current runtime, and again whenever the connection is lost;
    /// `Event::Connected` says when. A URL as text is a source too; `redis/address.rs` has its forms.
    ///
    /// # Errors
    /// Only for a URL that is none or a file that cannot be read now.
    pub fn connect(source: impl Into<RedisSource>, events: Events) -> Result<Self> {
        let source = source.into();
        source.check()?;
        let instance = rand::random();
        Ok(Self { link: Link::start(source, events, instance), instance, covered_ttl: COVERED_TTL })
    }

    /// Sets how long a log stays after all of it is in the database. Must be longer than the database's replication
    /// lag: a database that fails over to a standby may lose its last checkpoint.
    pub fn with_covered_ttl(mut self, ttl: Duration) -> Self {
        self.covered_ttl = ttl;
        self
    }

    /// Calls one of our functions. A server that came back empty does not know them: they are loaded and the call,
    /// which did not run, is made again.
    async fn function<T: FromRedisValue>(&self, name: &str, names: &Names, args: &[&[u8]]) -> Result<T> {
        let live = self.link.live()?;
        let connection = live.connection(names)?;
        let mut call = redis::cmd("FCALL");
        call.arg(name).arg(2).arg(&names.stream).arg(&names.head);
        for arg in args {
            call.arg(*arg);
        }
        let run = || async {
            let mut connection = connection.clone();
            live.call(async { call.query_async::<Value>(&mut connection).await }).await
        };
        let value = match run().await {
            Err(CallError::FunctionMissing) => {
                live.load_functions(names).await?;
                run().await
            }
            result => result,
        }?;
        T::from_redis_value(value).map_err(|error| BusError::Malformed(format!("{name}: {error}")))
    }

    async fn publish(&self, document: &str, payload: Vec<u8>) -> Result<()> {
        let live = self.link.live()?;
        let names = Names::of(document);
        let mut connection = live.connection(&names)?;
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(names.awareness).arg(payload);
        live.call(async move { publish.query_async::<Value>(&mut connection).await }).await?;
        Ok(())
    }

    /// The next streams of one server that have no time to live, and where to go on there; 0: nowhere.
    async fn streams(&self, from: Cursor) -> Result<(u64, Vec<String>)> {
        let live = self.link.live()?;
        let Some(mut connection) = live.server(from.server) else { return Ok((0, Vec::new())) };
        let mut scan = redis::cmd("SCAN");
        scan.arg(from.at).arg("MATCH").arg(names::STREAMS).arg("COUNT").arg(SWEEP_STEP);
        let (next, keys): (u64, Vec<String>) = live.call(scan.query_async(&mut connection)).await?;
        if keys.is_empty() {
            return Ok((next, keys));
        }
        let mut ttls = redis::pipe();
        for key in &keys {
            ttls.cmd("PTTL").arg(key);
        }
        let ttls: Vec<i64> = live.call(ttls.query_async(&mut connection)).await?;
        Ok((next, keys.into_iter().zip(ttls).filter_map(|(key, ttl)| (ttl == -1).then_some(key)).collect()))
    }
}

/// READ's answer as `functions.lua` gives it.
type RawRead = (String, String, String, Vec<u8>, Vec<(Vec<u8>, (Value, Vec<u8>))>);

fn head(epoch: &str, tenure: String) -> Result<Option<Head>> {
    if epoch.is_empty() {
        return Ok(None);
    }
    let epoch = epoch.parse().map_err(|_| BusError::Malformed(format!("head's epoch `{epoch}` is no number")))?;
    Ok(Some(Head { epoch: Epoch(epoch), tenure: Tenure(tenure) }))
}

/// The position of an id, None for the empty one.
fn last(id: &[u8]) -> Result<Option<Position>> {
    if id.is_empty() { Ok(None) } else { position(id).map(Some) }
}

fn position(id: &[u8]) -> Result<Position> {
    wire::position(id)
        .ok_or_else(|| BusError::Malformed(format!("`{}` is no stream id of ours", String::from_utf8_lossy(id))))
}

#[async_trait]
impl Bus for RedisBus {
    async fn subscribe(&self, document: &str) -> Result<u64> {
        let live = self.link.live()?;
        let names = Names::of(document);
        let mut connection = live.connection(&names)?;
        live.call(async move { connection.subscribe(&[names.log, names.awareness]).await }).await?;
        Ok(live.generation)
    }

    async fn unsubscribe(&self, document: &str) -> Result<()> {
        let live = self.link.live()?;
        let names = Names::of(document);
        let mut connection = live.connection(&names)?;
        live.call(async move { connection.unsubscribe(&[names.log, names.awareness]).await }).await?;
        Ok(())
    }

    async fn read(&self, document: &str) -> Result<ReadReply> {
        let (tenure, head_epoch, head_tenure, last_id, entries): RawRead =
            self.function("ec_read_v2", &Names::of(document), &[]).await?;
        let (head, last) = (head(&head_epoch, head_tenure)?, last(&last_id)?);
        let entries = entries
            .into_iter()
            .map(|(id, (_, update))| Ok(Entry { position: position(&id)?, update: Bytes::from(update) }))
            .collect::<Result<_>>()?;
        Ok(ReadReply { entries, last, head, tenure: Tenure(tenure) })
    }

    async fn peek(&self, document: &str) -> Result<Tip> {
        let (tenure, head_epoch, head_tenure, last_id): (String, String, String, Vec<u8>) =
            self.function("ec_peek_v2", &Names::of(document), &[]).await?;
        Ok(Tip { last: last(&last_id)?, head: head(&head_epoch, head_tenure)?, tenure: Tenure(tenure) })
    }

    async fn open(
        &self,
        document: &str,
        expected: Option<&Head>,
        epoch: Epoch,
        tenure: &Tenure,
        update: Bytes,
    ) -> Result<Opened> {
        let names = Names::of(document);
        let (head_epoch, head_tenure) =
            expected.map(|head| (head.epoch.to_string(), head.tenure.0.clone())).unwrap_or_default();
        let epoch = epoch.to_string();
        let args: [&[u8]; 6] = [
            names.log.as_bytes(),
            head_epoch.as_bytes(),
            head_tenure.as_bytes(),
            epoch.as_bytes(),
            tenure.0.as_bytes(),
            &update,
        ];
        let id: Vec<u8> = self.function("ec_open_v2", &names, &args).await?;
        Ok(if id.is_empty() { Opened::Refused } else { Opened::Opened })
    }

    async fn append(&self, document: &str, epoch: Epoch, update: Bytes) -> Result<Appended> {
        let names = Names::of(document);
        let epoch = epoch.to_string();
        let id: Vec<u8> =
            self.function("ec_append_v2", &names, &[names.log.as_bytes(), epoch.as_bytes(), &update]).await?;
        Ok(if id.is_empty() { Appended::Refused } else { Appended::At(position(&id)?) })
    }

    async fn cover(&self, document: &str, position: Position, rev: Option<i64>) -> Result<bool> {
        let names = Names::of(document);
        let (epoch, n) = (position.epoch.to_string(), position.n.to_string());
        let ttl = self.covered_ttl.as_millis().to_string();
        let rev = rev.map(|rev| rev.to_string()).unwrap_or_default();
        let args: [&[u8]; 5] = [names.log.as_bytes(), epoch.as_bytes(), n.as_bytes(), ttl.as_bytes(), rev.as_bytes()];
        self.function("ec_cover_v2", &names, &args).await
    }

    async fn is_my_sweep(&self, every: Duration) -> Result<bool> {
        let live = self.link.live()?;
        let mut connection = live.connection_of(SWEEPER)?;
        let mut claim = redis::cmd("SET");
        // A little shorter than the time until the same gateway asks again.
        let time_to_live = every.mul_f64(0.9).as_millis().max(1).to_string();
        claim.arg(SWEEPER).arg(self.instance).arg("NX").arg("PX").arg(time_to_live);
        let claimed: Option<String> = live.call(async move { claim.query_async(&mut connection).await }).await?;
        Ok(claimed.is_some())
    }

    async fn uncovered(&self, from: Cursor) -> Result<Page> {
        let (at, keys) = self.streams(from).await?;
        let documents = keys.iter().filter_map(|key| names::document_of_stream(key)).collect();
        let next = if at != 0 { Cursor { at, ..from } } else { Cursor { server: from.server + 1, at: 0 } };
        Ok(Page { documents, next: self.link.live()?.server(next.server).map(|_| next) })
    }

    async fn uncovered_end(&self, document: &str) -> Result<Option<Position>> {
        let id: Vec<u8> = self.function("ec_uncovered_v2", &Names::of(document), &[]).await?;
        last(&id)
    }

    async fn publish_awareness(&self, document: &str, update: Bytes) -> Result<()> {
        self.publish(document, wire::awareness(self.instance, &update)).await
    }

    async fn query_awareness(&self, document: &str) -> Result<()> {
        self.publish(document, wire::awareness_query(self.instance)).await
    }

    async fn delete(&self, document: &str) -> Result<()> {
        let names = Names::of(document);
        self.function::<Value>("ec_delete_v2", &names, &[names.log.as_bytes()]).await.map(drop)
    }

    async fn ping(&self) -> Result<()> {
        Ok(self.link.live()?.ping().await?)
    }
}
