//! The control plane: certificates, etcd, API server, controller manager, scheduler, all on the host.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use e2e_servers::pki::{self, Authority};

use super::layout::{API_SERVER, HOST, NODES, PODS, SERVICES, pki_folder};
use super::process;
use crate::{paths, shell};

/// Makes two authorities, since the API server trusts whoever holds a front-proxy certificate to be anybody, and from
/// the cluster's the certificates and kubeconfigs of all components.
pub(super) fn create_pki() -> Result<()> {
    let (state, folder) = (paths::state(), pki_folder());
    let cluster = Authority::create(&folder, "ca")?;
    let front_proxy = Authority::create(&folder, "front-proxy-ca")?;
    pki::signing_key(&folder, "service-account")?;
    let names = [
        HOST,
        "127.0.0.1",
        "10.96.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    cluster.issue("apiserver", "kube-apiserver", None, &names)?;
    cluster.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", Some("system:masters"), &[])?;
    front_proxy.issue("front-proxy-client", "front-proxy-client", None, &[])?;
    for (file, user) in [
        ("controller-manager", "system:kube-controller-manager"),
        ("scheduler", "system:kube-scheduler"),
        ("proxy", "system:kube-proxy"),
    ] {
        let identity = cluster.issue(file, user, None, &[])?;
        cluster.kubeconfig(&state.join(format!("{file}.kubeconfig")), API_SERVER, &identity)?;
    }
    for node in NODES {
        let (name, address) = (node.name(), node.address());
        let identity =
            cluster.issue(&name, &format!("system:node:{name}"), Some("system:nodes"), &[&name, &address])?;
        cluster.kubeconfig(&state.join(format!("{name}.kubeconfig")), API_SERVER, &identity)?;
    }
    let admin = cluster.issue("admin", "admin", Some("system:masters"), &[])?;
    cluster.kubeconfig(&paths::own_kubeconfig(), API_SERVER, &admin)
}

/// Starts etcd and the API server and waits until it is ready.
pub(super) async fn start_api_server(bin: &Path) -> Result<()> {
    let client = "http://127.0.0.1:12379";
    let etcd = format!(
        "--data-dir etcd --listen-client-urls {client} --advertise-client-urls {client} \
         --listen-peer-urls http://127.0.0.1:12380 --unsafe-no-fsync --log-level warn"
    );
    process::start("etcd", bin.join("etcd"), &words(&etcd))?;
    let apiserver = format!(
        "kube-apiserver --advertise-address {HOST} --bind-address {HOST} --secure-port 6443 --etcd-servers {client} \
         --tls-cert-file pki/apiserver.crt --tls-private-key-file pki/apiserver.key --client-ca-file pki/ca.crt \
         --service-account-key-file pki/service-account.pub \
         --service-account-signing-key-file pki/service-account.key \
         --service-account-issuer https://kubernetes.default.svc --service-cluster-ip-range {SERVICES} \
         --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
         --requestheader-client-ca-file pki/front-proxy-ca.crt \
         --requestheader-allowed-names front-proxy-client --requestheader-extra-headers-prefix X-Remote-Extra- \
         --requestheader-group-headers X-Remote-Group --requestheader-username-headers X-Remote-User \
         --proxy-client-cert-file pki/front-proxy-client.crt --proxy-client-key-file pki/front-proxy-client.key \
         --enable-aggregator-routing --kubelet-certificate-authority pki/ca.crt \
         --kubelet-client-certificate pki/apiserver-kubelet.crt --kubelet-client-key pki/apiserver-kubelet.key \
         --kubelet-preferred-address-types InternalIP --shutdown-delay-duration 0s"
    );
    process::start("apiserver", bin.join("kube"), &words(&apiserver))?;
    ready(Duration::from_secs(120)).await
}

/// Waits until the API server is ready; fails at once when it or etcd has ended.
async fn ready(limit: Duration) -> Result<()> {
    let kubeconfig = paths::own_kubeconfig();
    let kubeconfig = kubeconfig.to_string_lossy();
    let look = || async {
        // The inner error ends the waiting, the outer one is looked at again.
        if let Err(error) = process::check("etcd").and_then(|()| process::check("apiserver")) {
            return Ok(Err(error));
        }
        shell::run("kubectl", &["--kubeconfig", &kubeconfig, "get", "--raw", "/readyz"]).await.map(|_| Ok(()))
    };
    shell::until("the API server ready", limit, look).await?
}

/// Starts what needs a ready API server. The autoscaler's periods are those of impatient people.
pub(super) fn start_controllers(bin: &Path) -> Result<()> {
    let manager = format!(
        "kube-controller-manager --kubeconfig controller-manager.kubeconfig --leader-elect=false \
         --service-account-private-key-file pki/service-account.key --root-ca-file pki/ca.crt \
         --use-service-account-credentials --cluster-signing-cert-file pki/ca.crt \
         --cluster-signing-key-file pki/ca.key --cluster-cidr {PODS} \
         --horizontal-pod-autoscaler-sync-period 5s --horizontal-pod-autoscaler-downscale-stabilization 30s \
         --node-monitor-grace-period 20s --flex-volume-plugin-dir volume-plugins --bind-address 127.0.0.1"
    );
    process::start("controller-manager", bin.join("kube"), &words(&manager))?;
    let scheduler = "kube-scheduler --kubeconfig scheduler.kubeconfig --leader-elect=false --bind-address 127.0.0.1";
    process::start("scheduler", bin.join("kube"), &words(scheduler))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
