//! The controller against a real API server. Nothing makes pods here, so what is seen is what the operator writes.
#![allow(clippy::unwrap_used, reason = "the helpers of tests; Clippy excuses test functions alone")]

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e_servers::ControlPlane;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, Resource, ResourceExt};
use operator::controller::settings::Images;
use operator::controller::telemetry::Telemetry;
use operator::controller::{self, Shared};
use operator::crd::EditorCluster;
use operator::metrics_api::MetricsAvailability;
use operator::scrape::ConnectionSource;
use prometheus::Registry;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A namespace on an API server on which the controller runs.
struct World {
    client: Client,
    shutdown: CancellationToken,
    registry: Registry,
    _plane: ControlPlane,
    _folder: tempfile::TempDir,
}

const NAMESPACE: &str = "team";

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let plane =
            tokio::task::spawn_blocking(move || ControlPlane::start(&path)).await.unwrap().expect("an API server");
        let kubeconfig = Kubeconfig::read_from(&plane.kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        crds.create(&PostParams::default(), &operator::crd::definition().unwrap()).await.unwrap();
        await_condition(crds, "editorclusters.editorcluster.io", is_crd_established()).await.unwrap();
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let world = Self {
            client,
            shutdown: CancellationToken::new(),
            registry: Registry::new(),
            _plane: plane,
            _folder: folder,
        };
        world.start_controller(&world.registry);
        world
    }

    fn start_controller(&self, registry: &Registry) {
        let images =
            Images { gateway: "gateway:1".to_owned(), redis: "redis:1".to_owned(), postgres: "postgres:1".to_owned() };
        let figures = Arc::new(ConnectionSource::new(self.client.clone(), 9090).unwrap());
        let (_, metrics) = watch::channel(MetricsAvailability::Pending);
        let telemetry = Telemetry::new(registry).unwrap();
        let shared = Shared::new(self.client.clone(), images, figures, telemetry, metrics, "test".to_owned());
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move { controller::run(Arc::new(shared), &[], shutdown).await });
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn create(&self, name: &str, spec: Value) {
        let object = json!({"apiVersion": "editorcluster.io/v1alpha1", "kind": "EditorCluster", "metadata": {"name": name}, "spec": spec});
        self.api()
            .create(&PostParams::default(), &serde_json::from_value::<EditorCluster>(object).unwrap())
            .await
            .unwrap();
    }

    async fn patch<K>(&self, name: &str, patch: Value)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Asks again and again until `read` gives something, for 40 s at most.
    async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, mut read: impl FnMut() -> F) -> T {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Some(found) = read().await {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_is<K>(&self, what: &str, name: &str, is_so: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.until(what, || async { self.api::<K>().get_opt(name).await.unwrap().filter(|object| is_so(object)) }).await
    }

    async fn names<K>(&self) -> Vec<String>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let list = self.api::<K>().list(&ListParams::default().labels("app.kubernetes.io/instance")).await.unwrap();
        list.items.iter().map(ResourceExt::name_any).collect()
    }

    /// Every object of the namespace with its version.
    async fn versions(&self) -> Vec<(String, Option<String>)> {
        let mut versions = Vec::new();
        macro_rules! add {
            ($($kind:ty),+) => {$(
                for object in self.api::<$kind>().list(&ListParams::default()).await.unwrap().items {
                    versions.push((format!("{} {}", <$kind>::kind(&()), object.name_any()), object.resource_version()));
                }
            )+};
        }
        add!(EditorCluster, Deployment, StatefulSet, Service, ConfigMap, Secret, ServiceAccount, NetworkPolicy);
        add!(PodDisruptionBudget, HorizontalPodAutoscaler);
        versions
    }

    /// Waits until everything of `name` has been made.
    async fn applied(&self, name: &str) {
        self.until_is::<HorizontalPodAutoscaler>(
            "the autoscaler, which comes last",
            &format!("{name}-gateway"),
            |_| true,
        )
        .await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn condition(object: &EditorCluster, kind: &str) -> Option<(String, String, String)> {
    let all = &object.status.as_ref()?.conditions;
    let found = all.iter().find(|condition| condition.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_lines_become_an_editing_back_end_and_then_nothing_is_written() {
    let world = World::start().await;
    world.create("novel", json!({"autoscaling": {"minReplicas": 3}})).await;
    world.applied("novel").await;

    assert_eq!(world.names::<Deployment>().await, ["novel-gateway"]);
    assert_eq!(world.names::<StatefulSet>().await, ["novel-postgres", "novel-redis"]);
    assert_eq!(world.names::<Service>().await, ["novel-gateway", "novel-postgres", "novel-redis"]);
    assert_eq!(world.names::<ConfigMap>().await, ["novel-postgres", "novel-redis"]);
    assert_eq!(world.names::<Secret>().await, ["novel-postgres", "novel-redis"]);
    assert_eq!(world.names::<ServiceAccount>().await, ["novel-gateway"]);
    assert_eq!(world.names::<PodDisruptionBudget>().await, ["novel-gateway"]);
    assert_eq!(world.names::<NetworkPolicy>().await, ["novel-gateway", "novel-postgres", "novel-redis"]);

    let object = world.until_is::<EditorCluster>("a target", "novel", |it| it.spec.replicas == Some(3)).await;
    let status = object.status.clone().unwrap_or_default();
    assert_eq!(status.replicas, Some(3));
    assert!(status.selector.unwrap().contains("app.kubernetes.io/component=gateway"));
    assert_eq!(condition(&object, "Ready").unwrap().1, "RedisNotReady");
    let deployment = world.api::<Deployment>().get("novel-gateway").await.unwrap();
    assert_eq!(replicas(&deployment), Some(3));
    assert_eq!(deployment.owner_references()[0].uid, object.uid().unwrap());

    // Longer than the 15 s after which everything is looked at again.
    let before = world.versions().await;
    let reconciles =
        || world.registry.gather()[0].get_metric().iter().map(|it| it.get_counter().get_value()).sum::<f64>();
    let settled = reconciles();
    world.until("it was looked at again", || async { (reconciles() > settled).then_some(()) }).await;
    assert_eq!(world.versions().await, before);

    let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    assert!(
        events.iter().any(|it| it.reason.as_deref() == Some("ForTrying") && it.type_.as_deref() == Some("Warning"))
    );

    // A second operator, which remembers nothing, changes nothing either.
    let registry = Registry::new();
    world.start_controller(&registry);
    let seen = || registry.gather().first().map_or(0.0, |it| it.get_metric()[0].get_counter().get_value());
    world.until("the second operator has looked", || async { (seen() > 0.0).then_some(()) }).await;
    assert_eq!(world.versions().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_undone_additions_stay_and_the_unwanted_goes() {
    let world = World::start().await;
    world.create("novel", json!({})).await;
    world.applied("novel").await;
    let password = world.api::<Secret>().get("novel-redis").await.unwrap().data;

    let noise = json!({"metadata": {"annotations": {"team": "mine"}}, "spec": {"replicas": 7}});
    world.patch::<Deployment>("novel-gateway", noise).await;
    let deployment =
        world.until_is::<Deployment>("replicas are 2 again", "novel-gateway", |it| replicas(it) == Some(2)).await;
    assert_eq!(deployment.annotations()["team"], "mine");
    world.api::<Service>().delete("novel-redis", &DeleteParams::default()).await.unwrap();
    world.until_is::<Service>("the Service is back", "novel-redis", |_| true).await;

    world.patch::<EditorCluster>("novel", json!({"spec": {"networkPolicy": {"enabled": false}}})).await;
    world
        .until("no NetworkPolicy is left", || async { world.names::<NetworkPolicy>().await.is_empty().then_some(()) })
        .await;
    assert_eq!(world.api::<Secret>().get("novel-redis").await.unwrap().data, password, "a password was rotated");

    let foreign = json!({"metadata": {"name": "novel-extra", "labels": {
        "app.kubernetes.io/managed-by": "editorcluster-operator", "app.kubernetes.io/instance": "novel"}}});
    let foreign: ConfigMap = serde_json::from_value(foreign).unwrap();
    world.api().create(&PostParams::default(), &foreign).await.unwrap();
    let secret = json!({"metadata": {"name": "mine"}, "stringData": {"url": "redis://elsewhere"}});
    world.api::<Secret>().create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let external = json!({"spec": {"redis": {"external": {"secretName": "mine"}}}});
    world.patch::<EditorCluster>("novel", external).await;
    world
        .until("Redis is gone", || async {
            let left = (world.names::<StatefulSet>().await, world.names::<Secret>().await);
            (left == (vec!["novel-postgres".to_owned()], vec!["novel-postgres".to_owned()])).then_some(())
        })
        .await;
    world.api::<ConfigMap>().get("novel-extra").await.expect("what has our labels and not our owner is not ours");
    let env = world.until_is::<Deployment>("the other Redis is used", "novel-gateway", |it| {
        let text = serde_json::to_string(it).unwrap();
        text.contains(r#"{"secret":{"items":[{"key":"url","path":"url"}],"name":"mine"}}"#)
    });
    env.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_of_many_servers_is_taken_by_the_api_server_as_it_is_built() {
    let world = World::start().await;
    for (name, mode, servers) in [("novel", "Replicated", 3), ("essay", "Cluster", 6)] {
        world.create(name, json!({"redis": {"managed": {"mode": mode}}})).await;
        world.applied(name).await;
        let redis = world.api::<StatefulSet>().get(&format!("{name}-redis")).await.unwrap();
        assert_eq!(redis.spec.unwrap().replicas, Some(servers));
        let budgets = world.names::<PodDisruptionBudget>().await;
        assert!(budgets.contains(&format!("{name}-redis")), "{budgets:?}");
        let service = world.api::<Service>().get(&format!("{name}-redis")).await.unwrap().spec.unwrap();
        assert_eq!(service.cluster_ip.as_deref(), Some("None"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_secret_is_told_with_its_remedy_and_what_runs_stays() {
    let world = World::start().await;
    world.create("novel", json!({})).await;
    world.applied("novel").await;
    let generations = || async {
        let sets = world.api::<StatefulSet>().list(&ListParams::default()).await.unwrap().items;
        let gateways = world.api::<Deployment>().list(&ListParams::default()).await.unwrap().items;
        let all = sets.iter().map(|it| it.metadata.generation).chain(gateways.iter().map(|it| it.metadata.generation));
        all.collect::<Vec<_>>()
    };
    let before = generations().await;
    let wrong = json!({"spec": {"storage": {"postgres": {"external": {"secretName": "nowhere"}}}}});
    world.patch::<EditorCluster>("novel", wrong).await;
    let object = world.until_is::<EditorCluster>("the reason", "novel", |it| {
        condition(it, "Ready").is_some_and(|(_, reason, _)| reason == "SecretNotFound")
    });
    let object = object.await;
    let (status, _, message) = condition(&object, "Ready").unwrap();
    assert_eq!(status, "False");
    for word in ["spec.storage.postgres.external.secretName", "nowhere", "create it", "team"] {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    assert_eq!(object.status.unwrap().observed_generation, object.metadata.generation);
    assert_eq!(generations().await, before);

    // Nothing tells that a user's Secret has come; it is looked for.
    let secret = json!({"metadata": {"name": "nowhere"}, "stringData": {"uri": "postgresql://u:p@h:5432/d"}});
    world.api::<Secret>().create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    world
        .until_is::<EditorCluster>("it goes on", "novel", |it| {
            condition(it, "StorageReady").is_some_and(|(status, reason, _)| status == "True" && reason == "External")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_survive_every_way_to_apply_a_manifest_again() {
    let world = World::start().await;
    world.create("novel", json!({})).await;
    world.applied("novel").await;
    world.patch::<EditorCluster>("novel", json!({"spec": {"replicas": 4}})).await;
    world.until_is::<Deployment>("4 gateways", "novel-gateway", |it| replicas(it) == Some(4)).await;
    world
        .until_is::<EditorCluster>("status says 4", "novel", |it| {
            it.status.as_ref().and_then(|status| status.replicas) == Some(4)
        })
        .await;

    // `kubectl replace`: the object without `replicas`.
    let mut object = world.api::<EditorCluster>().get("novel").await.unwrap();
    object.spec.replicas = None;
    object.metadata.managed_fields = None;
    world.api::<EditorCluster>().replace("novel", &PostParams::default(), &object).await.unwrap();
    world.until_is::<EditorCluster>("replicas are written again", "novel", |it| it.spec.replicas == Some(4)).await;
    assert_eq!(replicas(&world.api::<Deployment>().get("novel-gateway").await.unwrap()), Some(4));

    // Server-side apply by somebody who owns it all and leaves `replicas` out.
    let manifest = json!({"apiVersion": "editorcluster.io/v1alpha1", "kind": "EditorCluster",
        "metadata": {"name": "novel"}, "spec": {"autoscaling": {"maxReplicas": 9}}});
    let params = PatchParams::apply("somebody").force();
    world.api::<EditorCluster>().patch("novel", &params, &Patch::Apply(&manifest)).await.unwrap();
    world
        .until_is::<HorizontalPodAutoscaler>("the change is there", "novel-gateway", |it| it.spec.max_replicas == 9)
        .await;
    assert_eq!(world.api::<EditorCluster>().get("novel").await.unwrap().spec.replicas, Some(4));
    assert_eq!(replicas(&world.api::<Deployment>().get("novel-gateway").await.unwrap()), Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_that_does_not_decode_stops_nobody_else() {
    let world = World::start().await;
    // An older CRD, in which anything went.
    let open = json!({"spec": {"versions": [{"name": "v1alpha1", "served": true, "storage": true,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    crds.patch("editorclusters.editorcluster.io", &PatchParams::default(), &Patch::Merge(open)).await.unwrap();
    let broken = json!({"apiVersion": "editorcluster.io/v1alpha1", "kind": "EditorCluster",
        "metadata": {"name": "broken"}, "spec": {"autoscaling": "lots"}});
    let resource = kube::api::ApiResource::erase::<EditorCluster>(&());
    let anything: Api<kube::api::DynamicObject> = Api::namespaced_with(world.client.clone(), NAMESPACE, &resource);
    world
        .until("the open CRD serves", || async {
            anything.create(&PostParams::default(), &serde_json::from_value(broken.clone()).unwrap()).await.ok()
        })
        .await;
    world.create("novel", json!({})).await;
    world.applied("novel").await;
    world
        .until("an Event says it", || async {
            let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
            events.into_iter().find(|it| it.reason.as_deref() == Some("SpecUnreadable"))
        })
        .await;
}
