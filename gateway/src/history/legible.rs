//! Whether the CRDT library reads a state as Yjs does.
//!
//! yrs reserves, and touches, memory for whatever count the bytes claim, and nests as deep as they say, which ends in a
//! stack overflow that nothing catches. Here the bytes are only walked. A count needs no check of its own: everything
//! counted takes at least one byte, so a count that is too high ends in `Truncated`. After that what yrs reserves is
//! bounded by the bytes that are there.
//!
//! The document itself needs no library and takes more than this: what yrs 0.28 (`Update::decode`) does not read, or is
//! known to read otherwise than Yjs 13, is served to clients like everything else, and has no readable history.

use std::collections::BTreeSet;

use self::value::MAX_DEPTH;
use editorcluster_core::lib0::{ReadError, Reader};

mod value;

#[cfg(test)]
mod tests;

/// Why the library is not given a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Malformed(#[from] ReadError),
    #[error("a clock is larger than 2^32 - 1")]
    ClockTooLarge,
    #[error("client {0} comes twice")]
    ClientTwice(u64),
    #[error("a GC or Skip has the length 0")]
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
    #[error("an embed or format is not JSON, or JSON beyond what yrs holds")]
    NotJson,
    #[error("{0} bytes follow the end")]
    TrailingBytes(usize),
}

/// Bits of a struct's first byte; the lower five are its kind.
const KIND: u8 = 0b0001_1111;
const HAS_PARENT_SUB: u8 = 0b0010_0000;
const HAS_RIGHT_ORIGIN: u8 = 0b0100_0000;
const HAS_ORIGIN: u8 = 0b1000_0000;

const GC: u8 = 0;
const DELETED: u8 = 1;
const BINARY: u8 = 3;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const DOC: u8 = 9;
const SKIP: u8 = 10;

/// Whether the bytes are an update that Yjs and yrs read alike.
pub(super) fn check(update: &[u8]) -> Result<(), Refused> {
    let mut reader = Reader::new(update);
    let mut clients = BTreeSet::new();
    for _ in 0..reader.var_uint()? {
        let count = reader.var_uint()?;
        client(&mut reader, &mut clients)?;
        structs(&mut reader, count)?;
    }
    clients.clear();
    for _ in 0..reader.var_uint()? {
        client(&mut reader, &mut clients)?;
        deletions(&mut reader)?;
    }
    end(&reader)
}

fn end(reader: &Reader<'_>) -> Result<(), Refused> {
    match reader.remaining() {
        0 => Ok(()),
        rest => Err(Refused::TrailingBytes(rest)),
    }
}

/// 32 bits, as in yrs, which wraps a larger one without a word; Yjs allows 53.
fn clock(reader: &mut Reader<'_>) -> Result<u32, Refused> {
    u32::try_from(reader.var_uint()?).map_err(|_| Refused::ClockTooLarge)
}

/// A client id that is not among those that came already. Of two parts for one client Yjs takes the last; yrs takes both
/// as if the second went on where the first ends, and then no longer encodes what it holds.
fn client(reader: &mut Reader<'_>, before: &mut BTreeSet<u64>) -> Result<u64, Refused> {
    let client = reader.var_uint()?;
    if before.insert(client) { Ok(client) } else { Err(Refused::ClientTwice(client)) }
}

/// A client id, below 2^53 like every integer of lib0, and a clock.
fn id(reader: &mut Reader<'_>) -> Result<u32, Refused> {
    reader.var_uint()?;
    clock(reader)
}

/// The structs of one client, each where the one before ends.
fn structs(reader: &mut Reader<'_>, count: u64) -> Result<(), Refused> {
    let mut next = clock(reader)?;
    for _ in 0..count {
        let info = reader.byte()?;
        next = next.checked_add(structure(reader, info)?).ok_or(Refused::ClockTooLarge)?;
    }
    Ok(())
}

/// One struct behind its first byte; returns how far it takes the clock.
fn structure(reader: &mut Reader<'_>, info: u8) -> Result<u32, Refused> {
    match info {
        // Without flags: Yjs ignores them here, yrs does not.
        GC | SKIP => match clock(reader)? {
            0 => Err(Refused::EmptyStruct),
            length => Ok(length),
        },
        info => item(reader, info),
    }
}

fn item(reader: &mut Reader<'_>, info: u8) -> Result<u32, Refused> {
    if info & HAS_ORIGIN != 0 {
        id(reader)?;
    }
    if info & HAS_RIGHT_ORIGIN != 0 {
        id(reader)?;
    }
    // An item next to another one has its parent from there.
    if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
        match reader.var_uint()? {
            0 => {
                id(reader)?;
            }
            1 => {
                reader.var_str()?;
            }
            other => return Err(Refused::UnknownParent(other)),
        }
        if info & HAS_PARENT_SUB != 0 {
            reader.var_str()?;
        }
    }
    content(reader, info & KIND)
}

/// The content of an item; returns its length, which may be 0: old clients made such items and yrs drops them.
fn content(reader: &mut Reader<'_>, kind: u8) -> Result<u32, Refused> {
    match kind {
        DELETED => return clock(reader),
        STRING => return length(reader.var_str()?.encode_utf16().count() as u64),
        ANY => {
            let count = reader.var_uint()?;
            for _ in 0..count {
                value::any(reader)?;
            }
            return length(count);
        }
        BINARY => {
            reader.var_bytes()?;
        }
        EMBED => value::json(reader)?,
        FORMAT => {
            reader.var_str()?;
            value::json(reader)?;
        }
        TYPE => type_ref(reader)?,
        DOC => {
            reader.var_str()?;
            value::any(reader)?;
        }
        // Among them JSON (2), which no Yjs 13 makes, although it reads it: yrs takes one string more than there are.
        other => return Err(Refused::UnknownContent(other)),
    }
    Ok(1)
}

fn length(count: u64) -> Result<u32, Refused> {
    u32::try_from(count).map_err(|_| Refused::ClockTooLarge)
}

fn type_ref(reader: &mut Reader<'_>) -> Result<(), Refused> {
    match reader.byte()? {
        // Array, Map, Text, XmlFragment, XmlText.
        0 | 1 | 2 | 4 | 6 => {}
        // XmlElement and its name.
        3 => {
            reader.var_str()?;
        }
        // Among them XmlHook (5), whose name yrs does not read, and what only yrs has (7, 9, 15): Yjs throws at those.
        other => return Err(Refused::UnknownType(other)),
    }
    Ok(())
}

/// The deletions of one client, each from a clock and so far.
fn deletions(reader: &mut Reader<'_>) -> Result<(), Refused> {
    for _ in 0..reader.var_uint()? {
        let (from, length) = (clock(reader)?, clock(reader)?);
        from.checked_add(length).ok_or(Refused::ClockTooLarge)?;
    }
    Ok(())
}
