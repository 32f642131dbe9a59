//! What happens to those that look after the gateways. They are everybody's, so these run alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, process};
use e2e::scenario::container::Processes;
use e2e::scenario::kubectl::{get, kubectl, kubectl_with};
use e2e::scenario::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::load::{Breaks, Cost, Fault, GATEWAYS};

const SYSTEM: &str = "editorcluster-system";
const OUTAGE: Duration = Duration::from_secs(60);
const CRD: &str = "editorclusters.editorcluster.io";
/// What `kubectl get ec` shows.
const COLUMNS: usize = 6;

/// Somebody undoes the loss of a child.
async fn reconciles(fault: &Fault) -> Result<()> {
    let namespace = &fault.namespace.name;
    kubectl(&["delete", "poddisruptionbudget", "docs-gateway", "-n", namespace]).await?;
    until("the operator has put the budget back", Duration::from_secs(90), || async {
        get(&["poddisruptionbudget", "docs-gateway", "-n", namespace]).await.map(Some)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn fault_operator_leader_killed() -> Result<()> {
    let mut fault = Fault::begin("fault_operator_leader_killed", Breaks::TheCluster, "").await?;
    let lease = get(&["lease", "-n", SYSTEM, "editorcluster"]).await?;
    let leader = lease["spec"]["holderIdentity"].as_str().context("nobody holds the lease")?;
    let pod = leader.split('_').next().unwrap_or(leader);
    Processes::of(SYSTEM, pod).await?.signal(Signal::SIGKILL)?;
    reconciles(&fault).await?;
    fault.vanish().await?;
    fault.goes_on(300).await?;
    fault.end(Cost::Nothing).await
}

/// It is stopped and not killed: requests hang, which is worse. Meanwhile a gateway dies.
#[tokio::test]
async fn fault_api_server_away_for_a_minute() -> Result<()> {
    let mut fault = Fault::begin("fault_api_server_away_for_a_minute", Breaks::TheCluster, "").await?;
    let victim = fault.busiest().await?;
    let gateway = fault.processes(&victim.name).await?;
    let server = Pid::from_raw(process::pid_of("apiserver").context("the API server does not run")?.cast_signed());
    kill(server, Signal::SIGSTOP)?;
    let during = async {
        gateway.signal(Signal::SIGKILL)?;
        fault.vanish().await?;
        sleep(OUTAGE).await;
        fault.goes_on(300).await
    }
    .await;
    kill(server, Signal::SIGCONT)?;
    during?;
    fault.restarted(&victim.name).await?;
    reconciles(&fault).await?;
    fault.end(Cost::Connections).await
}

/// A CRD with one column less, as an older chart of ours would have left it; and somebody's kubectl owns its fields.
async fn install_older_crd() -> Result<()> {
    let mut crd = get(&["crd", CRD]).await?;
    let metadata = crd["metadata"].as_object_mut().context("a CRD without metadata")?;
    metadata.retain(|name, _| ["name", "labels", "annotations"].contains(&name.as_str()));
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array_mut().context("no columns")?;
    columns.truncate(COLUMNS - 1);
    let words = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    kubectl_with(&words, &crd.to_string()).await?;
    Ok(())
}

async fn columns() -> Result<usize> {
    let crd = get(&["crd", CRD]).await?;
    Ok(crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().map_or(0, Vec::len))
}

/// An older CRD and another operator's settings become this chart's.
#[tokio::test]
async fn fault_chart_and_crd_upgraded() -> Result<()> {
    let mut fault = Fault::begin("fault_chart_and_crd_upgraded", Breaks::TheCluster, "").await?;
    let cluster = Cluster::current()?;
    let before = fault.cluster.gateways().await?;
    install_older_crd().await?;
    ensure!(columns().await? < COLUMNS, "the CRD is not an older one, so its upgrade would prove nothing");
    cluster.install_operator(&["--set", "log.level=debug"]).await?;
    ensure!(columns().await? == COLUMNS, "the chart has not upgraded the CRD");
    reconciles(&fault).await?;
    ensure!(fault.cluster.settled_at(GATEWAYS, Duration::from_secs(30)).await? == before, "gateways were restarted");
    cluster.install_operator(&[]).await?;
    fault.vanish().await?;
    fault.goes_on(300).await?;
    fault.end(Cost::Nothing).await
}
