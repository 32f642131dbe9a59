use bytes::Bytes;
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, GetString as _, Text as _, Transact as _, Update};

use super::structs::{ANY, DELETED, GC, HAS_ORIGIN, HAS_PARENT_SUB, HAS_RIGHT_ORIGIN, SKIP, STRING, TYPE};
use super::*;
use crate::lib0::{write_var_string, write_var_uint};

mod session;
mod size;
mod verdict;

/// An update under construction: its clients with their structs, and deletions.
#[derive(Clone, Default)]
struct Made {
    clients: Vec<(u64, u32, Vec<Vec<u8>>)>,
    deletions: Vec<(u64, Vec<(u32, u32)>)>,
}

fn made(client: u64, clock: u32, structs: &[Vec<u8>]) -> Made {
    Made::default().and(client, clock, structs)
}

impl Made {
    fn and(mut self, client: u64, clock: u32, structs: &[Vec<u8>]) -> Self {
        self.clients.push((client, clock, structs.to_vec()));
        self
    }

    fn deletes(mut self, client: u64, ranges: &[(u32, u32)]) -> Self {
        self.deletions.push((client, ranges.to_vec()));
        self
    }

    fn bytes(&self) -> Bytes {
        let mut out = Vec::new();
        write_var_uint(&mut out, self.clients.len() as u64);
        for (client, clock, structs) in &self.clients {
            encode::write_section(&mut out, structs.len() as u64, *client, *clock);
            structs.iter().for_each(|bytes| out.extend_from_slice(bytes));
        }
        write_var_uint(&mut out, self.deletions.len() as u64);
        for (client, ranges) in &self.deletions {
            write_var_uint(&mut out, *client);
            write_var_uint(&mut out, ranges.len() as u64);
            for (clock, length) in ranges {
                write_var_uint(&mut out, (*clock).into());
                write_var_uint(&mut out, (*length).into());
            }
        }
        out.into()
    }
}

/// Where an item is: behind and before others, or in a type.
#[derive(Clone, Copy, Default)]
struct At<'a> {
    origin: Option<(u64, u32)>,
    right: Option<(u64, u32)>,
    parent: Option<(u64, u32)>,
    root: &'a str,
    key: Option<&'a str>,
}

fn root(root: &str) -> At<'_> {
    At { root, ..At::default() }
}

fn within(client: u64, clock: u32) -> At<'static> {
    At { parent: Some((client, clock)), ..At::default() }
}

fn behind(client: u64, clock: u32) -> At<'static> {
    At { origin: Some((client, clock)), ..At::default() }
}

fn before(client: u64, clock: u32) -> At<'static> {
    At { right: Some((client, clock)), ..At::default() }
}

fn item(kind: u8, at: At<'_>, content: &[u8]) -> Vec<u8> {
    let bit = |is: bool, bit| if is { bit } else { 0 };
    let info = kind
        | bit(at.origin.is_some(), HAS_ORIGIN)
        | bit(at.right.is_some(), HAS_RIGHT_ORIGIN)
        | bit(at.key.is_some(), HAS_PARENT_SUB);
    let mut out = vec![info];
    let id = |out: &mut Vec<u8>, (client, clock): (u64, u32)| {
        write_var_uint(out, client);
        write_var_uint(out, clock.into());
    };
    [at.origin, at.right].into_iter().flatten().for_each(|of| id(&mut out, of));
    if at.origin.is_none() && at.right.is_none() {
        match at.parent {
            Some(parent) => {
                out.push(0);
                id(&mut out, parent);
            }
            None => {
                out.push(1);
                write_var_string(&mut out, at.root);
            }
        }
        at.key.iter().for_each(|key| write_var_string(&mut out, key));
    }
    out.extend_from_slice(content);
    out
}

fn text(at: At<'_>, words: &str) -> Vec<u8> {
    let mut content = Vec::new();
    write_var_string(&mut content, words);
    item(STRING, at, &content)
}

fn array(at: At<'_>) -> Vec<u8> {
    item(TYPE, at, &[0])
}

fn value(at: At<'_>) -> Vec<u8> {
    item(ANY, at, &[1, 126])
}

fn gc(length: u8) -> Vec<u8> {
    vec![GC, length]
}

fn skip(length: u8) -> Vec<u8> {
    vec![SKIP, length]
}

fn deleted(at: At<'_>, length: u8) -> Vec<u8> {
    item(DELETED, at, &[length])
}

/// A document that has taken all of these from clients.
fn document(updates: &[Made]) -> Document {
    let mut document = Document::default();
    for update in updates {
        let admitted = document.admit(&update.bytes(), usize::MAX).expect("it is admitted");
        assert_eq!(admitted.waits, None);
    }
    document
}

fn text_of(update: &[u8]) -> String {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("t");
    doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    text.get_string(&doc.transact())
}
