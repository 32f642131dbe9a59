//! Whole documents: read from log and row together, and merged into the row.

use bytes::Bytes;

use crate::bus::{Bus, BusError};
use crate::room::document::{Document, Invalid, validate};
use crate::room::log::{Appended, Row};
use crate::store::{Store, StoreError, Written};

/// Somebody else's checkpoint may come between reading the row and writing it, but not for ever.
const ATTEMPTS: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Log(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("the document was written {ATTEMPTS} times meanwhile; try again")]
    Contended,
    #[error("the document could not be worked on: {0}")]
    Failed(#[from] tokio::task::JoinError),
}

/// All of a document that was acknowledged until now, as one Yjs update; None if there is none by this id. Gateways
/// that have it open are not disturbed.
///
/// # Errors
/// Log or database do not answer, or the document was deleted.
pub async fn whole(
    bus: &dyn Bus,
    store: &(impl Store + ?Sized),
    document: &str,
) -> Result<Option<Bytes>, TransferError> {
    // In this order: what is trimmed from the log before it is read is in the row, and stays there.
    let entries: Vec<Bytes> = bus.read(document).await?.entries.into_iter().map(|entry| entry.update).collect();
    let row = store.load(document).await?;
    if row.is_none() && entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(united(row.as_ref(), entries).await?))
}

/// Merges an update into the document's row, which loses nothing by it. Rooms that have it open take it in when they
/// next look at the row, or at once if `tell_rooms` has told them.
///
/// # Errors
/// The bytes are no update, the database does not answer, or the document was deleted.
pub async fn merge_in(store: &(impl Store + ?Sized), document: &str, update: &Bytes) -> Result<(), TransferError> {
    validate(update)?;
    for _ in 0..ATTEMPTS {
        let row = store.load(document).await?;
        let state = united(row.as_ref(), vec![update.clone()]).await?;
        if row.as_ref().is_some_and(|row| row.state == state) {
            return Ok(());
        }
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

async fn united(row: Option<&Row>, updates: Vec<Bytes>) -> Result<Bytes, TransferError> {
    let row = row.map(|row| row.state.clone());
    let work = move || {
        let mut document = Document::default();
        if let Some(row) = row {
            document.load(row)?;
        }
        for update in updates {
            // As rooms do: what does not apply is left out.
            let _ = document.push(update);
        }
        document.encode_state()
    };
    Ok(tokio::task::spawn_blocking(work).await??)
}
