//! One struct of an update, encoding v1, as a view on its bytes (Yjs: `readClientsStructRefs`, `readItemContent`).

use super::refused::Refused;
use super::value;
use crate::lib0::Reader;

/// Names one struct's element: the client that made it, and its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub client: u64,
    pub clock: u32,
}

/// Bits of a struct's first byte; the lower five are its kind.
pub(super) const KIND: u8 = 0b0001_1111;
pub(super) const HAS_PARENT_SUB: u8 = 0b0010_0000;
pub(super) const HAS_RIGHT_ORIGIN: u8 = 0b0100_0000;
pub(super) const HAS_ORIGIN: u8 = 0b1000_0000;

pub(super) const GC: u8 = 0;
pub(super) const DELETED: u8 = 1;
pub(super) const JSON: u8 = 2;
const BINARY: u8 = 3;
pub(super) const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
pub(super) const TYPE: u8 = 7;
pub(super) const ANY: u8 = 8;
const DOC: u8 = 9;
pub(super) const SKIP: u8 = 10;

/// Where an item is, if it has no neighbour to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    /// A top-level type.
    Root,
    /// The type that this item made.
    Item(Id),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Struct<'a> {
    pub(super) info: u8,
    pub(super) origin: Option<Id>,
    pub(super) right: Option<Id>,
    pub(super) parent: Option<Parent>,
    /// The bytes that name parent and key; empty if a neighbour tells them.
    pub(super) place: &'a [u8],
    /// How many clocks it takes.
    pub(super) length: u32,
    /// The bytes behind the place. For text and lists these begin with a length, for GC, Skip and deleted items that is
    /// all.
    pub(super) content: &'a [u8],
}

impl<'a> Struct<'a> {
    pub(super) fn kind(&self) -> u8 {
        self.info & KIND
    }

    /// The next struct.
    ///
    /// # Errors
    /// The bytes are none, or one at which Yjs throws. A length of 0 is not refused here.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Refused> {
        let info = reader.byte()?;
        let (mut origin, mut right, mut parent) = (None, None, None);
        let (mut place, mut content) = (&[][..], reader.rest());
        if !matches!(info, GC | SKIP) {
            if info & HAS_ORIGIN != 0 {
                origin = Some(id(reader)?);
            }
            if info & HAS_RIGHT_ORIGIN != 0 {
                right = Some(id(reader)?);
            }
            let before = reader.rest();
            if origin.is_none() && right.is_none() {
                parent = Some(read_parent(reader)?);
                if info & HAS_PARENT_SUB != 0 {
                    reader.var_str()?;
                }
            }
            place = &before[..before.len() - reader.remaining()];
            content = reader.rest();
        }
        let length = match info {
            GC | SKIP => clock(reader)?,
            _ => skip_content(reader, info & KIND)?,
        };
        content = &content[..content.len() - reader.remaining()];
        Ok(Self { info, origin, right, parent, place, length, content })
    }

    /// What it refers to.
    pub(super) fn references(&self) -> impl Iterator<Item = Id> + use<> {
        let parent = match self.parent {
            Some(Parent::Item(id)) => Some(id),
            _ => None,
        };
        [self.origin, self.right, parent].into_iter().flatten()
    }
}

/// A client id, below 2^53 like every integer of lib0, and a clock.
pub(super) fn id(reader: &mut Reader<'_>) -> Result<Id, Refused> {
    Ok(Id { client: reader.var_uint()?, clock: clock(reader)? })
}

/// 32 bits, as in yrs, which wraps a larger one without a word; Yjs allows 53.
pub(super) fn clock(reader: &mut Reader<'_>) -> Result<u32, Refused> {
    u32::try_from(reader.var_uint()?).map_err(|_| Refused::ClockTooLarge)
}

fn read_parent(reader: &mut Reader<'_>) -> Result<Parent, Refused> {
    match reader.var_uint()? {
        0 => Ok(Parent::Item(id(reader)?)),
        1 => {
            reader.var_str()?;
            Ok(Parent::Root)
        }
        other => Err(Refused::UnknownParent(other)),
    }
}

/// Walks over an item's content; returns its length.
fn skip_content(reader: &mut Reader<'_>, kind: u8) -> Result<u32, Refused> {
    match kind {
        DELETED => return clock(reader),
        STRING => return length(utf16_length(reader.var_str()?)),
        ANY => {
            let count = reader.var_uint()?;
            for _ in 0..count {
                value::skip_any(reader)?;
            }
            return length(count);
        }
        JSON => {
            let count = reader.var_uint()?;
            for _ in 0..count {
                skip_json_value(reader)?;
            }
            return length(count);
        }
        BINARY => drop(reader.var_bytes()?),
        EMBED => value::skip_json(reader)?,
        FORMAT => {
            reader.var_str()?;
            value::skip_json(reader)?;
        }
        TYPE => skip_type(reader)?,
        DOC => {
            reader.var_str()?;
            skip_options(reader)?;
        }
        other => return Err(Refused::UnknownContent(other)),
    }
    Ok(1)
}

fn length(count: u64) -> Result<u32, Refused> {
    u32::try_from(count).map_err(|_| Refused::ClockTooLarge)
}

/// One value of a list of JSON values. Beside JSON it may be the word that stands for no value.
fn skip_json_value(reader: &mut Reader<'_>) -> Result<(), Refused> {
    let mut ahead = reader.clone();
    if ahead.var_bytes()? == b"undefined" {
        *reader = ahead;
        return Ok(());
    }
    value::skip_json(reader)
}

fn skip_type(reader: &mut Reader<'_>) -> Result<(), Refused> {
    match reader.byte()? {
        // Array, Map, Text, XmlFragment, XmlText.
        0 | 1 | 2 | 4 | 6 => Ok(()),
        // XmlElement, XmlHook, and the name of each.
        3 | 5 => reader.var_str().map(|_| ()).map_err(Refused::from),
        // Among them what only yrs has (7, 9, 15): Yjs throws at those.
        other => Err(Refused::UnknownType(other)),
    }
}

/// A subdocument's options. Yjs hands them to `new Doc`: without an object it throws, and it could not encode the
/// document again with an id that is no string.
fn skip_options(reader: &mut Reader<'_>) -> Result<(), Refused> {
    let mut ahead = reader.clone();
    value::skip_any(reader)?;
    if ahead.byte()? != value::MAP {
        return Err(Refused::SubdocumentOptions);
    }
    for _ in 0..ahead.var_uint()? {
        let fits = match ahead.var_bytes()? {
            b"guid" => ahead.rest().first() == Some(&value::STRING),
            b"gcFilter" => false,
            _ => true,
        };
        if !fits {
            return Err(Refused::SubdocumentOptions);
        }
        value::skip_any(&mut ahead)?;
    }
    Ok(())
}

/// The length of a text as JavaScript counts it.
pub(super) fn utf16_length(text: &str) -> u64 {
    if text.is_ascii() {
        return text.len() as u64;
    }
    text.bytes().map(|byte| u64::from(byte & 0xc0 != 0x80) + u64::from(byte >= 0xf0)).sum()
}
