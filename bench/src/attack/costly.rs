//! Updates that cost their readers much more than their size suggests, or that no reader can integrate. Each is made for
//! the client ids from `first` on, so that none is known already.

use crate::edit::{write_bytes, write_var};

/// Kinds of content (Yjs: `contentRefs`), and the bits for origins.
const DELETED: u8 = 1;
const STRING: u8 = 4;
const TYPE: u8 = 7;
const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
/// Bytes of the longest updates: just under what the gateway takes in one message.
const LONGEST: usize = 15 << 20;

/// One client's structs: how many, whose, from which clock on.
fn section(out: &mut Vec<u8>, structs: usize, client: u64, clock: u64) {
    write_var(out, structs as u64);
    write_var(out, client);
    write_var(out, clock);
}

/// The beginning of a struct in the top-level type `t`.
fn in_root(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[kind, 1, 1, b't']);
}

/// The beginning of a struct behind another one.
fn behind(out: &mut Vec<u8>, kind: u8, client: u64, clock: u64) {
    out.push(kind | HAS_ORIGIN);
    write_var(out, client);
    write_var(out, clock);
}

fn one_section(structs: usize, client: u64) -> Vec<u8> {
    let mut out = vec![1];
    section(&mut out, structs, client, 0);
    out
}

/// 20,000 types in each other, and the deletion of the outermost.
pub(super) fn nested(first: u64) -> Vec<u8> {
    let mut out = one_section(20_000, first);
    in_root(&mut out, TYPE);
    out.push(0);
    for clock in 1..20_000 {
        out.extend_from_slice(&[TYPE, 0]);
        write_var(&mut out, first);
        write_var(&mut out, clock - 1);
        out.push(0);
    }
    out.push(1);
    write_var(&mut out, first);
    out.extend_from_slice(&[1, 0, 1]);
    out
}

/// 50,000 clients, each of which waits for the next.
pub(super) fn chain(first: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_var(&mut out, 50_000);
    for client in (first..first + 50_000).rev() {
        section(&mut out, 1, client, 0);
        if client == first {
            in_root(&mut out, STRING);
            write_bytes(&mut out, b"x");
        } else {
            behind(&mut out, DELETED, client - 1, 0);
            out.push(1);
        }
    }
    out.push(0);
    out
}

/// 4,000 insertions at one place. The gateway refuses more than 4,096.
pub(super) fn conflict(first: u64) -> Vec<u8> {
    let mut out = one_section(4000, first);
    for _ in 0..4000 {
        in_root(&mut out, STRING);
        write_bytes(&mut out, b"x");
    }
    out.push(0);
    out
}

/// 4,000 structs in a type that is none.
pub(super) fn orphans(first: u64) -> Vec<u8> {
    let mut out = one_section(4001, first);
    in_root(&mut out, STRING);
    write_bytes(&mut out, b"x");
    for _ in 0..4000 {
        out.extend_from_slice(&[STRING, 0]);
        write_var(&mut out, first);
        out.push(0);
        write_bytes(&mut out, b"x");
    }
    out.push(0);
    out
}

/// As many single characters as fit.
pub(super) fn dense(first: u64) -> Vec<u8> {
    characters(first, LONGEST / 13)
}

/// A text written from its end, so that each character stays a struct of its own.
pub(super) fn characters(client: u64, structs: usize) -> Vec<u8> {
    let mut out = one_section(structs, client);
    in_root(&mut out, STRING);
    write_bytes(&mut out, b"x");
    for clock in 1..structs as u64 {
        out.push(STRING | HAS_RIGHT_ORIGIN);
        write_var(&mut out, client);
        write_var(&mut out, clock - 1);
        write_bytes(&mut out, b"x");
    }
    out.push(0);
    out
}

/// As many clients as fit, with a character each.
pub(super) fn clients(first: u64) -> Vec<u8> {
    let count = LONGEST as u64 / 14;
    let mut out = Vec::new();
    write_var(&mut out, count);
    for client in (first..first + count).rev() {
        section(&mut out, 1, client, 0);
        in_root(&mut out, STRING);
        write_bytes(&mut out, b"x");
    }
    out.push(0);
    out
}

/// A long text of which every other character is deleted.
pub(super) fn scattered(first: u64) -> Vec<u8> {
    let length = LONGEST / 4;
    let mut out = one_section(1, first);
    in_root(&mut out, STRING);
    write_bytes(&mut out, &vec![b'x'; length]);
    out.push(1);
    write_var(&mut out, first);
    write_var(&mut out, length as u64 / 2);
    for clock in (0..length as u64 / 2 * 2).step_by(2) {
        write_var(&mut out, clock);
        out.push(1);
    }
    out
}

/// Three structs that refer to what comes after them.
pub(super) fn own_future(first: u64) -> Vec<u8> {
    let mut out = one_section(3, first);
    for clock in 0..3 {
        behind(&mut out, STRING, first, clock + 5);
        write_bytes(&mut out, b"x");
    }
    out.push(0);
    out
}
