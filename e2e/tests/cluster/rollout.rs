//! A spec change rolls out under people's hands.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::scenario::clients::{self, ClientProgram};
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::namespace::Namespace;
use e2e::scenario::until;

use crate::manifest;

#[tokio::test]
async fn a_rolling_update_under_a_real_trace_loses_nothing() -> Result<()> {
    let namespace = Namespace::create("s-rollout").await?;
    namespace.apply(&manifest::small("thesis")).await?;
    let cluster = EditorCluster::new(&namespace.name, "thesis");
    cluster.ready().await?;
    let before = cluster.settled_at(2, Duration::from_secs(60)).await?;
    let nodes = cluster.node_ports().await?;
    let [first, second] = [&nodes[0], &nodes[1]].map(|it| format!("ws://{it}/yjs"));

    // 200 updates a second and author last longer than the rollout.
    let words = ["--url-a", &first, "--url-b", &second, "--url-c", &first, "--document", "friends"];
    let pace = ["--rate", "200", "--deadline", "280"];
    let mut authors = ClientProgram::start("replay.mjs", &[&words[..], &pace].concat())?;
    authors.line("the first edits", Duration::from_secs(60), |it| it["sent"].as_u64() > Some(1_000)).await?;
    cluster.patch(r#"{"spec": {"gateway": {"limits": {"connections": 4321}}}}"#).await?;
    until("every gateway replaced", Duration::from_secs(180), || async {
        let now = cluster.gateways().await?;
        Ok((now.len() == 2 && now.iter().all(|pod| !before.contains(pod))).then_some(()))
    })
    .await?;
    let done = authors.finish(Duration::from_secs(300)).await?;
    ensure!(done["equal"] == true, "edits are lost or differ: {done}");
    ensure!(done["reconnects"].as_u64() > Some(0), "no client was moved, so this proved nothing: {done}");

    let words = ["--url", &first, "--document", "friends", "--expect-trace", "friendsforever"];
    let read = clients::run("read.mjs", &words, Duration::from_secs(60)).await?;
    ensure!(read["equal"] == true, "a later reader sees another text: {read}");
    namespace.end();
    Ok(())
}
