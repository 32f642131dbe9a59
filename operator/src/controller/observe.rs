//! From what the watches saw to what decisions and status are made of. Pure.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::apply::{COST_ANNOTATION, VICTIM_COST};
use super::build::TEMPLATE_HASH;
use super::validate::Validated;
use crate::crd::EditorCluster;
use crate::scaling::{self, Observation};
use crate::scrape::Totals;

/// After a pod's last moment: it may still be waited for this long, then its node is taken for gone.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// What was decided last, if it is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before {
    /// The accepted target.
    pub target: Option<i32>,
    /// The Deployment's `replicas` as we applied them.
    pub replicas: Option<i32>,
}

/// The gateways as the watches saw them last.
pub struct Gateways {
    pub deployment: Option<Arc<Deployment>>,
    pub pods: Vec<Arc<Pod>>,
}

impl Gateways {
    /// Everything that a scaling decision is made of.
    pub fn observation(
        &self,
        object: &EditorCluster,
        plan: &Validated,
        before: Before,
        template_hash: Option<&String>,
        load: Option<&Totals>,
    ) -> Observation {
        let wall = Timestamp::now();
        let deployment = self.deployment.as_deref();
        let live = deployment.and_then(|it| it.spec.as_ref()).and_then(|spec| spec.replicas);
        let changes = deployment.is_some_and(|it| it.annotations().get(TEMPLATE_HASH) != template_hash);
        Observation {
            now: Instant::now(),
            spec: object.spec.replicas,
            // What we know is newer than what the watch shows of our own status.
            accepted: before.target.or_else(|| object.status.as_ref().and_then(|status| status.replicas)),
            applied: before.replicas,
            live,
            min: plan.autoscaling.min_replicas,
            max: plan.autoscaling.max_replicas,
            step: plan.autoscaling.scale_down.step,
            rolling: changes || self.rolling(),
            pods: self.pods.iter().map(|it| pod(it, load, wall)).collect(),
        }
    }

    /// Whether pods are being replaced by others of another template. Pods that are there and not ready, for lack of a
    /// node for example, are no rollout: they must not keep a fleet from getting smaller.
    pub fn rolling(&self) -> bool {
        let Some(deployment) = self.deployment.as_deref() else { return false };
        let Some(status) = &deployment.status else { return true };
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let updated = status.updated_replicas.unwrap_or(0);
        status.observed_generation < deployment.metadata.generation
            || updated < wanted
            || status.replicas.unwrap_or(0) > updated
    }

    /// Gateways that accept sessions and are not on their way out.
    pub fn ready(&self) -> i32 {
        count(self.pods.iter().filter(|pod| is_ready(pod) && !is_ending(pod)))
    }

    /// Gateways on their way out.
    pub fn draining(&self) -> i32 {
        count(self.pods.iter().filter(|pod| is_ending(pod)))
    }

    /// What the Deployment says when it has given up on a rollout.
    pub fn stuck(&self) -> Option<String> {
        let stuck = self.progress().filter(|it| it.reason.as_deref() == Some("ProgressDeadlineExceeded"))?;
        Some(stuck.message.clone().unwrap_or_default())
    }

    /// Whether all gateways of this template have been ready once, so that one that is not has broken.
    pub fn complete(&self) -> bool {
        self.progress().is_some_and(|it| it.reason.as_deref() == Some("NewReplicaSetAvailable"))
    }

    fn progress(&self) -> Option<&DeploymentCondition> {
        let conditions = self.deployment.as_ref()?.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|it| it.type_ == "Progressing")
    }

    /// The lowest address of a node with a ready gateway, so that it seldom changes.
    pub fn node_addresses(&self) -> Vec<String> {
        let hosts = self.pods.iter().filter(|pod| is_ready(pod)).filter_map(|pod| pod.status.as_ref()?.host_ip.clone());
        let mut hosts: Vec<_> = hosts.collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}

fn pod(pod: &Pod, load: Option<&Totals>, wall: Timestamp) -> scaling::Pod {
    let name = pod.name_any();
    // The deletion's time has the grace period in it already.
    let ends = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    scaling::Pod {
        connections: load.and_then(|load| load.per_pod.get(&name)).map(|figures| figures.connections),
        created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        ready: is_ready(pod),
        ending: ends.is_some(),
        overdue: ends.is_some_and(|ends| wall.duration_since(ends) > OVERDUE_AFTER),
        marked: pod.annotations().get(COST_ANNOTATION).is_some_and(|cost| cost == VICTIM_COST),
        name,
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn gateways(status: Value) -> Gateways {
        let deployment = json!({"metadata": {"generation": 4}, "spec": {"replicas": 10, "selector": {}, "template": {}},
            "status": status});
        Gateways { deployment: Some(Arc::new(serde_json::from_value(deployment).unwrap())), pods: Vec::new() }
    }

    #[test]
    fn a_rollout_is_pods_of_another_template_and_not_pods_without_a_node() {
        let cases = [
            (
                "settled",
                json!({"observedGeneration": 4, "replicas": 10, "updatedReplicas": 10, "availableReplicas": 10}),
                false,
            ),
            (
                "two without a node",
                json!({"observedGeneration": 4, "replicas": 10, "updatedReplicas": 10, "availableReplicas": 8}),
                false,
            ),
            ("not seen yet", json!({"observedGeneration": 3, "replicas": 10, "updatedReplicas": 10}), true),
            ("old ones left", json!({"observedGeneration": 4, "replicas": 12, "updatedReplicas": 10}), true),
            ("new ones missing", json!({"observedGeneration": 4, "replicas": 10, "updatedReplicas": 3}), true),
        ];
        for (what, status, rolling) in cases {
            assert_eq!(gateways(status).rolling(), rolling, "{what}");
        }
    }

    #[test]
    fn a_pod_is_waited_for_until_30_seconds_after_its_last_moment() {
        let ends: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let object = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {COST_ANNOTATION: VICTIM_COST}}});
        let object: Pod = serde_json::from_value(object).unwrap();
        for (seconds, overdue) in [(-20, false), (30, false), (31, true)] {
            let seen = pod(&object, None, ends + SignedDuration::from_secs(seconds));
            assert_eq!((seen.ending, seen.overdue, seen.marked), (true, overdue, true), "{seconds} s after");
        }
    }
}
