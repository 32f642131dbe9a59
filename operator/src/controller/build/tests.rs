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
        postgres_config: _,
        postgres,
        postgres_service,
        policies,
        gateway_service,
        gateway,
        budget,
        autoscaler,
    } = children("{}");
    expect_file!["tests/secrets.yaml"].assert_eq(&yaml(&secrets));
    expect_file!["tests/service-account.yaml"].assert_eq(&yaml(&service_account));
    expect_file!["tests/redis.yaml"].assert_eq(&yaml(&redis));
    expect_file!["tests/postgres.yaml"].assert_eq(&yaml(&postgres));
    expect_file!["tests/services.yaml"].assert_eq(&yaml(&[Some(gateway_service), redis_service, postgres_service]));
    expect_file!["tests/policies.yaml"].assert_eq(&yaml(&[policies.gateway, policies.redis, policies.postgres]));
    expect_file!["tests/gateway.yaml"].assert_eq(&yaml(&gateway));
    expect_file!["tests/budget.yaml"].assert_eq(&yaml(&budget));
    expect_file!["tests/autoscaler.yaml"].assert_eq(&yaml(&autoscaler));
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
        &children.budget.metadata,
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
