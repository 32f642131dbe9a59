use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::controller::dereference::Dereferenced;
use crate::controller::settings::Images;
use crate::controller::validate::validate;
use crate::metrics_api::MetricsAvailability;

/// An EditorCluster of two gateways, all of which are well.
struct World {
    object: EditorCluster,
    deployment: Value,
    pods: Vec<Value>,
    stores_ready: i32,
    metrics: MetricsAvailability,
    scaling_active: &'static str,
    load: Option<Totals>,
    written: FiguresWritten,
}

fn pod(name: &str, ready: bool, host: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"hostIP": host,
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
}

impl World {
    fn well() -> Self {
        let object = json!({"apiVersion": "editorcluster.io/v1alpha1", "kind": "EditorCluster",
            "metadata": {"name": "novel", "namespace": "team", "uid": "1", "generation": 3},
            "spec": {"routing": {"expose": {"type": "NodePort"}}}});
        Self {
            object: serde_json::from_value(object).unwrap(),
            deployment: json!({"metadata": {"generation": 1}, "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "conditions": [
                    {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}}),
            pods: vec![pod("a", true, "10.0.0.2"), pod("b", true, "10.0.0.1")],
            stores_ready: 1,
            metrics: MetricsAvailability::Serving,
            scaling_active: "True",
            load: Some(Totals { connections: 100, documents: 7, ..Totals::default() }),
            written: FiguresWritten::default(),
        }
    }

    fn status(&mut self, target: i32) -> EditorClusterStatus {
        let images = Images { gateway: "g".into(), redis: "r".into(), postgres: "p".into() };
        let plan = validate(&self.object, &Dereferenced::default(), &images).unwrap();
        let pods = self.pods.iter().map(|pod| Arc::new(serde_json::from_value::<Pod>(pod.clone()).unwrap()));
        let deployment = serde_json::from_value::<Deployment>(self.deployment.clone()).unwrap();
        let gateways = Gateways { deployment: Some(Arc::new(deployment)), pods: pods.collect() };
        let store: StatefulSet = serde_json::from_value(
            json!({"metadata": {}, "status": {"replicas": 1, "readyReplicas": self.stores_ready}}),
        )
        .unwrap();
        let service = json!({"metadata": {}, "spec": {"ports": [{"port": 80, "nodePort": 30123}]}});
        let autoscaler = json!({"metadata": {"name": "novel-gateway"}, "spec": {"maxReplicas": 1, "scaleTargetRef": {"kind": "x", "name": "x"}},
            "status": {"desiredReplicas": 2, "conditions": [{"type": "ScalingActive", "status": self.scaling_active, "message": "no metrics\nmore"}]}});
        let seen = Seen {
            gateways: &gateways,
            redis: Some(&store),
            postgres: Some(&store),
            service: Some(&serde_json::from_value(service).unwrap()),
            autoscaler: Some(&serde_json::from_value(autoscaler).unwrap()),
            load: self.load.as_ref(),
            metrics: &self.metrics,
        };
        of_applied(&self.object, &plan, target, &seen, &mut self.written)
    }
}

fn reasons(status: &EditorClusterStatus) -> Vec<String> {
    status.conditions.iter().map(|it| format!("{}={} {}", it.type_, it.status, it.reason)).collect()
}

#[test]
fn when_all_is_well_it_says_so() {
    let status = World::well().status(2);
    assert_eq!(
        reasons(&status),
        [
            "RedisReady=True Running",
            "StorageReady=True ForTrying",
            "Ready=True AllReady",
            "Progressing=False Settled",
            "Degraded=False AsWanted",
            "MetricsAvailable=True MetricsServed",
        ]
    );
    assert_eq!((status.replicas, status.ready_replicas, status.draining), (Some(2), Some(2), Some(0)));
    assert_eq!((status.connections, status.documents), (Some(100), Some(7)));
    assert_eq!(status.endpoint.as_deref(), Some("http://10.0.0.1:30123"));
    assert_eq!(status.observed_generation, Some(3));
}

#[test]
fn the_same_again_is_the_same_status() {
    let mut world = World::well();
    let first = world.status(2);
    world.object.status = Some(first.clone());
    assert_eq!(world.status(2), first);
}

#[test]
fn what_is_not_well_names_itself_and_a_remedy() {
    type Break = fn(&mut World);
    let cases: [(&str, Break, &str, &str); 7] = [
        ("stores", |it| it.stores_ready = 0, "Ready=False RedisNotReady", "kubectl describe pod novel-redis-0"),
        (
            "gateways",
            |it| it.pods = vec![pod("a", false, "h")],
            "Ready=False GatewaysStarting",
            "kubectl describe pods",
        ),
        ("gateways", |it| it.pods.clear(), "Degraded=True GatewaysMissing", "kubectl describe pods"),
        ("hpa", |it| it.scaling_active = "False", "MetricsAvailable=False MetricsFailing", "kubectl get apiservice"),
        (
            "provider",
            |it| it.metrics = MetricsAvailability::OtherProvider("v1beta1.custom.metrics.k8s.io".into()),
            "MetricsAvailable=False MetricsOtherProvider",
            "v1beta1.custom.metrics.k8s.io",
        ),
        (
            "off",
            |it| it.metrics = MetricsAvailability::Disabled,
            "MetricsAvailable=False MetricsDisabled",
            "--metrics-api",
        ),
        (
            "rollout",
            |it| {
                it.deployment["status"]["conditions"] =
                    json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}])
            },
            "Degraded=True RolloutStuck",
            "newest pods",
        ),
    ];
    for (what, break_it, reason, remedy) in cases {
        let mut world = World::well();
        break_it(&mut world);
        let status = world.status(2);
        assert!(reasons(&status).contains(&reason.to_owned()), "{what}: {:?}", reasons(&status));
        assert!(status.conditions.iter().any(|it| it.message.contains(remedy)), "{what}: {:?}", status.conditions);
    }
}

#[test]
fn a_store_that_most_gateways_cannot_reach_is_not_ready_however_well_its_pods_are() {
    let found = |asked, without_log, without_store| {
        let mut world = World::well();
        world.load = Some(Totals { asked, without_log, without_store, ..Totals::default() });
        world.status(2)
    };
    for (asked, without) in [(0, 0), (2, 1), (3, 1)] {
        assert!(reasons(&found(asked, without, without)).contains(&"Ready=True AllReady".to_owned()));
    }
    let status = found(3, 0, 2);
    let said = reasons(&status);
    assert!(said.contains(&"StorageReady=False Unreachable".to_owned()), "{said:?}");
    assert!(said.contains(&"RedisReady=True Running".to_owned()), "{said:?}");
    assert!(said.contains(&"Ready=False StorageNotReady".to_owned()), "{said:?}");
    assert!(status.conditions.iter().any(|it| it.message.contains("2 of 3 gateways cannot reach Postgres")));
    let said = reasons(&found(1, 1, 0));
    assert!(said.contains(&"RedisReady=False Unreachable".to_owned()), "{said:?}");
    assert!(said.contains(&"Ready=False RedisNotReady".to_owned()), "{said:?}");
}

#[test]
fn a_replicated_redis_may_miss_one_server_and_a_cluster_one_of_each_two() {
    let (running, missing, starting) =
        ("RedisReady=True Running", "RedisReady=True ServersMissing", "RedisReady=False Starting");
    let cases = [
        ("Replicated", 3, running),
        ("Replicated", 2, missing),
        ("Replicated", 1, starting),
        ("Cluster", 6, running),
        ("Cluster", 5, missing),
        ("Cluster", 3, missing),
        ("Cluster", 2, starting),
    ];
    for (mode, ready, condition) in cases {
        let mut world = World::well();
        world.object.spec.redis = serde_json::from_value(json!({"managed": {"mode": mode}})).unwrap();
        world.stores_ready = ready;
        let said = reasons(&world.status(2));
        assert!(said.contains(&condition.to_owned()), "{mode} with {ready}: {said:?}");
    }
}

#[test]
fn replicas_are_the_accepted_target_and_never_a_count() {
    let mut world = World::well();
    world.pods.push(pod("surge", true, "h"));
    let mut ending = pod("old", true, "h");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.pods.push(ending);
    let status = world.status(1);
    assert_eq!((status.replicas, status.ready_replicas, status.draining), (Some(1), Some(3), Some(1)));
}

#[test]
fn connections_are_written_when_they_moved_by_a_twentieth_and_seldom() {
    for (now, written) in [(104, 100), (105, 105), (95, 95), (96, 100)] {
        let mut world = World::well();
        let before = world.status(2);
        world.object.status = Some(before);
        world.written = FiguresWritten::default();
        world.load = Some(Totals { connections: now, documents: 7, ..Totals::default() });
        assert_eq!(world.status(2).connections, Some(written), "from 100 to {now}");
    }
    let mut world = World::well();
    world.object.status = Some(world.status(2));
    world.load = Some(Totals { connections: 1000, documents: 7, ..Totals::default() });
    assert_eq!(world.status(2).connections, Some(100), "30 s have not gone by");
}

#[test]
fn figures_that_are_not_known_stay_as_they_were() {
    let mut world = World::well();
    world.object.status = Some(world.status(2));
    world.load = None;
    assert_eq!(world.status(2).connections, Some(100));
}

#[test]
fn a_spec_that_cannot_be_built_leaves_what_the_status_says_of_what_runs() {
    let mut world = World::well();
    world.object.status = Some(world.status(2));
    let invalid = Invalid::SecretNotFound {
        field: "spec.redis.external.secretName",
        secret: "s".into(),
        namespace: "team".into(),
    };
    let status = of_invalid(&world.object, &invalid);
    assert_eq!((status.replicas, status.connections), (Some(2), Some(100)));
    assert!(reasons(&status).contains(&"Ready=False SecretNotFound".to_owned()));
    assert!(reasons(&status).contains(&"RedisReady=True Running".to_owned()));
}

#[test]
fn an_endpoint_that_people_know_stays_while_its_node_has_a_gateway() {
    let mut world = World::well();
    let known = Some("http://10.0.0.2:30123".to_owned());
    world.object.status = Some(EditorClusterStatus { endpoint: known.clone(), ..EditorClusterStatus::default() });
    assert_eq!(world.status(2).endpoint, known);
    world.pods.remove(0);
    assert_eq!(world.status(2).endpoint.as_deref(), Some("http://10.0.0.1:30123"));
}
