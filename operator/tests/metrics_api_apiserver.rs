//! Against a real API server, with the rights that the chart gives and no others: who leads, the certificate that
//! replicas share, the APIService, the question to the cluster's authorizer.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e_servers::control_plane::ControlPlane;
use e2e_servers::gotools;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use operator::admin::Readiness;
use operator::leader::{self, LeaseSettings};
use operator::metrics_api::authorize::{Authorizer, SubjectAccess, Wish};
use operator::metrics_api::front_proxy::User;
use operator::metrics_api::{self, MetricsAvailability, Settings};
use operator::scrape::{ConnectionSource, ScrapeError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(30);
const APISERVICE: &str = "v1beta2.custom.metrics.k8s.io";

/// An API server on which the chart is installed in namespace `system` as release `ec`.
struct Cluster {
    plane: ControlPlane,
    folder: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self { plane: ControlPlane::start(folder.path()).unwrap(), folder };
        let helm = gotools::path("helm", &|what| eprintln!("{what}")).unwrap();
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/editorcluster");
        let rendered = Command::new(helm)
            .args(["template", "ec", chart.to_str().unwrap(), "--namespace", "system"])
            .env("HOME", cluster.folder.path())
            .output()
            .unwrap();
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let file = cluster.folder.path().join("chart.yaml");
        std::fs::write(&file, rendered.stdout).unwrap();
        cluster.kubectl(&["create", "namespace", "system"]);
        cluster.kubectl(&["apply", "--server-side", "-f", file.to_str().unwrap()]);
        cluster
    }

    fn kubectl(&self, words: &[&str]) {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.plane.kubeconfig).args(words).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{words:?}");
    }

    /// A client of the administrator, or of the operator's ServiceAccount.
    async fn client(&self, as_operator: bool) -> Client {
        let file = Kubeconfig::read_from(&self.plane.kubeconfig).unwrap();
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        if as_operator {
            config.auth_info.impersonate = Some("system:serviceaccount:system:ec-editorcluster".to_owned());
        }
        Client::try_from(config).unwrap()
    }
}

fn settings() -> Settings {
    Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        namespace: "system".to_owned(),
        service_name: "ec-editorcluster".to_owned(),
        service_port: 443,
        secret_name: "ec-editorcluster-metrics-api".to_owned(),
        owner_cluster_role: Some("ec-editorcluster-metrics-api".to_owned()),
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_s_rights_suffice_for_leadership_certificate_registration_and_authorization() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let (admin, operator) = (cluster.client(false).await, cluster.client(true).await);
    // One after the other on one API server, because starting it is what takes the time.
    a_standby_takes_over_at_once_when_the_lease_is_given_back(&admin, &operator).await;
    a_standby_takes_over_from_a_leader_that_is_dead(&operator).await;
    a_leader_whose_lease_is_taken_away_has_lost(&admin, &operator).await;
    replicas_share_one_certificate_and_the_apiservice_has_its_ca(&admin, &operator).await;
    another_provider_is_left_alone(&admin, &operator).await;
    the_cluster_s_authorizer_decides(&admin, &operator).await;
    an_unknown_editorcluster_has_no_figures(&operator).await;
}

fn lease(pod: &str) -> LeaseSettings {
    LeaseSettings {
        duration: Duration::from_secs(3),
        renew_deadline: Duration::from_secs(2),
        retry: Duration::from_millis(200),
        ..LeaseSettings::new("system", "ec-editorcluster", pod)
    }
}

async fn a_standby_takes_over_at_once_when_the_lease_is_given_back(admin: &Client, operator: &Client) {
    let never = CancellationToken::new();
    let first = leader::campaign(operator.clone(), lease("first"), never.clone()).await.expect("we lead");
    let second = tokio::spawn(leader::campaign(operator.clone(), lease("second"), never.clone()));
    // Longer than the lease's duration: it is the renewals that keep the second out.
    assert!(tokio::time::timeout(Duration::from_secs(4), first.lost()).await.is_err(), "a leader that renews stays");
    assert!(!second.is_finished());
    let given_back = Instant::now();
    first.release().await;
    let second = second.await.unwrap().expect("the second leads");
    assert!(given_back.elapsed() < Duration::from_secs(2), "it took {:?}", given_back.elapsed());
    let lease = Api::<Lease>::namespaced(admin.clone(), "system").get("ec-editorcluster").await.unwrap();
    assert!(lease.spec.unwrap().holder_identity.unwrap().starts_with("second_"));
    second.release().await;
}

async fn a_standby_takes_over_from_a_leader_that_is_dead(operator: &Client) {
    let never = CancellationToken::new();
    let dead = leader::campaign(operator.clone(), lease("dead"), never.clone()).await.expect("we lead");
    drop(dead);
    let died = Instant::now();
    let next = leader::campaign(operator.clone(), lease("next"), never.clone()).await.expect("the next leads");
    let took = died.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "it took {took:?}");
    next.release().await;

    let stopped = CancellationToken::new();
    let holder = leader::campaign(operator.clone(), lease("holder"), never).await.expect("we lead");
    let standby = tokio::spawn(leader::campaign(operator.clone(), lease("standby"), stopped.clone()));
    stopped.cancel();
    assert!(standby.await.unwrap().is_none(), "a standby that is told to stop does");
    holder.release().await;
}

async fn a_leader_whose_lease_is_taken_away_has_lost(admin: &Client, operator: &Client) {
    let held = leader::campaign(operator.clone(), lease("robbed"), CancellationToken::new()).await.expect("we lead");
    let leases: Api<Lease> = Api::namespaced(admin.clone(), "system");
    until("somebody else holds the lease", async || {
        let mut lease = leases.get("ec-editorcluster").await.unwrap();
        lease.spec.as_mut().unwrap().holder_identity = Some("thief".to_owned());
        leases.replace("ec-editorcluster", &PostParams::default(), &lease).await.is_ok()
    })
    .await;
    tokio::time::timeout(LIMIT, held.lost()).await.expect("it has lost");
    leases.delete("ec-editorcluster", &DeleteParams::default()).await.unwrap();
}

async fn replicas_share_one_certificate_and_the_apiservice_has_its_ca(admin: &Client, operator: &Client) {
    let shutdown = CancellationToken::new();
    let readiness = Readiness::new();
    let figures = Arc::new(ConnectionSource::new(operator.clone(), 9090).unwrap());
    let replicas: Vec<_> = ["one", "two"]
        .map(|name| {
            let serving = metrics_api::serve(
                operator.clone(),
                settings(),
                figures.clone(),
                readiness.gate(name),
                shutdown.clone(),
            );
            tokio::spawn(serving)
        })
        .into();
    let (availability, mut known) = watch::channel(MetricsAvailability::Disabled);
    let registering = tokio::spawn(metrics_api::register(operator.clone(), settings(), availability, shutdown.clone()));

    let services: Api<APIService> = Api::all(admin.clone());
    until("there is an APIService", async || services.get_opt(APISERVICE).await.unwrap().is_some()).await;
    let service = services.get(APISERVICE).await.unwrap();
    let secret = Api::<Secret>::namespaced(admin.clone(), "system").get(&settings().secret_name).await.unwrap();
    let role = Api::<ClusterRole>::all(admin.clone()).get("ec-editorcluster-metrics-api").await.unwrap();
    assert_eq!(service.spec.unwrap().ca_bundle.unwrap().0, secret.data.as_ref().unwrap()["ca.crt"].0);
    for owners in [&service.metadata.owner_references, &secret.metadata.owner_references] {
        assert_eq!(owners.as_ref().unwrap()[0].uid, role.uid().unwrap(), "an uninstall takes it along");
    }
    // Nobody listens behind the Service here, so the API server says that it cannot reach it, and we pass that on.
    until("the state is told", async || matches!(&*known.borrow_and_update(), MetricsAvailability::Error(why) if why.contains("does not reach"))).await;

    shutdown.cancel();
    registering.await.unwrap();
    for replica in replicas {
        replica.await.unwrap().unwrap();
    }
}

async fn another_provider_is_left_alone(admin: &Client, operator: &Client) {
    let services: Api<APIService> = Api::all(admin.clone());
    let other: APIService = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "v1beta1.custom.metrics.k8s.io" },
        "spec": {
            "group": "custom.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true,
            "service": { "namespace": "monitoring", "name": "prometheus-adapter" },
        },
    }))
    .unwrap();
    let other = services.create(&PostParams::default(), &other).await.unwrap();
    let shutdown = CancellationToken::new();
    let (availability, mut known) = watch::channel(MetricsAvailability::Pending);
    let registering = tokio::spawn(metrics_api::register(operator.clone(), settings(), availability, shutdown.clone()));
    let state = tokio::time::timeout(LIMIT, known.wait_for(|state| *state != MetricsAvailability::Pending));
    assert_eq!(*state.await.unwrap().unwrap(), MetricsAvailability::OtherProvider(other.name_any()));
    until("ours is gone", async || services.get_opt(APISERVICE).await.unwrap().is_none()).await;
    let still = services.get(&other.name_any()).await.unwrap();
    assert_eq!((still.uid(), &still.spec), (other.uid(), &other.spec));
    shutdown.cancel();
    registering.await.unwrap();
    services.delete(&still.name_any(), &DeleteParams::default()).await.unwrap();
}

async fn the_cluster_s_authorizer_decides(admin: &Client, operator: &Client) {
    let binding = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "readers" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ec-editorcluster-view" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "readers" }],
    }))
    .unwrap();
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = Api::namespaced(admin.clone(), "system");
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let authorizer = SubjectAccess::new(operator.clone());
    let user = |group: &str| User { name: "ann".to_owned(), groups: vec![group.to_owned()], ..User::default() };
    let wish = |namespace: &str, metric: &str| Wish {
        namespace: namespace.to_owned(),
        resource: "editorclusters.editorcluster.io".to_owned(),
        name: "docs".to_owned(),
        metric: metric.to_owned(),
    };
    // The authorizer's own watch may be a moment behind; a new authorizer of ours has nothing cached.
    until("the binding holds", async || {
        let fresh = SubjectAccess::new(operator.clone());
        fresh.may(&user("readers"), &wish("system", "editorcluster_connections")).await.unwrap()
    })
    .await;
    let cases = [
        ("readers", "system", "editorcluster_connections", true),
        ("readers", "system", "editorcluster_documents", true),
        ("readers", "system", "other", false),
        ("readers", "default", "editorcluster_connections", false),
        ("others", "system", "editorcluster_connections", false),
        ("system:masters", "default", "editorcluster_connections", true),
    ];
    for (group, namespace, metric, expected) in cases {
        let answer = authorizer.may(&user(group), &wish(namespace, metric)).await;
        assert_eq!(answer, Ok(expected), "{group} in {namespace}, {metric}");
    }
}

async fn an_unknown_editorcluster_has_no_figures(operator: &Client) {
    let source = ConnectionSource::new(operator.clone(), 9090).unwrap();
    let answer = source.totals("system", "unknown").await;
    assert!(matches!(answer, Err(ScrapeError::NotFound { .. })), "{answer:?}");
}
