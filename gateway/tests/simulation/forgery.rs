//! Updates made by hand, struct by struct: what no library would write. Encoding v1.

use bytes::Bytes;
use editorcluster_core::lib0::{Reader, write_var_bytes, write_var_string, write_var_uint};

const GC: u8 = 0;
const DELETED: u8 = 1;
const STRING: u8 = 4;
const TYPE: u8 = 7;
const HAS_RIGHT_ORIGIN: u8 = 0b0100_0000;
const HAS_ORIGIN: u8 = 0b1000_0000;

/// A client and a clock.
pub(crate) type Id = (u64, u64);

/// Where an item is.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Root(&'static str),
    In(Id),
    Behind(Id),
    Before(Id),
}

/// An update in the making. A deletion is a client, its first clock and how many follow.
#[derive(Default)]
pub(crate) struct Forgery {
    sections: Vec<(Id, Vec<Vec<u8>>)>,
    deletions: Vec<(u64, u64, u64)>,
}

impl Forgery {
    pub(crate) fn deletion(client: u64, from: u64, length: u64) -> Bytes {
        Self { deletions: vec![(client, from, length)], ..Self::default() }.bytes()
    }

    pub(crate) fn section(mut self, first: Id, structs: Vec<Vec<u8>>) -> Self {
        self.sections.push((first, structs));
        self
    }

    pub(crate) fn bytes(self) -> Bytes {
        let mut out = Vec::new();
        write_var_uint(&mut out, self.sections.len() as u64);
        for ((client, clock), structs) in self.sections {
            write_var_uint(&mut out, structs.len() as u64);
            write_id(&mut out, (client, clock));
            structs.iter().for_each(|found| out.extend_from_slice(found));
        }
        write_var_uint(&mut out, self.deletions.len() as u64);
        for (client, from, length) in self.deletions {
            write_var_uint(&mut out, client);
            write_var_uint(&mut out, 1);
            write_id(&mut out, (from, length));
        }
        out.into()
    }
}

/// An update of one struct.
pub(crate) fn update(first: Id, found: Vec<u8>) -> Bytes {
    Forgery::default().section(first, vec![found]).bytes()
}

fn write_id(out: &mut Vec<u8>, id: Id) {
    write_var_uint(out, id.0);
    write_var_uint(out, id.1);
}

fn head(place: Place, kind: u8) -> Vec<u8> {
    let mut out = Vec::new();
    match place {
        Place::Behind(id) => {
            out.push(kind | HAS_ORIGIN);
            write_id(&mut out, id);
        }
        Place::Before(id) => {
            out.push(kind | HAS_RIGHT_ORIGIN);
            write_id(&mut out, id);
        }
        Place::Root(name) => {
            out.extend([kind, 1]);
            write_var_string(&mut out, name);
        }
        Place::In(id) => {
            out.extend([kind, 0]);
            write_id(&mut out, id);
        }
    }
    out
}

pub(crate) fn text(place: Place, text: &str) -> Vec<u8> {
    let mut out = head(place, STRING);
    write_var_string(&mut out, text);
    out
}

/// An array.
pub(crate) fn array(place: Place) -> Vec<u8> {
    let mut out = head(place, TYPE);
    out.push(0);
    out
}

pub(crate) fn deleted(place: Place, length: u64) -> Vec<u8> {
    let mut out = head(place, DELETED);
    write_var_uint(&mut out, length);
    out
}

pub(crate) fn collected(length: u64) -> Vec<u8> {
    let mut out = vec![GC];
    write_var_uint(&mut out, length);
    out
}

fn skip_id(reader: &mut Reader<'_>) -> Option<()> {
    reader.var_uint().ok()?;
    reader.var_uint().ok()?;
    Some(())
}

/// The first `length` characters of what an update inserts, if it is one text and nothing else.
pub(crate) fn beginning(update: &Bytes, length: usize) -> Option<Bytes> {
    let mut reader = Reader::new(update);
    if (reader.var_uint().ok()?, reader.var_uint().ok()?) != (1, 1) {
        return None;
    }
    skip_id(&mut reader)?;
    let info = reader.byte().ok()?;
    if info & 0b0011_1111 != STRING {
        return None;
    }
    for bit in [HAS_ORIGIN, HAS_RIGHT_ORIGIN] {
        if info & bit != 0 {
            skip_id(&mut reader)?;
        }
    }
    if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
        (reader.var_uint().ok()? == 1).then_some(())?;
        reader.var_str().ok()?;
    }
    let before = update.len() - reader.remaining();
    let text = reader.var_str().ok()?;
    if reader.rest() != [0] || text.len() <= length || length == 0 {
        return None;
    }
    let mut out = update[..before].to_vec();
    write_var_bytes(&mut out, &text.as_bytes()[..length]);
    out.push(0);
    Some(out.into())
}
