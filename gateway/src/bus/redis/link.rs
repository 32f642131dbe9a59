//! The connection of a bus, kept up by one task.
//!
//! RESP3: commands and subscriptions share it, so a READ is never answered on a connection whose subscriptions are
//! gone (that would leave a room joined and deaf), and an append's answer and notice wake the shard once. This task
//! alone sends events, so no event of an old generation comes after its `Disconnected`.
//!
//! Each connection is made anew from what the URL's file and the sentinels say then. With sentinels the server must
//! call itself the primary, at the connection and every second after it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::names::{self, Names};
use super::sentinel::{self, Server};
use super::source::{Loaded, RedisSource};
use super::wire::{self, Notice};
use crate::bus::{BusError, Event, Events};
use crate::room::log::{Entry, Position};

/// After this long without an answer the connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the connection is asked whether it still lives. Answers come in order, so a ping stands for every call
/// before it and no call needs a timer of its own: it ends at the latest after this time and the time-out.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How often the sentinels are asked whether another server is the primary by now. One that a partition has cut off
/// from them, and not from us, calls itself the primary for ever.
const ASK_EVERY: Duration = Duration::from_secs(10);
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

const FUNCTIONS: &str = include_str!("functions.lua");

/// The connection of one generation.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) generation: u64,
    pub(super) connection: MultiplexedConnection,
    /// Cancelled by whoever finds out that the connection is no good.
    broken: CancellationToken,
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
            if ends_connection(&error) {
                self.broken.cancel();
            }
            CallError::other(error)
        })
    }

    /// Puts the log's functions into the server.
    pub(super) async fn load_functions(&self) -> Result<(), CallError> {
        let mut connection = self.connection.clone();
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg("REPLACE").arg(FUNCTIONS);
        self.call(async move { load.query_async::<Value>(&mut connection).await }).await.map(drop)
    }

    async fn fetch(&self, document: &str, position: Position) -> Result<Option<Bytes>, CallError> {
        let mut connection = self.connection.clone();
        let id = format!("{}-{}", position.epoch, position.n);
        let mut range = redis::cmd("XRANGE");
        range.arg(Names::of(document).stream).arg(&id).arg(&id);
        let found: Vec<(Value, (Value, Vec<u8>))> =
            self.call(async move { range.query_async(&mut connection).await }).await?;
        Ok(found.into_iter().next().map(|(_, (_, update))| Bytes::from(update)))
    }

    /// Whether the server answers.
    pub(super) async fn ping(&self) -> Result<(), CallError> {
        let mut connection = self.connection.clone();
        self.call(async move { redis::cmd("PING").query_async::<Value>(&mut connection).await }).await.map(drop)
    }

    /// Whether the server takes itself for a primary.
    async fn is_primary(&self) -> Result<bool, CallError> {
        let mut connection = self.connection.clone();
        let role: Vec<Value> = self.call(async move { redis::cmd("ROLE").query_async(&mut connection).await }).await?;
        Ok(matches!(role.first(), Some(Value::BulkString(role)) if role == b"master"))
    }
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
    const WRONG_SERVER: [&str; 8] =
        ["READONLY", "MOVED", "ASK", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "NOREPLICAS"];
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
                pause = BACKOFF.start;
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

/// Connects to the server that is the right one now.
async fn connect(source: &RedisSource, generation: u64) -> Result<Connected, BusError> {
    let loaded = source.load()?;
    let (sentinels, name, template) = match &loaded.address {
        Address::Standalone(info) => {
            let client = loaded.client(info.clone()).map_err(CallError::other)?;
            let (live, messages) = connect_to(&client, generation, false).await?;
            let server = info.addr().to_string();
            return Ok(Connected { live, messages, watch: Watch { loaded, server, named: None } });
        }
        Address::Sentinel { sentinels, name, primary } => (sentinels, name, primary),
    };
    let mut problem = format!("no sentinel says which server is the primary of {name}");
    for named in sentinel::ask(&loaded, sentinels, name).await {
        let info = sentinel::connection_info(template, &named);
        let server = info.addr().to_string();
        let client = loaded.client(info).map_err(CallError::other)?;
        match connect_to(&client, generation, true).await {
            Ok((live, messages)) => {
                return Ok(Connected { live, messages, watch: Watch { loaded, server, named: Some(named) } });
            }
            Err(error) => problem = format!("{server}: {error}"),
        }
    }
    Err(BusError::Unavailable(problem))
}

async fn connect_to(
    client: &Client,
    generation: u64,
    must_be_primary: bool,
) -> Result<(Live, UnboundedReceiver<PushInfo>), BusError> {
    let (pushes, messages) = unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(None)
        .set_push_sender(pushes);
    let live = async {
        let connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(CallError::other)?;
        let live = Live { generation, connection, broken: CancellationToken::new() };
        if must_be_primary && !live.is_primary().await? {
            return Err(CallError::other("the sentinels say that this is the primary, and it says that it is not"));
        }
        live.load_functions().await?;
        Result::<_, CallError>::Ok(live)
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, live).await {
        Ok(Ok(live)) => Ok((live, messages)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(BusError::Unavailable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
    }
}

/// Finds out when a connection is no good any more: it can die, or stop to be the right one, without a word.
struct Watch {
    loaded: Loaded,
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
                match &self.named {
                    Some(_) => live.is_primary().await,
                    None => live.ping().await.map(|()| true),
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
            Notice::Covered(position) => Event::Covered { document, position },
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
