//! One cgroup per node, under which its kubelet puts the pods. Both layouts of Linux are served: one folder for each
//! controller (v1) and one for all (v2).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::layout::{NODES, Node};
use crate::shell;

const ROOT: &str = "/sys/fs/cgroup";

/// The cgroup of the containers in which images are built.
pub const DOCKER: &str = "ec-docker";

/// The roots of all hierarchies: one with v2, one for each controller with v1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = fs::read_dir(root).with_context(|| format!("cannot read {ROOT}; are cgroups mounted?"))?;
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(folders.map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").exists()).collect())
}

/// Makes the node's cgroup in every hierarchy.
pub fn create(node: Node) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(node.name());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}; this needs root", folder.display()))?;
        // An empty cpuset takes no process, and new ones of v1 are empty.
        for name in ["cpuset.cpus", "cpuset.mems"] {
            if hierarchy.join("cpuset.cpu_exclusive").exists() {
                fs::write(folder.join(name), fs::read(hierarchy.join(name))?)?;
            }
        }
        let controllers = hierarchy.join("cgroup.controllers");
        if hierarchy == Path::new(ROOT) && controllers.exists() {
            let names = fs::read_to_string(controllers)?;
            let all: Vec<_> = names.split_whitespace().map(|name| format!("+{name}")).collect();
            fs::write(hierarchy.join("cgroup.subtree_control"), all.join(" "))?;
        }
    }
    Ok(())
}

/// Our cgroups that exist, each before the one that it is in.
fn ours() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for hierarchy in hierarchies()? {
        for name in NODES.iter().map(|node| node.name()).chain([DOCKER.to_owned()]) {
            let folder = hierarchy.join(name);
            if folder.is_dir() {
                add_deepest_first(&folder, &mut found);
            }
        }
    }
    Ok(found)
}

fn add_deepest_first(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add_deepest_first(&entry.path(), found);
        }
    }
    found.push(folder.to_owned());
}

/// The numbers of all processes in our cgroups.
pub fn processes() -> Result<Vec<u32>> {
    let mut pids: Vec<u32> = Vec::new();
    for folder in ours()? {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Removes our cgroups; their processes must be dead. The kernel may hold one for a moment longer.
pub async fn remove() -> Result<()> {
    shell::until("the cgroups removed", Duration::from_secs(20), || async {
        for folder in ours()? {
            fs::remove_dir(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    })
    .await
}
