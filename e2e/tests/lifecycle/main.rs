//! Scenarios that change the operator itself. One after the other, alone, after all others: `e2e/tests/cluster`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::scenario::clients;
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::kubectl::{get, kubectl};
use e2e::scenario::until;
use e2e::shell;

const SYSTEM: &str = "editorcluster-system";

/// The names of the operator's pods that are Ready.
async fn operators() -> Result<Vec<String>> {
    let pods = get(&["pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator"]).await?;
    let ready = pods["items"].as_array().context("no list of pods")?.iter().filter(|pod| {
        let conditions = pod["status"]["conditions"].as_array();
        pod["metadata"]["deletionTimestamp"].is_null()
            && conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
    });
    Ok(ready.filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned())).collect())
}

async fn leader() -> Result<String> {
    let lease = get(&["lease", "-n", SYSTEM, "editorcluster"]).await?;
    Ok(lease["spec"]["holderIdentity"].as_str().context("nobody holds the lease")?.to_owned())
}

async fn sample_pods() -> Result<Vec<String>> {
    let gateways = sample().gateways().await?;
    Ok(gateways.into_iter().map(|pod| pod.name).collect())
}

fn sample() -> EditorCluster {
    EditorCluster::new("team-a", "docs")
}

/// Somebody undoes the loss of a child.
async fn reconciles(who: &str) -> Result<()> {
    kubectl(&["delete", "service", "docs-gateway", "-n", "team-a"]).await?;
    until(&format!("{who} has put the Service back"), Duration::from_secs(60), || async {
        get(&["service", "docs-gateway", "-n", "team-a"]).await.map(Some)
    })
    .await?;
    sample().ready().await?;
    Ok(())
}

/// The order matters: the last step takes the operator away.
#[tokio::test]
async fn the_leader_dies_then_the_chart_is_upgraded_and_uninstalled_and_documents_stay_served() -> Result<()> {
    let cluster = Cluster::current()?;
    sample().ready().await?;
    let columns = kubectl(&["get", "ec", "docs", "-n", "team-a"]).await?;
    let row: Vec<&str> = columns.lines().nth(1).context("no row")?.split_whitespace().collect();
    ensure!(row.len() == 7, "kubectl get ec does not fill its 7 columns:\n{columns}");

    let page = format!("http://{}/", sample().node_ports().await?.first().context("no node port")?);
    let page = shell::run("curl", &["--silent", "--show-error", "--fail", "--max-time", "10", &page]).await?;
    ensure!(page.contains("<html"), "the editor's address answers with something else:\n{page}");

    let url = format!("ws://{}:8080/yjs", sample().gateways().await?.first().context("no gateway is Ready")?.ip);
    let document = format!("before-{}", std::process::id());
    let words = ["--url-a", &url, "--url-b", &url, "--document", &document, "--batch", "200"];
    clients::run("replay.mjs", &words, Duration::from_secs(120)).await?;

    let first = leader().await?;
    let pod = first.split('_').next().unwrap_or(&first).to_owned();
    kubectl(&["delete", "pod", "-n", SYSTEM, &pod, "--grace-period=0", "--force"]).await?;
    until("another operator leads", Duration::from_secs(60), || async { Ok((leader().await? != first).then_some(())) })
        .await?;
    reconciles("the new leader").await?;

    let gateways = sample_pods().await?;
    let before = operators().await?;
    cluster.install_operator(&["--set", "log.level=debug"]).await?;
    until("every operator is replaced", Duration::from_secs(120), || async {
        let now = operators().await?;
        Ok((now.len() == 2 && now.iter().all(|pod| !before.contains(pod))).then_some(()))
    })
    .await?;
    sample().ready().await?;
    ensure!(sample_pods().await? == gateways, "an upgrade of the operator restarted the gateways");

    cluster.helm(&["uninstall", "editorcluster", "-n", SYSTEM, "--wait"]).await?;
    get(&["crd", "editorclusters.editorcluster.io"]).await.context("the CRD must stay")?;
    ensure!(sample_pods().await? == gateways, "an uninstall touched the gateways");
    until("the APIService is gone, so that namespaces can be deleted", Duration::from_secs(60), || async {
        let left = kubectl(&["get", "apiservice", "v1beta2.custom.metrics.k8s.io", "--ignore-not-found"]).await?;
        Ok(left.trim().is_empty().then_some(()))
    })
    .await?;

    cluster.install_operator(&[]).await?;
    reconciles("a new install").await?;
    ensure!(sample_pods().await? == gateways, "a new install restarted the gateways");
    let words = ["--url", &url, "--document", &document, "--expect-trace", "friendsforever"];
    let read = clients::run("read.mjs", &words, Duration::from_secs(60)).await?;
    ensure!(read["equal"] == true, "a document from before is another one now: {read}");
    Ok(())
}
