//! lib0's encoding: variable-length integers, and bytes and strings with their length in front.
//!
//! Reading borrows from the bytes and never copies; every length is checked before it is used.

use bytes::BufMut;

/// The largest integer that JavaScript, and so lib0, can hold exactly.
pub const MAX_UINT: u64 = (1 << 53) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the bytes end in the middle of a value")]
    Truncated,
    #[error("an integer is longer than needed")]
    Overlong,
    #[error("an integer is larger than 2^53 - 1")]
    TooLarge,
    #[error("a string is not UTF-8")]
    NotUtf8,
}

/// Reads values from the front of `rest`.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn byte(&mut self) -> Result<u8, ReadError> {
        let (byte, rest) = self.rest.split_first().ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], ReadError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// At most `MAX_UINT`, in the shortest form only.
    pub fn var_uint(&mut self) -> Result<u64, ReadError> {
        let first = self.byte()?;
        self.groups(first & 0x80 != 0, u64::from(first & 0x7f), 7)
    }

    /// Between `-MAX_UINT` and `MAX_UINT`, in the shortest form only. lib0 tells -0 from 0; here both are 0.
    pub fn var_int(&mut self) -> Result<i64, ReadError> {
        let first = self.byte()?;
        let size = self.groups(first & 0x80 != 0, u64::from(first & 0x3f), 6)? as i64;
        Ok(if first & 0x40 == 0 { size } else { -size })
    }

    /// The groups of 7 bits that follow the first byte, which held the lowest `bits` bits.
    fn groups(&mut self, more: bool, mut value: u64, mut bits: u32) -> Result<u64, ReadError> {
        if !more {
            return Ok(value);
        }
        while bits < MAX_UINT.count_ones() {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << bits;
            bits += 7;
            if byte & 0x80 == 0 {
                return match byte {
                    0 => Err(ReadError::Overlong),
                    _ if value > MAX_UINT => Err(ReadError::TooLarge),
                    _ => Ok(value),
                };
            }
        }
        Err(ReadError::TooLarge)
    }

    pub fn var_bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let length = usize::try_from(self.var_uint()?).map_err(|_| ReadError::TooLarge)?;
        self.bytes(length)
    }

    pub fn var_str(&mut self) -> Result<&'a str, ReadError> {
        std::str::from_utf8(self.var_bytes()?).map_err(|_| ReadError::NotUtf8)
    }
}

pub fn write_var_uint(out: &mut impl BufMut, mut value: u64) {
    while value > 0x7f {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub fn write_var_bytes(out: &mut impl BufMut, bytes: &[u8]) {
    write_var_uint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

pub fn write_var_string(out: &mut impl BufMut, text: &str) {
    write_var_bytes(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_refused_unless_whole_shortest_and_exact() {
        for (bytes, expected) in [
            (&[0x00][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 0x01], Ok(128)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], Ok(MAX_UINT)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f], Err(ReadError::TooLarge)),
            (&[0xff; 12], Err(ReadError::TooLarge)),
            (&[0x80, 0x00], Err(ReadError::Overlong)),
            (&[0x80], Err(ReadError::Truncated)),
            (&[], Err(ReadError::Truncated)),
        ] {
            assert_eq!(Reader::new(bytes).var_uint(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn signed_integers_are_refused_unless_whole_shortest_and_exact() {
        for (bytes, expected) in [
            (&[0x3f][..], Ok(63)),
            (&[0x40], Ok(0)),
            (&[0x41], Ok(-1)),
            (&[0xc0, 0x01], Ok(-64)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f], Ok(-(MAX_UINT as i64))),
            (&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f], Err(ReadError::TooLarge)),
            (&[0xff; 12], Err(ReadError::TooLarge)),
            (&[0x80, 0x00], Err(ReadError::Overlong)),
            (&[0x80], Err(ReadError::Truncated)),
        ] {
            assert_eq!(Reader::new(bytes).var_int(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(Reader::new(&[3, 1, 2]).var_bytes(), Err(ReadError::Truncated));
        assert_eq!(Reader::new(&[1, 0xff]).var_str(), Err(ReadError::NotUtf8));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 0..=MAX_UINT, bytes: Vec<u8>, text: String) {
            let mut out = Vec::new();
            write_var_uint(&mut out, number);
            write_var_bytes(&mut out, &bytes);
            write_var_string(&mut out, &text);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.var_uint(), Ok(number));
            prop_assert_eq!(reader.var_bytes(), Ok(&bytes[..]));
            prop_assert_eq!(reader.var_str(), Ok(&text[..]));
            prop_assert!(reader.is_empty());
        }
    }
}
