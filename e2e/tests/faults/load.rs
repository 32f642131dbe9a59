//! The load of every scenario, and the reckoning at its end.

use std::env;
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::scenario::clients::ClientProgram;
use e2e::scenario::container::Processes;
use e2e::scenario::editor_cluster::{EditorCluster, GatewayPod};
use e2e::scenario::kubectl::get;
use e2e::scenario::namespace::Namespace;
use e2e::scenario::until;
use e2e::{shell, volumes};
use serde_json::Value;
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held for reading by scenarios that break only what is in their namespace, for writing by the others.
static MACHINE: RwLock<()> = RwLock::const_new(());
static VOLUMES: Mutex<()> = Mutex::const_new(());

pub(crate) const NAME: &str = "docs";
pub(crate) const GATEWAYS: usize = 3;
/// Clients that have nothing to wait for have this many edits acknowledged in some seconds.
const WARM: u64 = 500;
/// As soon as there is something to lose.
const FEW: u64 = 20;

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
    pub(crate) name: &'static str,
    pub(crate) namespace: Namespace,
    pub(crate) cluster: EditorCluster,
    /// How many there are, if the scenario does not change that.
    pub(crate) gateways: usize,
    pub(crate) people: ClientProgram,
    pub(crate) started: Instant,
    _turn: Turn,
}

/// What the fault must have cost, at the least; a scenario without that has proved nothing.
pub(crate) enum Cost {
    Nothing,
    /// Somebody had to connect again.
    Connections,
    /// Somebody who stayed waited so long for an acknowledgement.
    Waiting(Duration),
}

impl Cost {
    /// Of whatever everybody waits for until it has started again.
    pub(crate) const A_RESTART: Self = Self::Waiting(Duration::from_millis(500));

    fn was_paid(&self, settled: &Value) -> bool {
        match self {
            Self::Nothing => true,
            Self::Connections => count(settled, "reconnects") > 0,
            Self::Waiting(least) => settled["longestStall"].as_f64() >= Some(least.as_secs_f64()),
        }
    }
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
        let Ground { namespace, cluster, started, turn } = Ground::make(name, breaks, manifest, prepare).await?;
        cluster.settled_at(GATEWAYS, Duration::from_secs(90)).await?;
        let urls = urls(cluster.node_ports().await?);
        let people = people(&["--urls", &urls], WARM).await?;
        Ok(Self { name, namespace, cluster, gateways: GATEWAYS, people, started, _turn: turn })
    }

    /// As [`begin`](Self::begin), but people go to the gateways themselves, so that it is known who is where.
    pub(crate) async fn begin_at_gateways(name: &'static str) -> Result<Self> {
        let mut fault = Self::begin_small(name, &manifest("", "Standalone"), GATEWAYS, &[]).await?;
        fault.goes_on(WARM).await?;
        Ok(fault)
    }

    /// On so many gateways as `manifest` says, with people as `words` say. They go to the gateways themselves, one after
    /// the other, so that two authors of a document are on two gateways if there are two.
    pub(crate) async fn begin_small(
        name: &'static str,
        manifest: &str,
        gateways: usize,
        words: &[&str],
    ) -> Result<Self> {
        let prepare = async |_: &Namespace| Ok(());
        let ground = Ground::make(name, Breaks::ItsNamespace, manifest, prepare).await?;
        let Ground { namespace, cluster, started, turn } = ground;
        let people = people_of(&cluster, gateways, words).await?;
        Ok(Self { name, namespace, cluster, gateways, people, started, _turn: turn })
    }

    /// Other people come, as `words` say.
    pub(crate) async fn begin_again(&mut self, words: &[&str]) -> Result<()> {
        self.people = people_of(&self.cluster, self.gateways, words).await?;
        Ok(())
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

    /// Of three gateways to which people went themselves, the one that the first author of every document is on: of the
    /// documents kept that is somebody who stays.
    pub(crate) async fn first_authors(&self) -> Result<Processes> {
        let pods = self.cluster.gateways().await?;
        self.processes(&pods.get(1).context("not three gateways")?.name).await
    }

    pub(crate) async fn processes(&self, pod: &str) -> Result<Processes> {
        Processes::of(&self.namespace.name, pod).await
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
        self.tell("vanish", "vanished").await
    }

    /// Tells the people `command` and waits until they say `done`. What they said before that is passed over.
    pub(crate) async fn tell(&mut self, command: &str, done: &str) -> Result<()> {
        self.people.say(command).await?;
        self.people.line(done, Duration::from_secs(30), |it| it["event"] == done).await?;
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

    /// The reckoning with as many gateways as there were.
    pub(crate) async fn end(self, cost: Cost) -> Result<()> {
        let gateways = self.gateways;
        self.end_with(gateways, cost).await
    }

    /// Waits until all is well again, compares what everybody sees, takes everybody away, empties Redis, and compares
    /// again with what is in the database. Prints the scenario's line.
    pub(crate) async fn end_with(mut self, gateways: usize, cost: Cost) -> Result<()> {
        self.cluster.ready().await?;
        let pods = self.cluster.settled_at(gateways, Duration::from_secs(120)).await?;
        let settled = self.settle(&pods, "").await?;
        let cold = self.read_from_the_database(&pods).await?;

        let sum = |name: &str| count(&settled, name) + count(&cold, name);
        let attackers = &settled["attackers"];
        let line = format!(
            "{}: {} edits acknowledged, {} lost, {} clients, {} divergent, {} ghosts, longest stall {:.1} s, \
             {} hostile messages in {} sessions, {} refused ({} s)\n",
            self.name,
            count(&settled, "acknowledged"),
            count(&settled, "lost").max(count(&cold, "lost")),
            count(&settled, "clients"),
            sum("divergent"),
            sum("ghosts"),
            settled["longestStall"].as_f64().unwrap_or(f64::NAN),
            count(attackers, "messages"),
            count(attackers, "sessions"),
            count(attackers, "refused"),
            self.started.elapsed().as_secs(),
        );
        // Not by println, which the test harness keeps to itself when a test passes.
        std::io::stderr().write_all(line.as_bytes())?;
        for what in ["lost", "divergent", "ghosts", "unseen", "waiting"] {
            ensure!(sum(what) == 0, "{what} is not 0: {settled}, then from the database: {cold}");
        }
        for what in ["messages", "sessions", "refused"] {
            ensure!(
                count(attackers, what) > 0,
                "nobody attacked ({what} is 0), so this proved less than it says: {settled}"
            );
        }
        ensure!(cost.was_paid(&settled), "the fault cost nobody what it should, so this proved nothing: {settled}");
        self.namespace.end();
        Ok(())
    }

    /// What everybody sees in the end, and new readers at each of `pods`; then everybody leaves. `seconds`: for how long
    /// that may take, if not as long as the people think.
    pub(crate) async fn settle(&mut self, pods: &[GatewayPod], seconds: &str) -> Result<Value> {
        self.people.say(&format!("settle {} {seconds}", pod_urls(pods))).await?;
        self.people.line("settled", Duration::from_secs(150), |it| it["event"] == "settled").await
    }

    /// Once nobody has a document open, Redis is emptied, and every document read again.
    pub(crate) async fn read_from_the_database(&mut self, pods: &[GatewayPod]) -> Result<Value> {
        until("every room closed, and so written to the database", Duration::from_secs(60), || async {
            for pod in pods {
                let open = gauge(pod, "editorcluster_documents").await?;
                ensure!(open == 0.0, "{} has {open} documents open", pod.name);
            }
            Ok(Some(()))
        })
        .await?;
        self.empty_redis().await?;
        let first = pod_urls(pods.get(..1).context("no gateway")?);
        self.people.say(&format!("cold {first}")).await?;
        self.people.line("cold", Duration::from_secs(120), |it| it["event"] == "cold").await
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

/// A scenario's namespace and EditorCluster, and its turn on the machine.
struct Ground {
    namespace: Namespace,
    cluster: EditorCluster,
    started: Instant,
    turn: Turn,
}

impl Ground {
    async fn make(
        name: &str,
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
        Ok(Self { namespace, cluster, started, turn })
    }
}

/// What all random choices begin with: `SEED`, to have the same ones again, or else the time of the first call.
pub(crate) fn seed() -> Result<u64> {
    static FIRST_CALL: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);
    match env::var("SEED") {
        Ok(seed) => seed.parse().with_context(|| format!("SEED={seed} is no number")),
        Err(_) => Ok(FIRST_CALL.duration_since(UNIX_EPOCH)?.as_secs()),
    }
}

/// People who write as `words` say, of whose edits so many are acknowledged. Unless `words` say otherwise, somebody attacks
/// their documents as long as they write.
async fn people(words: &[&str], acknowledged: u64) -> Result<ClientProgram> {
    let seed = seed()?.to_string();
    let mut people = ClientProgram::start("faults.mjs", &[&["--seed", &seed], words].concat())?;
    people
        .line("edits acknowledged", Duration::from_secs(60), |it| it["acknowledged"].as_u64() > Some(acknowledged))
        .await?;
    Ok(people)
}

async fn people_of(cluster: &EditorCluster, gateways: usize, words: &[&str]) -> Result<ClientProgram> {
    let urls = pod_urls(&cluster.settled_at(gateways, Duration::from_secs(90)).await?);
    people(&[&["--urls", &urls], words].concat(), FEW).await
}

fn pod_urls(pods: &[GatewayPod]) -> String {
    urls(pods.iter().map(|pod| format!("{}:8080", pod.ip)).collect())
}

pub(crate) fn count(line: &Value, name: &str) -> u64 {
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
