use super::*;
use crate::controller::dereference::{Fresh, SecretData};

fn check(spec: &str, found: Dereferenced) -> Result<Validated, Invalid> {
    let manifest = format!(
        "apiVersion: editorcluster.io/v1alpha1\nkind: EditorCluster\n\
         metadata: {{name: novel, namespace: team, uid: 1-2-3}}\nspec: {spec}\n"
    );
    let object: EditorCluster = serde_yaml::from_str(&manifest).unwrap();
    let images = Images { gateway: "gateway:1".into(), redis: "redis:1".into(), postgres: "postgres:1".into() };
    validate(&object, &found, &images)
}

fn secret(pairs: &[(&str, &str)]) -> Option<SecretData> {
    Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect())
}

const REDIS: &str = "{redis: {external: {secretName: cache}}}";
const REDIS_TLS: &str =
    "{redis: {external: {secretName: cache, tls: {caSecretName: ca, certificateSecretName: cert}}}}";
const POSTGRES: &str = "{storage: {postgres: {external: {secretName: db}}}}";

#[test]
fn what_is_wrong_is_said_with_the_field_and_the_remedy() {
    let redis = |pairs: &[(&str, &str)]| Dereferenced { external_redis: secret(pairs), ..Dereferenced::default() };
    let postgres =
        |pairs: &[(&str, &str)]| Dereferenced { external_postgres: secret(pairs), ..Dereferenced::default() };
    let nothing = Dereferenced::default;
    let tls = |ca: &[(&str, &str)], certificate: &[(&str, &str)]| Dereferenced {
        external_redis: secret(&[("url", "rediss://h")]),
        redis_ca: secret(ca),
        redis_certificate: secret(certificate),
        ..Dereferenced::default()
    };
    let parts = [("host", "h"), ("port", "1"), ("dbname", "d"), ("user", "u"), ("password", "p@ss/word")];
    let generated = Dereferenced { redis: secret(&[("password", "it's")]), ..Dereferenced::default() };
    let cases = [
        (
            REDIS,
            nothing(),
            "spec.redis.external.secretName names the Secret cache, which does not exist in namespace team: create it",
        ),
        (REDIS, redis(&[("uri", "redis://h")]), "no key url: add the key"),
        (REDIS, redis(&[("url", "http://h")]), "must be a URL: write redis://"),
        (REDIS, redis(&[("url", "")]), "is empty: write its value"),
        (REDIS, redis(&[("url", "rediss+tls://h")]), "redis+cluster://"),
        (REDIS_TLS, redis(&[("url", "rediss://h")]), "caSecretName names the Secret ca, which does not exist"),
        (REDIS_TLS, tls(&[("ca.crt", "C")], &[("tls.crt", "C")]), "names the Secret cert, which has no key tls.key"),
        (REDIS_TLS, tls(&[("ca.pem", "C")], &[]), "names the Secret ca, which has no key ca.crt"),
        (POSTGRES, nothing(), "spec.storage.postgres.external.secretName names the Secret db"),
        (POSTGRES, postgres(&[("other", "x")]), "no key uri"),
        (POSTGRES, postgres(&[("uri", "mysql://h")]), "write postgres://"),
        (POSTGRES, postgres(&parts[..4]), "no key password"),
        (POSTGRES, postgres(&parts), "add a key uri with the whole URL"),
        ("{autoscaling: {minReplicas: 3, maxReplicas: 2}}", nothing(), "minReplicas (3) is above maxReplicas (2)"),
        ("{autoscaling: {connectionsPerReplica: 0}}", nothing(), "connectionsPerReplica is 0"),
        ("{redis: {managed: {}, external: {secretName: a}}}", nothing(), "spec.redis has both"),
        ("{gateway: {affinity: {nodeAffinity: 3}}}", nothing(), "spec.gateway.affinity is no affinity"),
        ("{}", generated, "delete the Secret, and a new one is made"),
    ];
    for (spec, found, sentence) in cases {
        let said = check(spec, found).expect_err(spec).to_string();
        assert!(said.contains(sentence), "{spec}: {said}");
    }
}

#[test]
fn nothing_written_means_managed() {
    for spec in ["{}", "{redis: {}, storage: {}}", "{redis: {managed: {}}, storage: {postgres: {managed: {}}}}"] {
        let plan = check(spec, Dereferenced::default()).unwrap();
        assert!(matches!(&plan.redis, RedisPlan::Managed { storage, .. } if storage == "1Gi"), "{spec}");
        assert!(matches!(&plan.postgres, PostgresPlan::Managed { size, .. } if size == "5Gi"), "{spec}");
    }
}

#[test]
fn a_stored_password_is_kept_and_a_missing_one_is_fresh() {
    let fresh = Fresh { redis: "new".into(), postgres: "new".into() };
    let found = Dereferenced { redis: secret(&[("password", "old")]), fresh, ..Dereferenced::default() };
    let plan = check("{}", found).unwrap();
    assert!(
        matches!(plan.redis, RedisPlan::Managed { password, .. } if password == Password { value: "old".into(), stored: true })
    );
    assert!(
        matches!(plan.postgres, PostgresPlan::Managed { password, .. } if password == Password { value: "new".into(), stored: false })
    );
}

#[test]
fn a_cloudnativepg_secret_works_as_it_is() {
    let pairs = [("uri", "postgresql://app:p@docs-rw.team:5432/app"), ("username", "app"), ("password", "p")];
    let found = Dereferenced { external_postgres: secret(&pairs), ..Dereferenced::default() };
    assert_eq!(check(POSTGRES, found).unwrap().postgres, PostgresPlan::ExternalUri { secret: "db".to_owned() });
}
