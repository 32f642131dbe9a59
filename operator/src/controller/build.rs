//! Stage 3, pure: from the plan to the children, one file for each.
//!
//! Names, labels and selectors are decided here alone. A selector never changes: Kubernetes refuses that.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::validate::{RedisPlan, Validated};
use crate::crd::RedisMode;

mod autoscaler;
mod budget;
mod configmaps;
mod deployment;
mod networkpolicy;
mod pod;
mod postgres;
mod redis;
mod secrets;
mod serviceaccount;
mod services;
mod store;

#[cfg(test)]
mod tests;

pub use deployment::{grace_seconds, selector_text};
pub use networkpolicy::NetworkPolicies;

/// The value of `app.kubernetes.io/managed-by` on everything that we make; the watches select it.
pub const MANAGED_BY: &str = "editorcluster-operator";
/// The label with the EditorCluster's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// On the Deployment: changes when its pods' template does, as we made it.
pub const TEMPLATE_HASH: &str = "editorcluster.io/template-hash";
/// On pods: changes when what they read at their start does.
const CONFIG_HASH: &str = "editorcluster.io/config-hash";

/// The ports of a gateway and of the stores.
pub const PUBLIC_PORT: i32 = 8080;
pub const ADMIN_PORT: i32 = 9090;
const REDIS_PORT: i32 = 6379;
const SENTINEL_PORT: i32 = 26379;
/// Where the servers of a Redis Cluster speak with each other.
const REDIS_BUS_PORT: i32 = 16379;
const POSTGRES_PORT: i32 = 5432;
/// The database, and the role that owns it, of a managed Postgres.
const DATABASE: &str = "editorcluster";

/// The parts of an EditorCluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    Gateway,
    Redis,
    Postgres,
}

impl Component {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// Everything that an EditorCluster is made of. None: not wanted, so it is deleted where it exists.
#[derive(Clone, Debug)]
pub struct Children {
    /// Created where they are missing and never written again.
    pub secrets: Vec<Secret>,
    pub service_account: ServiceAccount,
    pub redis_config: Option<ConfigMap>,
    pub redis: Option<StatefulSet>,
    pub redis_service: Option<Service>,
    pub redis_budget: Option<PodDisruptionBudget>,
    pub postgres_config: Option<ConfigMap>,
    pub postgres: Option<StatefulSet>,
    pub postgres_service: Option<Service>,
    pub policies: NetworkPolicies,
    pub gateway_service: Service,
    pub gateway: Deployment,
    pub gateway_budget: PodDisruptionBudget,
    pub autoscaler: HorizontalPodAutoscaler,
}

/// Builds every child. `replicas` is what the gateways' Deployment is to have now: no apply of it is without.
pub fn build(plan: &Validated, replicas: i32) -> Children {
    Children {
        secrets: secrets::build(plan),
        service_account: serviceaccount::build(plan),
        redis_config: configmaps::redis(plan),
        redis: redis::build(plan),
        redis_service: services::redis(plan),
        redis_budget: budget::redis(plan),
        postgres_config: configmaps::postgres(plan),
        postgres: postgres::build(plan),
        postgres_service: services::postgres(plan),
        policies: networkpolicy::build(plan),
        gateway_service: services::gateway(plan),
        gateway: deployment::build(plan, replicas),
        gateway_budget: budget::gateway(plan),
        autoscaler: autoscaler::build(plan),
    }
}

/// The name of a component's children.
pub fn child_name(cluster: &str, component: Component) -> String {
    format!("{cluster}-{}", component.as_str())
}

/// The labels that select a component's pods. They hold the component, because two autoscalers whose selectors share
/// pods both stop.
pub fn selector(cluster: &str, component: Component) -> BTreeMap<String, String> {
    let pairs = [
        ("app.kubernetes.io/name", "editorcluster"),
        (INSTANCE, cluster),
        ("app.kubernetes.io/component", component.as_str()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The labels of a child and of its pods.
fn labels(plan: &Validated, component: Component) -> BTreeMap<String, String> {
    let mut labels = selector(&plan.name, component);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGED_BY.to_owned());
    labels
}

/// What kind of Redis ours is; None: it is not ours.
fn redis_mode(plan: &Validated) -> Option<RedisMode> {
    match &plan.redis {
        RedisPlan::Managed { mode, .. } => Some(*mode),
        RedisPlan::External { .. } => None,
    }
}

fn label_selector(plan: &Validated, component: Component) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(&plan.name, component)), ..LabelSelector::default() }
}

fn metadata(plan: &Validated, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(child_name(&plan.name, component)),
        namespace: Some(plan.namespace.clone()),
        labels: Some(labels(plan, component)),
        owner_references: Some(vec![plan.owner.clone()]),
        ..ObjectMeta::default()
    }
}
