//! Gateways as processes, with real Redis, Postgres, npm clients and Chromium. `cargo e2e test` builds what they need.

mod gateway;

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::paths;
use e2e::scenario::clients::{self, ClientProgram};
use e2e_servers::{Postgres, Redis};

use crate::gateway::Gateway;

const MINUTES: Duration = Duration::from_secs(180);

async fn reads_the_whole_trace(url: &str) -> Result<()> {
    let words = ["--url", url, "--document", "friends", "--expect-trace", "friendsforever"];
    let read = clients::run("read.mjs", &words, MINUTES).await?;
    ensure!(read["equal"] == true, "a later reader at {url} sees another text: {read}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_with_embedded_storage_keeps_a_real_trace_over_a_restart_and_a_crash() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut gateway = Gateway::start(&["--data-dir", &data.path().to_string_lossy()])?;
    let url = gateway.url();
    let words = ["--url-a", &url, "--url-b", &url, "--url-c", &url, "--document", "friends", "--batch", "200"];
    let done = clients::run("replay.mjs", &words, MINUTES).await?;
    ensure!(done["equal"] == true, "the three clients differ: {done}");
    gateway.restart()?;
    reads_the_whole_trace(&url).await?;
    gateway.kill9()?;
    reads_the_whole_trace(&url).await
}

/// Two authors on two gateways that share Redis and Postgres. While they write, each gateway is drained once and killed
/// once, so that every client is moved and every kind of end is met.
#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_drained_and_killed_under_a_real_trace_lose_nothing() -> Result<()> {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let (redis_url, database_url) = (redis.url(), postgres.url());
    let shared = ["--target", "socket", "--redis-url", &redis_url, "--database-url", &database_url];
    let words = [&shared[..], &["--settle", "0s", "--drain-window", "1s"]].concat();
    let (mut first, mut second) = (Gateway::start(&words)?, Gateway::start(&words)?);
    let (a, b) = (first.url(), second.url());

    let words =
        ["--url-a", &a, "--url-b", &b, "--url-c", &a, "--document", "friends", "--batch", "20", "--rate", "800"];
    let mut authors = ClientProgram::start("replay.mjs", &words)?;
    for (sent, end) in [(1_000, End::Drain(&mut first)), (8_000, End::Drain(&mut second))] {
        authors.line("more edits", MINUTES, |line| line["sent"].as_u64() > Some(sent)).await?;
        end.come()?;
    }
    for (sent, end) in [(14_000, End::Crash(&mut first)), (20_000, End::Crash(&mut second))] {
        authors.line("more edits", MINUTES, |line| line["sent"].as_u64() > Some(sent)).await?;
        end.come()?;
    }
    let done = authors.finish(MINUTES).await?;
    ensure!(done["equal"] == true, "edits are lost or differ: {done}");
    ensure!(done["reconnects"].as_u64() >= Some(4), "the clients were not moved, so this proved nothing: {done}");

    reads_the_whole_trace(&a).await?;
    reads_the_whole_trace(&b).await
}

enum End<'a> {
    Drain(&'a mut Gateway),
    Crash(&'a mut Gateway),
}

impl End<'_> {
    fn come(self) -> Result<()> {
        match self {
            Self::Drain(gateway) => gateway.restart(),
            Self::Crash(gateway) => gateway.kill9(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_shows_one_persons_typing_and_cursor_to_another_on_the_other_gateway() -> Result<()> {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let (redis_url, database_url) = (redis.url(), postgres.url());
    let web = paths::workspace().join("web/dist");
    let web = web.to_string_lossy();
    let words = ["--target", "socket", "--web", "true", "--web-root", &web, "--redis-url", &redis_url];
    let words = [&words[..], &["--database-url", &database_url]].concat();
    let (first, second) = (Gateway::start(&words)?, Gateway::start(&words)?);

    let screenshot = paths::target().join("two-people.png");
    let screenshot = screenshot.to_string_lossy();
    let (alice, bob) = (first.page("minutes"), second.page("minutes"));
    let words = ["--url-a", &alice, "--url-b", &bob, "--screenshot", &screenshot];
    clients::run("browser.mjs", &words, MINUTES).await?;
    Ok(())
}
