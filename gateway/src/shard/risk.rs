//! Which inputs a room may fail to come back from: what is long, and what works on a document as a whole. They are marked.
//! Pure. Everything else, an edit above all, is not: a mark is two writes to a file.

use crate::protocol::yjs::Message;
use crate::quarantine::marks::Doing;
use crate::room::{Input, Room};

/// A longer message or entry is marked.
const LONG: usize = 64 << 10;
/// A document of that size is encoded under a mark.
const LARGE: usize = 1 << 20;

/// A longer message may hold the shard for as long as some hundred edits.
const HEAVY: usize = 16 << 10;

/// Whether it may take so long that the shard's other documents should not wait for it.
pub(super) fn is_heavy(input: &Input, room: &Room) -> bool {
    let bytes = match input {
        Input::Parts { .. } => return true,
        Input::Tick => return room.has_waiting() || room.memory() > LARGE,
        Input::Message { message: Message::SyncStep2(body) | Message::Update(body), .. } => body.len(),
        Input::Message { message: Message::SyncStep1(vector), .. } => vector.len(),
        Input::Entry(entry) => entry.update.len(),
        Input::Read { result: Ok(reply), .. } => reply.entries.iter().map(|entry| entry.update.len()).sum(),
        // It was read before; what is left to do is little beside that.
        Input::Loaded { result: Ok(Some(row)), .. } => row.state.len() / 16,
        _ => 0,
    };
    bytes > HEAVY || room.memory() > LARGE
}

pub(super) fn risk(input: &Input, room: &Room) -> Option<Doing> {
    let long = |bytes: usize| (bytes > LONG).then_some(Doing::Message);
    match input {
        Input::Loaded { .. } => Some(Doing::Opening),
        // A join again without the row. Of a first one the entries are taken in with the row.
        Input::Read { result: Ok(reply), .. } => {
            let bytes: usize = reply.entries.iter().map(|entry| entry.update.len()).sum();
            (bytes > LONG).then_some(Doing::Opening)
        }
        Input::Entry(entry) => long(entry.update.len()),
        Input::Parts { .. } => Some(Doing::Message),
        Input::Message { message, .. } => match message {
            Message::SyncStep2(body) | Message::Update(body) | Message::Awareness(body) => long(body.len()),
            Message::SyncStep1(_) => (room.bytes() > LONG).then_some(Doing::Encoding),
            _ => None,
        },
        Input::Tick if room.has_waiting() => Some(Doing::Message),
        // When a checkpoint may be due.
        Input::Tick | Input::Flush | Input::Leave { .. } => (room.bytes() > LARGE).then_some(Doing::Encoding),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::room::{Durability, Limits, SessionId};

    #[test]
    fn an_opening_and_a_long_message_are_a_risk_and_an_edit_is_none() {
        let limits = Limits {
            document_bytes: 1 << 20,
            backlog_bytes: 1 << 20,
            turn_bytes: 128 << 10,
            stream_bytes: 512 << 10,
            checkpoint_after: Duration::from_secs(5),
            durability: Durability::Log,
            without: None,
        };
        let room = Room::new(limits, 1);
        let message = |message| Input::Message { session: SessionId(1), message };
        let update = |bytes: usize| message(Message::Update(Bytes::from(vec![0; bytes])));
        for (input, expected) in [
            (Input::Loaded { call: 1, result: Ok(None) }, Some(Doing::Opening)),
            (update(LONG), None),
            (update(LONG + 1), Some(Doing::Message)),
            (message(Message::SyncStep1(Bytes::new())), None),
            (Input::Tick, None),
        ] {
            assert_eq!(risk(&input, &room), expected, "{input:.60?}");
        }
    }
}
