//! The connection of a bus, kept up by one task.
//!
//! RESP3: commands and subscriptions share it, so a READ is never answered on a connection whose subscriptions are
//! gone (that would leave a room joined and deaf), and an append's answer and notice wake the shard once. This task
//! alone sends events, so no event of an old generation comes after its `Disconnected`.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::names::{self, Names};
use super::wire::{self, Notice};
use crate::bus::{BusError, Event, Events};
use crate::room::log::{Entry, Position};

/// After this long without an answer the connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the connection is asked whether it still lives. Answers come in order, so a ping stands for every call
/// before it and no call needs a timer of its own: it ends at the latest after this time and the time-out.
const PING_EVERY: Duration = Duration::from_secs(1);
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

    /// Returns when the connection no longer answers. It can die without a word.
    async fn watch(&self) {
        loop {
            tokio::time::sleep(PING_EVERY).await;
            if !matches!(tokio::time::timeout(ANSWER_TIMEOUT, self.ping()).await, Ok(Ok(()))) {
                return;
            }
        }
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
    pub(super) fn start(client: Client, events: Events, instance: u64) -> Self {
        let link = Self { live: Arc::default(), stop: CancellationToken::new() };
        let (live, stop) = (link.live.clone(), link.stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(keep_up(client, events, instance, live)).await;
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

async fn keep_up(client: Client, events: Events, instance: u64, slot: Arc<Mutex<Option<Live>>>) {
    let mut generation = 0;
    let mut pause = BACKOFF.start;
    loop {
        match connect(&client, generation + 1).await {
            Ok((live, messages)) => {
                generation += 1;
                pause = BACKOFF.start;
                tracing::info!(generation, "connected to Redis");
                // First the slot, then the event: whoever hears it may call at once.
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
                send(&events, Event::Connected { generation });
                tokio::select! {
                    () = hear(&live, messages, &events, instance) => {}
                    () = live.watch() => {}
                    () = live.broken.cancelled() => {}
                }
                live.broken.cancel();
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
                send(&events, Event::Disconnected { generation });
                tracing::warn!(generation, "the connection to Redis is gone; connecting again");
            }
            Err(error) => tracing::warn!(%error, "cannot connect to Redis; trying again"),
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(BACKOFF.end);
    }
}

async fn connect(client: &Client, generation: u64) -> Result<(Live, UnboundedReceiver<PushInfo>), BusError> {
    let (pushes, messages) = unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(None)
        .set_push_sender(pushes);
    let live = async {
        let connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(CallError::other)?;
        let live = Live { generation, connection, broken: CancellationToken::new() };
        live.load_functions().await?;
        Result::<_, CallError>::Ok(live)
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, live).await {
        Ok(Ok(live)) => Ok((live, messages)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(BusError::Unavailable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
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
