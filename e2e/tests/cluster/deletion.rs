//! An EditorCluster that is deleted takes everything of it along.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::kubectl::{get, kubectl};
use e2e::scenario::namespace::Namespace;
use e2e::scenario::until;

use crate::manifest;

#[tokio::test]
async fn a_deleted_editorcluster_leaves_nothing_behind() -> Result<()> {
    let namespace = Namespace::create("s-deletion").await?;
    namespace.apply(&manifest::small("draft")).await?;
    let cluster = EditorCluster::new(&namespace.name, "draft");
    cluster.ready().await?;
    let kinds =
        "deployment,replicaset,statefulset,pod,service,configmap,secret,serviceaccount,pvc,hpa,pdb,networkpolicy";
    let mine = [kinds, "-n", &namespace.name, "-l", "app.kubernetes.io/instance=draft"];
    let count = |list: &serde_json::Value| list["items"].as_array().map_or(0, Vec::len);
    ensure!(count(&get(&mine).await?) > 12, "the children are not labelled, so this would prove nothing");

    kubectl(&["delete", "ec", "draft", "-n", &namespace.name]).await?;
    until("every child is gone", Duration::from_secs(120), || async {
        let left = get(&mine).await?;
        ensure!(count(&left) == 0, "{} objects are left", count(&left));
        Ok(Some(()))
    })
    .await?;
    namespace.end();
    Ok(())
}
