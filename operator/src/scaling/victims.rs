//! Who goes.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

/// A gateway's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub created: Option<Timestamp>,
    pub ready: bool,
    /// It has been told to end.
    pub ending: bool,
    /// It should have ended by now; nobody waits for it any more.
    pub overdue: bool,
    /// It carries our deletion cost.
    pub marked: bool,
    /// None: it could not be asked.
    pub connections: Option<u64>,
}

/// The `count` pods whose end moves the fewest people; among equals the newest.
///
/// Those that are marked come first, so that connections which come and go between two looks do not move the choice; then
/// those that are not ready, because Kubernetes takes these before it looks at any cost.
pub(super) fn choose(alive: &[&Pod], count: usize) -> BTreeSet<String> {
    let mut pods = alive.to_vec();
    pods.sort_by_key(|pod| {
        (!pod.marked, pod.ready, pod.connections.unwrap_or(u64::MAX), Reverse(pod.created), pod.name.clone())
    });
    pods.into_iter().take(count).map(|pod| pod.name.clone()).collect()
}
