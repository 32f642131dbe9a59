//! Whom a session has told of. Pure.
//!
//! A room keeps the presence of every client that its sessions name, and tells everybody. y-websocket's clients name
//! themselves when they come, and after that also say again what they were told of others, which changes nothing. So a
//! session that has named many has no more of its own to tell, and what it says of still others is not taken.

use editorcluster_core::lib0::{ReadError, Reader};

/// Different clients of which one session may tell.
const CLIENTS: usize = 1024;
/// The state of one client: a name, a colour, a cursor, perhaps a small picture.
const STATE_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Presences {
    /// Sorted.
    clients: Vec<u64>,
}

/// What is to be done with a presence message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Take,
    /// It names too many: not taken, and no reason to close the session.
    Skip,
    /// A state is too large.
    TooLarge,
}

impl Presences {
    /// Judges the body of an awareness message. One that does not decode is taken: the room says what it is.
    pub(super) fn judge(&mut self, body: &[u8]) -> Judgement {
        self.walk(body).unwrap_or(Judgement::Take)
    }

    fn walk(&mut self, body: &[u8]) -> Result<Judgement, ReadError> {
        let mut reader = Reader::new(body);
        for _ in 0..reader.var_uint()? {
            let client = reader.var_uint()?;
            reader.var_uint()?;
            if reader.var_bytes()?.len() > STATE_BYTES {
                return Ok(Judgement::TooLarge);
            }
            if let Err(place) = self.clients.binary_search(&client) {
                if self.clients.len() == CLIENTS {
                    return Ok(Judgement::Skip);
                }
                self.clients.insert(place, client);
            }
        }
        Ok(Judgement::Take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::yjs::{Presence, encode_awareness};

    fn told(presences: &mut Presences, clients: std::ops::Range<u64>, json: &str) -> Judgement {
        let list: Vec<_> = clients.map(|client| Presence { client, clock: 1, json: json.to_owned() }).collect();
        presences.judge(&encode_awareness(&list))
    }

    #[test]
    fn a_session_may_tell_of_many_again_and_again_but_not_of_ever_more() {
        let mut presences = Presences::default();
        for _ in 0..3 {
            assert_eq!(told(&mut presences, 0..CLIENTS as u64, "{}"), Judgement::Take);
        }
        assert_eq!(told(&mut presences, 5000..5001, "{}"), Judgement::Skip);
        assert_eq!(told(&mut presences, 7..8, "{}"), Judgement::Take);
        assert_eq!(presences.clients.len(), CLIENTS);
    }

    #[test]
    fn a_message_may_not_name_more_than_all_together() {
        assert_eq!(told(&mut Presences::default(), 0..CLIENTS as u64 + 1, "{}"), Judgement::Skip);
    }

    #[test]
    fn a_huge_state_is_told_apart() {
        let huge = format!("\"{}\"", "x".repeat(STATE_BYTES));
        assert_eq!(told(&mut Presences::default(), 1..2, &huge), Judgement::TooLarge);
    }

    #[test]
    fn what_does_not_decode_is_for_the_room() {
        assert_eq!(Presences::default().judge(&[9, 1]), Judgement::Take);
    }
}
