//! The editor page in a real browser.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::paths;
use e2e::scenario::clients;
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::namespace::Namespace;

use crate::manifest;

#[tokio::test]
async fn chromium_shows_one_persons_typing_and_cursor_to_another_on_the_other_gateway() -> Result<()> {
    let namespace = Namespace::create("s-presence").await?;
    namespace.apply(&manifest::small("pages")).await?;
    let cluster = EditorCluster::new(&namespace.name, "pages");
    cluster.ready().await?;
    let gateways = cluster.settled_at(2, Duration::from_secs(60)).await?;
    let [alice, bob] = [&gateways[0], &gateways[1]].map(|pod| format!("http://{}:8080/d/minutes", pod.ip));

    let screenshot = paths::target().join("e2e/two-people.png");
    let screenshot = screenshot.to_string_lossy();
    let words = ["--url-a", &alice, "--url-b", &bob, "--screenshot", &screenshot];
    let seen = clients::run("browser.mjs", &words, Duration::from_secs(120)).await?;
    ensure!(seen["event"] == "done", "the browsers do not see each other: {seen}");
    namespace.end();
    Ok(())
}
