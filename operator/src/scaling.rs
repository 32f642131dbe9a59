//! How many gateways there are, and which of them go. Pure: what was seen comes in, what to do goes out.
//!
//! The rules (design.md, section 4): a surge is followed at once; a drop only after it has stood for [`DROP_STANDS`], and
//! then in steps, each of which names its victims before the Deployment is lowered, and is over when they are gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

mod victims;
mod window;

#[cfg(test)]
mod tests;

pub use victims::Pod;
use window::Window;

/// A lower `spec.replicas` is acted on only when it has been there for this long: a manifest that is applied again, or an
/// autoscaler that lost its metric, corrects itself before.
pub const DROP_STANDS: Duration = Duration::from_secs(20);
/// Between seeing the victims' deletion cost and lowering `replicas`: the ReplicaSet's controller sees it by its own watch.
const COST_SPREADS: Duration = Duration::from_secs(1);
/// How soon to look again while a step is under way. Watches wake us earlier.
const STEP_POLL: Duration = Duration::from_secs(5);

/// What was seen of one EditorCluster.
#[derive(Clone, Debug)]
pub struct Observation {
    pub now: Instant,
    /// `spec.replicas`, which the autoscaler writes.
    pub spec: Option<i32>,
    /// `status.replicas`: the target accepted before.
    pub accepted: Option<i32>,
    /// What the Deployment's `replicas` were when we last applied them; None after a restart.
    pub applied: Option<i32>,
    /// The Deployment's `replicas` as they are.
    pub live: Option<i32>,
    pub min: i32,
    pub max: i32,
    pub step: i32,
    /// Whether the Deployment is replacing, adding or missing pods.
    pub rolling: bool,
    /// The Deployment's pods, those that are ending included.
    pub pods: Vec<Pod>,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Write this into `spec.replicas`, which is absent.
    pub write_spec: Option<i32>,
    /// The accepted target, for `status.replicas`.
    pub target: i32,
    /// What the Deployment's `replicas` are to be now.
    pub replicas: i32,
    /// Pods to give the lowest deletion cost.
    pub mark: Vec<String>,
    /// Pods whose deletion cost is to be taken away.
    pub unmark: Vec<String>,
    /// Decide again after this long at the latest.
    pub look_again: Option<Duration>,
    /// What people should hear of.
    pub notes: Vec<Note>,
}

/// A decision that moves pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    ReplicasWritten { replicas: i32 },
    ScaledUp { from: i32, to: i32 },
    ScaleDownAccepted { from: i32, to: i32 },
    VictimsChosen { pods: Vec<String> },
    ScaledDown { from: i32, to: i32, pods: Vec<String> },
    OtherPodsTerminated { spared: Vec<String> },
}

/// What one EditorCluster's decisions have to remember. Losing it costs a restarted wait and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    wanted: Window,
    /// The victims whose cost we have seen, and since when.
    marked: Option<(BTreeSet<String>, Instant)>,
    /// The victims of the last step, until it is known who went.
    expected: BTreeSet<String>,
}

/// Decides for one EditorCluster. To be asked again whenever something changed.
pub fn decide(memory: &mut Memory, seen: &Observation) -> Decision {
    let mut decision = Decision::default();
    let wanted = seen.spec.unwrap_or_else(|| {
        let replicas = seen.live.unwrap_or(seen.min).clamp(seen.min, seen.max.max(seen.min));
        decision.write_spec = Some(replicas);
        decision.notes.push(Note::ReplicasWritten { replicas });
        replicas
    });
    let accepted = seen.accepted.unwrap_or(wanted);
    memory.wanted.observe(seen.now, wanted, accepted);
    decision.target =
        if wanted >= accepted { wanted } else { memory.wanted.highest(seen.now, DROP_STANDS).clamp(wanted, accepted) };
    if decision.target > wanted {
        decision.look_again = memory.wanted.until_lower(seen.now, DROP_STANDS);
    }
    if decision.target < accepted {
        decision.notes.push(Note::ScaleDownAccepted { from: accepted, to: decision.target });
    }
    place(memory, seen, &mut decision);
    decision
}

/// Moves the Deployment towards the target as far as it may go now.
fn place(memory: &mut Memory, seen: &Observation, decision: &mut Decision) {
    // What we applied, and not what somebody else made of it: that is drift, and undone.
    let Some(current) = seen.applied.or(seen.live) else {
        decision.replicas = decision.target;
        return;
    };
    let alive: Vec<&Pod> = seen.pods.iter().filter(|pod| !pod.ending).collect();
    let settled = i32::try_from(alive.len()).is_ok_and(|count| count <= current);
    if settled {
        spared(memory, &alive, decision);
    }
    decision.replicas = current;
    if decision.target >= current {
        decision.replicas = decision.target;
        memory.marked = None;
        if settled {
            decision.unmark = alive.iter().filter(|pod| pod.marked).map(|pod| pod.name.clone()).collect();
        }
        if decision.target > current {
            decision.notes.push(Note::ScaledUp { from: current, to: decision.target });
        }
        return;
    }
    let step_under_way = !settled || seen.pods.iter().any(|pod| pod.ending && !pod.overdue);
    if seen.rolling || step_under_way {
        memory.marked = None;
        wait(decision, STEP_POLL);
        return;
    }
    step(memory, seen, current, &alive, decision);
}

/// One step down: name the victims, see their cost, wait, lower.
fn step(memory: &mut Memory, seen: &Observation, current: i32, alive: &[&Pod], decision: &mut Decision) {
    let count = seen.step.min(current - decision.target).max(1);
    let victims = victims::choose(alive, usize::try_from(count).unwrap_or(1));
    let is_victim = |pod: &&&Pod| victims.contains(&pod.name);
    decision.mark = alive.iter().filter(is_victim).filter(|pod| !pod.marked).map(|pod| pod.name.clone()).collect();
    decision.unmark = alive.iter().filter(|pod| pod.marked && !is_victim(pod)).map(|pod| pod.name.clone()).collect();
    if !decision.mark.is_empty() || !decision.unmark.is_empty() {
        memory.marked = None;
        if !decision.mark.is_empty() {
            decision.notes.push(Note::VictimsChosen { pods: victims.into_iter().collect() });
        }
        wait(decision, COST_SPREADS);
        return;
    }
    let since = match &memory.marked {
        Some((marked, since)) if *marked == victims => *since,
        _ => {
            memory.marked = Some((victims.clone(), seen.now));
            seen.now
        }
    };
    let waited = seen.now.saturating_duration_since(since);
    if waited < COST_SPREADS {
        wait(decision, COST_SPREADS - waited);
        return;
    }
    decision.replicas = current - count;
    memory.marked = None;
    memory.expected.clone_from(&victims);
    let pods = victims.into_iter().collect();
    decision.notes.push(Note::ScaledDown { from: current, to: decision.replicas, pods });
    wait(decision, STEP_POLL);
}

/// Says when the last step took other pods than the victims.
fn spared(memory: &mut Memory, alive: &[&Pod], decision: &mut Decision) {
    let expected = std::mem::take(&mut memory.expected);
    let spared: Vec<String> =
        alive.iter().filter(|pod| expected.contains(&pod.name)).map(|pod| pod.name.clone()).collect();
    if !spared.is_empty() {
        decision.notes.push(Note::OtherPodsTerminated { spared });
    }
}

fn wait(decision: &mut Decision, at_most: Duration) {
    decision.look_again = Some(decision.look_again.map_or(at_most, |before| before.min(at_most)));
}
