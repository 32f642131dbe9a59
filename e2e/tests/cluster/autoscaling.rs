//! Connections move the number of gateways, and nothing else does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::scenario::clients::ClientProgram;
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::kubectl::{kubectl, kubectl_with};
use e2e::scenario::namespace::Namespace;
use e2e::scenario::until;

use crate::manifest;

/// 580 connections at 150 a gateway are 4 gateways. A manifest that is applied again in any way leaves them alone, and
/// when the people leave, so do the gateways, without a client that cannot get back in.
#[tokio::test]
async fn connections_take_the_gateways_from_2_to_4_and_back_and_manifests_applied_again_do_not() -> Result<()> {
    let namespace = Namespace::create("s-autoscaling").await?;
    let manifest = manifest::small("lecture");
    namespace.apply(&manifest).await?;
    let cluster = EditorCluster::new(&namespace.name, "lecture");
    cluster.ready().await?;
    cluster.settled_at(2, Duration::from_secs(60)).await?;

    let urls = cluster.node_ports().await?.iter().map(|it| format!("ws://{it}/yjs")).collect::<Vec<_>>().join(",");
    let words = ["--urls", &urls, "--connections", "580", "--documents", "20"];
    let mut audience = ClientProgram::start("idle.mjs", &words)?;
    audience.line("580 connected", Duration::from_secs(90), |it| it["connected"] == 580).await?;

    let metric = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/editorclusters.editorcluster.io/lecture/editorcluster_connections",
        namespace.name
    );
    until("the metrics API tells the true count, 580", Duration::from_secs(30), || async {
        let answer: serde_json::Value = serde_json::from_str(&kubectl(&["get", "--raw", &metric]).await?)?;
        let value = answer["items"][0]["value"].as_str().context("no value")?.to_owned();
        ensure!(value == "580", "{value}");
        Ok(Some(()))
    })
    .await?;
    cluster.settled_at(4, Duration::from_secs(120)).await?;

    for again in [
        &["apply", "-f", "-"] as &[&str],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &["replace", "-f", "-"],
    ] {
        kubectl_with(&[again, &["-n", &namespace.name]].concat(), &manifest).await?;
        until(&format!("replicas are 4 again after kubectl {}", again.join(" ")), Duration::from_secs(40), || async {
            ensure!(cluster.gateways().await?.len() == 4, "the gateways are not 4 any more");
            Ok((cluster.spec_replicas().await? == Some(4)).then_some(()))
        })
        .await?;
        ensure!(cluster.gateways().await?.len() == 4, "kubectl {} changed the gateways", again.join(" "));
    }

    audience.say("leave 560").await?;
    cluster.settled_at(2, Duration::from_secs(240)).await?;
    audience.line("the 20 that stayed", Duration::from_secs(60), |it| it["connected"] == 20).await?;
    let end = audience.finish(Duration::from_secs(30)).await?;
    ensure!(end["failed"] == 0, "clients that did not get back in: {end}");
    namespace.end();
    Ok(())
}
