//! How many gateways may be away for a node's sake at the same time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Component, label_selector, metadata};
use crate::controller::validate::Validated;

/// `maxUnavailable` and not `minAvailable`, so that one gateway alone does not block a node's drain for ever; a gateway
/// that is not ready serves nobody and may always be evicted.
pub(super) fn build(plan: &Validated) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(plan, Component::Gateway),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector(plan, Component::Gateway)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
