//! What the operator sees without asking: one watch for each kind of child, selected by label, pruned to what is used.
//!
//! A watch is over one namespace or over all. What changes wakes the EditorCluster that its labels name.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodTemplateSpec, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::ReconcileRequest;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::build::{Component, INSTANCE, MANAGED_BY, selector};
use crate::crd::EditorCluster;

/// An EditorCluster that may be one that does not decode, so that it stops nobody else's watch.
pub type Guarded = DeserializeGuard<EditorCluster>;
/// Wakes an EditorCluster.
type Wake = Result<ReconcileRequest<Guarded>, watcher::Error>;

/// The latest state of everything that we watch in one namespace, or in all.
#[derive(Clone)]
pub struct Stores {
    /// Without their pods' template.
    pub deployments: Store<Deployment>,
    /// Without their spec.
    pub statefulsets: Store<StatefulSet>,
    pub services: Store<Service>,
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// The gateways' pods, without their spec.
    pub pods: Store<Pod>,
    pub accounts: Store<PartialObjectMeta<ServiceAccount>>,
    pub configs: Store<PartialObjectMeta<ConfigMap>>,
    pub budgets: Store<PartialObjectMeta<PodDisruptionBudget>>,
    pub policies: Store<PartialObjectMeta<NetworkPolicy>>,
}

/// The stores, and the stream that has to be polled for them to fill.
pub struct Watch {
    pub clusters: Store<Guarded>,
    pub stores: Stores,
    pub wakes: BoxStream<'static, Wake>,
}

/// Begins to watch. `namespace: None` is all namespaces.
pub fn watch(client: &Client, namespace: Option<&str>) -> Watch {
    let mut wakes = SelectAll::new();
    let clusters = own(client, namespace, &mut wakes);
    let managed = format!("app.kubernetes.io/managed-by={MANAGED_BY}");
    let gateways = format!("{managed},app.kubernetes.io/component={}", Component::Gateway.as_str());
    let stores = Stores {
        deployments: children(client, namespace, &managed, &mut wakes, without_template),
        statefulsets: children(client, namespace, &managed, &mut wakes, |set: &mut StatefulSet| set.spec = None),
        services: children(client, namespace, &managed, &mut wakes, |_| {}),
        autoscalers: children(client, namespace, &managed, &mut wakes, |_| {}),
        pods: children(client, namespace, &gateways, &mut wakes, |pod: &mut Pod| pod.spec = None),
        accounts: children(client, namespace, &managed, &mut wakes, |_| {}),
        configs: children(client, namespace, &managed, &mut wakes, |_| {}),
        budgets: children(client, namespace, &managed, &mut wakes, |_| {}),
        policies: children(client, namespace, &managed, &mut wakes, |_| {}),
    };
    Watch { clusters, stores, wakes: wakes.boxed() }
}

impl Stores {
    /// Waits until every store has been filled once: before that, what is there looks as if it were missing.
    ///
    /// # Errors
    ///
    /// The watches have ended.
    pub async fn wait_until_ready(&self) -> Result<(), kube::runtime::reflector::store::WriterDropped> {
        let Self { deployments, statefulsets, services, autoscalers, pods, accounts, configs, budgets, policies } =
            self;
        deployments.wait_until_ready().await?;
        statefulsets.wait_until_ready().await?;
        services.wait_until_ready().await?;
        autoscalers.wait_until_ready().await?;
        pods.wait_until_ready().await?;
        accounts.wait_until_ready().await?;
        configs.wait_until_ready().await?;
        budgets.wait_until_ready().await?;
        policies.wait_until_ready().await
    }

    /// The pods of an EditorCluster's gateways.
    pub fn gateways(&self, namespace: &str, cluster: &str) -> Vec<Arc<Pod>> {
        let wanted = selector(cluster, Component::Gateway);
        self.pods.state_filter(|pod| {
            pod.metadata.namespace.as_deref() == Some(namespace) && has_labels(pod.labels(), &wanted)
        })
    }
}

fn has_labels(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// One child by its name, as the watch saw it last.
pub fn find<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace))
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The EditorClusters themselves. Their own status wakes nobody; a change of the spec, of annotations or of finalizers
/// and a deletion do.
fn own(client: &Client, namespace: Option<&str>, wakes: &mut SelectAll<BoxStream<'static, Wake>>) -> Store<Guarded> {
    let (store, writer) = reflector::store();
    let changes = watcher(api::<Guarded>(client, namespace), watcher::Config::default())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects()
        .predicate_filter(
            kube::runtime::Predicate::combine(
                predicates::generation,
                kube::runtime::Predicate::combine(predicates::annotations, predicates::finalizers),
            ),
            kube::runtime::PredicateConfig::default(),
        )
        .map_ok(|object| ReconcileRequest::from(ObjectRef::from_obj(&object)));
    wakes.push(changes.boxed());
    store
}

fn without_template(deployment: &mut Deployment) {
    if let Some(spec) = &mut deployment.spec {
        spec.template = PodTemplateSpec::default();
    }
}

/// A kind of child that `selector` selects; `prune` drops what nobody reads.
fn children<K>(
    client: &Client,
    namespace: Option<&str>,
    selector: &str,
    wakes: &mut SelectAll<BoxStream<'static, Wake>>,
    prune: impl Fn(&mut K) + Send + 'static,
) -> Store<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    K::DynamicType: Hash + Eq,
{
    let (store, writer) = reflector::store();
    let changes = watcher(api::<K>(client, namespace), watcher::Config::default().labels(selector))
        .default_backoff()
        .modify(move |object| {
            object.meta_mut().managed_fields = None;
            prune(object);
        })
        .reflect(writer)
        .touched_objects()
        .try_filter_map(|object| async move {
            let namespace = object.namespace().unwrap_or_default();
            let owner = object.labels().get(INSTANCE);
            Ok(owner.map(|name| ReconcileRequest::from(ObjectRef::<Guarded>::new(name).within(&namespace))))
        });
    wakes.push(changes.boxed());
    store
}
