//! Two people edit one document through different gateways, with the clients that people have.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::scenario::clients;
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::kubectl::kubectl;
use e2e::scenario::namespace::Namespace;

use crate::manifest;

/// The real two-author trace, each author on another gateway; a third reader comes later; then every gateway dies.
#[tokio::test]
async fn a_real_trace_through_two_gateways_ends_the_same_everywhere_and_survives_the_gateways() -> Result<()> {
    let namespace = Namespace::create("s-editing").await?;
    namespace.apply(&manifest::small("novel")).await?;
    let cluster = EditorCluster::new(&namespace.name, "novel");
    cluster.ready().await?;
    let gateways = cluster.settled_at(2, Duration::from_secs(60)).await?;
    let [first, second] = [&gateways[0], &gateways[1]].map(|pod| format!("ws://{}:8080/yjs", pod.ip));

    let words = ["--url-a", &first, "--url-b", &second, "--url-c", &first, "--document", "friends", "--batch", "200"];
    let done = clients::run("replay.mjs", &words, Duration::from_secs(300)).await?;
    ensure!(done["equal"] == true, "the three clients differ: {done}");

    let selector = "app.kubernetes.io/component=gateway,app.kubernetes.io/instance=novel";
    kubectl(&["delete", "pod", "-n", &namespace.name, "-l", selector]).await?;
    let after = cluster.settled_at(2, Duration::from_secs(120)).await?;
    ensure!(after.iter().all(|pod| !gateways.contains(pod)), "the gateways are the old ones");

    let url = format!("ws://{}:8080/yjs", after[0].ip);
    let words = ["--url", &url, "--document", "friends", "--expect-trace", "friendsforever"];
    let read = clients::run("read.mjs", &words, Duration::from_secs(60)).await?;
    ensure!(read["equal"] == true, "after all gateways were deleted the text is another: {read}");
    namespace.end();
    Ok(())
}
