//! The cluster's processes: started apart from this one, found again, and killed without hitting anybody else's.
//!
//! Each carries the state folder's path in its environment, and so do its children, such as containerd's shims. That
//! mark finds a process whose record was never written, and never finds one that only got a recorded number later.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{paths, shell};

const MARK: &str = "EDITORCLUSTER_E2E_STATE";

/// Starts `program` in a session of its own, so that it outlives us and no terminal's signal reaches it. Its output
/// goes to `log/NAME.log`, its number and start time to `run/NAME`.
pub fn start<S: AsRef<OsStr>>(name: &str, program: impl AsRef<OsStr>, words: &[S]) -> Result<()> {
    let state = paths::state();
    fs::create_dir_all(state.join("log"))?;
    fs::create_dir_all(state.join("run"))?;
    let log = File::create(log_of(name)).with_context(|| format!("cannot write {}", log_of(name).display()))?;
    let mut command = Command::new("setsid");
    command.arg(program).args(words).env(MARK, &state).current_dir(&state);
    if let Some(path) = path_with_tools(&state) {
        command.env("PATH", path);
    }
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    // It becomes a child of init when we end, and is looked after by its number until then.
    let pid = child.with_context(|| format!("cannot start {name}"))?.id();
    fs::write(record_of(name), format!("{pid} {}", start_time(pid).unwrap_or_default()))?;
    Ok(())
}

/// containerd looks for its shim on the PATH; the folder `bin` of the state has links to all programs.
fn path_with_tools(state: &Path) -> Option<std::ffi::OsString> {
    let old = std::env::var_os("PATH")?;
    std::env::join_paths(std::iter::once(state.join("bin")).chain(std::env::split_paths(&old))).ok()
}

fn log_of(name: &str) -> PathBuf {
    paths::state().join("log").join(format!("{name}.log"))
}

fn record_of(name: &str) -> PathBuf {
    paths::state().join("run").join(name)
}

/// The number of the process if it still runs: a recycled number has another start time.
pub fn pid_of(name: &str) -> Option<u32> {
    let text = fs::read_to_string(record_of(name)).ok()?;
    let (pid, started) = text.split_once(' ')?;
    let pid = pid.parse().ok()?;
    (start_time(pid)? == started.parse::<u64>().ok()?).then_some(pid)
}

/// An error with the end of its log if the process has ended.
pub fn check(name: &str) -> Result<()> {
    if pid_of(name).is_none() {
        let log = fs::read_to_string(log_of(name)).unwrap_or_default();
        bail!("{name} does not run; the end of {}:\n{}", log_of(name).display(), shell::tail(&log, 2000));
    }
    Ok(())
}

/// Name and number of every recorded process that runs, by name.
pub fn running() -> Vec<(String, u32)> {
    let Ok(entries) = fs::read_dir(paths::state().join("run")) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut all: Vec<_> = names.filter_map(|name| pid_of(&name).map(|pid| (name, pid))).collect();
    all.sort();
    all
}

/// Every running process that carries the mark of our state folder.
pub fn marked() -> Vec<u32> {
    let mut wanted = format!("{MARK}=").into_bytes();
    wanted.extend_from_slice(paths::state().as_os_str().as_bytes());
    let has_mark = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    };
    processes().into_iter().filter(has_mark).collect()
}

fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Kills them and waits until they are gone; they can neither refuse nor save anything.
pub async fn kill_all(pids: &[u32]) -> Result<()> {
    let alive: Vec<_> = pids.iter().filter_map(|pid| Some((*pid, start_time(*pid)?))).collect();
    for (pid, _) in &alive {
        // It may have ended by itself since.
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    for (pid, started) in alive {
        while start_time(pid) == Some(started) {
            if Instant::now() > deadline {
                bail!("process {pid} does not die; see /proc/{pid}/stack");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Asks the process to end, and kills it if it has not after `limit`.
pub async fn end(name: &str, limit: Duration) -> Result<()> {
    let Some(pid) = pid_of(name) else { return Ok(()) };
    // It may have ended by itself since.
    let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
    let asked = Instant::now();
    while pid_of(name).is_some() && asked.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left: Vec<u32> = pid_of(name).into_iter().collect();
    kill_all(&left).await
}

/// When it started, in clock ticks since the machine did; `None` if it has ended, be it not yet waited for.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may contain anything, parentheses and blanks too.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_is_that_of_one_process_and_gone_with_it() {
        let mut child = Command::new("sleep").arg("100").spawn().expect("sleep");
        let started = start_time(child.id());
        assert!(started.is_some());
        assert_eq!(start_time(child.id()), started);
        assert!(start_time(1) < started);
        child.kill().expect("a kill");
        while start_time(child.id()).is_some() {
            std::thread::yield_now();
        }
        child.wait().expect("its end");
    }
}
