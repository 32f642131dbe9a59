//! A document's past: which checkpoints become versions, who wrote them, what they say, how one comes back. Pure.
//!
//! - `policy`: when a version is made, and how long it stays
//! - `reading`: what can be asked about a content, in front of the modules that use the CRDT library
//! - `content`: what is in a document, read without knowing the application's types
//! - `legible`: whether the CRDT library reads a state as Yjs does
//! - `json`: a document as JSON
//! - `authorship`: which words each Yjs client has written
//! - `text`: a document as lines, and the difference of two
//! - `restore`: the update that turns one content into another
//! - `archive`: a state as a version keeps it
//! - `portable`: a document as files

pub mod archive;
mod authorship;
mod content;
mod json;
mod legible;
pub mod policy;
pub mod portable;
pub mod reading;
mod restore;
mod text;
