//! Children from the smallest YAML. The instance is called `novel` and lives in `team`, so that a swapped name shows.

use expect_test::expect_file;
use serde::Serialize;

use super::*;
use crate::controller::dereference::{Dereferenced, Fresh};
use crate::controller::settings::Images;
use crate::controller::validate::validate;
use crate::crd::EditorCluster;

fn plan_of(spec: &str, found: Dereferenced) -> Validated {
    let manifest = format!(
        "apiVersion: editorcluster.io/v1alpha1\nkind: EditorCluster\n\
         metadata: {{name: novel, namespace: team, uid: 1-2-3}}\nspec: {spec}\n"
    );
    let object: EditorCluster = serde_yaml::from_str(&manifest).unwrap();
    let images = Images { gateway: "gateway:1".into(), redis: "redis:1".into(), postgres: "postgres:1".into() };
    let fresh = Fresh { redis: "redispassword".into(), postgres: "postgrespassword".into() };
    validate(&object, &Dereferenced { fresh, ..found }, &images).unwrap()
}

fn children(spec: &str) -> Children {
    build(&plan_of(spec, Dereferenced::default()), 4)
}

fn yaml(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).unwrap()
}

/// UPDATE_EXPECT=1 writes the files anew; look at the difference.
#[test]
fn the_smallest_spec_makes_these_children() {
    let Children {
        secrets,
        service_account,
        redis_config: _,
        redis,
        redis_service,
        redis_budget,
        postgres_config: _,
        postgres,
        postgres_service,
        policies,
        gateway_service,
        gateway,
        gateway_budget,
        autoscaler,
    } = children("{}");
    expect_file!["tests/secrets.yaml"].assert_eq(&yaml(&secrets));
    expect_file!["tests/service-account.yaml"].assert_eq(&yaml(&service_account));
    expect_file!["tests/redis.yaml"].assert_eq(&yaml(&redis));
    expect_file!["tests/postgres.yaml"].assert_eq(&yaml(&postgres));
    expect_file!["tests/services.yaml"].assert_eq(&yaml(&[Some(gateway_service), redis_service, postgres_service]));
    expect_file!["tests/policies.yaml"].assert_eq(&yaml(&[policies.gateway, policies.redis, policies.postgres]));
    expect_file!["tests/gateway.yaml"].assert_eq(&yaml(&gateway));
    expect_file!["tests/budget.yaml"].assert_eq(&yaml(&gateway_budget));
    assert!(redis_budget.is_none(), "one server cannot be kept from going");
    expect_file!["tests/autoscaler.yaml"].assert_eq(&yaml(&autoscaler));
}

/// UPDATE_EXPECT=1 writes the file anew; look at the difference.
#[test]
fn a_replicated_redis_is_three_servers_with_a_sentinel_beside_each_found_by_names_that_stay() {
    let children = children("{redis: {managed: {mode: Replicated}}}");
    let files: Vec<_> = children.redis_config.unwrap().data.unwrap().into_keys().collect();
    assert_eq!(files, ["common.sh", "primary.sh", "redis.conf", "sentinel.sh", "start.sh", "stop.sh"]);
    let env = children.gateway.spec.unwrap().template.spec.unwrap().containers.remove(0).env.unwrap();
    let url = env.into_iter().find(|variable| variable.name == "EDITORCLUSTER_REDIS_URL").unwrap().value;
    let parts = (children.redis, children.redis_service, children.redis_budget, children.policies.redis, url);
    expect_file!["tests/redis-replicated.yaml"].assert_eq(&yaml(&parts));
}

/// UPDATE_EXPECT=1 writes the file anew; look at the difference.
#[test]
fn a_redis_cluster_is_six_servers_that_know_their_address_and_whose_bus_nobody_else_may_reach() {
    let children = children("{redis: {managed: {mode: Cluster}}}");
    let files: Vec<_> = children.redis_config.unwrap().data.unwrap().into_keys().collect();
    assert_eq!(files, ["cluster.sh", "common.sh", "keep.sh", "ready.sh", "redis.conf", "start.sh", "stop.sh"]);
    let env = children.gateway.spec.unwrap().template.spec.unwrap().containers.remove(0).env.unwrap();
    let url = env.into_iter().find(|variable| variable.name == "EDITORCLUSTER_REDIS_URL").unwrap().value;
    let parts = (children.redis, children.redis_service, children.redis_budget, children.policies.redis, url);
    expect_file!["tests/redis-cluster.yaml"].assert_eq(&yaml(&parts));
}

#[test]
fn the_names_of_the_primary_in_the_scripts_and_in_the_url_are_one() {
    let text = configmaps::redis_files(RedisMode::Replicated);
    let names = |line: &str| line.contains("get-master-addr-by-name documents") || line.contains("monitor documents");
    assert_eq!(redis::PRIMARY, "documents");
    assert!(text.iter().filter(|(_, text)| text.lines().any(names)).count() == 2);
}

#[test]
fn everything_has_our_labels_and_owner_and_no_selector_is_without_its_component() {
    let children = children("{}");
    let metas = [
        &children.service_account.metadata,
        &children.redis_config.unwrap().metadata,
        &children.redis.unwrap().metadata,
        &children.postgres_config.unwrap().metadata,
        &children.postgres.unwrap().metadata,
        &children.policies.redis.unwrap().metadata,
        &children.gateway_service.metadata,
        &children.gateway.metadata,
        &children.gateway_budget.metadata,
        &children.autoscaler.metadata,
    ];
    for meta in metas {
        let labels = meta.labels.as_ref().unwrap();
        assert_eq!(labels["app.kubernetes.io/managed-by"], MANAGED_BY);
        assert_eq!(labels[INSTANCE], "novel");
        let owner = &meta.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.uid.as_str(), owner.name.as_str(), owner.controller), ("1-2-3", "novel", Some(true)));
    }
    assert!(children.gateway.spec.unwrap().selector.match_labels.unwrap().contains_key("app.kubernetes.io/component"));
}

#[test]
fn the_grace_period_is_the_whole_drain() {
    let gateway = children("{gateway: {settleSeconds: 7, drainWindowSeconds: 100}}").gateway;
    let pod = gateway.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.termination_grace_period_seconds, Some(7 + 100 + 15 + 10));
}

#[test]
fn the_autoscaler_takes_away_no_faster_than_gateways_drain() {
    let spec = "{gateway: {settleSeconds: 7, drainWindowSeconds: 30}, \
                autoscaling: {cpuUtilization: 70, scaleDown: {step: 3, stabilizationSeconds: 60}}}";
    let autoscaler = children(spec).autoscaler.spec;
    let down = autoscaler.behavior.unwrap().scale_down.unwrap();
    let policy = &down.policies.unwrap()[0];
    assert_eq!((policy.value, policy.period_seconds, down.stabilization_window_seconds), (3, 37, Some(60)));
    assert_eq!(autoscaler.metrics.unwrap().len(), 2);
}

/// What the gateway's command line says of an environment variable: its default, if it has one.
fn default_of(variable: &str) -> Option<String> {
    const CLI: &str = include_str!("../../../../gateway/src/cli.rs");
    let after = CLI.split_once(&format!("env = \"{variable}\""));
    let (attribute, _) = after.unwrap_or_else(|| panic!("the gateway has no {variable}")).1.split_once("pub ").unwrap();
    let written = attribute.split_once("default_value")?.1;
    let value = written.split_once("= ").unwrap().1;
    Some(value.split([',', ')']).next().unwrap().trim_matches('"').replace('_', ""))
}

fn seconds(text: &str) -> Option<u64> {
    let number = |unit| text.strip_suffix(unit)?.parse::<u64>().ok();
    number("s").or_else(|| number("m").map(|it| it * 60)).or_else(|| number("h").map(|it| it * 3600))
}

#[test]
fn the_gateway_knows_every_variable_and_its_defaults_are_the_specs() {
    let container = |spec| children(spec).gateway.spec.unwrap().template.spec.unwrap().containers.remove(0);
    let variables = container("{}").env.unwrap();
    // Other than by itself, a gateway in a pod is one of many, with the editor page and a log for machines.
    let ours = ["TARGET", "ADMIN_LISTEN", "SETTLE", "WEB", "LOG_FORMAT"];
    for variable in variables.iter().filter(|it| it.name.starts_with("EDITORCLUSTER_")) {
        let default = default_of(&variable.name);
        let (Some(value), Some(default)) = (&variable.value, default) else { continue };
        if ours.iter().any(|name| variable.name == format!("EDITORCLUSTER_{name}")) {
            continue;
        }
        let sum = |text: &str| text.split(" << ").map(|it| it.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
        let number = sum(&default).map(|parts| parts[0] << parts.get(1).unwrap_or(&0));
        let same = *value == default
            || (seconds(value).is_some() && seconds(value) == seconds(&default))
            || (number.is_some() && value.parse::<u64>().ok() == number);
        assert!(same, "{}: the gateway's default is {default}, and a spec without it means {value}", variable.name);
    }
    let spec = "{gateway: {api: Admin, sweepSeconds: 60}, history: {keep: 7, keepHours: 24, everySeconds: 900, pauseSeconds: 60, tombstoneHours: 48, keepDeleted: [notes, 'a, b$(c)/*']}}";
    let variables = container(spec).env.unwrap();
    for (name, value) in [
        ("API", "admin"),
        ("SWEEP_EVERY", "60s"),
        ("VERSIONS_KEEP", "7"),
        ("VERSIONS_KEEP_FOR", "24h"),
        ("VERSION_EVERY", "900s"),
        ("VERSION_PAUSE", "60s"),
        ("TOMBSTONE", "48h"),
        // The kubelet makes one `$` of two.
        ("KEEP_DELETED", "notes\na, b$$(c)/*"),
    ] {
        let found = variables.iter().find(|it| it.name == format!("EDITORCLUSTER_{name}")).unwrap();
        assert_eq!(found.value.as_deref(), Some(value), "{name}");
    }
}

#[test]
fn external_stores_leave_nothing_managed_and_are_read_from_their_secrets() {
    let data = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect())
    };
    let parts = [("host", "h"), ("port", "5432"), ("dbname", "d"), ("username", "u"), ("password", "p")];
    let found = Dereferenced {
        external_redis: data(&[("address", "rediss+sentinel://h/main")]),
        redis_ca: data(&[("ca.crt", "C")]),
        redis_certificate: data(&[("tls.crt", "C"), ("tls.key", "K")]),
        external_postgres: data(&parts),
        ..Dereferenced::default()
    };
    let spec = "{redis: {external: {secretName: r, key: address, tls: {caSecretName: a, certificateSecretName: c}}}, storage: {postgres: {external: {secretName: p}}}}";
    let children = build(&plan_of(spec, found), 2);
    assert!(children.redis.is_none() && children.redis_service.is_none() && children.redis_config.is_none());
    assert!(children.postgres.is_none() && children.postgres_service.is_none() && children.postgres_config.is_none());
    assert!(children.secrets.is_empty());
    let mut pod = children.gateway.spec.unwrap().template.spec.unwrap();
    expect_file!["tests/redis-files.yaml"].assert_eq(&yaml(&pod.volumes));
    let container = pod.containers.remove(0);
    expect_file!["tests/redis-mounts.yaml"].assert_eq(&yaml(&container.volume_mounts));
    let env = container.env.unwrap();
    let from = |name: &str| {
        let variable = env.iter().find(|variable| variable.name == name).unwrap();
        let reference = variable.value_from.as_ref().unwrap().secret_key_ref.as_ref().unwrap();
        (reference.name.clone(), reference.key.clone())
    };
    let value = |name: &str| env.iter().find(|variable| variable.name == name).unwrap().value.clone().unwrap();
    assert_eq!(value("EDITORCLUSTER_REDIS_URL_FILE"), "/etc/editorcluster/redis/url");
    assert_eq!(value("EDITORCLUSTER_REDIS_CA_FILE"), "/etc/editorcluster/redis/ca.crt");
    assert_eq!(value("EDITORCLUSTER_REDIS_CERT_FILE"), "/etc/editorcluster/redis/tls.crt");
    assert_eq!(value("EDITORCLUSTER_REDIS_KEY_FILE"), "/etc/editorcluster/redis/tls.key");
    assert_eq!(from("DATABASE_USER"), ("p".to_owned(), "username".to_owned()));
}

#[test]
fn pods_start_again_for_another_password_and_not_for_another_number() {
    let template = |password: &str, replicas| {
        let redis = Some([("password".to_owned(), password.as_bytes().to_vec())].into());
        let children = build(&plan_of("{}", Dereferenced { redis, ..Dereferenced::default() }), replicas);
        (children.gateway.spec.unwrap().template, children.redis.unwrap().spec.unwrap().template)
    };
    assert_eq!(template("one", 2), template("one", 9));
    assert_ne!(template("one", 2).0, template("two", 2).0);
    assert_ne!(template("one", 2).1, template("two", 2).1);
}

#[test]
fn another_url_of_an_external_redis_starts_no_gateway_again() {
    let template = |url: &str| {
        let external_redis = Some([("url".to_owned(), url.as_bytes().to_vec())].into());
        let found = Dereferenced { external_redis, ..Dereferenced::default() };
        build(&plan_of("{redis: {external: {secretName: r}}}", found), 2).gateway.spec.unwrap().template
    };
    assert_eq!(template("redis://:old@h"), template("redis://:new@h"));
}

#[test]
fn no_password_stands_in_anything_but_its_secret() {
    let mut children = children("{}");
    children.secrets.clear();
    assert!(!format!("{children:?}").contains("redispassword"));
    assert!(!format!("{:?}", plan_of("{}", Dereferenced::default())).contains("redispassword"));
}
