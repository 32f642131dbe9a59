//! The chart: what `helm lint` and `helm template` make of it.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use serde_yaml::Deserializer;

static HELM: LazyLock<PathBuf> =
    LazyLock::new(|| e2e_servers::gotools::path("helm", &|what| eprintln!("{what}")).expect("helm"));

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart() -> PathBuf {
    workspace().join("charts/editorcluster")
}

fn helm(words: &[&str]) -> Output {
    // A home of its own, so that the test neither reads nor writes the user's.
    let home = tempfile::tempdir().unwrap();
    Command::new(&*HELM).args(words).env("HOME", home.path()).env_remove("KUBECONFIG").output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The objects of the chart in namespace `system`, with these `--set`s.
fn template(sets: &[&str]) -> Vec<Value> {
    let chart = chart();
    let mut words = vec!["template", "ec", chart.to_str().unwrap(), "--namespace", "system"];
    words.extend(sets.iter().flat_map(|set| ["--set", set]));
    let output = helm(&words);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = Deserializer::from_str(&text).map(|document| serde::Deserialize::deserialize(document).unwrap());
    documents.filter(|object: &Value| !object.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let names: Vec<_> = of_kind(objects, kind).iter().map(|object| object["metadata"]["name"].to_string()).collect();
    let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}, only {names:?}"))
}

/// Every rule of every role, as (role, groups, resources, names, verbs).
fn rules(objects: &[Value]) -> Vec<(&Value, &Value)> {
    let roles = of_kind(objects, "ClusterRole").into_iter().chain(of_kind(objects, "Role"));
    roles.flat_map(|role| role["rules"].as_array().unwrap().iter().map(move |rule| (role, rule))).collect()
}

fn has(list: &Value, word: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|one| one == word))
}

#[test]
fn the_chart_passes_helm_lint() {
    let output = helm(&["lint", "--strict", chart().to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
}

#[test]
fn the_chart_s_crd_is_the_one_that_is_committed() {
    let read =
        |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let is_same = read(workspace().join("crds/editorclusters.yaml")) == read(chart().join("files/editorclusters.yaml"));
    assert!(is_same, "it is stale; run: cp crds/editorclusters.yaml charts/editorcluster/files/");
}

#[test]
fn the_crd_is_installed_as_it_is_and_kept_by_an_uninstall() {
    let objects = template(&[]);
    let mut crd = named(&objects, "CustomResourceDefinition", "editorclusters.editorcluster.io").clone();
    assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    crd["metadata"].as_object_mut().unwrap().remove("annotations");
    let file = std::fs::read_to_string(chart().join("files/editorclusters.yaml")).unwrap();
    assert_eq!(crd, serde_yaml::from_str::<Value>(&file).unwrap());
    assert!(of_kind(&template(&["crds.enabled=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn the_operator_runs_with_no_rights_on_its_node() {
    let objects = template(&[]);
    let deployment = named(&objects, "Deployment", "ec-editorcluster");
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    let expected = serde_json::json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    assert_eq!(pod["containers"][0]["securityContext"], expected);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(pod["containers"][0][probe]["httpGet"]["port"], "admin", "{probe}");
    }
    assert!(pod["containers"][0]["resources"]["limits"]["memory"].is_string());
    assert!(pod.get("volumes").is_none(), "nothing is mounted that somebody could write to");
}

#[test]
fn every_environment_variable_of_the_deployment_is_one_that_the_operator_knows() {
    let output = Command::new(env!("CARGO_BIN_EXE_operator")).args(["run", "--help"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let help = String::from_utf8(output.stdout).unwrap();
    for sets in [&[][..], &["metricsApi.enabled=false"], &["watchNamespaces={a,b}"]] {
        let objects = template(sets);
        let deployment = named(&objects, "Deployment", "ec-editorcluster");
        let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        for name in variables.iter().map(|variable| variable["name"].as_str().unwrap()) {
            assert!(help.contains(&format!("{name}=")), "the operator does not read {name}");
        }
    }
}

#[test]
fn nothing_lists_or_watches_secrets_and_no_rule_has_a_wildcard() {
    for sets in [&[][..], &["watchNamespaces={a,b}"]] {
        let objects = template(sets);
        for (role, rule) in rules(&objects) {
            let name = &role["metadata"]["name"];
            for list in ["apiGroups", "resources", "verbs"] {
                assert!(!has(&rule[list], "*"), "{name}: {rule}");
            }
            if has(&rule["resources"], "secrets") {
                for verb in ["list", "watch", "patch"] {
                    assert!(!has(&rule["verbs"], verb), "{name} may {verb} secrets");
                }
            }
            for verb in ["escalate", "bind", "impersonate", "deletecollection"] {
                let is_of_people = name.as_str().unwrap().ends_with("-edit");
                assert!(is_of_people || !has(&rule["verbs"], verb), "{name} may {verb}");
            }
        }
    }
}

#[test]
fn other_apiservices_than_ours_are_out_of_the_operator_s_reach() {
    let objects = template(&[]);
    for (_, rule) in rules(&objects).iter().filter(|(_, rule)| has(&rule["resources"], "apiservices")) {
        let changes = ["update", "patch", "delete"].iter().any(|verb| has(&rule["verbs"], verb));
        assert!(!changes || rule["resourceNames"] == serde_json::json!(["v1beta2.custom.metrics.k8s.io"]), "{rule}");
    }
}

#[test]
fn with_namespaces_to_watch_the_rights_are_there_alone() {
    let objects = template(&["watchNamespaces={team-a,team-b}", "metricsApi.enabled=false"]);
    assert!(of_kind(&objects, "ClusterRoleBinding").is_empty());
    let bindings = of_kind(&objects, "RoleBinding");
    let mut places: Vec<_> = bindings.iter().map(|one| one["metadata"]["namespace"].as_str().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, ["system", "team-a", "team-b"]);
    assert!(!of_kind(&template(&[]), "ClusterRoleBinding").is_empty());
}

#[test]
fn the_metrics_api_can_be_left_out_with_all_its_rights() {
    let on = template(&[]);
    let service = named(&on, "Service", "ec-editorcluster");
    let deployment = named(&on, "Deployment", "ec-editorcluster");
    assert_eq!(service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
    named(&on, "ClusterRole", "ec-editorcluster-metrics-api");
    let off = template(&["metricsApi.enabled=false"]);
    assert!(of_kind(&off, "Service").is_empty());
    assert!(!rules(&off).iter().any(|(_, rule)| has(&rule["resources"], "apiservices")));
    let everything = serde_json::to_string(&off).unwrap();
    assert!(!everything.contains("auth-delegator") && !everything.contains("kube-system"));
}

#[test]
fn the_operator_s_labels_are_none_that_an_editorcluster_s_selectors_find() {
    let objects = template(&[]);
    let labels = &named(&objects, "Deployment", "ec-editorcluster")["spec"]["template"]["metadata"]["labels"];
    assert_ne!(labels["app.kubernetes.io/name"], "editorcluster");
}

#[test]
fn alerts_are_off_and_are_those_of_the_documentation_when_they_are_on() {
    assert!(of_kind(&template(&[]), "PrometheusRule").is_empty());
    let objects = template(&["alerts.enabled=true", "alerts.labels.release=prometheus"]);
    let rule = named(&objects, "PrometheusRule", "ec-editorcluster");
    assert_eq!(rule["metadata"]["namespace"], "system");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(rule["metadata"]["labels"]["app.kubernetes.io/instance"], "ec");

    let groups = rule["spec"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    let mut expressions: Vec<_> = rules
        .iter()
        .map(|rule| match rule["for"].as_str() {
            Some(time) => format!("`{}` for {time}", rule["expr"].as_str().unwrap()),
            None => format!("`{}`", rule["expr"].as_str().unwrap()),
        })
        .collect();
    let page = std::fs::read_to_string(workspace().join("docs/operations.md")).unwrap();
    // The tables of alerts are those whose head names an expression.
    let tables = page.split("| alert | expression |\n|---|---|\n").skip(1);
    let lines = tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|')));
    let mut documented: Vec<_> = lines.map(|line| line.split('|').nth(2).unwrap().trim().to_owned()).collect();
    expressions.sort();
    documented.sort();
    assert_eq!(expressions, documented);

    let mut names: Vec<_> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rules.len(), "each has a name of its own");
    for rule in rules {
        assert!(rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(), "{rule}");
    }
}

#[test]
fn a_wrong_value_is_refused_and_named() {
    let chart = chart();
    for (set, named) in [
        ("replicas=0", "replicas"),
        ("replicas=two", "replicas"),
        ("replica=2", "replica"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("images.redis=", "redis"),
        ("watchNamespaces={Team A}", "watchNamespaces"),
        ("log.format=xml", "format"),
        ("metricsApi.enabled=maybe", "metricsApi"),
        ("alerts.enabled=maybe", "alerts"),
        ("alerts.labels.release=7", "alerts"),
    ] {
        let output = helm(&["template", "ec", chart.to_str().unwrap(), "--set", set]);
        let words = stderr(&output);
        assert!(!output.status.success() && words.contains(named), "{set}: {words}");
    }
}
