//! The Services in front of the components.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Component, POSTGRES_PORT, REDIS_PORT, SENTINEL_PORT, child_name, metadata, redis_mode, selector};
use crate::controller::validate::{PostgresPlan, Validated};
use crate::crd::{ExposeType, RedisMode};

/// A Service's name as every pod of the cluster can look it up, whatever the cluster's domain is.
pub(super) fn host(plan: &Validated, component: Component) -> String {
    format!("{}.{}.svc", child_name(&plan.name, component), plan.namespace)
}

pub(super) fn gateway(plan: &Validated) -> Service {
    let kind = match plan.expose.kind {
        ExposeType::ClusterIp => "ClusterIP",
        ExposeType::NodePort => "NodePort",
    };
    let port = ServicePort { node_port: plan.expose.node_port, ..port("http", 80, "http") };
    service(plan, Component::Gateway, kind, port)
}

pub(super) fn redis(plan: &Validated) -> Option<Service> {
    let mode = redis_mode(plan)?;
    let mut service = service(plan, Component::Redis, "ClusterIP", port("redis", REDIS_PORT, "redis"));
    if mode.servers() > 1
        && let Some(spec) = &mut service.spec
    {
        // For the names of its pods. They find each other before one of them is ready.
        spec.cluster_ip = Some("None".to_owned());
        spec.publish_not_ready_addresses = Some(true);
        if mode == RedisMode::Replicated {
            spec.ports.get_or_insert_default().push(port("sentinel", SENTINEL_PORT, "sentinel"));
        }
    }
    Some(service)
}

pub(super) fn postgres(plan: &Validated) -> Option<Service> {
    let managed = matches!(plan.postgres, PostgresPlan::Managed { .. });
    managed.then(|| service(plan, Component::Postgres, "ClusterIP", port("postgres", POSTGRES_PORT, "postgres")))
}

fn service(plan: &Validated, component: Component, kind: &str, port: ServicePort) -> Service {
    Service {
        metadata: metadata(plan, component),
        spec: Some(ServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(selector(&plan.name, component)),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// `target` is the name of the container's port.
fn port(name: &str, port: i32, target: &str) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(target.to_owned())),
        ..ServicePort::default()
    }
}
