//! The effects that ask the log or the database. Each call is a task of its own and its answer an input.
//!
//! The log's calls run on the shard's own runtime, where its connections are; the database's on the main one, where
//! its pool is.

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use prometheus::IntCounter;
use tokio::task::spawn_local;

use super::state::{Shared, State, Waiting};
use crate::bus::BusError;
use crate::quarantine::marks::Doing;
use crate::room::log::Row;
use crate::room::{Effect, Failed, Input};
use crate::store::{StoreError, Written};
use editorcluster_core::document::Document;

/// Starts a room's call.
pub(super) fn start(shared: &Rc<Shared>, state: &mut State, document: &Rc<str>, incarnation: u64, effect: Effect) {
    if let Effect::Subscribe { call } = effect
        && let Some(waiting) = state.unsubscribing.get_mut(document)
    {
        // Or the late unsubscribe would end the new subscription.
        *waiting = Some(Waiting { incarnation, call });
        return;
    }
    let (shared, document) = (shared.clone(), document.clone());
    spawn_local(async move {
        if let Some(input) = ask(&shared, &document, incarnation, effect).await {
            shared.answer(&document, incarnation, input);
        }
    });
}

/// Ends the document's subscription. A room that is opened meanwhile subscribes after that.
pub(super) fn unsubscribe(shared: &Rc<Shared>, state: &mut State, document: &Rc<str>) {
    if let Some(waiting) = state.unsubscribing.get_mut(document) {
        // The room that waited is gone as well, and the subscription that it wanted was never made.
        *waiting = None;
        return;
    }
    state.unsubscribing.insert(document.clone(), None);
    let (shared, document) = (shared.clone(), document.clone());
    spawn_local(async move {
        if let Err(error) = shared.bus.unsubscribe(&document).await {
            // A connection that is gone has no subscriptions either.
            tracing::debug!(document = &*document, %error, "cannot unsubscribe");
        }
        let mut state = shared.state.borrow_mut();
        if let Some(Waiting { incarnation, call }) = state.unsubscribing.remove(&document).flatten() {
            start(&shared, &mut state, &document, incarnation, Effect::Subscribe { call });
        }
    });
}

async fn ask(shared: &Rc<Shared>, document: &Rc<str>, incarnation: u64, effect: Effect) -> Option<Input> {
    let (bus, metrics) = (&shared.bus, &shared.setup.metrics);
    let log = |error: &dyn Display| failed(&metrics.log_errors, "the log", document, error);
    let store = |error: &dyn Display| failed(&metrics.store_errors, "the database", document, error);
    Some(match effect {
        Effect::Subscribe { call } => {
            Input::Subscribed { call, result: bus.subscribe(document).await.map_err(|error| log(&error)) }
        }
        Effect::Read { call } => {
            let result = match bus.read(document).await {
                Err(BusError::Corrupt(damage)) => {
                    shared.damaged(document, incarnation, &damage);
                    return None;
                }
                result => result.map_err(|error| log(&error)),
            };
            Input::Read { call, result }
        }
        Effect::Peek { call } => Input::Peeked { call, result: bus.peek(document).await.map_err(|error| log(&error)) },
        Effect::Open { call, expected, epoch, tenure, update } => {
            let result = bus.open(document, expected.as_ref(), epoch, &tenure, update).await;
            Input::Opened { call, result: result.map_err(|error| log(&error)) }
        }
        Effect::Append { call, epoch, update } => {
            let result = bus.append(document, epoch, update).await;
            Input::Appended { call, result: result.map_err(|error| log(&error)) }
        }
        Effect::Cover { call, position, rev } => {
            let result = bus.cover(document, position, rev).await;
            Input::CoverDone { call, result: result.map_err(|error| log(&error)) }
        }
        Effect::Load { call } => {
            shared.setup.verdict.given().await;
            let (backend, id) = (shared.setup.store.clone(), Arc::<str>::from(&**document));
            let (marks, empty) = (shared.setup.marks.clone(), shared.setup.empty_document(document));
            let load = async move {
                let Some(row) = backend.load(&id).await? else { return Ok(None) };
                let _mark = marks.enter(&id, Doing::Opening);
                read(row, empty).map(Some)
            };
            let result = match shared.elsewhere.main.spawn(load).await {
                Ok(Err(StoreError::Quarantined)) => {
                    shared.quarantined(document, incarnation);
                    return None;
                }
                Ok(Err(StoreError::Deleted)) => {
                    end_deleted(shared, document, incarnation).await;
                    return None;
                }
                Ok(Err(StoreError::Corrupt(damage))) => {
                    shared.damaged(document, incarnation, &damage);
                    return None;
                }
                Ok(result) => result.map_err(|error| store(&error)),
                Err(error) => Err(store(&error)),
            };
            let result = result.map(|found| {
                let (row, read) = found?;
                shared.answer(document, incarnation, Input::Prepared(read));
                Some(row)
            });
            Input::Loaded { call, result }
        }
        Effect::Rev { call } => {
            let (backend, id) = (shared.setup.store.clone(), Arc::<str>::from(&**document));
            let result = match shared.elsewhere.main.spawn(async move { backend.rev(&id).await }).await {
                Ok(result) => result.map_err(|error| store(&error)),
                Err(error) => Err(store(&error)),
            };
            Input::RevRead { call, result }
        }
        Effect::Write { call, expected, state, position } => {
            let (backend, id) = (shared.setup.store.clone(), Arc::<str>::from(&**document));
            let write = async move { backend.write(&id, expected, state, position).await };
            let result = match shared.elsewhere.main.spawn(write).await {
                Ok(Ok(Written::Rev(rev))) => Ok(Some(rev)),
                Ok(Ok(Written::Conflict)) => Ok(None),
                Ok(Err(error)) => Err(store(&error)),
                Err(error) => Err(store(&error)),
            };
            Input::Written { call, result }
        }
        Effect::PublishAwareness(update) => {
            // Best effort: presence is renewed every 15 s anyway.
            let _ = bus.publish_awareness(document, update).await;
            return None;
        }
        Effect::QueryAwareness => {
            let _ = bus.query_awareness(document).await;
            return None;
        }
        Effect::Send { .. }
        | Effect::Stream { .. }
        | Effect::Tell { .. }
        | Effect::Acknowledge { .. }
        | Effect::Close { .. }
        | Effect::Pause(_)
        | Effect::Skipped { .. }
        | Effect::WakeAt(_)
        | Effect::Done => return None,
    })
}

/// Reads a row, which takes too long for the shard's thread. One that is no update would be left out by the room, which
/// would then serve the document as empty and write over the row.
fn read(row: Row, mut document: Document) -> crate::store::Result<(Row, Box<Document>)> {
    match document.load(&row.state) {
        Ok(_) => Ok((row, Box::new(document))),
        Err(refused) => Err(StoreError::Corrupt(format!("its row holds no Yjs update: {refused}"))),
    }
}

/// The log says that the document was deleted. The database has the last word: the notice may be late, and the document
/// back on purpose.
pub(super) fn check_deleted(shared: &Rc<Shared>, state: &State, document: &Rc<str>) {
    let Some(incarnation) = state.rooms.get(document).map(|slot| slot.incarnation) else { return };
    let (shared, document) = (shared.clone(), document.clone());
    spawn_local(async move {
        let (backend, id) = (shared.setup.store.clone(), Arc::<str>::from(&*document));
        let row = shared.elsewhere.main.spawn(async move { backend.load(&id).await }).await;
        // If it does not answer, the room finds out at its next checkpoint or look at the log.
        if matches!(row, Ok(Err(StoreError::Deleted))) {
            shared.deleted(&document, incarnation);
        }
    });
}

/// The database says that the document was deleted. A room that was opening meanwhile, or that had not heard of it, may
/// have begun a log again; it goes first, so that nothing is left once the sessions know.
async fn end_deleted(shared: &Rc<Shared>, document: &Rc<str>, incarnation: u64) {
    if let Err(error) = shared.bus.delete(document).await {
        // Whoever opens it next tries again.
        tracing::debug!(document = &**document, %error, "cannot remove a deleted document's log");
    }
    shared.deleted(document, incarnation);
}

fn failed(counter: &IntCounter, what: &str, document: &str, error: &dyn Display) -> Failed {
    counter.inc();
    tracing::debug!(document, %error, "{what} did not answer");
    Failed
}
