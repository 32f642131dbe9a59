//! Edits that come from this process itself: a restore, an import. Each is a member of its document's room without a
//! socket: it joins, writes, and leaves when its update is as durable as any client's would be.

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::cut;
use super::inbound::Refusal;
use super::state::{Shared, State};
use crate::protocol::yjs::Message;
use crate::room::{CloseReason, Input, SessionId};

/// An update for a document, and who waits until it is acknowledged.
#[derive(Debug)]
pub struct Edit {
    pub document: String,
    /// Checked like a client's: a Yjs update, encoding v1.
    pub update: Bytes,
    pub done: Done,
}

pub type Done = oneshot::Sender<Result<(), Refused>>;

/// Why the room did not take it. The update may be in the document all the same if the room failed behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// The code with which a client's session would be closed.
    pub code: u16,
    pub reason: String,
}

/// Brings the update to its room.
pub(super) fn start(shared: &Rc<Shared>, edit: Edit) {
    let state = &mut *shared.state.borrow_mut();
    let (id, document) = (SessionId(state.next_id()), Rc::<str>::from(edit.document));
    state.edits.insert(id, edit.done);
    if state.closing {
        return shared.dismiss(state, id, Refusal::restart());
    }
    shared.join(state, &document, id);
    let message = Message::Update(edit.update);
    if !cut::is_long(&message) {
        return shared.input(state, &document, Input::Message { session: id, message });
    }
    let shared = shared.clone();
    spawn_local(async move {
        let cut = cut::cut(&shared, &document, id, message).await;
        let state = &mut *shared.state.borrow_mut();
        match cut {
            Ok(input) => shared.input(state, &document, input),
            Err(refused) => {
                shared.leave(state, &document, id);
                shared.dismiss(state, id, CloseReason::Refused(refused).into());
            }
        }
    });
}

impl Shared {
    /// False: the acknowledgement is for a session with a socket.
    pub(super) fn acknowledge_edit(self: &Rc<Self>, state: &mut State, document: &Rc<str>, id: SessionId) -> bool {
        let Some(done) = state.edits.remove(&id) else { return false };
        // Whoever asked may have gone away; the edit stays.
        let _ = done.send(Ok(()));
        self.leave(state, document, id);
        true
    }

    /// Tells a session, or an edit, that its room will not go on with it.
    pub(super) fn dismiss(self: &Rc<Self>, state: &mut State, id: SessionId, refusal: Refusal) {
        match state.edits.remove(&id) {
            // As above.
            Some(done) => drop(done.send(Err(Refused { code: refusal.code, reason: refusal.text }))),
            None => self.close(state, id, refusal),
        }
    }
}
