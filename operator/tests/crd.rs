//! The CRD: fresh, accepted by a real API server, and refusing what is wrong with a sentence that says what to write.
#![allow(clippy::unwrap_used, reason = "the helpers of tests; Clippy excuses test functions alone")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e_servers::ControlPlane;
use operator::crd::EditorCluster;

fn kubectl(plane: &ControlPlane, words: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(&plane.kubeconfig)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("kubectl reads");
    let output = child.wait_with_output().expect("kubectl ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn manifest(name: &str, spec: &str) -> String {
    format!("apiVersion: editorcluster.io/v1alpha1\nkind: EditorCluster\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn the_committed_crd_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/editorclusters.yaml");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == operator::cli::crd_yaml().unwrap(),
        "crds/editorclusters.yaml is stale: cargo run -p operator -- crd > crds/editorclusters.yaml"
    );
}

#[test]
fn the_crd_is_small_enough_for_a_client_side_apply() {
    assert!(operator::cli::crd_yaml().unwrap().len() < 262_144 / 4);
}

#[test]
fn an_api_server_refuses_what_is_wrong_and_takes_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(folder.path()).expect("an API server");
    let (done, said) = kubectl(&plane, &["create", "-f", "-"], &operator::cli::crd_yaml().unwrap());
    assert!(done, "the CRD is refused: {said}");
    let established = ["wait", "--for=condition=Established", "crd/editorclusters.editorcluster.io", "--timeout=60s"];
    let (done, said) = kubectl(&plane, &established, "");
    assert!(done, "{said}");
    refuses_wrong_specs(&plane);
    takes_right_specs(&plane);
    sizes_do_not_change(&plane);
    the_mode_of_redis_does_not_change(&plane);
    replicas_have_no_default_and_scale_works(&plane);
}

fn refuses_wrong_specs(plane: &ControlPlane) {
    let long = "a".repeat(41);
    let too_many_patterns = format!("{{history: {{keepDeleted: [{}]}}}}", ["a"; 51].join(", "));
    let both_postgres = "{storage: {postgres: {managed: {}, external: {secretName: mine}}}}";
    let cases = [
        ("x", "{autoscaling: {minReplicas: 5, maxReplicas: 2}}", "minReplicas must not be above maxReplicas"),
        ("x", "{autoscaling: {minReplicas: 11}}", "write a smaller minReplicas or a larger maxReplicas"),
        ("x", "{autoscaling: {connectionsPerReplica: 0}}", "write how many connections one gateway should hold"),
        ("x", "{autoscaling: {scaleDown: {step: 0}}}", "spec.autoscaling.scaleDown.step"),
        ("x", "{redis: {managed: {}, external: {secretName: mine}}}", "spec.redis has both managed and external"),
        ("x", both_postgres, "spec.storage.postgres has both managed and external"),
        ("x", "{redis: {external: {}}}", "spec.redis.external.secretName: Required value"),
        ("x", "{redis: {managed: {mode: Galactic}}}", "spec.redis.managed.mode: Unsupported value"),
        ("x", "{redis: {managed: {storage: lots}}}", "spec.redis.managed.storage"),
        ("x", "{routing: {expose: {type: Teleport}}}", "spec.routing.expose.type: Unsupported value"),
        ("x", "{routing: {expose: {nodePort: 30080}}}", "nodePort needs type: NodePort"),
        ("x", "{gateway: {durability: Sometimes}}", "spec.gateway.durability: Unsupported value"),
        ("x", "{gateway: {settleSeconds: -1}}", "spec.gateway.settleSeconds"),
        ("x", "{gateway: {resources: {requests: {cpu: fast}}}}", "spec.gateway.resources.requests.cpu"),
        ("x", "{gateway: {limits: {connections: many}}}", "spec.gateway.limits.connections"),
        ("x", "{gateway: {api: Everywhere}}", "spec.gateway.api: Unsupported value"),
        ("x", "{gateway: {sweepSeconds: 0}}", "spec.gateway.sweepSeconds"),
        ("x", "{history: {keep: -1}}", "spec.history.keep"),
        ("x", "{history: {everySeconds: 0}}", "spec.history.everySeconds"),
        ("x", "{history: {keepDeleted: ['']}}", "spec.history.keepDeleted[0]"),
        ("x", "{history: {keepDeleted: [notes, '*/1']}}", "spec.history.keepDeleted[1]"),
        ("x", "{history: {keepDeleted: [\"a\\nb\"]}}", "spec.history.keepDeleted[0]"),
        ("x", too_many_patterns.as_str(), "spec.history.keepDeleted: Too many"),
        ("x", "{storage: {deletionPolicy: Shred}}", "spec.storage.deletionPolicy: Unsupported value"),
        ("x", "{replicas: 0}", "spec.replicas"),
        ("x", "{gatway: {}}", "unknown field"),
        (long.as_str(), "{}", "write a shorter name"),
    ];
    for (name, spec, sentence) in cases {
        let (done, said) = kubectl(plane, &["apply", "--dry-run=server", "-f", "-"], &manifest(name, spec));
        assert!(!done && said.contains(sentence), "{spec} should be refused with {sentence:?}: {said}");
    }
}

fn takes_right_specs(plane: &ControlPlane) {
    let everything = "
  image: registry.example/editorcluster:1
  gateway:
    resources: {requests: {cpu: 1, memory: 128Mi}, limits: {memory: 1Gi}}
    nodeSelector: {disk: fast}
    tolerations: [{key: dedicated, operator: Exists, effect: NoSchedule}]
    affinity: {nodeAffinity: {}}
    limits: {connections: 100, messageBytes: 4096, documentBytes: 4096}
    settleSeconds: 0
    drainWindowSeconds: 0
    durability: Database
    api: Admin
    sweepSeconds: 5
  history: {keep: 0, keepHours: 1, everySeconds: 1, pauseSeconds: 1, tombstoneHours: 1, keepDeleted: [notes, 'größe/*', '*']}
  autoscaling: {minReplicas: 1, maxReplicas: 1, connectionsPerReplica: 1, cpuUtilization: 80, memoryUtilization: 80, scaleDown: {stabilizationSeconds: 0, step: 3}}
  redis: {external: {secretName: mine, key: address}}
  storage: {deletionPolicy: Delete, postgres: {external: {secretName: mine}}}
  routing: {expose: {type: NodePort, nodePort: 30080}}
  web: {enabled: false}
  networkPolicy: {enabled: false}
";
    let forty = "a".repeat(40);
    let cases = [
        ("x", "{}"),
        ("x", "{autoscaling: {minReplicas: 2, maxReplicas: 40, connectionsPerReplica: 5000}}"),
        ("x", "{redis: {managed: null, external: {secretName: mine}}}"),
        ("x", "{redis: {managed: {mode: Standalone, storage: 2Gi}}, storage: {postgres: {managed: {size: 10Gi}}}}"),
        ("x", everything),
        (forty.as_str(), "{}"),
    ];
    for (name, spec) in cases {
        let (done, said) = kubectl(plane, &["apply", "--dry-run=server", "-f", "-"], &manifest(name, spec));
        assert!(done, "{spec} should be taken: {said}");
    }
}

fn sizes_do_not_change(plane: &ControlPlane) {
    let (done, said) = kubectl(plane, &["apply", "-f", "-"], &manifest("sizes", "{}"));
    assert!(done, "{said}");
    let cases = [
        ("{redis: {managed: {storage: 1Gi}}}", true),
        ("{redis: {managed: {storage: 2Gi}}}", false),
        ("{storage: {postgres: {managed: {size: 5Gi}}}}", true),
        ("{storage: {postgres: {managed: {size: 6Gi}}}}", false),
        ("{redis: {external: {secretName: mine}}}", true),
    ];
    for (spec, taken) in cases {
        let (done, said) = kubectl(plane, &["apply", "--dry-run=server", "-f", "-"], &manifest("sizes", spec));
        assert_eq!(done, taken, "{spec}: {said}");
        assert!(done || said.contains("write the size it had"), "{spec}: {said}");
    }
}

fn the_mode_of_redis_does_not_change(plane: &ControlPlane) {
    let of = |mode: &str| format!("{{redis: {{managed: {{mode: {mode}}}}}}}");
    let (done, said) = kubectl(plane, &["apply", "-f", "-"], &manifest("modes", &of("Replicated")));
    assert!(done, "{said}");
    let external = "{redis: {external: {secretName: mine}}}".to_owned();
    let cases = [
        ("modes", of("Replicated"), true),
        ("modes", of("Cluster"), false),
        ("modes", of("Standalone"), false),
        ("modes", "{}".into(), false),
    ];
    let also = [("modes", external, true), ("sizes", of("Standalone"), true), ("sizes", of("Replicated"), false)];
    for (name, spec, taken) in cases.into_iter().chain(also) {
        let (done, said) = kubectl(plane, &["apply", "--dry-run=server", "-f", "-"], &manifest(name, &spec));
        assert_eq!(done, taken, "{spec}: {said}");
        assert!(done || said.contains("write the mode it had"), "{spec}: {said}");
    }
}

fn replicas_have_no_default_and_scale_works(plane: &ControlPlane) {
    let replicas = ["get", "ec", "sizes", "-o", "jsonpath={.spec.replicas}"];
    assert_eq!(kubectl(plane, &replicas, ""), (true, String::new()));
    let (done, said) =
        kubectl(plane, &["patch", "ec", "sizes", "--type=merge", "-p", r#"{"spec":{"replicas":3}}"#], "");
    assert!(done, "{said}");
    let (done, said) = kubectl(plane, &["scale", "ec", "sizes", "--replicas=4"], "");
    assert!(done, "{said}");
    assert_eq!(kubectl(plane, &replicas, "").1, "4");
    let (_, said) = kubectl(plane, &["get", "all"], "");
    assert!(said.contains("editorcluster.editorcluster.io/sizes"), "an EditorCluster is in `all`: {said}");
    let (done, said) = kubectl(plane, &["get", "ec"], "");
    assert!(
        done && ["READY", "REPLICAS", "CONNECTIONS", "DOCUMENTS", "ENDPOINT", "AGE"].iter().all(|it| said.contains(it)),
        "{said}"
    );
}

/// The rules without an API server: these run where its binaries cannot be had.
#[test]
fn the_rules_hold_by_themselves_too() {
    let cases = [
        ("{autoscaling: {minReplicas: 5, maxReplicas: 2}}", Some("minReplicas must not be above")),
        ("{autoscaling: {connectionsPerReplica: 0}}", Some("connectionsPerReplica must be 1 or more")),
        ("{redis: {managed: {}, external: {secretName: a}}}", Some("spec.redis has both")),
        ("{redis: {external: {secretName: a, tls: {}}}}", Some("spec.redis.external.tls says nothing")),
        ("{redis: {external: {secretName: a, tls: {caSecretName: b}}}}", None),
        ("{storage: {postgres: {managed: {}, external: {secretName: a}}}}", Some("spec.storage.postgres has both")),
        ("{routing: {expose: {nodePort: 30080}}}", Some("nodePort needs")),
        ("{}", None),
    ];
    for (spec, sentence) in cases {
        let object: EditorCluster = serde_yaml::from_str(&manifest("x", spec)).unwrap();
        match (object.validate_cel(), sentence) {
            (Ok(()), None) => {}
            (Err(errors), Some(sentence)) => assert!(errors.to_string().contains(sentence), "{spec}: {errors}"),
            (result, _) => panic!("{spec}: {result:?}"),
        }
    }
}
