//! The HorizontalPodAutoscaler that writes `spec.replicas` by way of `/scale`.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec, MetricTarget,
    ObjectMetricSource, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;

use super::{Component, metadata};
use crate::controller::validate::Validated;
use crate::crd::EditorCluster;

/// The metric that the operator serves.
const METRIC: &str = "editorcluster_connections";
/// The longest period that Kubernetes allows in a scaling policy, in seconds.
const LONGEST_PERIOD: i32 = 1800;

/// The connections are a metric of the EditorCluster and not of its pods, so that skew between pods and a rollout's
/// extra pods mislead nobody.
pub(super) fn build(plan: &Validated) -> HorizontalPodAutoscaler {
    let target = CrossVersionObjectReference {
        api_version: Some(EditorCluster::api_version(&()).into_owned()),
        kind: EditorCluster::kind(&()).into_owned(),
        name: plan.name.clone(),
    };
    let scaling = &plan.autoscaling;
    let mut metrics = vec![connections(target.clone(), scaling.connections_per_replica)];
    metrics.extend(scaling.cpu_utilization.map(|percent| utilization("cpu", percent)));
    metrics.extend(scaling.memory_utilization.map(|percent| utilization("memory", percent)));
    HorizontalPodAutoscaler {
        metadata: metadata(plan, Component::Gateway),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: target,
            min_replicas: Some(scaling.min_replicas),
            max_replicas: scaling.max_replicas,
            metrics: Some(metrics),
            behavior: Some(HorizontalPodAutoscalerBehavior { scale_down: Some(scale_down(plan)), scale_up: None }),
        },
        ..HorizontalPodAutoscaler::default()
    }
}

/// As fast as gateways drain and no faster, so that `spec.replicas` does not run far ahead of them.
fn scale_down(plan: &Validated) -> HPAScalingRules {
    let drain = plan.gateway.section.settle_seconds + plan.gateway.section.drain_window_seconds;
    HPAScalingRules {
        policies: Some(vec![HPAScalingPolicy {
            type_: "Pods".to_owned(),
            value: plan.autoscaling.scale_down.step,
            period_seconds: drain.clamp(1, LONGEST_PERIOD),
        }]),
        select_policy: Some("Max".to_owned()),
        stabilization_window_seconds: plan.autoscaling.scale_down.stabilization_seconds,
        ..HPAScalingRules::default()
    }
}

fn connections(described_object: CrossVersionObjectReference, per_replica: i32) -> MetricSpec {
    MetricSpec {
        type_: "Object".to_owned(),
        object: Some(ObjectMetricSource {
            described_object,
            metric: MetricIdentifier { name: METRIC.to_owned(), selector: None },
            target: MetricTarget {
                type_: "AverageValue".to_owned(),
                average_value: Some(Quantity(per_replica.to_string())),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn utilization(resource: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: resource.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}
