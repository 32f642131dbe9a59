//! The subject on one core, the load generator on another, so that neither takes the other's time.

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

pub const SUBJECT: usize = 0;
pub const LOAD: usize = 1;

/// Binds the calling thread, and what it starts from then on, to a core.
pub fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("core {core} is not there; the subject and the load need one each"))
}

/// Lets the calling thread, and what it starts from then on, run on every core.
pub fn go_anywhere() -> Result<()> {
    let mut set = CpuSet::new();
    for core in 0..std::thread::available_parallelism()?.get().max(LOAD + 1) {
        set.set(core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).context("the cores of this machine are not ours")
}
