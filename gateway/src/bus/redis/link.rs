//! The connection of a bus, kept up by one task.
//!
//! RESP3: commands and subscriptions share it, so a READ is never answered on a connection whose subscriptions are
//! gone (that would leave a room joined and deaf), and an append's answer and notice wake the shard once. This task
//! alone sends events, so no event of an old generation comes after its `Disconnected`.
//!
//! Each connection is made anew from what the URL's file and the sentinels say then. With sentinels the server must
//! call itself the primary, at the connection and every second after it. For a cluster see `cluster`.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use rand::Rng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::cluster::{self, Cluster};
use super::functions;
use super::names::{self, Names};
use super::sentinel::{self, Server};
use super::source::{Loaded, RedisSource};
use super::wire::{self, Notice};
use crate::bus::{BusError, Event, Events};
use crate::room::log::{Entry, Position};
use crate::without;

/// After this long without an answer the connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the connection is asked whether it still lives. Answers come in order, so a ping stands for every call
/// before it and no call needs a timer of its own: it ends at the latest after this time and the time-out.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How often the sentinels are asked whether another server is the primary by now. One that a partition has cut off
/// from them, and not from us, calls itself the primary for ever.
const ASK_EVERY: Duration = Duration::from_secs(10);
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

/// The connection of one generation, or those to all primaries of a cluster.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) generation: u64,
    servers: Servers,
    /// Cancelled by whoever finds out that the connection is no good.
    broken: CancellationToken,
}

#[derive(Clone)]
enum Servers {
    One(MultiplexedConnection),
    Cluster(Arc<Cluster>),
}

impl Live {
    /// Runs one call and judges its error: one that speaks about the connection ends it.
    pub(super) async fn call<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, CallError> {
        let result = tokio::select! {
            result = call => result,
            () = self.broken.cancelled() => return Err(CallError::other("the connection broke during the call")),
        };
        result.map_err(|error| {
            if is_function_missing(&error) {
                return CallError::FunctionMissing;
            }
            if !cluster::is_on_its_way(&error) && ends_connection(&error) {
                self.broken.cancel();
            }
            CallError::other(error)
        })
    }

    /// The connection for a document's commands and subscription.
    pub(super) fn connection(&self, names: &Names) -> Result<MultiplexedConnection, BusError> {
        self.connection_of(names.tag())
    }

    /// The connection for a key; `tag` is what of it the cluster hashes.
    pub(super) fn connection_of(&self, tag: &str) -> Result<MultiplexedConnection, BusError> {
        match &self.servers {
            Servers::One(connection) => Ok(connection.clone()),
            Servers::Cluster(cluster) => cluster.connection(tag).cloned(),
        }
    }

    /// The connection to one of the servers, by number.
    pub(super) fn server(&self, index: usize) -> Option<MultiplexedConnection> {
        self.all().get(index).cloned()
    }

    /// Puts the log's functions into the server that has the document.
    pub(super) async fn load_functions(&self, names: &Names) -> Result<(), BusError> {
        let mut connection = self.connection(names)?;
        Ok(self.call(async move { load_functions(&mut connection).await }).await?)
    }

    async fn fetch(&self, document: &str, position: Position) -> Result<Option<Bytes>, BusError> {
        let names = Names::of(document);
        let mut connection = self.connection(&names)?;
        let id = format!("{}-{}", position.epoch, position.n);
        let mut range = redis::cmd("XRANGE");
        range.arg(names.stream).arg(&id).arg(&id);
        let found: Vec<(Value, (Value, Vec<u8>))> =
            self.call(async move { range.query_async(&mut connection).await }).await?;
        Ok(found.into_iter().next().map(|(_, (_, update))| Bytes::from(update)))
    }

    fn all(&self) -> &[MultiplexedConnection] {
        match &self.servers {
            Servers::One(connection) => std::slice::from_ref(connection),
            Servers::Cluster(cluster) => &cluster.connections,
        }
    }

    /// Whether every server answers.
    pub(super) async fn ping(&self) -> Result<(), CallError> {
        let pings = self.all().iter().cloned().map(|mut connection| async move {
            self.call(async { redis::cmd("PING").query_async::<Value>(&mut connection).await }).await.map(drop)
        });
        try_join_all(pings).await.map(drop)
    }

    /// Whether every server takes itself for a primary.
    async fn are_primaries(&self) -> Result<bool, CallError> {
        let roles = self
            .all()
            .iter()
            .cloned()
            .map(|mut connection| async move { self.call(async { is_primary(&mut connection).await }).await });
        Ok(try_join_all(roles).await?.into_iter().all(|is_primary| is_primary))
    }
}

async fn load_functions(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    // What the rule's name is was checked at the start.
    let library = functions::library(without::rule().ok().flatten());
    let mut load = redis::cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(&*library);
    load.query_async::<Value>(connection).await.map(drop)
}

async fn is_primary(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let role: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
    Ok(matches!(role.first(), Some(Value::BulkString(role)) if role == b"master"))
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The server does not know our functions; the call did not run.
    FunctionMissing,
    Other(String),
}

impl CallError {
    fn other(error: impl ToString) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<CallError> for BusError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::FunctionMissing => Self::Unavailable("Redis forgot the log's functions".to_owned()),
            CallError::Other(text) => Self::Unavailable(text),
        }
    }
}

fn is_function_missing(error: &RedisError) -> bool {
    error.to_string().contains("Function not found")
}

fn ends_connection(error: &RedisError) -> bool {
    // Answers of a server that is not, or no longer, the primary that we want to talk to.
    const WRONG_SERVER: [&str; 7] =
        ["READONLY", "MOVED", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "NOREPLICAS"];
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.code().is_some_and(|code| WRONG_SERVER.contains(&code))
        || error.to_string().contains("READONLY")
}

/// Keeps a connection up until it is dropped.
pub(super) struct Link {
    live: Arc<Mutex<Option<Live>>>,
    stop: CancellationToken,
}

impl Link {
    /// Starts the task on the current runtime. `instance` names this bus in what it publishes.
    pub(super) fn start(source: RedisSource, events: Events, instance: u64) -> Self {
        let link = Self { live: Arc::default(), stop: CancellationToken::new() };
        let (live, stop) = (link.live.clone(), link.stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(keep_up(source, events, instance, live)).await;
        });
        link
    }

    /// The connection as it is now.
    pub(super) fn live(&self) -> Result<Live, BusError> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
        live.filter(|live| !live.broken.is_cancelled())
            .ok_or_else(|| BusError::Unavailable("there is no connection to Redis at the moment".to_owned()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn keep_up(source: RedisSource, events: Events, instance: u64, slot: Arc<Mutex<Option<Live>>>) {
    let mut generation = 0;
    let mut pause = BACKOFF.start;
    loop {
        match connect(&source, generation + 1).await {
            Ok(Connected { live, messages, watch }) => {
                generation += 1;
                let since = Instant::now();
                tracing::info!(generation, server = %watch.server, "connected to Redis");
                // First the slot, then the event: whoever hears it may call at once.
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
                send(&events, Event::Connected { generation });
                let reason = tokio::select! {
                    () = hear(&live, messages, &events, instance) => "it was cut off",
                    reason = watch.run(&live, &source) => reason,
                    () = live.broken.cancelled() => "a call found out",
                };
                live.broken.cancel();
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
                send(&events, Event::Disconnected { generation });
                tracing::warn!(generation, reason, "the connection to Redis is gone; connecting again");
                // A cluster whose slots move one after the other must not make the rooms join all the time.
                if since.elapsed() >= BACKOFF.end {
                    pause = BACKOFF.start;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot connect to Redis; trying again"),
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(BACKOFF.end);
    }
}

/// A new connection and what belongs to it.
struct Connected {
    live: Live,
    messages: UnboundedReceiver<PushInfo>,
    watch: Watch,
}

impl Connected {
    fn new(generation: u64, servers: Servers, messages: UnboundedReceiver<PushInfo>, watch: Watch) -> Self {
        Self { live: Live { generation, servers, broken: CancellationToken::new() }, messages, watch }
    }
}

/// Connects to the server, or the servers, that are the right ones now.
async fn connect(source: &RedisSource, generation: u64) -> Result<Connected, BusError> {
    let loaded = source.load()?;
    let (pushes, messages) = unbounded_channel();
    match &loaded.address {
        Address::Standalone(info) => {
            let connection = connect_to(&loaded, info.clone(), &pushes, false).await?;
            let watch = Watch { server: info.addr().to_string(), loaded, named: None };
            Ok(Connected::new(generation, Servers::One(connection), messages, watch))
        }
        Address::Sentinel { sentinels, name, primary } => {
            let mut problem = BusError::Unavailable(format!("no sentinel says which server is the primary of {name}"));
            for named in sentinel::ask(&loaded, sentinels, name).await {
                let info = sentinel::connection_info(primary, &named);
                let server = info.addr().to_string();
                match connect_to(&loaded, info, &pushes, true).await {
                    Ok(connection) => {
                        let watch = Watch { loaded, server, named: Some(named) };
                        return Ok(Connected::new(generation, Servers::One(connection), messages, watch));
                    }
                    Err(error) => problem = error,
                }
            }
            Err(problem)
        }
        Address::Cluster { seeds, template } => {
            let map = cluster::ask(&loaded, seeds).await?;
            let infos = map.primaries.iter().map(|primary| sentinel::connection_info(template, primary));
            let connections = try_join_all(infos.map(|info| connect_to(&loaded, info, &pushes, true))).await?;
            let watch = Watch { server: format!("a cluster of {}", connections.len()), loaded, named: None };
            let cluster = Arc::new(Cluster { map, connections });
            Ok(Connected::new(generation, Servers::Cluster(cluster), messages, watch))
        }
    }
}

/// A connection to one server, with the log's functions in it.
async fn connect_to(
    loaded: &Loaded,
    info: ConnectionInfo,
    pushes: &UnboundedSender<PushInfo>,
    must_be_primary: bool,
) -> Result<MultiplexedConnection, BusError> {
    let server = info.addr().to_string();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(None)
        .set_push_sender(pushes.clone());
    let connect = async {
        let mut connection = loaded.client(info)?.get_multiplexed_async_connection_with_config(&config).await?;
        if must_be_primary && !is_primary(&mut connection).await? {
            return Ok(None);
        }
        load_functions(&mut connection).await?;
        RedisResult::Ok(Some(connection))
    };
    let problem = match tokio::time::timeout(ANSWER_TIMEOUT, connect).await {
        Ok(Ok(Some(connection))) => return Ok(connection),
        Ok(Ok(None)) => "it was named as a primary and says that it is none".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
    };
    Err(BusError::Unavailable(format!("{server}: {problem}")))
}

/// Finds out when a connection is no good any more: it can die, or stop to be the right one, without a word.
struct Watch {
    loaded: Loaded,
    /// For people.
    server: String,
    /// What the sentinels called the server; None: there are none.
    named: Option<Server>,
}

impl Watch {
    /// Returns the reason why the connection should end.
    async fn run(&self, live: &Live, source: &RedisSource) -> &'static str {
        let mut asked = Instant::now();
        loop {
            tokio::time::sleep(PING_EVERY).await;
            if source.has_changed(&self.loaded) {
                return "the URL's file has another one";
            }
            let asks = async {
                match &self.loaded.address {
                    Address::Standalone(_) => live.ping().await.map(|()| true),
                    Address::Sentinel { .. } | Address::Cluster { .. } => live.are_primaries().await,
                }
            };
            match tokio::time::timeout(ANSWER_TIMEOUT, asks).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return "the server is no longer the primary",
                Ok(Err(_)) | Err(_) => return "it does not answer",
            }
            if asked.elapsed() >= ASK_EVERY {
                if self.is_deposed().await {
                    return "the sentinels have another primary";
                }
                asked = Instant::now();
            }
        }
    }

    /// Whether sentinels name a primary, and none of them ours.
    async fn is_deposed(&self) -> bool {
        let (Address::Sentinel { sentinels, name, .. }, Some(ours)) = (&self.loaded.address, &self.named) else {
            return false;
        };
        let named = sentinel::ask(&self.loaded, sentinels, name).await;
        !named.is_empty() && !named.contains(ours)
    }
}

/// The channel and the payload, if it is a published message.
fn published(push: PushInfo) -> Option<(Vec<u8>, Bytes)> {
    match (push.kind, <[Value; 2]>::try_from(push.data)) {
        (PushKind::Message, Ok([Value::BulkString(channel), Value::BulkString(payload)])) => {
            Some((channel, payload.into()))
        }
        _ => None,
    }
}

/// Passes on what is published, until the connection ends.
async fn hear(live: &Live, mut pushes: UnboundedReceiver<PushInfo>, events: &Events, instance: u64) {
    while let Some(push) = pushes.recv().await {
        if push.kind == PushKind::Disconnection {
            return;
        }
        let Some((channel, payload)) = published(push) else { continue };
        let Some(document) = names::document(&channel) else { continue };
        let Some(notice) = wire::decode(payload) else {
            tracing::warn!(document, "a published message that this version does not know was ignored");
            continue;
        };
        let event = match notice {
            Notice::Entry(position, update) => Event::Entry { document, entry: Entry { position, update } },
            // Fetched here, before the next message is taken, so that the order stays.
            Notice::LargeEntry(position) => match live.fetch(&document, position).await {
                Ok(Some(update)) => Event::Entry { document, entry: Entry { position, update } },
                // Trimmed already, or another reign of the server: the room sees the gap and joins.
                Ok(None) => continue,
                Err(_) => {
                    live.broken.cancel();
                    return;
                }
            },
            Notice::Covered(position, rev) => Event::Covered { document, position, rev },
            Notice::Deleted => Event::Deleted { document },
            Notice::Awareness { from, .. } | Notice::AwarenessQuery { from } if from == instance => continue,
            Notice::Awareness { update, .. } => Event::Awareness { document, update },
            Notice::AwarenessQuery { .. } => Event::AwarenessQuery { document },
        };
        send(events, event);
    }
}

fn send(events: &Events, event: Event) {
    // The receiver is gone only when the shard ends, and then nobody misses the event.
    let _ = events.send(event);
}
