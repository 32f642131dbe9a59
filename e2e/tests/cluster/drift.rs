//! What the operator applied stays as applied; what others add stays too.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::kubectl::{get, kubectl};
use e2e::scenario::namespace::Namespace;
use e2e::scenario::until;

use crate::manifest;

#[tokio::test]
async fn drift_is_undone_additions_are_left_unwanted_children_go_and_a_steady_state_writes_nothing() -> Result<()> {
    let namespace = Namespace::create("s-drift").await?;
    namespace.apply(&manifest::small("notes")).await?;
    let cluster = EditorCluster::new(&namespace.name, "notes");
    cluster.ready().await?;
    let ns = ["-n", namespace.name.as_str()];

    kubectl(&[&["scale", "deployment/notes-gateway", "--replicas=5"], &ns[..]].concat()).await?;
    kubectl(&[&["annotate", "deployment/notes-gateway", "team=mine"], &ns[..]].concat()).await?;
    kubectl(&[&["delete", "service/notes-redis"], &ns[..]].concat()).await?;
    until("the Deployment is back at 2 replicas and the Service is back", Duration::from_secs(60), || async {
        let deployment = get(&[&["deployment/notes-gateway"], &ns[..]].concat()).await?;
        ensure!(deployment["metadata"]["annotations"]["team"] == "mine", "a person's annotation is gone");
        get(&[&["service/notes-redis"], &ns[..]].concat()).await?;
        Ok((deployment["spec"]["replicas"] == 2).then_some(()))
    })
    .await?;

    let password = get(&[&["secret/notes-redis"], &ns[..]].concat()).await?["data"].clone();
    cluster.patch(r#"{"spec": {"networkPolicy": {"enabled": false}}}"#).await?;
    until("the NetworkPolicies are gone", Duration::from_secs(60), || async {
        let policies = get(&[&["networkpolicy"], &ns[..]].concat()).await?;
        Ok(policies["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await?;
    let after = get(&[&["secret/notes-redis"], &ns[..]].concat()).await?["data"].clone();
    ensure!(password == after, "the Redis password was rotated by accident");

    cluster.settled_at(2, Duration::from_secs(90)).await?;
    let mut quiet = (serde_json::Value::Null, Instant::now());
    until("20 s without a write to the EditorCluster", Duration::from_secs(120), async || {
        let now = cluster.object().await?["metadata"]["resourceVersion"].clone();
        if quiet.0 != now {
            quiet = (now, Instant::now());
        }
        Ok((quiet.1.elapsed() > Duration::from_secs(20)).then_some(()))
    })
    .await?;
    namespace.end();
    Ok(())
}
