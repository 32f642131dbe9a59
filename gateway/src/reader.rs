//! Reads documents' content in processes of their own, one for each request.
//!
//! The CRDT library may take any time and any memory for a document that somebody made for that, and what it cannot do
//! may end the process (a stack that overflows, memory that runs out). That must cost the request, and no session. So the
//! gateway starts itself again, with limits that the system keeps, asks through a pipe, and kills what takes too long.
//!
//! - `bounds`: what one reading may take
//! - `wire`: question and answer as bytes
//! - `process`: the process that reads
//! - `readers`: the gateway's side: whose turn it is, start, patience, end
//! - `failure`: what became of a reading that has no answer

pub mod bounds;
pub mod failure;
pub(crate) mod process;
pub mod readers;
mod wire;

/// The first argument of a process that reads. Not for people, so no `--help` names it.
pub(crate) const COMMAND: &str = "read-history";
