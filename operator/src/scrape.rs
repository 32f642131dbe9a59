//! How many connections and documents an EditorCluster has, asked of its gateways themselves.
//!
//! Every gateway is asked on demand, at most once in two seconds however many ask. What a pod that does not answer is
//! taken for is decided in [`aggregate`], which knows no network; [`text`] reads what a gateway says.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::crd::EditorCluster;
use aggregate::{Memory, Stage};

pub mod aggregate;
pub mod text;

/// How long an answer is given again before the gateways are asked anew.
const FRESH: Duration = Duration::from_secs(2);
/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Gateways that are asked at the same time, for one EditorCluster.
const AT_ONCE: usize = 64;
/// The most that is read of one gateway's answer; a real one has some ten kilobytes.
const ANSWER_LIMIT: usize = 4 << 20;
/// What nobody has asked about for so long is forgotten.
const UNUSED: Duration = Duration::from_secs(600);

/// What one gateway has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodFigures {
    pub connections: u64,
    pub documents: u64,
    /// Whether the gateway says that it cannot reach the log. An older one says nothing, and is taken for one that can.
    pub without_log: bool,
    /// The same of the database.
    pub without_store: bool,
}

/// What all gateways of an EditorCluster have open, pods that drain or surge included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub connections: u64,
    /// A document counts once for each gateway that has it open.
    pub documents: u64,
    /// Gateways that have answered just now, and that have had the time to reach log and database.
    pub asked: usize,
    /// Those of them that cannot reach the log.
    pub without_log: usize,
    /// Those of them that cannot reach the database.
    pub without_store: usize,
    /// By the pod's name.
    pub per_pod: BTreeMap<String, PodFigures>,
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    #[error("there is no EditorCluster {namespace}/{name}")]
    NotFound { namespace: String, name: String },
    #[error(
        "{missing} of {pods} gateways of {cluster} do not answer on their admin port: look at their logs and at NetworkPolicies between the operator and them"
    )]
    TooManyMissing { cluster: String, missing: usize, pods: usize },
    #[error("cannot read {what} of {cluster} from the Kubernetes API: {reason}")]
    Api { what: &'static str, cluster: String, reason: String },
}

/// Something that knows the figures of an EditorCluster.
pub trait Figures: Send + Sync {
    /// The figures now, or at most two seconds ago.
    fn figures<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Totals, ScrapeError>>;
}

/// The figures of every EditorCluster, from its gateways' metrics.
pub struct ConnectionSource {
    client: Client,
    http: reqwest::Client,
    port: u16,
    // A std Mutex and not a tokio one, because it is held for a look-up alone, never across an await.
    clusters: Mutex<HashMap<(String, String), Slot>>,
}

struct Slot {
    used: Instant,
    cluster: Arc<tokio::sync::Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    memory: Memory,
    last: Option<(Instant, Result<Totals, ScrapeError>)>,
}

impl ConnectionSource {
    /// `port` is the gateways' admin port. Nothing is asked before somebody wants to know.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn new(client: Client, port: u16) -> anyhow::Result<Self> {
        // Pods are asked over plain HTTP. The library wants to be told about TLS all the same, and without this it
        // would look for a process-wide provider and panic when nobody has installed one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()?;
        Ok(Self { client, http, port, clusters: Mutex::default() })
    }

    /// The figures now, or at most two seconds ago. Whoever asks while somebody else's question is under way waits for
    /// that one's answer.
    ///
    /// # Errors
    /// If there is no such EditorCluster, the Kubernetes API does not answer, or more than half of the gateways are
    /// missing.
    pub async fn totals(&self, namespace: &str, name: &str) -> Result<Totals, ScrapeError> {
        let cluster = self.slot(namespace, name);
        let mut known = cluster.lock().await;
        if let Some((at, answer)) = &known.last
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = self.ask(namespace, name, &mut known.memory).await;
        known.last = Some((Instant::now(), answer.clone()));
        answer
    }

    fn slot(&self, namespace: &str, name: &str) -> Arc<tokio::sync::Mutex<Known>> {
        let now = Instant::now();
        // The map is whole after every statement, so a panic elsewhere has left nothing half done in it.
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|_, slot| now.duration_since(slot.used) < UNUSED || Arc::strong_count(&slot.cluster) > 1);
        let slot = clusters
            .entry((namespace.to_owned(), name.to_owned()))
            .or_insert_with(|| Slot { used: now, cluster: Arc::default() });
        slot.used = now;
        Arc::clone(&slot.cluster)
    }

    async fn ask(&self, namespace: &str, name: &str, memory: &mut Memory) -> Result<Totals, ScrapeError> {
        let cluster = format!("{namespace}/{name}");
        let failed = |what: &'static str| {
            let cluster = cluster.clone();
            move |error: kube::Error| ScrapeError::Api { what, cluster, reason: error.to_string() }
        };
        let object = Api::<EditorCluster>::namespaced(self.client.clone(), namespace)
            .get_opt(name)
            .await
            .map_err(failed("the EditorCluster"))?
            .ok_or_else(|| ScrapeError::NotFound { namespace: namespace.to_owned(), name: name.to_owned() })?;
        let selector = format!(
            "app.kubernetes.io/name=editorcluster,app.kubernetes.io/component=gateway,app.kubernetes.io/instance={name}"
        );
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace)
            .list(&ListParams::default().labels(&selector))
            .await
            .map_err(failed("the gateways"))?;

        let now = jiff::Timestamp::now();
        let answers: Vec<_> = futures::stream::iter(pods.items)
            .map(|pod| async move {
                let stage = aggregate::stage(&pod, now);
                let figures = match (stage, address(&pod)) {
                    (Stage::Starting | Stage::Started, Some(ip)) => self.scrape(SocketAddr::new(ip, self.port)).await,
                    _ => None,
                };
                aggregate::Asked { name: pod.name_any(), uid: pod.uid().unwrap_or_default(), stage, figures }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let assumed = u64::try_from(object.spec.autoscaling.connections_per_replica).unwrap_or_default();
        aggregate::aggregate(Instant::now(), &answers, memory, assumed).map_err(|missing| ScrapeError::TooManyMissing {
            cluster,
            missing: missing.missing,
            pods: missing.pods,
        })
    }

    async fn scrape(&self, address: SocketAddr) -> Option<PodFigures> {
        let read = async {
            let mut answer = self.http.get(format!("http://{address}/metrics")).send().await?.error_for_status()?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > ANSWER_LIMIT {
                    return Ok(None);
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>(text::figures(&String::from_utf8_lossy(&body)))
        };
        match read.await {
            Ok(Some(figures)) => Some(figures),
            Ok(None) => {
                tracing::debug!(%address, "the gateway's metrics have no count of connections and documents");
                None
            }
            Err(error) => {
                tracing::debug!(%address, %error, "the gateway does not answer");
                None
            }
        }
    }
}

impl Figures for ConnectionSource {
    fn figures<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Totals, ScrapeError>> {
        self.totals(namespace, name).boxed()
    }
}

fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}
