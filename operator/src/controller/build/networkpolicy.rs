//! Who may reach what. Redis and Postgres: the gateways of the same EditorCluster, the servers and sentinels of a Redis of
//! many each other, and nobody else. A cluster's bus asks for no password, so it is its servers' alone.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    ADMIN_PORT, Component, POSTGRES_PORT, PUBLIC_PORT, REDIS_BUS_PORT, REDIS_PORT, SENTINEL_PORT, label_selector,
    metadata, redis_mode,
};
use crate::controller::validate::{PostgresPlan, Validated};
use crate::crd::RedisMode;

/// One policy for each component that has one.
#[derive(Clone, Debug, Default)]
pub struct NetworkPolicies {
    pub redis: Option<NetworkPolicy>,
    pub postgres: Option<NetworkPolicy>,
    pub gateway: Option<NetworkPolicy>,
}

pub(super) fn build(plan: &Validated) -> NetworkPolicies {
    if !plan.network_policy {
        return NetworkPolicies::default();
    }
    let pods = |component| NetworkPolicyPeer {
        pod_selector: Some(label_selector(plan, component)),
        ..NetworkPolicyPeer::default()
    };
    let (gateways, servers) = (pods(Component::Gateway), pods(Component::Redis));
    let redis = redis_mode(plan).map(|mode| match mode {
        RedisMode::Standalone => vec![rule(Some(vec![gateways.clone()]), &[REDIS_PORT])],
        RedisMode::Replicated => vec![rule(Some(vec![gateways.clone(), servers]), &[REDIS_PORT, SENTINEL_PORT])],
        RedisMode::Cluster => vec![
            rule(Some(vec![gateways.clone()]), &[REDIS_PORT]),
            rule(Some(vec![servers]), &[REDIS_PORT, REDIS_BUS_PORT]),
        ],
    });
    let managed_postgres = matches!(plan.postgres, PostgresPlan::Managed { .. });
    let postgres = managed_postgres.then(|| vec![rule(Some(vec![gateways]), &[POSTGRES_PORT])]);
    NetworkPolicies {
        redis: redis.map(|rules| policy(plan, Component::Redis, rules)),
        postgres: postgres.map(|rules| policy(plan, Component::Postgres, rules)),
        gateway: Some(policy(plan, Component::Gateway, vec![rule(None, &[PUBLIC_PORT, ADMIN_PORT])])),
    }
}

/// `from: None` is anybody.
fn rule(from: Option<Vec<NetworkPolicyPeer>>, ports: &[i32]) -> NetworkPolicyIngressRule {
    let port = |number: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(*number)),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicyIngressRule { from, ports: Some(ports.iter().map(port).collect()) }
}

fn policy(plan: &Validated, component: Component, rules: Vec<NetworkPolicyIngressRule>) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(plan, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(label_selector(plan, component)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(rules),
            ..NetworkPolicySpec::default()
        }),
    }
}
