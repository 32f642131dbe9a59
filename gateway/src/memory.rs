//! The process's memory: how much it may use, how much it uses, and whether it is short.
//!
//! While it is short, new sessions are refused and the ones inside stay. If they use still more, they are slowed down,
//! and then those that hold most are closed. What is judged is what the system would kill the process for: its own
//! resident pages, not what our own books say.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::metrics::Metrics;

/// How often the memory is measured: a surge of sessions takes longer to fill what `DEFAULT_SHARE` leaves.
const MEASURE_EVERY: Duration = Duration::from_millis(250);
/// Of a container's limit, less what is reserved, by default: the rest is for what the sessions inside still do, and for the page tables.
const DEFAULT_SHARE: f64 = 0.85;
/// Short until this much of the limit is used, so that it does not change with every session.
const ENOUGH_SHARE: f64 = 0.95;
/// Of the limit: sessions are slowed down from here on.
const SCARCE_SHARE: f64 = 1.06;
/// Of the limit: sessions are closed from here on. By default that is 95 % of the container's limit, less what is
/// reserved.
const SHED_SHARE: f64 = 1.12;

/// Whether the process has memory for more sessions.
#[derive(Debug)]
pub struct Memory {
    limit: Option<u64>,
    short: AtomicBool,
    /// Bytes that were used when it was last measured.
    used: AtomicU64,
}

impl Memory {
    /// `limit`: bytes from which on the memory is short; None: never.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, short: AtomicBool::new(false), used: AtomicU64::new(0) }
    }

    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Whether the sessions inside should send less.
    pub fn is_scarce(&self) -> bool {
        self.is_beyond(SCARCE_SHARE)
    }

    /// Bytes that must become free, or the system is likely to end the process. 0: none.
    pub fn excess(&self) -> u64 {
        if !self.is_beyond(SHED_SHARE) {
            return 0;
        }
        self.used.load(Ordering::Relaxed).saturating_sub(self.limit.unwrap_or(u64::MAX))
    }

    fn is_beyond(&self, share: f64) -> bool {
        self.limit.is_some_and(|limit| self.used.load(Ordering::Relaxed) as f64 > limit as f64 * share)
    }

    /// Measures until the process ends. Returns at once where the system does not tell.
    pub async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) {
        metrics.memory_limit_bytes.set(self.limit.map_or(0, gauge));
        let mut interval = tokio::time::interval(MEASURE_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let Some(used) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) else {
                return tracing::warn!("the system does not tell how much memory this process uses: it has no limit");
            };
            metrics.memory_bytes.set(gauge(used));
            self.used.store(used, Ordering::Relaxed);
            let Some(limit) = self.limit else { continue };
            let short = is_short(self.is_short(), used, limit);
            if self.short.swap(short, Ordering::Relaxed) != short {
                if short {
                    tracing::warn!(used, limit, "the memory is short: new sessions are refused (503)");
                } else {
                    tracing::info!(used, limit, "there is memory again: new sessions are taken");
                }
            }
        }
    }
}

fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn is_short(was_short: bool, used: u64, limit: u64) -> bool {
    used >= if was_short { (limit as f64 * ENOUGH_SHARE) as u64 } else { limit }
}

/// Of a container's limit, the processes that read for the history may have as much at most: the sessions need the rest.
const RESERVED_SHARE: u64 = 2;

/// The memory that this control group may use. None without a limit.
pub fn container_limit() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let file = limit_file(&group)?;
    fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok()?.trim().parse().ok()
}

/// The limit for the gateway's process in a container: a share of what others leave of the container's limit.
/// `reserved`: bytes that other processes in there may use.
pub fn default_limit(container: u64, reserved: u64) -> u64 {
    let own = container - reserved.min(container / RESERVED_SHARE);
    (own as f64 * DEFAULT_SHARE) as u64
}

/// Where the group's limit stands below the mount of cgroup v2 (one line, `0::/path`).
fn limit_file(group: &str) -> Option<String> {
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(path).join("memory.max").to_string_lossy().into_owned())
}

/// Bytes of anonymous memory in `/proc/self/status`: files that are mapped can be dropped at any time.
fn resident(status: &str) -> Option<u64> {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?.trim().strip_suffix("kB")?;
    kilobytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_counts_and_mapped_files_do_not() {
        let status = "VmRSS:\t    9000 kB\nRssAnon:\t    5120 kB\nRssFile:\t    3880 kB\n";
        assert_eq!(resident(status), Some(5120 * 1024));
        assert_eq!(resident("VmRSS:\t9000 kB\n"), None);
        assert!(resident(&fs::read_to_string("/proc/self/status").unwrap()).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn the_limit_is_found_in_a_container_and_outside() {
        assert_eq!(limit_file("0::/\n").as_deref(), Some("memory.max"));
        let nested = "1:name=systemd:/x\n0::/system.slice/gateway.service\n";
        assert_eq!(limit_file(nested).as_deref(), Some("system.slice/gateway.service/memory.max"));
        assert_eq!(limit_file("4:memory:/x\n"), None);
    }

    #[test]
    fn what_other_processes_may_use_is_left_to_them_up_to_a_half() {
        for (reserved, limit) in [(0, 850), (200, 680), (500, 425), (5000, 425)] {
            assert_eq!(default_limit(1000, reserved), limit, "{reserved}");
        }
    }

    #[test]
    fn beyond_the_limit_sessions_are_slowed_down_and_then_closed() {
        for (used, scarce, excess) in [(100, false, 0), (107, true, 0), (112, true, 0), (120, true, 20)] {
            let memory = Memory { limit: Some(100), short: AtomicBool::new(true), used: AtomicU64::new(used) };
            assert_eq!((memory.is_scarce(), memory.excess()), (scarce, excess), "{used}");
        }
        assert_eq!(Memory::new(None).excess(), 0);
    }

    #[test]
    fn once_short_it_is_short_until_there_is_room_again() {
        assert!(!is_short(false, 99, 100));
        assert!(is_short(false, 100, 100));
        assert!(is_short(true, 96, 100));
        assert!(!is_short(true, 94, 100));
    }
}
