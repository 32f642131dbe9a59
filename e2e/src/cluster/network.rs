//! The bridge, the nodes' network namespaces and the routes between them.

use anyhow::{Context, Result};

use super::layout::{BRIDGE, HOST, NODES, PODS, SERVICES};
use crate::shell;

/// Makes all of it; nothing of it may exist.
pub(super) async fn create() -> Result<()> {
    // A pod's or service's address must never leave by the machine's own route.
    for range in [SERVICES, PODS] {
        ip(&format!("route replace unreachable {range}")).await?;
    }
    ip(&format!("link add {BRIDGE} type bridge")).await?;
    ip(&format!("addr add {HOST}/24 dev {BRIDGE}")).await?;
    ip(&format!("link set {BRIDGE} up")).await?;
    for node in NODES {
        let (name, link, address) = (node.name(), node.link(), node.address());
        ip(&format!("netns add {name}")).await?;
        ip(&format!("link add {link} type veth peer name eth0 netns {name}")).await?;
        ip(&format!("link set {link} master {BRIDGE} up")).await?;
        ip(&format!("-n {name} link set lo up")).await?;
        ip(&format!("-n {name} link set eth0 up")).await?;
        ip(&format!("-n {name} addr add {address}/24 dev eth0")).await?;
        ip(&format!("-n {name} route add default via {HOST}")).await?;
        let netns = format!("--net=/run/netns/{name}");
        shell::run("nsenter", &[&netns, "sysctl", "-qw", "net.ipv4.ip_forward=1"]).await?;
        for other in NODES.into_iter().filter(|other| *other != node) {
            ip(&format!("-n {name} route add {} via {}", other.pods(), other.address())).await?;
        }
        ip(&format!("route replace {} via {address}", node.pods())).await?;
    }
    Ok(())
}

/// Whether every node has its namespace.
pub(super) fn exists() -> bool {
    NODES.iter().all(|node| std::path::Path::new("/run/netns").join(node.name()).exists())
}

/// Removes what there is of it.
pub(super) async fn remove() -> Result<()> {
    let namespaces = ip("netns list").await?;
    let named = |name: &str| namespaces.lines().any(|line| line.split_whitespace().next() == Some(name));
    for node in NODES.into_iter().filter(|node| named(&node.name())) {
        ip(&format!("netns del {}", node.name())).await?;
    }
    let links = ip("-o link show").await?;
    let linked = |name: &str| {
        links.lines().any(|line| line.contains(&format!(": {name}@")) || line.contains(&format!(": {name}:")))
    };
    for link in NODES.iter().map(|node| node.link()).chain([BRIDGE.to_owned()]).filter(|link| linked(link)) {
        // A cable goes away with the namespace that its other end is in, a moment later.
        if ip(&format!("link del {link}")).await.is_err() {
            let left = ip("-o link show").await?;
            anyhow::ensure!(!left.contains(&format!(": {link}")), "the link {link} cannot be removed");
        }
    }
    let routes = ip("route show type unreachable").await?;
    for range in [SERVICES, PODS].into_iter().filter(|range| routes.contains(*range)) {
        ip(&format!("route del unreachable {range}")).await?;
    }
    Ok(())
}

async fn ip(words: &str) -> Result<String> {
    let words: Vec<_> = words.split_whitespace().collect();
    shell::run("ip", &words).await.context("the cluster's network needs root and the package iproute2")
}
