//! The one place where everything is put together. Every task is joined here; if one ends that must not, so does the
//! process.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use kube::Client;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::RunArgs;
use crate::admin::{self, Readiness};
use crate::controller::settings::Images;
use crate::controller::telemetry::Telemetry;
use crate::controller::{self, Shared};
use crate::leader::{self, LeaseSettings};
use crate::metrics_api::{self, MetricsAvailability};
use crate::scrape::ConnectionSource;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// Something could not be started, ended that must not, or the leadership is lost.
#[tokio::main]
pub(super) async fn run(args: RunArgs) -> Result<()> {
    let shutdown = on_signal()?;
    let client = Client::try_default().await.context("cannot reach Kubernetes: set KUBECONFIG, or run in a pod")?;
    let registry = Registry::new();
    let readiness = Readiness::new();
    let figures = Arc::new(ConnectionSource::new(client.clone(), args.gateway_admin_port)?);
    let (availability, metrics) = watch::channel(MetricsAvailability::Pending);
    let settings = metrics_settings(&args);

    let mut tasks = JoinSet::new();
    let admin = TcpListener::bind(args.admin_listen)
        .await
        .with_context(|| format!("cannot listen on {} (--admin-listen)", args.admin_listen))?;
    if args.metrics_api {
        let gate = readiness.gate("metrics API");
        let serving = metrics_api::serve(client.clone(), settings.clone(), figures.clone(), gate, shutdown.clone());
        tasks.spawn(serving);
    } else {
        availability.send_replace(MetricsAvailability::Disabled);
    }
    tasks.spawn(admin::serve(admin, registry.clone(), readiness, shutdown.clone()));

    let images = Images { gateway: args.gateway_image, redis: args.redis_image, postgres: args.postgres_image };
    let telemetry = Telemetry::new(&registry)?;
    let shared = Arc::new(Shared::new(client.clone(), images, figures, telemetry, metrics, args.pod_name.clone()));
    let lease = LeaseSettings::new(args.pod_namespace, args.lease_name, &args.pod_name);
    let register = args.metrics_api.then_some((settings, availability));
    tasks.spawn(lead(client, lease, shared, args.watch_namespaces, register, shutdown.clone()));

    while let Some(ended) = tasks.join_next().await {
        ended.context("a task panicked")??;
        if !shutdown.is_cancelled() {
            bail!("a task ended that must not");
        }
    }
    Ok(())
}

/// What the leader alone does.
async fn lead(
    client: Client,
    lease: LeaseSettings,
    shared: Arc<Shared>,
    namespaces: Vec<String>,
    register: Option<(metrics_api::Settings, watch::Sender<MetricsAvailability>)>,
    shutdown: CancellationToken,
) -> Result<()> {
    let Some(leadership) = leader::campaign(client.clone(), lease, shutdown.clone()).await else { return Ok(()) };
    let controller = controller::run(shared, &namespaces, shutdown.clone());
    let registration = async {
        match register {
            Some((settings, availability)) => {
                metrics_api::register(client, settings, availability, shutdown.clone()).await;
            }
            None => shutdown.cancelled().await,
        }
    };
    tokio::select! {
        // What still runs may collide with the successor, so nothing is waited for.
        () = leadership.lost() => bail!("the leadership is lost; another process takes over"),
        _ = futures::future::join(controller, registration) => {}
    }
    leadership.release().await;
    if shutdown.is_cancelled() { Ok(()) } else { bail!("the controller ended") }
}

fn metrics_settings(args: &RunArgs) -> metrics_api::Settings {
    metrics_api::Settings {
        listen: args.metrics_api_listen,
        namespace: args.pod_namespace.clone(),
        service_name: args.service_name.clone(),
        service_port: args.service_port,
        secret_name: args.certificate_secret.clone(),
        owner_cluster_role: args.owner_cluster_role.clone(),
    }
}

/// Cancelled at SIGTERM or SIGINT.
fn on_signal() -> Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot hear SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot hear SIGINT")?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}
