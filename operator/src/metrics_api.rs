//! The connection metrics for the HPA: an aggregated API of the group `custom.metrics.k8s.io/v1beta2`.
//!
//! The Kubernetes API server sends the HPA's question on to us as its front proxy. Whoever asks is who the front proxy
//! says it is, and nobody else is believed ([`front_proxy`]); what he may do, the cluster's authorizer says
//! ([`authorize`]). The certificate that we show is made and rotated here ([`certificate`]). Both replicas serve;
//! the leader alone keeps the APIService ([`registration`]), and only while nobody else serves the group.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::Gate;
use crate::scrape::Figures;

pub mod answer;
pub mod authorize;
pub mod certificate;
pub mod discovery;
pub mod front_proxy;
pub mod registration;
pub mod server;

/// The group that the HPA asks for metrics of objects.
pub const GROUP: &str = "custom.metrics.k8s.io";
/// The one version that we serve.
pub const VERSION: &str = "v1beta2";
/// Who writes the APIService and the Secret, for server-side apply.
const FIELD_MANAGER: &str = "editorcluster-metrics-api";

/// Where the metrics API is and under which names it is known to the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// The operator's namespace: of its Service and of the Secret with the certificate.
    pub namespace: String,
    /// The Service that leads to `listen`.
    pub service_name: String,
    pub service_port: u16,
    /// The Secret that all replicas share; made when it is not there.
    pub secret_name: String,
    /// The ClusterRole of the chart that owns the APIService and the Secret, so that an uninstall takes them along.
    pub owner_cluster_role: Option<String>,
}

/// Whether the HPA can get its metrics from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAvailability {
    /// Registered, and the API server has not reached us yet.
    Pending,
    Serving,
    /// The name of an APIService of the group that is not ours. We have registered nothing.
    OtherProvider(String),
    /// Switched off by the operator's flags.
    Disabled,
    /// What went wrong, for people.
    Error(String),
}

/// Serves until `shutdown`. `ready` opens when there is a certificate to show and the front proxy is known.
///
/// # Errors
/// If the port cannot be bound. Everything later is tried again.
pub async fn serve(
    client: Client,
    settings: Settings,
    figures: Arc<dyn Figures>,
    ready: Gate,
    shutdown: CancellationToken,
) -> Result<()> {
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {} for the metrics API", settings.listen))?;
    let (tls, tls_known) = watch::channel(None);
    let (trust, trust_known) = watch::channel(None);
    let api = server::Api {
        trust: trust_known.clone(),
        authorizer: Arc::new(authorize::SubjectAccess::new(client.clone())),
        figures,
    };
    let mut opened = (tls_known.clone(), trust_known);
    let open_gate = async {
        let _ = opened.0.wait_for(Option::is_some).await;
        let _ = opened.1.wait_for(Option::is_some).await;
        ready.set(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = certificate::keep(client.clone(), settings.clone(), tls) => {}
        () = front_proxy::keep(client, trust) => {}
        () = open_gate => {}
        () = server::run(listener, tls_known, api, shutdown) => {}
    }
    Ok(())
}

/// Keeps the APIService until `shutdown` and says how it stands. For the leader alone.
pub async fn register(
    client: Client,
    settings: Settings,
    availability: watch::Sender<MetricsAvailability>,
    shutdown: CancellationToken,
) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = registration::keep(client, settings, availability) => {}
    }
}
