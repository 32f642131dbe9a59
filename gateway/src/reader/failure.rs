//! What became of a reading that has no answer.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::libc::{SIGKILL, SIGXCPU};

use super::bounds::Bounds;

/// What the Rust library says when it has no memory, before it aborts the process. An abort alone can be a stack that
/// overflows.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// Why there is no answer, for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Refused(String),
    #[error(
        "reading the document's content takes longer than {0:?}; the document can be edited and exported all the same. \
         --history-timeout gives a reading more time"
    )]
    Timeout(Duration),
    #[error(
        "reading the document's content takes more memory than {0} bytes; the document can be edited and exported all \
         the same. --max-history-memory-bytes gives a reading more"
    )]
    Memory(u64),
    #[error(
        "the process that read the document's content has died ({0}); the document can be edited and exported all the \
         same. The gateway's log says more"
    )]
    Crashed(String),
    #[error("as many histories as may be are being read, and none came to its end within {0:?}; ask again")]
    Busy(Duration),
    #[error("no process could be started that reads the document's content: {0}; ask again")]
    NotStarted(io::Error),
}

/// What can become of a reading. The label's values are in one place so that they stay few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Refused,
    Timeout,
    Memory,
    Crashed,
    Busy,
}

impl Outcome {
    pub const ALL: [Self; 6] = [Self::Ok, Self::Refused, Self::Timeout, Self::Memory, Self::Crashed, Self::Busy];

    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Crashed => "crashed",
            Self::Busy => "busy",
        }
    }
}

impl Failure {
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(_) => Outcome::Refused,
            Self::Timeout(_) => Outcome::Timeout,
            Self::Memory(_) => Outcome::Memory,
            Self::Crashed(_) | Self::NotStarted(_) => Outcome::Crashed,
            Self::Busy(_) => Outcome::Busy,
        }
    }

    /// Of a process that ended without an answer, and was not killed by the gateway.
    pub(super) fn of(status: ExitStatus, said: &str, bounds: Bounds) -> Self {
        match status.signal() {
            Some(SIGXCPU) => Self::Timeout(bounds.time),
            // The system kills so when the container or the machine is out of memory.
            Some(SIGKILL) => Self::Memory(bounds.memory_bytes),
            Some(_) if said.contains(OUT_OF_MEMORY) => Self::Memory(bounds.memory_bytes),
            _ => Self::Crashed(status.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::libc::{SIGABRT, SIGSEGV};

    use super::*;

    #[test]
    fn how_a_process_ended_says_what_it_lacked() {
        let bounds = Bounds { time: Duration::from_secs(3), memory_bytes: 5 };
        let overflow = "thread 'reading' has overflowed its stack";
        for (status, said, outcome) in [
            (SIGXCPU, "", Outcome::Timeout),
            (SIGKILL, "", Outcome::Memory),
            (SIGABRT, "memory allocation of 80 bytes failed", Outcome::Memory),
            (SIGABRT, overflow, Outcome::Crashed),
            (SIGSEGV, "", Outcome::Crashed),
            (101 << 8, "panicked at", Outcome::Crashed),
        ] {
            assert_eq!(Failure::of(ExitStatus::from_raw(status), said, bounds).outcome(), outcome, "{status} {said}");
        }
    }
}
