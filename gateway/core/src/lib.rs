//! The pure core of the gateway: no runtime, socket, database, clock or environment.
//!
//! - `lib0`: the encoding that Yjs and y-protocols are written in
//! - `document`: one Yjs document as a store of structs

pub mod document;
pub mod lib0;
