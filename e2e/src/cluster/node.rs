//! What runs on a node: containerd, kubelet, kube-proxy, each in the node's network namespace.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::layout::{DNS, Node, POD_NETWORK, PODS, pki_folder};
use super::{cgroups, process};
use crate::images::Image;
use crate::{shell, volumes};

/// Makes the node's folders and configuration and starts its containerd with the images in it.
pub(super) async fn start_runtime(node: Node, bin: &Path, pause: &Image, images: &[Image]) -> Result<()> {
    let folder = node.folder();
    for name in ["containerd", "state", "kubelet", "cni", "volume-plugins", "pod-logs"] {
        fs::create_dir_all(folder.join(name)).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    volumes::create_folders(node)?;
    cgroups::create(node)?;
    fs::write(folder.join("cni/10-editorcluster.conflist"), cni(node))?;
    fs::write(folder.join("containerd.toml"), containerd(node, &pause.name))?;
    fs::write(folder.join("kubelet.yaml"), kubelet(node))?;
    // Empty: a name that is not the cluster's is no business of a nameserver of the machine's.
    fs::write(folder.join("resolv.conf"), "")?;
    let config = folder.join("containerd.toml").to_string_lossy().into_owned();
    enter(node, "containerd", &bin.join("containerd"), &["-c", &config])?;
    shell::until("containerd answers", Duration::from_secs(30), || ctr(node, bin, &["version"])).await?;
    import(node, bin, images).await
}

/// Where every kubelet of a machine listens for device plugins, whatever its root folder.
const DEVICE_PLUGINS: &str = "/var/lib/kubelet/device-plugins/kubelet.sock";

/// Starts kubelet and kube-proxy; the API server must be ready. Returns when the kubelet listens for device plugins: a
/// second one that starts in this moment finds the address in use, and ends.
pub(super) async fn start_agents(node: Node, bin: &Path) -> Result<()> {
    let (name, address, folder) = (node.name(), node.address(), node.folder());
    let folder = folder.to_string_lossy();
    let kube = bin.join("kube");
    let kubelet = format!(
        "kubelet --config {name}/kubelet.yaml --kubeconfig {name}.kubeconfig --root-dir {folder}/kubelet \
         --hostname-override {name} --node-ip {address} --cert-dir {folder}/certificates"
    );
    match fs::remove_file(DEVICE_PLUGINS) {
        // The kubelet itself does it too.
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot remove {DEVICE_PLUGINS}")),
    }
    enter(node, "kubelet", &kube, &kubelet.split_whitespace().collect::<Vec<_>>())?;
    shell::until("the kubelet listens for device plugins", Duration::from_secs(60), || async {
        process::check(&format!("{name}-kubelet"))?;
        fs::metadata(DEVICE_PLUGINS).map(drop).context(DEVICE_PLUGINS)
    })
    .await?;
    // The conntrack limits are the machine's and not the namespace's: they are left alone.
    let proxy = format!(
        "kube-proxy --kubeconfig proxy.kubeconfig --hostname-override {name} --proxy-mode nftables \
         --cluster-cidr {PODS} --healthz-bind-address 127.0.0.1:10256 --metrics-bind-address 127.0.0.1:10249 \
         --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0"
    );
    enter(node, "proxy", &kube, &proxy.split_whitespace().collect::<Vec<_>>())
}

/// Imports those of the images that the node does not have.
pub(super) async fn import(node: Node, bin: &Path, images: &[Image]) -> Result<()> {
    let present = ctr(node, bin, &["-n", "k8s.io", "images", "list", "-q"]).await?;
    for image in images.iter().filter(|image| !present.lines().any(|name| name == image.name)) {
        let archive = image.archive.to_string_lossy();
        ctr(node, bin, &["-n", "k8s.io", "images", "import", &archive])
            .await
            .with_context(|| format!("image {} does not get into {}", image.name, node.name()))?;
    }
    Ok(())
}

async fn ctr(node: Node, bin: &Path, words: &[&str]) -> Result<String> {
    let socket = node.containerd();
    let socket = socket.to_string_lossy();
    shell::run(bin.join("ctr"), &[&["-a", &socket], words].concat()).await
}

/// By nsenter and not by `ip netns exec`, which mounts another /sys in which a kubelet finds no cgroups.
fn enter(node: Node, name: &str, program: &Path, words: &[&str]) -> Result<()> {
    let netns = format!("--net=/run/netns/{}", node.name());
    let program = program.to_string_lossy();
    process::start(&format!("{}-{name}", node.name()), "nsenter", &[&[&*netns, &*program], words].concat())
}

fn cni(node: Node) -> String {
    let (folder, pods) = (node.folder(), node.pods());
    let addresses = folder.join("addresses");
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": POD_NETWORK,
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
                "ipam": {
                    "type": "host-local", "dataDir": addresses,
                    "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]
                }
            },
            {"type": "portmap", "capabilities": {"portMappings": true}}
        ]
    })
    .to_string()
}

fn containerd(node: Node, pause: &str) -> String {
    let folder = node.folder();
    let folder = folder.display();
    // Everything of a container stays under the folder: `down` finds mounts and namespaces there.
    format!(
        r#"version = 3
root = "{folder}/containerd"
state = "{folder}/state"
oom_score = 0
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
    conf_dir = "{folder}/cni"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      Root = "{folder}/runc"
      SystemdCgroup = false
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
"#
    )
}

fn kubelet(node: Node) -> String {
    let (name, address, folder, pki) = (node.name(), node.address(), node.folder(), pki_folder());
    let (folder, pki) = (folder.display(), pki.display());
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
port: 10250
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: "{pki}/ca.crt"}}}}
authorization: {{mode: Webhook}}
tlsCertFile: "{pki}/{name}.crt"
tlsPrivateKeyFile: "{pki}/{name}.key"
cgroupDriver: cgroupfs
cgroupRoot: /{name}
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [{DNS}]
clusterDomain: cluster.local
containerRuntimeEndpoint: "unix://{folder}/containerd.sock"
volumePluginDir: "{folder}/volume-plugins"
podLogsDir: "{folder}/pod-logs"
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%"}}
nodeStatusUpdateFrequency: 5s
resolvConf: "{folder}/resolv.conf"
"#
    )
}
