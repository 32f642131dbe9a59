//! Long messages are cut into parts before their room takes them in: what reads a part needs memory for that part alone,
//! others are told it in pieces of that size, and the room has time for other sessions in between. To find the parts takes
//! long itself, and is done on another thread.

use std::rc::Rc;

use editorcluster_core::document::{Refused, split};
use tokio::sync::Semaphore;

use super::state::Shared;
use crate::protocol::yjs::Message;
use crate::quarantine::marks::Doing;
use crate::room::{Input, SessionId};

/// Longer updates are cut.
const FROM: usize = 128 << 10;
/// About the size of one part: of the densest update, what is taken in within some milliseconds.
const PART: usize = 64 << 10;
/// Messages and answers that are being cut in this process at the same time. Each may take several times its size in memory.
pub(super) static CUTTING: Semaphore = Semaphore::const_new(1);

pub(super) fn is_long(message: &Message) -> bool {
    matches!(message, Message::Update(update) | Message::SyncStep2(update) if update.len() > FROM)
}

/// A long message of a session as an input of its room.
///
/// # Errors
/// It is no update.
pub(super) async fn cut(
    shared: &Rc<Shared>,
    document: &str,
    session: SessionId,
    message: Message,
) -> Result<Input, Refused> {
    let (Message::Update(update) | Message::SyncStep2(update)) = &message else {
        return Ok(Input::Message { session, message });
    };
    let (update, marks, name) = (update.clone(), shared.setup.marks.clone(), document.to_owned());
    // The semaphore is never closed; without a permit there is only less order.
    let _permit = CUTTING.acquire().await.ok();
    let parts = shared.elsewhere.aside.spawn_blocking(move || {
        let _mark = marks.enter(&name, Doing::Message);
        split(&update, PART)
    });
    match parts.await {
        Ok(parts) => {
            let parts = parts?.into_iter().map(|pieces| pieces.concat().into()).collect();
            Ok(Input::Parts { session, parts, message })
        }
        // The thread has panicked, or the process is ending: the room judges the message as a whole.
        Err(_) => Ok(Input::Message { session, message }),
    }
}
