//! The wire protocols, sans-IO: bytes in, values out, and back. They know no socket, no clock and no room.

pub mod websocket;
pub mod yjs;
