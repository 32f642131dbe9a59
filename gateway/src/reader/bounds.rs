//! What one reading may take, as the system enforces it.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, setrlimit};

/// Of the thread that reads. Values nest 128 deep at most, types 512, and the library calls itself for each.
pub(super) const STACK_BYTES: usize = 8 << 20;
/// Bytes of an answer, which the gateway holds until its client has taken it.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Less does not hold the program's own data and the stack.
pub const LEAST_MEMORY_BYTES: u64 = 32 << 20;
/// The most that a reading has by default. It takes 24 MiB for itself, and of a document's bytes eight times as much for one
/// long text, up to forty times for single letters that were each written in front of the one before.
pub const MEMORY_BYTES: u64 = 1 << 30;
/// Of a container's limit, for one reading.
const CONTAINER_SHARE: u64 = 8;

/// What one reading may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From its start to its answer.
    pub time: Duration,
    /// Of its own: data, stacks and heap, whether touched or not.
    pub memory_bytes: u64,
}

impl Bounds {
    /// The memory of one reading in a container with that limit, or in none.
    pub fn default_memory(container: Option<u64>) -> u64 {
        let share = container.map_or(MEMORY_BYTES, |bytes| bytes / CONTAINER_SHARE);
        share.clamp(LEAST_MEMORY_BYTES, MEMORY_BYTES)
    }

    /// Processor time, in whole seconds. One thread works, so it is reached only if nobody ends the process in time.
    fn processor_seconds(self) -> u64 {
        self.time.as_secs() + 2
    }

    /// As a process that reads is told them.
    pub(super) fn arguments(self) -> [String; 2] {
        [self.memory_bytes.to_string(), self.processor_seconds().to_string()]
    }

    /// Binds this process to the bounds that it was told.
    ///
    /// # Errors
    /// The arguments are not those of a gateway, or the system does not take them.
    pub(super) fn bind(arguments: impl Iterator<Item = OsString>) -> Result<()> {
        let numbers: Option<Vec<u64>> = arguments.map(|argument| argument.to_str()?.parse().ok()).collect();
        let Some([memory, seconds]) = numbers.as_deref().and_then(|numbers| <[u64; 2]>::try_from(numbers).ok()) else {
            anyhow::bail!("gateways start this by themselves, with two numbers and a question on standard input");
        };
        // No core file: it would be as large as the memory, and hold what users wrote. No other file either.
        for (resource, limit) in [
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_FSIZE, 0),
            (Resource::RLIMIT_CPU, seconds),
            // Not RLIMIT_AS, which counts the program's file too: that is 100 MB and more in a debug build.
            (Resource::RLIMIT_DATA, memory),
        ] {
            setrlimit(resource, limit, limit).with_context(|| format!("cannot set {resource:?} to {limit}"))?;
        }
        // If memory runs out nevertheless, the system should take this process and not the gateway. Where there is no
        // such file, it decides by itself.
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_an_eighth_of_a_container_within_reason() {
        const MIB: u64 = 1 << 20;
        for (container, memory) in
            [(None, 1024), (Some(2048), 256), (Some(128), 32), (Some(1 << 20), 1024), (Some(512), 64)]
        {
            assert_eq!(Bounds::default_memory(container.map(|mib| mib * MIB)), memory * MIB, "{container:?}");
        }
    }

    #[test]
    fn other_arguments_than_a_gateways_are_refused() {
        for wrong in [&[][..], &["1"], &["1", "x"], &["1", "2", "3"]] {
            assert!(Bounds::bind(wrong.iter().map(OsString::from)).is_err(), "{wrong:?}");
        }
    }
}
