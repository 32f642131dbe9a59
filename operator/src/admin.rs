//! The operator's own port for probes and metrics: `/livez`, `/readyz` and `/metrics`.
//!
//! Readiness does not depend on leadership: a standby that is not ready would stop every rolling update of the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What must have happened before the process is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, bool>>>);

/// One thing that must have happened.
#[derive(Clone, Debug)]
pub struct Gate {
    readiness: Readiness,
    name: &'static str,
}

impl Readiness {
    /// Ready from the start, until the first [`gate`](Self::gate).
    pub fn new() -> Self {
        Self::default()
    }

    /// Not ready until this gate is open. `name` is what `/readyz` shows.
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate { readiness: self.clone(), name };
        gate.set(false);
        gate
    }

    /// The names of the gates that are still closed.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().filter(|(_, open)| !**open).map(|(name, _)| *name).collect()
    }
}

impl Gate {
    /// Opens or closes the gate.
    pub fn set(&self, open: bool) {
        self.readiness.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, open);
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry));
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .await
        .context("the admin port failed")
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.waiting_for().as_slice() {
        [] => "ok\n".into_response(),
        names => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", names.join(", "))).into_response(),
    }
}

async fn metrics(State(registry): State<Registry>) -> Response {
    let encoder = TextEncoder::new();
    let mut body = Vec::new();
    match encoder.encode(&registry.gather(), &mut body) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], body).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the metrics: {error}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_gate_is_open() {
        let readiness = Readiness::new();
        assert!(readiness.waiting_for().is_empty());
        let (one, two) = (readiness.gate("one"), readiness.gate("two"));
        assert_eq!(readiness.waiting_for(), ["one", "two"]);
        one.set(true);
        assert_eq!(readiness.waiting_for(), ["two"]);
        two.set(true);
        assert!(readiness.waiting_for().is_empty());
    }

    #[tokio::test]
    async fn the_port_says_whether_it_is_ready_and_shows_the_metrics() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = Registry::new();
        let counter = prometheus::IntCounter::new("operator_tests_total", "Of this test.").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.inc();
        let readiness = Readiness::new();
        let gate = readiness.gate("the test");
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, registry, readiness, shutdown.clone()));

        let ask = |path: &'static str| async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(ask("/livez").await.starts_with("HTTP/1.1 200"));
        let not_ready = ask("/readyz").await;
        assert!(not_ready.starts_with("HTTP/1.1 503") && not_ready.contains("the test"), "{not_ready}");
        gate.set(true);
        assert!(ask("/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(ask("/metrics").await.contains("operator_tests_total 1"));
        shutdown.cancel();
        server.await.unwrap().unwrap();
    }
}
