//! The listener: TLS, then who, then what, then the answer.
//!
//! TLS takes every client certificate whose key the client holds, and also none. Whether it is the front proxy's is
//! decided for every request: so a wrong one gets a 401 that can be read and not a broken handshake, and a CA that was
//! replaced is distrusted on open connections too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Failure, Metric, value};
use super::authorize::{Authorizer, Wish};
use super::discovery;
use super::front_proxy::{FrontProxy, User};
use crate::scrape::{Figures, ScrapeError};

/// Open connections at most. The front proxy needs a handful.
const CONNECTIONS: usize = 256;
/// How long the front proxy's connection may be idle. Longer than its own limit of 90 s, so that it is the one who
/// closes.
const IDLE: Duration = Duration::from_secs(120);
/// How long the handshake may take, and the request of somebody who is not the front proxy.
const STRANGERS: Duration = Duration::from_secs(5);
/// How long we go on after the shutdown has begun, until the Service's endpoints have forgotten us everywhere.
const LINGER: Duration = Duration::from_secs(3);

/// Everything that an answer depends on.
#[derive(Clone)]
pub struct Api {
    /// Nothing until it is known; nobody is let in before.
    pub trust: watch::Receiver<Option<Arc<FrontProxy>>>,
    pub authorizer: Arc<dyn Authorizer>,
    pub figures: Arc<dyn Figures>,
}

/// The client's certificate chain, its own first; empty if it showed none.
#[derive(Clone)]
struct Peer(Arc<[CertificateDer<'static>]>);

/// Serves until a little after `shutdown`, then lets what is under way end.
pub async fn run(
    listener: TcpListener,
    tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    api: Api,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let router = router(api.clone());
    let connections = TaskTracker::new();
    let closing = CancellationToken::new();
    let end = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: accepting again at once would spin.
                tracing::warn!("the metrics API cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let config = tls.borrow().clone();
        let (Some(config), Ok(slot)) = (config, Arc::clone(&slots).try_acquire_owned()) else { continue };
        let (router, api, closing) = (router.clone(), api.clone(), closing.clone());
        connections.spawn(async move {
            connection(socket, peer, config, router, &api, closing).await;
            drop(slot);
        });
    }
    closing.cancel();
    connections.close();
    // A request takes a second or two; who keeps on after that is cut off.
    let _ = tokio::time::timeout(STRANGERS, connections.wait()).await;
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    config: Arc<ServerConfig>,
    router: Router,
    api: &Api,
    closing: CancellationToken,
) {
    let stream = match tokio::time::timeout(STRANGERS, TlsAcceptor::from(config).accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "handshake failed"),
        Err(_) => return tracing::debug!(%peer, "handshake took too long"),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = Peer(chain.iter().map(|one| one.clone().into_owned()).collect());
    let known = recognise(api, &certificates).is_ok();
    let service = TowerToHyperService::new(router.layer(Extension(certificates)));
    // A stranger gets one answer, so that strangers cannot hold all the slots for long.
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if known { IDLE } else { STRANGERS })
        .keep_alive(known)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

fn router(api: Api) -> Router {
    let open = Router::new().route("/healthz", get(ok)).route("/livez", get(ok)).route("/readyz", get(ok));
    let proxied = Router::new()
        .route("/apis", get(apis))
        .route("/apis/custom.metrics.k8s.io", get(|| async { Json(discovery::group()) }))
        .route("/apis/custom.metrics.k8s.io/v1beta2", get(|| async { Json(discovery::resources()) }))
        .route(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/{resource}/{name}/{metric}",
            get(metric).with_state(api.clone()),
        )
        .route("/openapi/v2", get(openapi_v2))
        .route("/openapi/v3", get(|| async { Json(json!({ "paths": {} })) }))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "the server could not find the requested resource") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "metrics can be read with GET and nothing else")
        })
        .layer(axum::middleware::from_fn_with_state(api, authenticate));
    open.merge(proxied)
}

async fn ok() -> &'static str {
    "ok"
}

fn recognise(api: &Api, peer: &Peer) -> Result<Arc<FrontProxy>, &'static str> {
    let proxy = api.trust.borrow().clone().ok_or("the front proxy is not known yet")?;
    proxy.recognise(&peer.0, UnixTime::now())?;
    Ok(proxy)
}

async fn authenticate(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: axum::middleware::Next,
) -> Result<Response, Infallible> {
    let user = recognise(&api, &peer)
        .and_then(|proxy| proxy.user(request.headers()).ok_or("the front proxy has named no user"));
    match user {
        Ok(user) => {
            request.extensions_mut().insert(user);
            Ok(next.run(request).await)
        }
        Err(reason) => {
            tracing::debug!(reason, "not authenticated");
            Ok(Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized").into_response())
        }
    }
}

async fn apis(headers: HeaderMap) -> Response {
    if discovery::wants_aggregated(&headers) {
        return ([(header::CONTENT_TYPE, discovery::AGGREGATED)], discovery::aggregated().to_string()).into_response();
    }
    Json(discovery::group_list()).into_response()
}

async fn openapi_v2() -> Response {
    let info = json!({ "title": "EditorCluster metrics", "version": env!("CARGO_PKG_VERSION") });
    Json(json!({ "swagger": "2.0", "info": info, "paths": {} })).into_response()
}

async fn metric(
    State(api): State<Api>,
    Extension(user): Extension<User>,
    Path((namespace, resource, name, metric)): Path<(String, String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let wish = Wish { namespace, resource, name, metric };
    match api.authorizer.may(&user, &wish).await {
        Ok(true) => {}
        Ok(false) => return Err(forbidden(&user, &wish)),
        Err(reason) => {
            tracing::warn!("cannot ask whether {} may read {}: {reason}", user.name, wish.metric);
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the cluster's authorizer does not answer"));
        }
    }
    let unknown = |what: String| Failure::new(StatusCode::NOT_FOUND, what);
    if wish.resource != discovery::RESOURCE {
        return Err(unknown(format!("there are no metrics of {}, only of {}", wish.resource, discovery::RESOURCE)));
    }
    let metric = Metric::named(&wish.metric).ok_or_else(|| {
        let names = Metric::ALL.map(Metric::name).join(" and ");
        unknown(format!("an EditorCluster has no metric {}, only {names}", wish.metric))
    })?;
    if query.as_deref().is_some_and(|query| query.contains("metricLabelSelector=")) {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "the metrics have no labels: leave the metric's selector out",
        ));
    }
    // A name becomes a part of a path at the API server; what is no name must not reach it.
    if !is_name(&wish.namespace) || !is_name(&wish.name) {
        return Err(unknown(format!("there is no EditorCluster {}/{}", wish.namespace, wish.name)));
    }
    let totals = api.figures.figures(&wish.namespace, &wish.name).await.map_err(|error| match error {
        ScrapeError::NotFound { .. } => unknown(error.to_string()),
        ScrapeError::TooManyMissing { .. } => Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        ScrapeError::Api { .. } => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    })?;
    Ok(Json(value(&wish.namespace, &wish.name, metric, &totals, jiff::Timestamp::now())).into_response())
}

fn forbidden(user: &User, wish: &Wish) -> Failure {
    let message = format!(
        "{}.{} \"{}\" is forbidden: User \"{}\" cannot get resource \"{}/{}\" in API group \"{}\" in the namespace \"{}\"",
        wish.resource,
        super::GROUP,
        wish.name,
        user.name,
        wish.resource,
        wish.metric,
        super::GROUP,
        wish.namespace
    );
    Failure::new(StatusCode::FORBIDDEN, message)
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (1..=253).contains(&text.len())
        && text.bytes().all(allowed)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}
