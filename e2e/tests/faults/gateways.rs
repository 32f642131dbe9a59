//! What happens to gateways.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::scenario::kubectl::{get, kubectl};
use e2e::scenario::until;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use crate::load::{Breaks, Cost, Fault, GATEWAYS};

const PAUSE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn fault_gateway_killed() -> Result<()> {
    let mut fault = Fault::begin("fault_gateway_killed", Breaks::ItsNamespace, "").await?;
    let victim = fault.busiest().await?;
    fault.processes(&victim.name).await?.signal(Signal::SIGKILL)?;
    fault.vanish().await?;
    fault.restarted(&victim.name).await?;
    fault.goes_on(300).await?;
    fault.end(Cost::Connections).await
}

/// It wakes up with sessions, a subscription and answers under way that everybody else has given up.
#[tokio::test]
async fn fault_gateway_paused() -> Result<()> {
    let mut fault = Fault::begin_at_gateways("fault_gateway_paused").await?;
    let victim = fault.first_authors().await?;
    victim.signal(Signal::SIGSTOP)?;
    fault.vanish().await?;
    sleep(PAUSE).await;
    victim.signal(Signal::SIGCONT)?;
    fault.goes_on(300).await?;
    fault.end(Cost::Waiting(PAUSE.mul_f64(0.9))).await
}

#[tokio::test]
async fn fault_rolling_update() -> Result<()> {
    let mut fault = Fault::begin("fault_rolling_update", Breaks::ItsNamespace, "").await?;
    let before = fault.cluster.gateways().await?;
    fault.cluster.patch(r#"{"spec": {"gateway": {"limits": {"connections": 4321}}}}"#).await?;
    until("one gateway has gone", Duration::from_secs(120), || async {
        let now = fault.cluster.gateways().await?;
        Ok(before.iter().any(|pod| !now.contains(pod)).then_some(()))
    })
    .await?;
    fault.vanish().await?;
    until("every gateway replaced", Duration::from_secs(180), || async {
        let now = fault.cluster.gateways().await?;
        Ok((now.len() == GATEWAYS && now.iter().all(|pod| !before.contains(pod))).then_some(()))
    })
    .await?;
    fault.end(Cost::Connections).await
}

#[tokio::test]
async fn fault_scale_down_from_10_to_2() -> Result<()> {
    let mut fault = Fault::begin("fault_scale_down_from_10_to_2", Breaks::ItsNamespace, "").await?;
    fault.cluster.patch(r#"{"spec": {"autoscaling": {"minReplicas": 10}}}"#).await?;
    let before = fault.cluster.settled_at(10, Duration::from_secs(120)).await?;
    // Those that are about to go must hold somebody: a rollout spreads people over all ten.
    fault.cluster.patch(r#"{"spec": {"gateway": {"limits": {"connections": 4321}}}}"#).await?;
    until("every gateway replaced", Duration::from_secs(240), || async {
        let now = fault.cluster.gateways().await?;
        Ok((now.len() == 10 && now.iter().all(|pod| !before.contains(pod))).then_some(()))
    })
    .await?;
    fault.cluster.patch(r#"{"spec": {"autoscaling": {"minReplicas": 2}}}"#).await?;
    until("a gateway is on its way out", Duration::from_secs(120), || async {
        Ok((fault.cluster.gateways().await?.len() < 10).then_some(()))
    })
    .await?;
    fault.vanish().await?;
    fault.cluster.settled_at(2, Duration::from_secs(240)).await?;
    fault.end_with(2, Cost::Connections).await
}

/// The stores stay: their volumes are the node's.
#[tokio::test]
async fn fault_node_drain() -> Result<()> {
    let mut fault = Fault::begin("fault_node_drain", Breaks::TheCluster, "").await?;
    let victim = fault.busiest().await?;
    let pod = get(&["pod", &victim.name, "-n", &fault.namespace.name]).await?;
    let node = pod["spec"]["nodeName"].as_str().context("a pod that runs nowhere")?.to_owned();
    let selector = "app.kubernetes.io/component=gateway,app.kubernetes.io/instance=docs";
    let of = format!("--pod-selector={selector}");
    let drained = kubectl(&["drain", &node, "--delete-emptydir-data", "--timeout=150s", &of]).await;
    let moved = match drained {
        Ok(_) => fault.cluster.settled_at(GATEWAYS, Duration::from_secs(120)).await,
        Err(error) => Err(error),
    };
    kubectl(&["uncordon", &node]).await?;
    ensure!(!moved?.contains(&victim), "the gateway is still where it was");
    fault.vanish().await?;
    fault.end(Cost::Connections).await
}
