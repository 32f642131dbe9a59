//! Stage 5: the status, only from what was applied and seen, and written only when it says something new.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use thiserror::Error;

use super::apply::FIELD_MANAGER;
use super::build::{Component, child_name, selector_text};
use super::observe::Gateways;
use super::validate::{Invalid, Validated};
use super::watch::{Stores, find};
use crate::crd::{EditorCluster, EditorClusterStatus, ExposeType, Reason};
use crate::metrics_api::MetricsAvailability;
use crate::scrape::Totals;

mod conditions;

#[cfg(test)]
mod tests;

use conditions::Conditions;

/// Connections and documents are written at most so often.
const FIGURES_EVERY: Duration = Duration::from_secs(30);

/// The status could not be written.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot write the status: {0}")]
    ApiError(Box<kube::Error>),
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Self::ApiError(_) => Reason::ApiError,
        }
    }
}

/// When connections and documents were written last.
#[derive(Clone, Debug, Default)]
pub struct FiguresWritten(Option<Instant>);

/// What was seen of the children.
pub struct Seen<'a> {
    pub gateways: &'a Gateways,
    pub redis: Option<&'a StatefulSet>,
    pub postgres: Option<&'a StatefulSet>,
    pub service: Option<&'a Service>,
    pub autoscaler: Option<&'a HorizontalPodAutoscaler>,
    pub load: Option<&'a Totals>,
    pub metrics: &'a MetricsAvailability,
}

/// The status of an object that was applied with `target` gateways as the accepted target.
pub fn of_applied(
    object: &EditorCluster,
    plan: &Validated,
    target: i32,
    seen: &Seen<'_>,
    written: &mut FiguresWritten,
) -> EditorClusterStatus {
    let before = object.status.clone().unwrap_or_default();
    let mut conditions = Conditions::new(object);
    conditions::of_stores(&mut conditions, plan, seen);
    conditions::of_gateways(&mut conditions, plan, target, seen.gateways);
    conditions::of_metrics(&mut conditions, seen.metrics, seen.autoscaler);
    let (connections, documents) = figures(&before, seen.load, written);
    EditorClusterStatus {
        observed_generation: object.metadata.generation,
        replicas: Some(target),
        ready_replicas: Some(seen.gateways.ready()),
        draining: Some(seen.gateways.draining()),
        selector: Some(selector_text(&plan.name)),
        connections,
        documents,
        endpoint: endpoint(plan, seen, before.endpoint.as_deref()),
        conditions: conditions.finish(),
    }
}

/// The status of an object that cannot be built: what runs is left as it is, and so is what the status says of it.
pub fn of_invalid(object: &EditorCluster, invalid: &Invalid) -> EditorClusterStatus {
    let mut conditions = Conditions::new(object);
    conditions::of_invalid(&mut conditions, invalid);
    EditorClusterStatus {
        observed_generation: object.metadata.generation,
        conditions: conditions.finish(),
        ..object.status.clone().unwrap_or_default()
    }
}

/// Writes the status if it is another than the object's. Says whether it was written.
///
/// # Errors
///
/// The API server could not be asked, or refuses it.
pub async fn write(client: &Client, object: &EditorCluster, status: &EditorClusterStatus) -> Result<bool, Error> {
    if object.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let api: Api<EditorCluster> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"status": status}));
    match api.patch_status(&object.name_any(), &params, &patch).await {
        Ok(_) => Ok(true),
        // It is gone, and with it whoever would read this.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Error::ApiError(Box::new(error))),
    }
}

/// Connections and documents: new ones when they differ by 5 % or more, at most every 30 s; otherwise those of before.
fn figures(
    before: &EditorClusterStatus,
    load: Option<&Totals>,
    written: &mut FiguresWritten,
) -> (Option<i64>, Option<i64>) {
    let as_before = (before.connections, before.documents);
    let Some(load) = load else { return as_before };
    let now = (i64::try_from(load.connections).ok(), i64::try_from(load.documents).ok());
    let moved = differs(as_before.0, now.0) || differs(as_before.1, now.1);
    if !moved || written.0.is_some_and(|at| at.elapsed() < FIGURES_EVERY) {
        return as_before;
    }
    written.0 = Some(Instant::now());
    now
}

fn differs(before: Option<i64>, now: Option<i64>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before != now && (now - before).abs() * 20 >= before.abs(),
        (before, now) => before != now,
    }
}

fn endpoint(plan: &Validated, seen: &Seen<'_>, before: Option<&str>) -> Option<String> {
    match plan.expose.kind {
        ExposeType::ClusterIp => {
            Some(format!("http://{}.{}.svc", child_name(&plan.name, Component::Gateway), plan.namespace))
        }
        ExposeType::NodePort => {
            let port = seen.service?.spec.as_ref()?.ports.as_ref()?.first()?.node_port?;
            let urls = seen.gateways.node_addresses().into_iter().map(|address| match address.contains(':') {
                true => format!("http://[{address}]:{port}"),
                false => format!("http://{address}:{port}"),
            });
            let urls: Vec<_> = urls.collect();
            // Every node answers, so the one that people know stays for as long as it has a gateway.
            let known = before.filter(|before| urls.is_empty() || urls.iter().any(|url| url == before));
            known.map(str::to_owned).or_else(|| urls.into_iter().next())
        }
    }
}

/// Looks up what the status is made of.
pub fn look<R>(
    stores: &Stores,
    plan: &Validated,
    gateways: &Gateways,
    load: Option<&Totals>,
    metrics: &MetricsAvailability,
    then: impl FnOnce(&Seen<'_>) -> R,
) -> R {
    let name = |component| child_name(&plan.name, component);
    let redis = find(&stores.statefulsets, &plan.namespace, &name(Component::Redis));
    let postgres = find(&stores.statefulsets, &plan.namespace, &name(Component::Postgres));
    let service = find(&stores.services, &plan.namespace, &name(Component::Gateway));
    let autoscaler = find(&stores.autoscalers, &plan.namespace, &name(Component::Gateway));
    then(&Seen {
        gateways,
        redis: redis.as_deref(),
        postgres: postgres.as_deref(),
        service: service.as_deref(),
        autoscaler: autoscaler.as_deref(),
        load,
        metrics,
    })
}
