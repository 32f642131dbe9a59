//! Whole documents: read from log and row together, and merged into the row.

use bytes::Bytes;

use crate::bus::{Bus, BusError};
use crate::quarantine::marks::{Doing, Marks};
use crate::room::log::Appended;
use crate::store::{Store, StoreError, Written};
use editorcluster_core::document::{Document, Refused};

/// Somebody else's checkpoint may come between reading the row and writing it, but not for ever.
const ATTEMPTS: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Log(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the update is refused: {0}")]
    Refused(#[from] Refused),
    #[error("the update refers to edits that neither it nor the document has; export all of the document again")]
    Incomplete,
    #[error("the document was written {ATTEMPTS} times meanwhile; try again")]
    Contended,
    #[error("the document could not be worked on: {0}")]
    Failed(#[from] tokio::task::JoinError),
}

/// All of a document that was acknowledged until now, as one Yjs update; None if there is none by this id. Gateways
/// that have it open are not disturbed.
///
/// # Errors
/// Log or database do not answer, or the document was deleted or is in quarantine.
pub async fn whole(
    bus: &dyn Bus,
    store: &(impl Store + ?Sized),
    document: &str,
    marks: &Marks,
) -> Result<Option<Bytes>, TransferError> {
    read(bus, store, document, marks, |mut document| document.encode_state()).await?.transpose().map_err(Into::into)
}

/// Bytes of a document's stored edits that wait for others which nobody has told; None if there is no document by this
/// id.
///
/// # Errors
/// As of [`whole`].
pub async fn pending_bytes(
    bus: &dyn Bus,
    store: &(impl Store + ?Sized),
    document: &str,
    marks: &Marks,
) -> Result<Option<usize>, TransferError> {
    read(bus, store, document, marks, |document| document.pending_bytes()).await
}

/// What `look` says of a document, read from log and row.
async fn read<T: Send + 'static>(
    bus: &dyn Bus,
    store: &(impl Store + ?Sized),
    document: &str,
    marks: &Marks,
    look: impl FnOnce(Document) -> T + Send + 'static,
) -> Result<Option<T>, TransferError> {
    // In this order: what is trimmed from the log before it is read is in the row, and stays there.
    let entries: Vec<Bytes> = bus.read(document).await?.entries.into_iter().map(|entry| entry.update).collect();
    let row = store.load(document).await?;
    if row.is_none() && entries.is_empty() {
        return Ok(None);
    }
    let row = row.map(|row| row.state);
    let (name, marks) = (document.to_owned(), marks.clone());
    let work = move || {
        let _mark = marks.enter(&name, Doing::Reading);
        // What is kept of deleted content is a part of an export and of a version. In a document that keeps none the
        // row has none, and what the log adds are a few seconds.
        let mut document = Document::keeping_deleted();
        if let Some(row) = row {
            document.load(&row)?;
        }
        for update in &entries {
            // As rooms do: what is no update is left out.
            let _ = document.take(update);
        }
        Ok::<_, Refused>(look(document))
    };
    Ok(Some(tokio::task::spawn_blocking(work).await??))
}

/// Merges an update into the document's row, which loses nothing by it. Rooms that have it open take it in when they
/// next look at the row, or at once if `tell_rooms` has told them.
///
/// # Errors
/// The bytes are no update, the database does not answer, or the document was deleted.
pub async fn merge_in(store: &(impl Store + ?Sized), document: &str, update: &Bytes) -> Result<(), TransferError> {
    for _ in 0..ATTEMPTS {
        let row = store.load(document).await?;
        let (state, update) = (row.as_ref().map(|row| row.state.clone()), update.clone());
        let Some(state) = tokio::task::spawn_blocking(move || merged(state, &update)).await?? else { return Ok(()) };
        let (rev, position) = row.map_or((0, None), |row| (row.rev, row.position));
        if let Written::Rev(_) = store.write(document, rev, state, position).await? {
            return Ok(());
        }
    }
    Err(TransferError::Contended)
}

/// Puts what was merged in into the log too, if there is one, so that rooms hear it. False: nobody has it open, or who
/// has will read the row before going on.
///
/// # Errors
/// The log does not answer.
pub async fn tell_rooms(bus: &dyn Bus, document: &str, update: Bytes) -> Result<bool, BusError> {
    let reply = bus.read(document).await?;
    match reply.head {
        Some(head) if head.tenure == reply.tenure => {
            Ok(matches!(bus.append(document, head.epoch, update).await?, Appended::At(_)))
        }
        _ => Ok(false),
    }
}

/// A row's state with an update; None if that brings nothing.
fn merged(state: Option<Bytes>, update: &Bytes) -> Result<Option<Bytes>, TransferError> {
    // Whether deleted content is kept is for the document's gateways to say, and an import may run anywhere. Where it is
    // not, the next room that writes the row collects it.
    let (is_new, mut document) = (state.is_none(), Document::keeping_deleted());
    if let Some(state) = state {
        document.load(&state)?;
    }
    let admitted = document.admit(update, usize::MAX)?;
    match (admitted.news, admitted.waits) {
        (_, Some(_)) => Err(TransferError::Incomplete),
        (None, None) if !is_new => Ok(None),
        _ => Ok(Some(document.encode_state()?)),
    }
}
