//! A test that cannot fail is no test: each scenario here plays twice on one EditorCluster, with a rule of the log
//! protocol and then without it. It must hold, and then it must lose.
//!
//! `docs/log.md` says what each rule is for. Gateways that were built for debugging do without the one that their
//! environment names. The operator leaves what others add to its Deployment, so kubectl adds that.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::scenario::kubectl::kubectl;
use e2e::scenario::until;
use serde_json::Value;

use crate::load::{Fault, NAME, count};
use crate::scenes;

/// What is taken out, and where it is kept.
enum Without {
    /// By every gateway.
    Rule(&'static str),
    /// By the spec, which then has a sweep once a day.
    Sweep,
}

/// What became of the edits of one play.
pub(crate) struct Reckoning {
    acknowledged: u64,
    lost: u64,
    divergent: u64,
}

impl Reckoning {
    /// Of what the people said in the end.
    pub(crate) fn of(lines: &[Value]) -> Self {
        Self {
            acknowledged: lines.iter().map(|line| count(line, "acknowledged")).max().unwrap_or_default(),
            lost: lines.iter().map(|line| count(line, "lost")).max().unwrap_or_default(),
            divergent: lines.iter().map(|line| count(line, "divergent")).sum(),
        }
    }

    fn holds(&self) -> bool {
        self.lost + self.divergent == 0
    }
}

impl fmt::Display for Reckoning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, lost, divergent } = self;
        write!(formatter, "{acknowledged} edits acknowledged, {lost} lost, {divergent} divergent")
    }
}

/// Plays `scene` on so many gateways with every rule, and again without one.
async fn twice(
    name: &'static str,
    gateways: usize,
    without: Without,
    scene: impl AsyncFn(&mut Fault) -> Result<Reckoning>,
) -> Result<()> {
    let sweep_seconds = if matches!(without, Without::Sweep) { 5 } else { 120 };
    let manifest = manifest(gateways, sweep_seconds);
    let mut fault = Fault::begin_small(name, &manifest, gateways, &people("with-")).await?;
    let with = scene(&mut fault).await?;
    ensure!(with.acknowledged > 0 && with.holds(), "with every rule the scenario does not hold: {with}");

    let before = fault.cluster.gateways().await?;
    match without {
        Without::Rule(rule) => {
            let (deployment, variable) =
                (format!("deployment/{NAME}-gateway"), format!("EDITORCLUSTER_WITHOUT_RULE={rule}"));
            kubectl(&["set", "env", &deployment, "-n", &fault.namespace.name, &variable]).await?;
        }
        Without::Sweep => fault.cluster.patch(r#"{"spec": {"gateway": {"sweepSeconds": 86400}}}"#).await?,
    }
    until("every gateway replaced", Duration::from_secs(120), || async {
        let now = fault.cluster.gateways().await?;
        Ok((now.len() == gateways && now.iter().all(|pod| !before.contains(pod))).then_some(()))
    })
    .await?;
    fault.begin_again(&people("without-")).await?;
    let lacking = scene(&mut fault).await?;

    let seconds = fault.started.elapsed().as_secs();
    let line = format!("{name}: with the rule {with}; without it {lacking} ({seconds} s)\n");
    // Not by println, which the test harness keeps to itself when a test passes.
    std::io::stderr().write_all(line.as_bytes())?;
    ensure!(
        !lacking.holds(),
        "without the rule the scenario holds as well, so it proves nothing (is the image a debug build?): {lacking}"
    );
    fault.namespace.end();
    Ok(())
}

/// Two authors in each of two documents. They delete nothing: a reconnecting client sends all deletions again, and one of
/// the rules concerns a Step2 without any. There are no attackers: some of them send the whole document again, which
/// repairs what a missing rule has broken.
fn people(prefix: &str) -> [&str; 10] {
    ["--kept", "0", "--left", "2", "--deletes", "0", "--attacks", "0", "--prefix", prefix]
}

fn manifest(gateways: usize, sweep_seconds: u32) -> String {
    format!(
        "
apiVersion: editorcluster.io/v1alpha1
kind: EditorCluster
metadata: {{name: {NAME}}}
spec:
  autoscaling: {{minReplicas: {gateways}, maxReplicas: {gateways}, connectionsPerReplica: 500}}
  gateway:
    settleSeconds: 0
    drainWindowSeconds: 0
    sweepSeconds: {sweep_seconds}
    resources: {{requests: {{cpu: 20m, memory: 32Mi}}}}
  redis: {{managed: {{resources: {{requests: {{cpu: 10m, memory: 32Mi}}}}}}}}
  storage:
    deletionPolicy: Delete
    postgres: {{managed: {{resources: {{requests: {{cpu: 10m, memory: 64Mi}}}}}}}}
"
    )
}

#[tokio::test]
async fn mutation_sweep() -> Result<()> {
    twice("mutation_sweep", 1, Without::Sweep, scenes::nobody_comes_back).await
}

#[tokio::test]
async fn mutation_tenure() -> Result<()> {
    twice("mutation_tenure", 1, Without::Rule("Tenure"), scenes::redis_starts_with_older_files).await
}

#[tokio::test]
async fn mutation_persist() -> Result<()> {
    twice("mutation_persist", 1, Without::Rule("PersistOnAppend"), scenes::postgres_is_away_for_an_hour).await
}

#[tokio::test]
async fn mutation_contiguous_position() -> Result<()> {
    twice("mutation_contiguous_position", 2, Without::Rule("ContiguousPosition"), scenes::notices_are_lost).await
}

#[tokio::test]
async fn mutation_acknowledge_all_held() -> Result<()> {
    let without = Without::Rule("AcknowledgeAllHeld");
    twice("mutation_acknowledge_all_held", 1, without, scenes::a_client_comes_back_to_a_gateway_that_is_cut_off).await
}
