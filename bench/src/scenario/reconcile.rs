//! O1: the operator with an API server and etcd and nothing else. A thousand EditorClusters are there when it starts, so it
//! sees all of them at once. Nothing makes pods here: what is counted is what the operator writes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e_servers::{ControlPlane, free_port};
use serde_json::{Value, json};

use super::Settings;
use crate::report::{Figure, Report};
use crate::{cores, process};

const CLUSTERS: usize = 1000;
const NAMESPACES: usize = 10;
const CLUSTERS_URL: &str = "/apis/editorcluster.io/v1alpha1/editorclusters";
/// What an EditorCluster's reconciliation makes last.
const LAST_URL: &str = "/apis/autoscaling/v2/horizontalpodautoscalers";
/// So long is waited for them, whatever the target.
const GIVES_UP: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Without a write for so long it is at rest.
const REST: Duration = Duration::from_secs(5);
const TARGET_SECONDS: f64 = 60.0;
const TARGET_MEGABYTES: f64 = 100.0;

pub(super) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    cores::go_anywhere()?;
    let folder = tempfile::Builder::new().prefix("ec-bench-").tempdir()?;
    let world = World { plane: ControlPlane::start(folder.path())? };
    world.create()?;

    let before = world.writes()?;
    let start = Instant::now();
    let mut operator = Operator::start(&world.plane.kubeconfig)?;
    look_until("every EditorCluster is applied", || {
        operator.alive()?;
        Ok(world.count(LAST_URL)? == CLUSTERS)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = process::cpu_time(operator.0.id())?;
    let (mut writes, mut since) = (world.writes()?, Instant::now());
    look_until("the operator is at rest", || {
        let now = world.writes()?;
        if now != writes {
            (writes, since) = (now, Instant::now());
        }
        Ok(since.elapsed() > REST)
    })?;
    world.all_observed()?;
    std::thread::sleep(settings.length);
    let at_rest = world.writes()? - writes;
    operator.alive()?;
    let megabytes = process::most_resident(operator.0.id())? as f64 / 1e6;

    let mut figure = |metric, value, unit, target: Option<f64>| {
        let figure = Figure::of_operator("O1", metric, value, unit);
        report.figure(if let Some(target) = target { figure.target(target) } else { figure })
    };
    figure("until_all_applied", seconds, "s", Some(TARGET_SECONDS))?;
    figure("cpu_until_all_applied", cpu.as_secs_f64(), "s", None)?;
    figure("most_memory", megabytes, "MB", Some(TARGET_MEGABYTES))?;
    figure("writes_per_cluster", (writes - before) as f64 / CLUSTERS as f64, "", None)?;
    figure("writes_at_rest", at_rest as f64, "", Some(0.0))?;
    cores::stay_on(cores::LOAD)
}

/// Each look is a process and takes time from the operator, so they are few.
fn look_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + GIVES_UP;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waited {} s in vain until {what}", GIVES_UP.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

struct World {
    plane: ControlPlane,
}

impl World {
    /// What kubectl prints.
    fn kubectl(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.plane.kubeconfig).args(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start kubectl")?;
        child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "kubectl {}: {}", words.join(" "), output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    fn get(&self, url: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", "--raw", url], "")?)?)
    }

    fn create(&self) -> Result<()> {
        let crd = Command::new(program()).arg("crd").output().context("cannot start the operator")?;
        self.kubectl(&["create", "-f", "-"], &String::from_utf8(crd.stdout)?)?;
        self.kubectl(&["wait", "--for=condition=Established", "crd/editorclusters.editorcluster.io"], "")?;
        let namespaces = (0..NAMESPACES)
            .map(|number| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team(number)}}));
        let clusters = (0..CLUSTERS).map(|number| {
            json!({
                "apiVersion": "editorcluster.io/v1alpha1",
                "kind": "EditorCluster",
                "metadata": {"name": format!("docs-{number}"), "namespace": team(number % NAMESPACES)},
                "spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 40, "connectionsPerReplica": 5000}},
            })
        });
        let items: Vec<Value> = namespaces.chain(clusters).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        self.kubectl(&["create", "-f", "-"], &list.to_string())?;
        ensure!(self.count(CLUSTERS_URL)? == CLUSTERS, "not all EditorClusters were created");
        Ok(())
    }

    /// How many objects there are at `url`, without reading them.
    fn count(&self, url: &str) -> Result<usize> {
        let page = self.get(&format!("{url}?limit=1"))?;
        let first = page["items"].as_array().context("no list")?.len();
        Ok(first + page["metadata"]["remainingItemCount"].as_u64().unwrap_or(0) as usize)
    }

    /// Every status is that of the spec.
    fn all_observed(&self) -> Result<()> {
        let list = self.get(CLUSTERS_URL)?;
        for object in list["items"].as_array().context("no list")? {
            let (wanted, seen) = (&object["metadata"]["generation"], &object["status"]["observedGeneration"]);
            ensure!(wanted == seen, "the status of {} is of generation {seen} and not {wanted}", object["metadata"]);
        }
        Ok(())
    }

    /// How often anybody but us has written anything but a Lease.
    fn writes(&self) -> Result<u64> {
        let page = self.kubectl(&["get", "--raw", "/metrics"], "")?;
        let of_write = |line: &&str| {
            let writes = ["APPLY", "DELETE", "PATCH", "POST", "PUT"];
            line.starts_with("apiserver_request_total{")
                && writes.iter().any(|verb| line.contains(&format!("verb=\"{verb}\"")))
                && !line.contains("resource=\"leases\"")
        };
        let all = page.lines().filter(of_write).map(|line| {
            let (_, value) = line.rsplit_once(' ').context("a metric without a value")?;
            Ok(value.parse::<f64>()? as u64)
        });
        all.sum()
    }
}

fn team(number: usize) -> String {
    format!("team-{number}")
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/operator")
}

/// The operator as a process; it ends with this.
struct Operator(Child);

impl Operator {
    /// Without its metrics API, which without nodes nobody could reach.
    fn start(kubeconfig: &Path) -> Result<Self> {
        let mut command = Command::new(program());
        command.args(["run", "--metrics-api", "false", "--pod-namespace", "default", "--log-level", "warn"]);
        command.arg("--admin-listen").arg(format!("127.0.0.1:{}", free_port()?));
        Ok(Self(command.env("KUBECONFIG", kubeconfig).spawn().context("cannot start the operator")?))
    }

    fn alive(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("the operator ended: {status}"),
            None => Ok(()),
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("process {} may be left running: {error}", self.0.id());
        }
    }
}
