//! The metrics API over real TLS: who is let in, who is not, and what it answers.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use operator::metrics_api::authorize::{Authorizer, Wish};
use operator::metrics_api::certificate::{issue, tls};
use operator::metrics_api::front_proxy::{FrontProxy, User};
use operator::metrics_api::server;
use operator::scrape::{Figures, ScrapeError, Totals};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const HOST: &str = "metrics.system.svc";
const METRIC: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/team-a/editorclusters.editorcluster.io/docs/editorcluster_connections";

#[tokio::test]
async fn without_a_client_certificate_forged_headers_are_refused() {
    let api = Api::start().await;
    for path in [METRIC, "/apis", "/apis/custom.metrics.k8s.io/v1beta2", "/openapi/v2", "/nothing"] {
        let answer = api.get(path, None, &[("x-remote-user", "ann"), ("x-remote-group", "system:masters")]).await;
        answer.is_failure(401, "Unauthorized");
    }
    assert!(api.asked().is_empty(), "nobody asks the authorizer about a stranger");
}

#[tokio::test]
async fn a_bearer_token_is_nothing() {
    let api = Api::start().await;
    api.get(METRIC, None, &[("authorization", "Bearer abc")]).await.is_failure(401, "Unauthorized");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_even_with_the_right_name() {
    let api = Api::start().await;
    let other = Ca::new("front-proxy-ca");
    let client = other.client("front-proxy-client");
    api.get(METRIC, Some(&client), &[("x-remote-user", "ann")]).await.is_failure(401, "Unauthorized");
}

#[tokio::test]
async fn a_certificate_of_the_right_ca_for_another_name_is_refused() {
    let api = Api::start().await;
    for name in ["admin", "front-proxy-client2", "", "FRONT-PROXY-CLIENT"] {
        let client = api.ca.client(name);
        api.get(METRIC, Some(&client), &[("x-remote-user", "ann")]).await.is_failure(401, "Unauthorized");
    }
}

#[tokio::test]
async fn the_front_proxy_s_own_certificate_is_no_user() {
    let api = Api::start().await;
    let proxy = api.proxy();
    api.get(METRIC, Some(&proxy), &[("x-remote-group", "system:masters")]).await.is_failure(401, "Unauthorized");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let api = Api::start().await;
    let client = api.ca.sign("front-proxy-client", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    api.get(METRIC, Some(&client), &[("x-remote-user", "ann")]).await.is_failure(401, "Unauthorized");
}

#[tokio::test]
async fn a_replaced_front_proxy_ca_is_distrusted_on_an_open_connection() {
    let api = Api::start().await;
    let (http, url) = api.client(Some(&api.proxy()), METRIC);
    let status = async || http.get(&url).header("x-remote-user", "ann").send().await.unwrap().status().as_u16();
    assert_eq!(status().await, 200);
    api.trust.send_replace(Some(Arc::new(Ca::new("front-proxy-ca").published())));
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn a_user_with_rights_gets_the_sum_as_one_item() {
    let api = Api::start().await;
    let answer = api.get(METRIC, Some(&api.proxy()), &[("x-remote-user", "ann"), ("x-remote-group", "hpa")]).await;
    assert_eq!(answer.code, 200, "{}", answer.body);
    assert_eq!(answer.body["kind"], "MetricValueList");
    assert_eq!(answer.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(answer.body["items"][0]["value"], "812");
    let user = User { name: "ann".to_owned(), groups: vec!["hpa".to_owned()], ..User::default() };
    let wish = Wish {
        namespace: "team-a".to_owned(),
        resource: "editorclusters.editorcluster.io".to_owned(),
        name: "docs".to_owned(),
        metric: "editorcluster_connections".to_owned(),
    };
    assert_eq!(api.asked(), [(user, wish)]);
    let documents = METRIC.replace("_connections", "_documents");
    let answer = api.get(&documents, Some(&api.proxy()), &[("x-remote-user", "ann")]).await;
    assert_eq!(answer.body["items"][0]["value"], "9");
}

#[tokio::test]
async fn a_user_without_rights_is_forbidden_whatever_he_asks_for() {
    let api = Api::start().await;
    for path in [METRIC.to_owned(), METRIC.replace("docs", "unknown"), METRIC.replace("_connections", "_secrets")] {
        let answer = api.get(&path, Some(&api.proxy()), &[("x-remote-user", "bob")]).await;
        answer.is_failure(403, "Forbidden");
        assert!(answer.body["message"].as_str().unwrap().contains("bob"), "{}", answer.body);
    }
}

#[tokio::test]
async fn discovery_is_open_to_a_user_without_rights() {
    let api = Api::start().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let cases = [
        ("/apis", aggregated, "APIGroupDiscoveryList"),
        ("/apis", "application/json", "APIGroupList"),
        ("/apis/custom.metrics.k8s.io", "*/*", "APIGroup"),
        ("/apis/custom.metrics.k8s.io/v1beta2", "*/*", "APIResourceList"),
    ];
    for (path, accept, kind) in cases {
        let headers = [("x-remote-user", "system:kube-aggregator"), ("accept", accept)];
        let answer = api.get(path, Some(&api.proxy()), &headers).await;
        assert_eq!((answer.code, &answer.body["kind"]), (200, &Value::from(kind)), "{path}: {}", answer.body);
        let media = if accept == aggregated { aggregated } else { "application/json" };
        assert_eq!(answer.media, media);
    }
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn what_there_is_not_is_a_404_as_kubernetes_writes_it() {
    let api = Api::start().await;
    let unknown = [
        METRIC.replace("docs", "unknown"),
        METRIC.replace("_connections", "_secrets"),
        METRIC.replace("editorclusters.editorcluster.io", "pods"),
        METRIC.replace("docs", "..%2F..%2Fsecrets%2Fdocs"),
        METRIC.replace("team-a", "team-a%2Feditorclusters"),
        METRIC.replace("v1beta2", "v1beta1"),
    ];
    for path in unknown {
        api.get(&path, Some(&api.proxy()), &[("x-remote-user", "ann")]).await.is_failure(404, "NotFound");
    }
    let labels = format!("{METRIC}?metricLabelSelector=a%3Db");
    api.get(&labels, Some(&api.proxy()), &[("x-remote-user", "ann")]).await.is_failure(400, "BadRequest");
}

#[tokio::test]
async fn a_partial_sum_is_an_error_and_no_number() {
    let api = Api::start().await;
    let silent = METRIC.replace("docs", "silent");
    api.get(&silent, Some(&api.proxy()), &[("x-remote-user", "ann")]).await.is_failure(503, "ServiceUnavailable");
}

#[tokio::test]
async fn nobody_is_let_in_while_the_front_proxy_is_not_known() {
    let api = Api::start().await;
    api.trust.send_replace(None);
    api.get(METRIC, Some(&api.proxy()), &[("x-remote-user", "ann")]).await.is_failure(401, "Unauthorized");
    let (http, url) = api.client(None, "/healthz");
    assert_eq!(http.get(url).send().await.unwrap().text().await.unwrap(), "ok");
}

/// A CA and the certificates that it signs.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A client's certificate and key.
struct Client {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn client(&self, name: &str) -> Client {
        self.sign(name, |_| {})
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Client {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Client { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    /// What the cluster publishes about a front proxy of this CA.
    fn published(&self) -> FrontProxy {
        let data: BTreeMap<String, String> = [
            ("requestheader-client-ca-file", self.pem.as_str()),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        FrontProxy::from_config_map(&data).unwrap()
    }
}

/// Lets everybody but bob read everything, and keeps what it was asked.
#[derive(Default)]
struct NotBob(Mutex<Vec<(User, Wish)>>);

impl Authorizer for NotBob {
    fn may<'a>(&'a self, user: &'a User, wish: &'a Wish) -> BoxFuture<'a, Result<bool, String>> {
        self.0.lock().unwrap().push((user.clone(), wish.clone()));
        async move { Ok(user.name != "bob") }.boxed()
    }
}

/// The figures of team-a/docs, and an EditorCluster whose gateways are silent.
struct Docs;

impl Figures for Docs {
    fn figures<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Totals, ScrapeError>> {
        let answer = match (namespace, name) {
            ("team-a", "docs") => Ok(Totals { connections: 812, documents: 9, ..Totals::default() }),
            ("team-a", "silent") => {
                Err(ScrapeError::TooManyMissing { cluster: "team-a/silent".to_owned(), missing: 2, pods: 3 })
            }
            _ => Err(ScrapeError::NotFound { namespace: namespace.to_owned(), name: name.to_owned() }),
        };
        async move { answer }.boxed()
    }
}

struct Api {
    address: SocketAddr,
    serving_ca: String,
    ca: Ca,
    trust: watch::Sender<Option<Arc<FrontProxy>>>,
    authorizer: Arc<NotBob>,
    _stop: DropGuard,
}

struct Answer {
    code: u16,
    media: String,
    body: Value,
}

impl Answer {
    fn is_failure(&self, code: u16, reason: &str) {
        assert_eq!(self.code, code, "{}", self.body);
        assert_eq!(self.body["kind"], "Status");
        assert_eq!(self.body["code"], code);
        assert_eq!(self.body["reason"], reason);
    }
}

impl Api {
    async fn start() -> Self {
        let ca = Ca::new("front-proxy-ca");
        let material = issue::renewed(None, &[HOST.to_owned()], jiff::Timestamp::now()).unwrap().unwrap();
        let (_, config) = watch::channel(Some(Arc::new(tls::server_config(&material).unwrap())));
        let (trust, trusted) = watch::channel(Some(Arc::new(ca.published())));
        let authorizer = Arc::new(NotBob::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let api = server::Api { trust: trusted, authorizer: authorizer.clone(), figures: Arc::new(Docs) };
        tokio::spawn(server::run(listener, config, api, shutdown.clone()));
        Self { address, serving_ca: material.ca_bundle, ca, trust, authorizer, _stop: shutdown.drop_guard() }
    }

    fn proxy(&self) -> Client {
        self.ca.client("front-proxy-client")
    }

    fn asked(&self) -> Vec<(User, Wish)> {
        self.authorizer.0.lock().unwrap().clone()
    }

    /// A client that verifies the API as the aggregator does: by its CA and the Service's name.
    fn client(&self, client: Option<&Client>, path: &str) -> (reqwest::Client, String) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.serving_ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some(Client { certificate, key }) => {
                config.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(config)
            .no_proxy()
            .resolve(HOST, self.address)
            .build()
            .unwrap();
        (http, format!("https://{HOST}:{}{path}", self.address.port()))
    }

    async fn get(&self, path: &str, client: Option<&Client>, headers: &[(&str, &str)]) -> Answer {
        let (http, url) = self.client(client, path);
        let request = headers.iter().fold(http.get(url), |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        let media = answer.headers()["content-type"].to_str().unwrap().to_owned();
        Answer { code: answer.status().as_u16(), media, body: answer.json().await.unwrap() }
    }
}
