//! The connection of a bus, kept up by one task.
//!
//! RESP3: commands and subscriptions share it, so a READ is never answered on a connection whose subscriptions are
//! gone (that would leave a room joined and deaf), and an append's answer and notice wake the shard once. This task
//! alone sends events, so no event of an old generation comes after its `Disconnected`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::connect::{Connected, connect};
use super::live::Live;
use super::names;
use super::source::RedisSource;
use super::wire::{self, Notice};
use crate::bus::{BusError, Event, Events};
use crate::room::log::Entry;

const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

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
