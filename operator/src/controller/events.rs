//! What people should hear of, as Events of the EditorCluster.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::crd::{EditorCluster, Reason};
use crate::scaling::Note;

/// Says one thing. An Event that cannot be written is logged: it is never a reason to stop.
pub async fn say(recorder: &Recorder, object: &EditorCluster, kind: EventType, reason: Reason, note: String) {
    publish(recorder, object, kind, reason, "Reconcile".to_owned(), note).await;
}

/// Events that differ in nothing but their note are counted as one, with the first one's note; so a decision's number is
/// its action.
async fn publish(
    recorder: &Recorder,
    object: &EditorCluster,
    kind: EventType,
    reason: Reason,
    action: String,
    note: String,
) {
    let event = Event {
        type_: kind,
        reason: reason.name(),
        note: Some(note.chars().take(1000).collect()),
        action,
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
        tracing::warn!(%error, reason = event.reason, "an Event could not be written");
    }
}

/// Says what was decided about the gateways' number.
pub async fn decided(recorder: &Recorder, object: &EditorCluster, notes: &[Note]) {
    for note in notes {
        let (kind, reason, text) = words(note);
        tracing::info!(reason = reason.name(), "{text}");
        publish(recorder, object, kind, reason, action(note), text).await;
    }
}

fn action(note: &Note) -> String {
    match note {
        Note::ReplicasWritten { replicas: to }
        | Note::ScaledUp { to, .. }
        | Note::ScaleDownAccepted { to, .. }
        | Note::ScaledDown { to, .. } => format!("ScaleTo{to}"),
        Note::VictimsChosen { pods } | Note::OtherPodsTerminated { spared: pods } => {
            let first = pods.first().map(String::as_str).unwrap_or_default();
            // A pod's last part tells it from its fellows.
            format!("Mark-{}", first.rsplit('-').next().unwrap_or_default())
        }
    }
}

fn words(note: &Note) -> (EventType, Reason, String) {
    let normal = EventType::Normal;
    match note {
        Note::ReplicasWritten { replicas } => {
            let text =
                format!("spec.replicas was absent, and is {replicas} now: as many as there are, within the limits");
            (normal, Reason::ReplicasWritten, text)
        }
        Note::ScaledUp { from, to } => (normal, Reason::ScaledUp, format!("from {from} to {to} gateways")),
        Note::ScaleDownAccepted { from, to } => {
            (normal, Reason::ScaleDownAccepted, format!("from {from} to {to} gateways, step by step"))
        }
        Note::VictimsChosen { pods } => {
            (normal, Reason::VictimsChosen, format!("fewest connections, so next to go: {}", pods.join(", ")))
        }
        Note::ScaledDown { from, to, pods } => {
            (normal, Reason::ScaledDown, format!("from {from} to {to} gateways, without {}", pods.join(", ")))
        }
        Note::OtherPodsTerminated { spared } => {
            let text = format!(
                "Kubernetes took other gateways than those with the fewest connections, and spared {}",
                spared.join(", ")
            );
            (EventType::Warning, Reason::OtherPodsTerminated, text)
        }
    }
}
