//! A document's past: which checkpoints become versions, who wrote them, what they say, how one comes back. Pure.
//!
//! - `policy`: when a version is made, and how long it stays
//! - `content`: what is in a document, read without knowing the application's types
//! - `legible`: whether the CRDT library reads a state as Yjs does
//! - `json`: a document as JSON
//! - `authorship`: which words each Yjs client has written
//! - `text`: a document as lines, and the difference of two
//! - `restore`: the update that turns one content into another
//! - `archive`: a state as a version keeps it
//! - `portable`: a document as files

pub mod archive;
pub mod authorship;
pub mod content;
pub mod json;
mod legible;
pub mod policy;
pub mod portable;
pub mod restore;
pub mod text;
