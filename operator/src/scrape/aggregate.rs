//! From what each gateway said, or did not say, to one sum. Pure.
//!
//! A sum that is too low takes gateways away from under their sessions, so a gateway that does not answer still counts:
//! with its last figure for a minute, then with what it may hold. A pod that cannot have a session yet, or any more,
//! counts nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

use super::{PodFigures, Totals};

/// How long the last figure of a pod that does not answer is believed.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long a container may run before its silence means more than that it is starting.
const STARTING: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// How far a pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it runs: not yet, not any more, or just now not. It has no session.
    Off,
    /// It runs since less than a minute and has never been ready: silence is no sign of sessions.
    Starting,
    /// It has been ready, or should be: it may have sessions.
    Started,
}

/// One pod and what it answered.
#[derive(Clone, Debug)]
pub struct Asked {
    pub name: String,
    /// Tells a pod from its successor of the same name.
    pub uid: String,
    pub stage: Stage,
    /// Nothing if it did not answer.
    pub figures: Option<PodFigures>,
}

/// The last figures by the pod's uid.
pub type Memory = BTreeMap<String, Remembered>;

/// The last figures of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    figures: PodFigures,
    at: Instant,
}

/// More than half of the pods are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    pub missing: usize,
    pub pods: usize,
}

/// How far the pod has come, from what its node says of it. A node that is gone says nothing new: its pods stay started.
pub fn stage(pod: &Pod, now: jiff::Timestamp) -> Stage {
    let Some(status) = &pod.status else { return Stage::Off };
    if status.phase.as_deref() != Some("Running") {
        return Stage::Off;
    }
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let running: Vec<_> = containers.iter().filter_map(|one| one.state.as_ref()?.running.as_ref()).collect();
    if running.is_empty() {
        return Stage::Off;
    }
    let ready = status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    if ready || pod.metadata.deletion_timestamp.is_some() {
        return Stage::Started;
    }
    let latest = running.iter().filter_map(|one| one.started_at.as_ref()).map(|time| time.0).max();
    match latest {
        Some(at) if now.duration_since(at) >= STARTING => Stage::Started,
        _ => Stage::Starting,
    }
}

/// Sums up. Remembers what was said and forgets the pods that are gone. `assumed` is how many connections a silent pod
/// counts when its last figure is too old.
///
/// # Errors
/// If more than half of the pods that may have sessions are counted by assumption alone.
pub fn aggregate(now: Instant, pods: &[Asked], memory: &mut Memory, assumed: u64) -> Result<Totals, Missing> {
    memory.retain(|uid, _| pods.iter().any(|pod| pod.uid == *uid));
    let mut totals = Totals::default();
    let (mut missing, mut counted) = (0, 0);
    for pod in pods {
        let remembered = memory.get(&pod.uid).copied();
        if let (Some(figures), Stage::Started) = (pod.figures, pod.stage) {
            totals.asked += 1;
            totals.without_log += usize::from(figures.without_log);
            totals.without_store += usize::from(figures.without_store);
        }
        let figures = match (pod.figures, pod.stage, remembered) {
            (Some(figures), _, _) => {
                memory.insert(pod.uid.clone(), Remembered { figures, at: now });
                counted += 1;
                figures
            }
            (None, Stage::Off, _) => {
                // A container that starts again starts empty; what it had before must not come back as its figure.
                memory.remove(&pod.uid);
                PodFigures::default()
            }
            (None, Stage::Starting, None) => PodFigures::default(),
            (None, _, Some(last)) if now.duration_since(last.at) <= REMEMBERED => {
                counted += 1;
                last.figures
            }
            (None, _, last) => {
                counted += 1;
                missing += 1;
                PodFigures {
                    connections: assumed,
                    documents: last.map_or(0, |last| last.figures.documents),
                    ..PodFigures::default()
                }
            }
        };
        totals.connections += figures.connections;
        totals.documents += figures.documents;
        totals.per_pod.insert(pod.name.clone(), figures);
    }
    if missing * 2 > counted { Err(Missing { missing, pods: counted }) } else { Ok(totals) }
}

#[cfg(test)]
mod tests;
