//! Persistent volumes: folders of the nodes, made in advance and owned so that a pod that is not root may write.
//!
//! Nothing provisions volumes here: the controller manager's own provisioner makes folders that only root can write.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::cluster::layout::{NODES, Node};

/// Volumes of each node. One that a claim has let go is not free before [`recycle`].
const PER_NODE: usize = 24;

/// What a volume says it holds; nothing enforces it.
const CAPACITY: &str = "10Gi";

/// The user of the project's own images.
const OWNER: u32 = 65532;

fn folder(node: Node, number: usize) -> PathBuf {
    node.folder().join("volumes").join(number.to_string())
}

/// Makes the folders of the node's volumes.
pub fn create_folders(node: Node) -> Result<()> {
    (1..=PER_NODE).try_for_each(|number| create_folder(node, number))
}

fn create_folder(node: Node, number: usize) -> Result<()> {
    let folder = folder(node, number);
    let make = || {
        fs::create_dir_all(&folder)?;
        std::os::unix::fs::chown(&folder, Some(OWNER), Some(OWNER))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))
    };
    make().with_context(|| format!("cannot make {}", folder.display()))
}

/// The default storage class and every volume.
pub fn manifest() -> String {
    let mut text = include_str!("../manifests/storage-class.yaml").to_owned();
    for node in NODES {
        for number in 1..=PER_NODE {
            let name = node.name();
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}-{number}, labels: {{editorcluster.io/volume: local}}}}
spec:
  capacity: {{storage: {CAPACITY}}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {{path: \"{}\"}}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{name}]}}]
",
                folder(node, number).display()
            );
        }
    }
    text
}

/// Empties the volumes whose claims are gone and offers them again. Returns how many.
pub async fn recycle(cluster: &Cluster) -> Result<usize> {
    let list = r#"jsonpath={range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}"#;
    let list = cluster.kubectl(&["get", "pv", "-l", "editorcluster.io/volume=local", "-o", list]).await?;
    let released: Vec<&str> = list.lines().collect();
    if released.is_empty() {
        return Ok(0);
    }
    cluster.kubectl(&[&["delete", "pv", "--wait"], &released[..]].concat()).await?;
    for node in NODES {
        for number in (1..=PER_NODE).filter(|number| released.contains(&format!("{}-{number}", node.name()).as_str())) {
            let folder = folder(node, number);
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
            create_folder(node, number)?;
        }
    }
    cluster.apply(&manifest()).await?;
    Ok(released.len())
}
