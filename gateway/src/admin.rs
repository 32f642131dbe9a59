//! The admin port: metrics, liveness, readiness, drain. Never on the public port.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::drain::Lifecycle;
use crate::metrics::Metrics;

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    lifecycle: Arc<Lifecycle>,
}

/// Serves the admin port until the process ends.
/// `api`: the REST interface, if it is to be on this port.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, lifecycle: Arc<Lifecycle>, api: Option<Router>) {
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/drain", post(drain))
        .with_state(Admin { metrics, lifecycle })
        .merge(api.unwrap_or_default());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "the admin port is gone");
    }
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.render() {
        Ok(page) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// A shard that does not come back is lost to all of its documents: whoever watches the process has to start it again.
async fn livez(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.metrics.stalled.get() == 0 {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a thread does not come back from a document; the log names it\n")
    }
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.lifecycle.is_ready() {
        (StatusCode::OK, "ready\n")
    } else if admin.lifecycle.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the log or the database was not reached yet; the log of this process says why\n",
        )
    }
}

async fn drain(State(admin): State<Admin>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> (StatusCode, &'static str) {
    if !peer.ip().to_canonical().is_loopback() {
        return (StatusCode::FORBIDDEN, "a drain can be asked for from this machine or pod only\n");
    }
    admin.lifecycle.request_drain();
    (StatusCode::ACCEPTED, "draining\n")
}
