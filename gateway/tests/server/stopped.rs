//! One thread of another process, stopped while its other threads go on: what a loop without end looks like from outside.

use std::fs;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// How often something is looked at that is to stay.
const STILL_THERE: usize = 1000;

/// A thread that is traced by the calling thread, and goes on untouched once that ends.
pub(crate) struct Stopped(Pid);

impl Stopped {
    /// The thread of this name, as soon as there is one.
    pub(crate) fn thread(process: i32, name: &str) -> Self {
        let is_named = |id: &i32| {
            let comm = fs::read_to_string(format!("/proc/{process}/task/{id}/comm"));
            comm.is_ok_and(|comm| comm.trim_end() == name)
        };
        let find = || {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
            let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
            { ids }.find(is_named)
        };
        let thread = std::iter::repeat_with(find).flatten().next().map(Pid::from_raw).expect("it is found");
        ptrace::seize(thread, ptrace::Options::empty()).expect("a child's thread can be traced");
        Self(thread)
    }

    /// Stops it where `is_there` is so. It may have gone on a little by the time it stops, so that is asked again then.
    pub(crate) fn stop_as_soon_as(&self, is_there: impl Fn() -> bool) {
        loop {
            while !is_there() {
                std::thread::yield_now();
            }
            ptrace::interrupt(self.0).expect("it can be stopped");
            waitpid(self.0, Some(WaitPidFlag::__WALL)).expect("it stops");
            // Another thread may be there, which goes on.
            if (0..STILL_THERE).all(|_| is_there()) {
                return;
            }
            ptrace::cont(self.0, None).expect("it goes on");
        }
    }
}
