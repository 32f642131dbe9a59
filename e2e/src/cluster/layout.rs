//! Names and addresses of the cluster on this machine. They are fixed: there is one such cluster a machine.

use std::path::PathBuf;

use crate::paths;

/// The host's address on the bridge, where the API server listens. 198.18.0.0/15 is kept for tests by RFC 2544.
pub const HOST: &str = "198.18.0.1";
/// The bridge between the host and the nodes.
pub const BRIDGE: &str = "ecbr0";
pub const API_SERVER: &str = "https://198.18.0.1:6443";
pub const PODS: &str = "10.244.0.0/16";
pub const SERVICES: &str = "10.96.0.0/16";
pub const DNS: &str = "10.96.0.10";
/// The name of the pod network, which names files that the CNI plugins leave outside of the state folder.
pub const POD_NETWORK: &str = "editorcluster";

/// A node: a network namespace with its own containerd, kubelet and kube-proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    number: u8,
}

pub const NODES: [Node; 2] = [Node { number: 1 }, Node { number: 2 }];

impl Node {
    /// The name of the node, of its network namespace and of its cgroup.
    pub fn name(self) -> String {
        format!("ec-node{}", self.number)
    }

    /// The host's end of the cable between bridge and node.
    pub fn link(self) -> String {
        format!("ec-v{}", self.number)
    }

    pub fn address(self) -> String {
        format!("198.18.0.{}", 10 + self.number)
    }

    pub fn pods(self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    pub fn folder(self) -> PathBuf {
        paths::state().join(self.name())
    }

    pub fn containerd(self) -> PathBuf {
        self.folder().join("containerd.sock")
    }
}

/// The folder of all certificates and keys.
pub fn pki_folder() -> PathBuf {
    paths::state().join("pki")
}
