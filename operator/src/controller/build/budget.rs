//! How many pods may be away for a node's sake at the same time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Component, label_selector, metadata, redis_mode};
use crate::controller::validate::Validated;

/// `maxUnavailable` and not `minAvailable`, so that one gateway alone does not block a node's drain for ever; a gateway
/// that is not ready serves nobody and may always be evicted.
pub(super) fn gateway(plan: &Validated) -> PodDisruptionBudget {
    one_at_a_time(plan, Component::Gateway)
}

/// Of three servers two are needed: a primary, and a replica without which it takes no writes. Of a cluster's six, one of
/// each two that have the same documents.
pub(super) fn redis(plan: &Validated) -> Option<PodDisruptionBudget> {
    redis_mode(plan).filter(|mode| mode.servers() > 1).map(|_| one_at_a_time(plan, Component::Redis))
}

fn one_at_a_time(plan: &Validated, component: Component) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(plan, component),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector(plan, component)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
