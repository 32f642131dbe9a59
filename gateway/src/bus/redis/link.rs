//! The two connections of a bus, kept up by one task.
//!
//! One carries commands, the other subscriptions. They live and die together, so that a generation names both: a READ
//! answered on a connection whose subscriptions are gone would leave a room joined and deaf. This task alone sends
//! events, so no event of an old generation comes after its `Disconnected`.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rand::Rng;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Value};
use tokio_util::sync::CancellationToken;

use super::names::{self, Names};
use super::wire::{self, Notice};
use crate::bus::{BusError, Event, Events};
use crate::room::log::{Entry, Position};

/// After this long a call's outcome is unknown and the connection is given up.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How often both connections are asked whether they still live.
const PING_EVERY: Duration = Duration::from_secs(3);
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

const FUNCTIONS: &str = include_str!("functions.lua");

/// The connections of one generation.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) generation: u64,
    pub(super) commands: MultiplexedConnection,
    pub(super) subscriptions: PubSubSink,
    /// Cancelled by whoever finds out that a connection is no good.
    broken: CancellationToken,
}

impl Live {
    /// Runs one call with the time-out and judges its error: one that speaks about the connection ends both.
    pub(super) async fn call<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, CallError> {
        let result = tokio::select! {
            result = tokio::time::timeout(CALL_TIMEOUT, call) => result,
            () = self.broken.cancelled() => return Err(CallError::other("the connection broke during the call")),
        };
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if is_function_missing(&error) => Err(CallError::FunctionMissing),
            Ok(Err(error)) => {
                if ends_connection(&error) {
                    self.broken.cancel();
                }
                Err(CallError::other(error))
            }
            Err(_) => {
                self.broken.cancel();
                Err(CallError::other(format!("no answer within {} s", CALL_TIMEOUT.as_secs())))
            }
        }
    }

    /// Puts the log's functions into the server.
    pub(super) async fn load_functions(&self) -> Result<(), CallError> {
        let mut commands = self.commands.clone();
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg("REPLACE").arg(FUNCTIONS);
        self.call(async move { load.query_async::<Value>(&mut commands).await }).await.map(drop)
    }

    async fn fetch(&self, document: &str, position: Position) -> Result<Option<Bytes>, CallError> {
        let mut commands = self.commands.clone();
        let id = format!("{}-{}", position.epoch, position.n);
        let mut range = redis::cmd("XRANGE");
        range.arg(Names::of(document).stream).arg(&id).arg(&id);
        let found: Vec<(Value, (Value, Vec<u8>))> =
            self.call(async move { range.query_async(&mut commands).await }).await?;
        Ok(found.into_iter().next().map(|(_, (_, update))| Bytes::from(update)))
    }

    /// Returns when one of the connections no longer answers. A connection can die without a word.
    async fn watch(&self) {
        loop {
            tokio::time::sleep(PING_EVERY).await;
            let (mut subscriptions, mut commands) = (self.subscriptions.clone(), self.commands.clone());
            let ping = async move {
                subscriptions.ping::<Value>().await?;
                redis::cmd("PING").query_async::<Value>(&mut commands).await
            };
            if self.call(ping).await.is_err() {
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

/// Keeps the connections up until it is dropped.
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

    /// The connections as they are now.
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
            Err(error) => tracing::warn!(error, "cannot connect to Redis; trying again"),
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(BACKOFF.end);
    }
}

async fn connect(client: &Client, generation: u64) -> Result<(Live, PubSubStream), String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CALL_TIMEOUT))
        .set_response_timeout(Some(CALL_TIMEOUT));
    let both = async {
        let commands = client.get_multiplexed_async_connection_with_config(&config).await?;
        let (subscriptions, messages) = client.get_async_pubsub().await?.split();
        RedisResult::Ok((commands, subscriptions, messages))
    };
    let (commands, subscriptions, messages) = tokio::time::timeout(CALL_TIMEOUT, both)
        .await
        .map_err(|_| format!("no answer within {} s", CALL_TIMEOUT.as_secs()))?
        .map_err(|error| error.to_string())?;
    let live = Live { generation, commands, subscriptions, broken: CancellationToken::new() };
    live.load_functions().await.map_err(|error| BusError::from(error).to_string())?;
    Ok((live, messages))
}

/// Passes on what is published, until the connection ends.
async fn hear(live: &Live, mut messages: PubSubStream, events: &Events, instance: u64) {
    while let Some(message) = messages.next().await {
        let Some(document) = names::document(message.get_channel_name()) else { continue };
        let Some(notice) = wire::decode(Bytes::copy_from_slice(message.get_payload_bytes())) else {
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
