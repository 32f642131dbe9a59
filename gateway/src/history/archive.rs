//! A state as a version keeps it: compressed.

use std::io;

use bytes::Bytes;

/// zstd's own default: a third of the bytes of most documents, at hundreds of megabytes a second.
const LEVEL: i32 = 3;

/// # Errors
/// Only when there is no memory.
pub fn compress(state: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    // Or damage on a disk would come back as another text.
    compressor.include_checksum(true)?;
    compressor.compress(state)
}

/// The state again. `bytes` is its length, as it was noted beside it.
///
/// # Errors
/// The bytes are not what [`compress`] made of a state of that length.
pub fn decompress(compressed: &[u8], bytes: usize) -> io::Result<Bytes> {
    let state = zstd::bulk::decompress(compressed, bytes)?;
    if state.len() == bytes {
        Ok(state.into())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} bytes instead of {bytes}", state.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_anything_else_is_an_error() {
        let state: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 100).to_le_bytes()).collect();
        let compressed = compress(&state).unwrap();
        assert!(compressed.len() < state.len() / 10);
        assert_eq!(decompress(&compressed, state.len()).unwrap(), state);
        assert!(decompress(&compressed, state.len() - 1).is_err());
        assert!(decompress(&compressed, state.len() + 1).is_err());
        assert!(decompress(&compressed[..compressed.len() / 2], state.len()).is_err());
        assert_eq!(decompress(&compress(&[]).unwrap(), 0).unwrap(), Bytes::new());
        for at in 0..compressed.len() {
            let mut damaged = compressed.clone();
            damaged[at] ^= 4;
            assert!(decompress(&damaged, state.len()).map_or(true, |found| found == state), "byte {at}");
        }
    }
}
