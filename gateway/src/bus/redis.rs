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
//! - `link`: the connection

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{FromRedisValue, Value};

use self::link::{CallError, Link};
use self::names::Names;
pub use self::source::{RedisSource, RedisUrl};
use super::{Bus, BusError, Events, Result};
use crate::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure};

mod address;
mod cluster;
mod link;
mod names;
mod sentinel;
mod source;
mod wire;

/// How long a log stays after all of it is in the database.
pub const COVERED_TTL: Duration = Duration::from_secs(60 * 60);

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
}

/// READ's answer as `functions.lua` gives it.
type RawRead = (String, String, String, Vec<u8>, Vec<(Vec<u8>, (Value, Vec<u8>))>);

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
        let (tenure, head_epoch, head_tenure, last, entries): RawRead =
            self.function("ec_read_v1", &Names::of(document), &[]).await?;
        let head = match head_epoch.as_str() {
            "" => None,
            text => {
                let epoch =
                    text.parse().map_err(|_| BusError::Malformed(format!("head's epoch `{text}` is no number")))?;
                Some(Head { epoch: Epoch(epoch), tenure: Tenure(head_tenure) })
            }
        };
        let last = if last.is_empty() { None } else { Some(position(&last)?) };
        let entries = entries
            .into_iter()
            .map(|(id, (_, update))| Ok(Entry { position: position(&id)?, update: Bytes::from(update) }))
            .collect::<Result<_>>()?;
        Ok(ReadReply { entries, last, head, tenure: Tenure(tenure) })
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
        let id: Vec<u8> = self.function("ec_open_v1", &names, &args).await?;
        Ok(if id.is_empty() { Opened::Refused } else { Opened::Opened })
    }

    async fn append(&self, document: &str, epoch: Epoch, update: Bytes) -> Result<Appended> {
        let names = Names::of(document);
        let epoch = epoch.to_string();
        let id: Vec<u8> =
            self.function("ec_append_v1", &names, &[names.log.as_bytes(), epoch.as_bytes(), &update]).await?;
        Ok(if id.is_empty() { Appended::Refused } else { Appended::At(position(&id)?) })
    }

    async fn cover(&self, document: &str, position: Position) -> Result<bool> {
        let names = Names::of(document);
        let (epoch, n) = (position.epoch.to_string(), position.n.to_string());
        let ttl = self.covered_ttl.as_millis().to_string();
        let args: [&[u8]; 4] = [names.log.as_bytes(), epoch.as_bytes(), n.as_bytes(), ttl.as_bytes()];
        self.function("ec_cover_v1", &names, &args).await
    }

    async fn publish_awareness(&self, document: &str, update: Bytes) -> Result<()> {
        self.publish(document, wire::awareness(self.instance, &update)).await
    }

    async fn query_awareness(&self, document: &str) -> Result<()> {
        self.publish(document, wire::awareness_query(self.instance)).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(self.link.live()?.ping().await?)
    }
}
