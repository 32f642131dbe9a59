//! The load of every scenario, and the reckoning at its end.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::Cluster;
use e2e::scenario::clients::ClientProgram;
use e2e::scenario::container::Processes;
use e2e::scenario::editor_cluster::{EditorCluster, GatewayPod};
use e2e::scenario::kubectl::{get, kubectl};
use e2e::scenario::namespace::Namespace;
use e2e::scenario::until;
use e2e::{shell, volumes};
use serde_json::Value;
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held for reading by scenarios that break only what is in their namespace, for writing by the others.
static MACHINE: RwLock<()> = RwLock::const_new(());
static VOLUMES: Mutex<()> = Mutex::const_new(());

const NAME: &str = "docs";
pub(crate) const GATEWAYS: usize = 3;
/// Clients that have nothing to wait for have this many edits acknowledged in some seconds.
const WARM: u64 = 500;

/// What a scenario breaks, and so with whom it can run side by side.
pub(crate) enum Breaks {
    ItsNamespace,
    TheCluster,
}

enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// A scenario that runs: gateways, and people who write.
pub(crate) struct Fault {
    name: &'static str,
    pub(crate) namespace: Namespace,
    pub(crate) cluster: EditorCluster,
    pub(crate) people: ClientProgram,
    started: Instant,
    _turn: Turn,
}

/// Whether the fault cost connections; a scenario that should and did not has proved nothing.
#[derive(PartialEq, Eq)]
pub(crate) enum Moved {
    Yes,
    No,
}

impl Fault {
    /// An EditorCluster with three gateways in a namespace made for it, and people in its documents whose edits are being
    /// acknowledged. `gateway`: a line of YAML for `spec.gateway`.
    pub(crate) async fn begin(name: &'static str, breaks: Breaks, gateway: &str) -> Result<Self> {
        Self::begin_prepared(name, breaks, gateway, async |_: &Namespace| Ok(())).await
    }

    /// As [`begin`](Self::begin), with a managed Redis of this mode.
    pub(crate) async fn begin_with_redis(name: &'static str, mode: &str) -> Result<Self> {
        Self::begin_with(name, Breaks::ItsNamespace, &manifest("", mode), async |_: &Namespace| Ok(())).await
    }

    /// As [`begin`](Self::begin), with something to be done in the namespace before the EditorCluster is applied.
    pub(crate) async fn begin_prepared(
        name: &'static str,
        breaks: Breaks,
        gateway: &str,
        prepare: impl AsyncFnOnce(&Namespace) -> Result<()>,
    ) -> Result<Self> {
        Self::begin_with(name, breaks, &manifest(gateway, "Standalone"), prepare).await
    }

    async fn begin_with(
        name: &'static str,
        breaks: Breaks,
        manifest: &str,
        prepare: impl AsyncFnOnce(&Namespace) -> Result<()>,
    ) -> Result<Self> {
        let turn = match breaks {
            Breaks::ItsNamespace => Turn::Shared { _guard: MACHINE.read().await },
            Breaks::TheCluster => Turn::Alone { _guard: MACHINE.write().await },
        };
        let started = Instant::now();
        let namespace = Namespace::create(&name.replacen("fault_", "f-", 1).replace('_', "-")).await?;
        {
            // There are more scenarios than volumes.
            let _one_at_a_time = VOLUMES.lock().await;
            volumes::recycle(&Cluster::current()?).await?;
        }
        prepare(&namespace).await?;
        namespace.apply(manifest).await?;
        let cluster = EditorCluster::new(&namespace.name, NAME);
        cluster.ready().await?;
        cluster.settled_at(GATEWAYS, Duration::from_secs(90)).await?;
        let urls = urls(cluster.node_ports().await?);
        let mut people = ClientProgram::start("faults.mjs", &["--urls", &urls])?;
        people
            .line("edits acknowledged", Duration::from_secs(60), |it| it["acknowledged"].as_u64() > Some(WARM))
            .await?;
        Ok(Self { name, namespace, cluster, people, started, _turn: turn })
    }

    /// The gateway that holds the most connections.
    pub(crate) async fn busiest(&self) -> Result<GatewayPod> {
        let mut busiest = None;
        for pod in self.cluster.gateways().await? {
            let connections = gauge(&pod, "editorcluster_connections").await?;
            if busiest.as_ref().is_none_or(|(most, _)| *most < connections) {
                busiest = Some((connections, pod));
            }
        }
        let (connections, pod) = busiest.context("no gateway is Ready")?;
        ensure!(connections > 0.0, "nobody is connected");
        Ok(pod)
    }

    pub(crate) async fn processes(&self, pod: &str) -> Result<Processes> {
        Processes::of(&self.namespace.name, pod).await
    }

    /// The pod of the server that takes itself for the primary; of several, one that a replica follows.
    pub(crate) async fn redis_primary(&self) -> Result<String> {
        let pods = self.redis_pods().await?;
        for pod in &pods {
            // A pod that starts, or is cut off, says nothing.
            let said = self.redis_cli(pod, &["info", "replication"]).await.unwrap_or_default();
            if said.contains("role:master") && (pods.len() == 1 || !said.contains("connected_slaves:0")) {
                return Ok(pod.clone());
            }
        }
        bail!("no Redis is a primary")
    }

    /// The pods of a Redis Cluster's primaries, in the order of their names, as `asked` sees it.
    pub(crate) async fn redis_cluster_primaries(&self, asked: &str) -> Result<Vec<String>> {
        let nodes = self.redis_cli(asked, &["cluster", "nodes"]).await?;
        let primary = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            let [_, address, flags, _, _, _, _, _, _slots, ..] = words[..] else { return None };
            // Neither is one that is missed, nor one without slots.
            matches!(flags, "master" | "myself,master").then_some(())?;
            let (_, name) = address.rsplit_once(',')?;
            name.split('.').next().map(str::to_owned)
        };
        let mut primaries: Vec<_> = nodes.lines().filter_map(primary).collect();
        primaries.sort();
        Ok(primaries)
    }

    /// The pods of all Redis servers, whatever they are.
    async fn redis_pods(&self) -> Result<Vec<String>> {
        let pods = get(&["pods", "-n", &self.namespace.name, "-l", "app.kubernetes.io/component=redis"]).await?;
        let pods = pods["items"].as_array().context("no list of pods")?;
        pods.iter()
            .map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned).context("a pod without a name"))
            .collect()
    }

    /// Takes everything from every primary, and waits until no server has any document's log: what is read next is from the
    /// database.
    async fn empty_redis(&self) -> Result<()> {
        let pods = self.redis_pods().await?;
        for pod in &pods {
            // A replica refuses, and loses what its primary loses.
            let said = self.redis_cli(pod, &["flushall"]).await?;
            ensure!(said.starts_with("OK") || said.contains("READONLY"), "{pod} was not emptied: {said}");
        }
        until("no Redis has a document", Duration::from_secs(20), || async {
            for pod in &pods {
                let left = self.redis_cli(pod, &["--scan", "--pattern", "ec:{*"]).await?;
                ensure!(left.is_empty(), "{pod} still has {left}");
            }
            Ok(Some(()))
        })
        .await
    }

    pub(crate) async fn redis_cli(&self, pod: &str, words: &[&str]) -> Result<String> {
        let cli = ["exec", "-n", &self.namespace.name, pod, "-c", "redis", "--", "timeout", "5", "redis-cli"];
        kubectl(&[&cli[..], words].concat()).await
    }

    pub(crate) async fn redis(&self) -> Result<Processes> {
        self.processes(&format!("{NAME}-redis-0")).await
    }

    pub(crate) async fn postgres(&self) -> Result<Processes> {
        self.processes(&format!("{NAME}-postgres-0")).await
    }

    /// Some of the people are gone from now on, for good and without a word: what was acknowledged to them is nowhere
    /// but on the servers.
    pub(crate) async fn vanish(&mut self) -> Result<()> {
        self.people.say("vanish").await?;
        self.people.line("vanished", Duration::from_secs(10), |it| it["event"] == "vanished").await?;
        Ok(())
    }

    /// Edits are acknowledged again: `count` more than until now.
    pub(crate) async fn goes_on(&mut self, count: u64) -> Result<()> {
        let now = self.people.line("a status", Duration::from_secs(10), |it| it["event"] == "status").await?;
        let enough = now["acknowledged"].as_u64().unwrap_or_default() + count;
        self.people
            .line("edits acknowledged again", Duration::from_secs(90), |it| it["acknowledged"].as_u64() > Some(enough))
            .await?;
        Ok(())
    }

    /// The reckoning with three gateways.
    pub(crate) async fn end(self, moved: Moved) -> Result<()> {
        self.end_with(GATEWAYS, moved).await
    }

    /// Waits until all is well again, compares what everybody sees, takes everybody away, empties Redis, and compares
    /// again with what is in the database. Prints the scenario's line.
    pub(crate) async fn end_with(mut self, gateways: usize, moved: Moved) -> Result<()> {
        self.cluster.ready().await?;
        let pods = self.cluster.settled_at(gateways, Duration::from_secs(120)).await?;
        let addresses = urls(pods.iter().map(|pod| format!("{}:8080", pod.ip)).collect());
        self.people.say(&format!("settle {addresses}")).await?;
        let settled = self.people.line("settled", Duration::from_secs(150), |it| it["event"] == "settled").await?;

        until("every room closed, and so written to the database", Duration::from_secs(60), || async {
            for pod in &pods {
                let open = gauge(pod, "editorcluster_documents").await?;
                ensure!(open == 0.0, "{} has {open} documents open", pod.name);
            }
            Ok(Some(()))
        })
        .await?;
        self.empty_redis().await?;
        let first = addresses.split(',').next().context("no gateway")?;
        self.people.say(&format!("cold {first}")).await?;
        let cold = self.people.line("cold", Duration::from_secs(120), |it| it["event"] == "cold").await?;

        let sum = |name: &str| count(&settled, name) + count(&cold, name);
        let line = format!(
            "{}: {} edits acknowledged, {} lost, {} clients, {} divergent, {} ghosts, longest stall {:.1} s ({} s)\n",
            self.name,
            count(&settled, "acknowledged"),
            count(&settled, "lost").max(count(&cold, "lost")),
            count(&settled, "clients"),
            sum("divergent"),
            sum("ghosts"),
            settled["longestStall"].as_f64().unwrap_or(f64::NAN),
            self.started.elapsed().as_secs(),
        );
        // Not by println, which the test harness keeps to itself when a test passes.
        std::io::stderr().write_all(line.as_bytes())?;
        for what in ["lost", "divergent", "ghosts", "unseen", "waiting"] {
            ensure!(sum(what) == 0, "{what} is not 0: {settled}, then from the database: {cold}");
        }
        let reconnects = count(&settled, "reconnects");
        ensure!(moved == Moved::No || reconnects > 0, "no client was moved, so this proved nothing: {settled}");
        self.namespace.end();
        Ok(())
    }

    /// The container that was killed runs again and is Ready.
    pub(crate) async fn restarted(&self, pod: &str) -> Result<()> {
        until(&format!("{pod} started again and Ready"), Duration::from_secs(120), || async {
            let object = get(&["pod", pod, "-n", &self.namespace.name]).await?;
            let status = &object["status"]["containerStatuses"][0];
            Ok((status["restartCount"].as_u64() > Some(0) && status["ready"] == true).then_some(()))
        })
        .await
    }
}

fn count(line: &Value, name: &str) -> u64 {
    line[name].as_u64().unwrap_or_default()
}

fn urls(addresses: Vec<String>) -> String {
    addresses.into_iter().map(|it| format!("ws://{it}/yjs")).collect::<Vec<_>>().join(",")
}

/// One figure of a gateway's metrics.
pub(crate) async fn gauge(pod: &GatewayPod, name: &str) -> Result<f64> {
    let address = format!("http://{}:9090/metrics", pod.ip);
    let page = shell::run("curl", &["--silent", "--fail", "--max-time", "5", &address]).await?;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.map_or(0.0, |value| value.parse().unwrap_or(f64::NAN)))
}

fn manifest(gateway: &str, redis: &str) -> String {
    format!(
        "
apiVersion: editorcluster.io/v1alpha1
kind: EditorCluster
metadata: {{name: {NAME}}}
spec:
  autoscaling: {{minReplicas: {GATEWAYS}, maxReplicas: 10, connectionsPerReplica: 500, scaleDown: {{stabilizationSeconds: 0, step: 4}}}}
  gateway:
    settleSeconds: 3
    drainWindowSeconds: 5
    resources: {{requests: {{cpu: 20m, memory: 32Mi}}}}
    {gateway}
  redis: {{managed: {{mode: {redis}, resources: {{requests: {{cpu: 10m, memory: 32Mi}}}}}}}}
  storage:
    deletionPolicy: Delete
    postgres: {{managed: {{resources: {{requests: {{cpu: 10m, memory: 64Mi}}}}}}}}
  routing: {{expose: {{type: NodePort}}}}
"
    )
}
