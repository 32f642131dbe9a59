//! Who may reach what. Redis and Postgres: the gateways of the same EditorCluster, a replicated Redis' servers and
//! sentinels each other, and nobody else.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    ADMIN_PORT, Component, POSTGRES_PORT, PUBLIC_PORT, REDIS_PORT, SENTINEL_PORT, is_replicated, label_selector,
    metadata,
};
use crate::controller::validate::{PostgresPlan, RedisPlan, Validated};

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
    let gateways = pods(Component::Gateway);
    let (redis_peers, redis_ports) = if is_replicated(plan) {
        (vec![gateways.clone(), pods(Component::Redis)], &[REDIS_PORT, SENTINEL_PORT][..])
    } else {
        (vec![gateways.clone()], &[REDIS_PORT][..])
    };
    let managed_redis = matches!(plan.redis, RedisPlan::Managed { .. });
    let managed_postgres = matches!(plan.postgres, PostgresPlan::Managed { .. });
    NetworkPolicies {
        redis: managed_redis.then(|| policy(plan, Component::Redis, Some(redis_peers), redis_ports)),
        postgres: managed_postgres.then(|| policy(plan, Component::Postgres, Some(vec![gateways]), &[POSTGRES_PORT])),
        gateway: Some(policy(plan, Component::Gateway, None, &[PUBLIC_PORT, ADMIN_PORT])),
    }
}

/// `from: None` is anybody.
fn policy(
    plan: &Validated,
    component: Component,
    from: Option<Vec<NetworkPolicyPeer>>,
    ports: &[i32],
) -> NetworkPolicy {
    let port = |number: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(*number)),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    };
    let ports = ports.iter().map(port).collect();
    NetworkPolicy {
        metadata: metadata(plan, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(label_selector(plan, component)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule { from, ports: Some(ports) }]),
            ..NetworkPolicySpec::default()
        }),
    }
}
