//! What a client's frame means for its session. Pure: the codes of every refusal are here and nowhere else.

use bytes::Bytes;
use editorcluster_core::document::Refused;

use crate::metrics::BadMessage;
use crate::protocol::websocket::{Event, FrameError};
use crate::protocol::yjs::{DecodeError, Message, decode_all};
use crate::room::CloseReason;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    Messages(Vec<Message>),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// Only says that the client is there.
    Pong,
    /// The client ends the session; to be answered with this code.
    Closing(u16),
    Refused(Refusal),
}

/// Why the gateway closes a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
    /// None: it was not the client's fault.
    pub(super) bad: Option<BadMessage>,
}

impl Refusal {
    fn bad(code: u16, bad: BadMessage, text: impl ToString) -> Self {
        Self { code, text: text.to_string(), bad: Some(bad) }
    }

    pub(super) fn restart() -> Self {
        Self { code: 1012, text: "this gateway is ending; connect again".to_owned(), bad: None }
    }

    pub(super) fn too_slow() -> Self {
        Self { code: 1013, text: "the connection takes no data; connect again".to_owned(), bad: None }
    }

    pub(super) fn slow_message() -> Self {
        Self { code: 1008, text: "the message does not come to its end".to_owned(), bad: None }
    }

    /// Its unfinished message has to go so that there is memory for others'.
    pub(super) fn unfinished() -> Self {
        Self { code: 1013, text: "too many long messages at the moment; connect again".to_owned(), bad: None }
    }

    /// The process would be killed for its memory otherwise.
    pub(super) fn memory() -> Self {
        let text = "this gateway is short of memory, and this session holds most of it; connect again";
        Self { code: 1013, text: text.to_owned(), bad: None }
    }

    pub(super) fn huge_presence() -> Self {
        Self::bad(1009, BadMessage::TooLarge, "a presence is larger than this server takes")
    }

    // Codes from 4400 to 4499 are for good: y-websocket 3.1 does not come back after one. Earlier clients do, whatever the
    // code is; an application that listens for it can stop them.

    pub(super) fn deleted() -> Self {
        Self { code: 4404, text: "the document was deleted".to_owned(), bad: None }
    }

    /// It is not served as far as it can be read: clients would take what is missing for deleted.
    pub(super) fn damaged() -> Self {
        Self { code: 4422, text: "the stored document is damaged; restore it from a backup".to_owned(), bad: None }
    }

    pub(super) fn quarantined() -> Self {
        let text = "the document is in quarantine because a server failed in it; ask its operator to release it";
        Self { code: 4423, text: text.to_owned(), bad: None }
    }

    pub(super) fn room_failed() -> Self {
        Self { code: 1011, text: "the document failed in this gateway".to_owned(), bad: None }
    }
}

impl From<CloseReason> for Refusal {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Undecodable => Self::bad(1007, BadMessage::Undecodable, "an awareness update does not decode"),
            CloseReason::Refused(refused) => {
                let is_update = !matches!(refused, Refused::Malformed(_) | Refused::TrailingBytes(_));
                let bad = if is_update { BadMessage::Refused } else { BadMessage::Undecodable };
                Self::bad(1007, bad, format!("the update is refused: {refused}"))
            }

            CloseReason::DocumentTooLarge => {
                Self::bad(1009, BadMessage::TooLarge, "the document would be larger than this server takes")
            }
        }
    }
}

/// What the next event of the frame decoder means.
pub(super) fn judge(event: Result<Event, FrameError>) -> Inbound {
    match event {
        Ok(Event::Binary(frame)) => match decode_all(frame) {
            Ok(messages) if messages.iter().any(|message| matches!(message, Message::PermissionDenied(_))) => {
                Inbound::Refused(Refusal::bad(1003, BadMessage::UnknownType, "only a server sends auth messages"))
            }
            Ok(messages) => Inbound::Messages(messages),
            Err(error) => Inbound::Refused(match &error {
                DecodeError::UnknownType(_) | DecodeError::UnknownSync(_) | DecodeError::UnknownAuth(_) => {
                    Refusal::bad(1003, BadMessage::UnknownType, error)
                }
                DecodeError::Malformed(_)
                | DecodeError::Empty
                | DecodeError::NotJson(_)
                | DecodeError::TrailingBytes(_) => Refusal::bad(1007, BadMessage::Undecodable, error),
                DecodeError::TooMany => Refusal::bad(1008, BadMessage::TooMany, error),
            }),
        },
        Ok(Event::Text) => {
            Inbound::Refused(Refusal::bad(1003, BadMessage::Text, "y-websocket has no text messages; send binary"))
        }
        Ok(Event::Ping(payload)) => Inbound::Ping(payload),
        Ok(Event::Pong(_)) => Inbound::Pong,
        Ok(Event::Close(code)) => Inbound::Closing(code.unwrap_or(1000)),
        Err(error) => {
            let bad = match error {
                FrameError::TooLarge => BadMessage::TooLarge,
                FrameError::TooManyFragments => BadMessage::TooMany,
                FrameError::Protocol(_) | FrameError::NotUtf8 => BadMessage::Frame,
            };
            Inbound::Refused(Refusal::bad(error.code(), bad, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(event: Result<Event, FrameError>) -> (u16, Option<BadMessage>) {
        match judge(event) {
            Inbound::Refused(refusal) => (refusal.code, refusal.bad),
            other => panic!("{other:?} is no refusal"),
        }
    }

    fn binary(bytes: &'static [u8]) -> Result<Event, FrameError> {
        Ok(Event::Binary(Bytes::from_static(bytes)))
    }

    #[test]
    fn each_kind_of_bad_input_has_its_code() {
        for (event, code, reason) in [
            (Ok(Event::Text), 1003, BadMessage::Text),
            (binary(&[9, 0]), 1003, BadMessage::UnknownType),
            (binary(&[0, 7, 0]), 1003, BadMessage::UnknownType),
            (binary(&[2, 0, 1, b'x']), 1003, BadMessage::UnknownType),
            (binary(&[0, 2, 5, 1]), 1007, BadMessage::Undecodable),
            (binary(&[]), 1007, BadMessage::Undecodable),
            (Err(FrameError::TooLarge), 1009, BadMessage::TooLarge),
            (Err(FrameError::TooManyFragments), 1009, BadMessage::TooMany),
            (binary(&[3; 2000]), 1008, BadMessage::TooMany),
            (Err(FrameError::Protocol("x")), 1002, BadMessage::Frame),
        ] {
            let shown = format!("{event:?}");
            assert_eq!(refused(event), (code, Some(reason)), "{shown}");
        }
    }

    #[test]
    fn what_stays_refused_has_a_permanent_code() {
        for refusal in [Refusal::deleted(), Refusal::damaged(), Refusal::quarantined()] {
            assert!((4400..=4499).contains(&refusal.code), "{refusal:?}");
            // The payload of a control frame, less the code.
            assert!(refusal.text.len() <= 123, "{refusal:?}");
        }
    }

    #[test]
    fn a_frame_may_hold_several_messages() {
        let Inbound::Messages(messages) = judge(binary(&[0, 0, 1, 0, 3])) else { panic!("refused") };
        assert_eq!(messages, [Message::SyncStep1(Bytes::from_static(&[0])), Message::QueryAwareness]);
    }

    #[test]
    fn a_close_is_answered_with_its_code() {
        assert_eq!(judge(Ok(Event::Close(Some(1001)))), Inbound::Closing(1001));
        assert_eq!(judge(Ok(Event::Close(None))), Inbound::Closing(1000));
    }
}
