//! lib0's encoding: variable-length integers, and bytes and strings with their length in front.
//!
//! Reading takes slices of the frame, never copies; every length is checked before it is used.

use bytes::{BufMut, Bytes, BytesMut};

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
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// At most `MAX_UINT`, in the shortest form only.
    pub fn var_uint(&mut self) -> Result<u64, ReadError> {
        let mut value = 0u64;
        // 8 groups of 7 bits hold more than 53 bits.
        for index in 0..8 {
            let byte = *self.rest.get(index).ok_or(ReadError::Truncated)?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    return Err(ReadError::Overlong);
                }
                if value > MAX_UINT {
                    return Err(ReadError::TooLarge);
                }
                self.rest = self.rest.slice(index + 1..);
                return Ok(value);
            }
        }
        Err(ReadError::TooLarge)
    }

    pub fn var_bytes(&mut self) -> Result<Bytes, ReadError> {
        let length = usize::try_from(self.var_uint()?).map_err(|_| ReadError::TooLarge)?;
        if length > self.rest.len() {
            return Err(ReadError::Truncated);
        }
        Ok(self.rest.split_to(length))
    }

    pub fn var_string(&mut self) -> Result<String, ReadError> {
        let bytes = self.var_bytes()?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| ReadError::NotUtf8)
    }
}

pub fn write_var_uint(out: &mut BytesMut, mut value: u64) {
    while value > 0x7f {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub fn write_var_bytes(out: &mut BytesMut, bytes: &[u8]) {
    write_var_uint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

pub fn write_var_string(out: &mut BytesMut, text: &str) {
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
            assert_eq!(Reader::new(Bytes::copy_from_slice(bytes)).var_uint(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(Reader::new(Bytes::from_static(&[3, 1, 2])).var_bytes(), Err(ReadError::Truncated));
        assert_eq!(Reader::new(Bytes::from_static(&[1, 0xff])).var_string(), Err(ReadError::NotUtf8));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 0..=MAX_UINT, bytes: Vec<u8>, text: String) {
            let mut out = BytesMut::new();
            write_var_uint(&mut out, number);
            write_var_bytes(&mut out, &bytes);
            write_var_string(&mut out, &text);
            let mut reader = Reader::new(out.freeze());
            prop_assert_eq!(reader.var_uint(), Ok(number));
            prop_assert_eq!(reader.var_bytes(), Ok(Bytes::from(bytes)));
            prop_assert_eq!(reader.var_string(), Ok(text));
            prop_assert!(reader.is_empty());
        }
    }
}
