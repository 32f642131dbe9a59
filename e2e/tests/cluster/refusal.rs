//! A wrong spec is refused by `kubectl apply`, or named in a condition while the running children stay as they were.

use anyhow::{Result, ensure};
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::kubectl::{get, refusal};
use e2e::scenario::namespace::Namespace;

use crate::manifest;

fn with_spec(spec: &str) -> String {
    format!("apiVersion: editorcluster.io/v1alpha1\nkind: EditorCluster\nmetadata: {{name: wrong}}\nspec: {spec}\n")
}

#[tokio::test]
async fn kubectl_apply_refuses_wrong_specs_with_a_sentence_that_names_the_field() -> Result<()> {
    let namespace = Namespace::create("s-refusal").await?;
    for (spec, named) in [
        ("{autoscaling: {minReplicas: 5, maxReplicas: 2}}", "minReplicas"),
        ("{autoscaling: {connectionsPerReplica: 0}}", "connectionsPerReplica"),
        ("{routing: {expose: {type: Teleport}}}", "expose"),
        ("{redis: {managed: {}, external: {secretName: mine}}}", "redis"),
        ("{storage: {postgres: {managed: {}, external: {secretName: mine}}}}", "postgres"),
        ("{gateway: {durability: Sometimes}}", "durability"),
    ] {
        let said = refusal(&namespace.name, &with_spec(spec)).await?;
        ensure!(said.contains(named), "{spec} is refused without naming {named}: {said}");
    }
    namespace.end();
    Ok(())
}

#[tokio::test]
async fn a_missing_secret_is_a_condition_and_the_running_children_stay_as_they_were() -> Result<()> {
    let namespace = Namespace::create("s-missing-secret").await?;
    namespace.apply(&manifest::small("memo")).await?;
    let cluster = EditorCluster::new(&namespace.name, "memo");
    cluster.ready().await?;
    let children = ["deployment,statefulset,service,configmap", "-n", &namespace.name];
    let versions = |list: &serde_json::Value| -> Vec<(String, serde_json::Value)> {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|it| (it["metadata"]["name"].to_string(), it["metadata"]["generation"].clone())).collect()
    };
    let before = versions(&get(&children).await?);

    cluster.patch(r#"{"spec": {"redis": {"managed": null, "external": {"secretName": "nowhere"}}}}"#).await?;
    let message = cluster.reason("Ready", "SecretNotFound").await?;
    ensure!(message.contains("nowhere") && message.contains("spec.redis.external"), "not a remedy: {message}");
    ensure!(versions(&get(&children).await?) == before, "the children were changed by a spec that cannot be built");

    cluster.patch(r#"{"spec": {"redis": {"managed": {}, "external": null}}}"#).await?;
    cluster.ready().await?;
    namespace.end();
    Ok(())
}
