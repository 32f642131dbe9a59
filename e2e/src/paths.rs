//! Where things are.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // Without the `..`, so that it can be compared with what /proc says.
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    });
    &WORKSPACE
}

/// Cargo's target folder, which holds everything that a run leaves behind.
pub fn target() -> PathBuf {
    workspace().join("target")
}

/// Everything of the machine's own cluster: data, logs, certificates, sockets. `EC_STATE` puts it elsewhere.
pub fn state() -> PathBuf {
    let elsewhere = std::env::var_os("EC_STATE").map(PathBuf::from);
    // Programs get the path that have another working folder.
    let absolute = elsewhere.map(|path| std::path::absolute(&path).unwrap_or(path));
    absolute.unwrap_or_else(|| target().join("e2e/cluster"))
}

/// The kubeconfig of the machine's own cluster.
pub fn own_kubeconfig() -> PathBuf {
    target().join("e2e/kubeconfig")
}

/// The cluster that the user named with `KUBECONFIG`, unless that is the machine's own.
pub fn foreign_kubeconfig() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())?);
    let own = own_kubeconfig();
    (path != own && path.canonicalize().ok() != own.canonicalize().ok().or(Some(own))).then_some(path)
}

/// The kubeconfig of the cluster that is used: the user's, or the machine's own.
pub fn kubeconfig() -> PathBuf {
    foreign_kubeconfig().unwrap_or_else(own_kubeconfig)
}
