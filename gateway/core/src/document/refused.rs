//! Why an update or a state vector is refused.

use super::siblings::MAX_SIBLINGS;
use super::split::MAX_CLIENTS;
use super::structs::Id;
use super::value::MAX_DEPTH;
use crate::lib0::ReadError;

/// Shared types in each other, at most. Yjs deletes a type with all that is in it by recursion; a browser's stack ends
/// at some thousand levels, and the editors that exist nest some dozens.
pub const MAX_NESTING: u16 = 512;

/// The bytes are no update or no state vector, or an update that Yjs itself would not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Malformed(#[from] ReadError),
    #[error("a clock is larger than 2^32 - 1")]
    ClockTooLarge,
    #[error("client {0} comes twice")]
    ClientTwice(u64),
    #[error("a struct has the length 0")]
    EmptyStruct,
    #[error("parent info {0} is unknown")]
    UnknownParent(u64),
    #[error("content {0} is unknown")]
    UnknownContent(u8),
    #[error("type {0} is unknown")]
    UnknownType(u8),
    #[error("value {0} is unknown")]
    UnknownValue(u8),
    #[error("a value is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("an embed or a format is not JSON")]
    NotJson,
    #[error("the options of a subdocument are not what Yjs can open")]
    SubdocumentOptions,
    #[error("{0} bytes follow the end")]
    TrailingBytes(usize),
    #[error("the struct at clock {} of client {} refers to itself or to what follows it", .0.clock, .0.client)]
    OwnFuture(Id),
    #[error("shared types are nested deeper than {MAX_NESTING}")]
    Nesting,
    #[error("more than {MAX_SIBLINGS} insertions compete for one place")]
    Crowded,
    #[error("more than {MAX_CLIENTS} clients in one update")]
    TooManyClients,
    #[error("the document would be larger than it may be")]
    DocumentTooLarge,
}
