//! Quarantine: a document in which processes die or stall is not opened any more, by any gateway.
//!
//! A process marks the document that it is working on in a file that outlives it. Marks that are left when a process
//! starts are strikes against their documents, kept in the database for all gateways to see; so is a mark that stays for
//! long. Enough strikes put the document into quarantine, from where somebody has to release it.
//!
//! - `marks`: the file; `left`: what dead processes have left in theirs
//! - `rule`: how many strikes are enough. Pure
//! - `verdict`: marks that were left become strikes, before anything is opened
//! - `watchdog`: marks that stay
//! - `commands`: `gateway quarantine ...`; `raw`: a document's bytes as files, undecoded

pub mod commands;
pub mod left;
pub mod marks;
pub mod raw;
pub mod rule;
pub(crate) mod verdict;
pub mod watchdog;
