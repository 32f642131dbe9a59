//! The edit that every simulated author makes: one character behind the last one of its own, as a Yjs update
//! (encoding v1). It names its author and its number, so that every receiver can be held to account.

use anyhow::{Context as _, Result, bail};

/// Kinds of content and flags in a struct's first byte.
const STRING: u8 = 4;
const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_PARENT_SUB: u8 = 0x20;

/// Appends edit number `clock` of `author`.
pub fn encode(author: u64, clock: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[1, 1]);
    write_var(out, author);
    write_var(out, clock.into());
    if let Some(before) = clock.checked_sub(1) {
        out.push(STRING | HAS_ORIGIN);
        write_var(out, author);
        write_var(out, before.into());
    } else {
        // The parent is the root type `t`.
        out.extend_from_slice(&[STRING, 1, 1, b't']);
    }
    out.extend_from_slice(&[1, b'x', 0]);
}

/// Calls `each(author, clock, length)` for every run of edits in an update.
///
/// # Errors
/// When the update holds something that [`encode`] and merging do not make.
pub fn decode(update: &[u8], mut each: impl FnMut(u64, u32, u32)) -> Result<()> {
    let mut at = Cursor(update);
    for _ in 0..at.var()? {
        let structs = at.var()?;
        let author = at.var()?;
        let mut clock = u32::try_from(at.var()?)?;
        for _ in 0..structs {
            let info = at.byte()?;
            if info & 0x1f != STRING {
                bail!("a struct of kind {} in an update that only inserts text", info & 0x1f);
            }
            for flag in [HAS_ORIGIN, HAS_RIGHT_ORIGIN] {
                if info & flag != 0 {
                    at.var()?;
                    at.var()?;
                }
            }
            if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
                match at.var()? {
                    1 => drop(at.bytes()?),
                    _ => drop((at.var()?, at.var()?)),
                }
                if info & HAS_PARENT_SUB != 0 {
                    at.bytes()?;
                }
            }
            let length = u32::try_from(at.bytes()?.len())?;
            each(author, clock, length);
            clock += length;
        }
    }
    Ok(())
}

/// lib0's unsigned variable-length integer.
pub fn write_var(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// lib0's bytes with their length in front.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_var(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads lib0's encoding from the front.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn byte(&mut self) -> Result<u8> {
        let (&first, rest) = self.0.split_first().context("the bytes end too early")?;
        self.0 = rest;
        Ok(first)
    }

    pub fn var(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!("an integer is too long")
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.var()?)?;
        let (bytes, rest) = self.0.split_at_checked(length).context("the bytes end too early")?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use yrs::updates::decoder::Decode as _;
    use yrs::{Doc, GetString as _, ReadTxn as _, StateVector, Transact as _, Update};

    use super::*;

    #[test]
    fn edits_are_text_to_the_crdt_and_are_found_again_when_merged() {
        let doc = Doc::new();
        let text = doc.get_or_insert_text("t");
        for clock in 0..300 {
            for author in [7, 1 << 31] {
                let mut update = Vec::new();
                encode(author, clock, &mut update);
                doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
                let mut found = Vec::new();
                decode(&update, |author, clock, length| found.push((author, clock, length))).unwrap();
                assert_eq!(found, [(author, clock, 1)]);
            }
        }
        assert_eq!(text.get_string(&doc.transact()).len(), 600);
        let merged = doc.transact().encode_state_as_update_v1(&StateVector::default());
        let mut found = Vec::new();
        decode(&merged, |author, clock, length| found.push((author, clock, length))).unwrap();
        found.sort_unstable();
        assert_eq!(found, [(7, 0, 300), (1 << 31, 0, 300)]);
    }
}
