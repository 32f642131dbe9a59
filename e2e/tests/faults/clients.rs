//! What clients do to the others.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::scenario::until;

use crate::load::{Breaks, Cost, Fault, gauge};

/// Somebody takes nothing while 16 MiB are written; the gateway closes that connection (1013) and nobody else's.
#[tokio::test]
async fn fault_slow_consumer() -> Result<()> {
    let mut fault = Fault::begin("fault_slow_consumer", Breaks::ItsNamespace, "").await?;
    fault.people.say("slow").await?;
    fault.people.line("16 MiB written", Duration::from_secs(90), |it| it["event"] == "slowed").await?;
    until("a gateway has closed the socket that takes nothing", Duration::from_secs(60), || async {
        let mut closed = 0.0;
        for pod in fault.cluster.gateways().await? {
            closed += gauge(&pod, "editorcluster_closes_total{code=\"1013\"}").await?;
        }
        Ok((closed == 1.0).then_some(()))
    })
    .await?;
    fault.people.say("read").await?;
    fault.vanish().await?;
    fault.goes_on(300).await?;
    fault.end(Cost::Connections).await
}

#[tokio::test]
async fn fault_bad_frames() -> Result<()> {
    let mut fault = Fault::begin("fault_bad_frames", Breaks::ItsNamespace, "").await?;
    fault.people.say("attack 200").await?;
    let attacked = fault.people.line("attacked", Duration::from_secs(60), |it| it["event"] == "attacked").await?;
    ensure!(attacked["attacks"] == attacked["closed"], "bad messages without consequence: {attacked}");
    fault.vanish().await?;
    fault.goes_on(300).await?;
    fault.end(Cost::Nothing).await
}
