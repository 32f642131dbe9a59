//! The operator's own port, called without the API server in front: what kube-apiserver checks proves nothing here.

use anyhow::{Context, Result, ensure};
use e2e::scenario::editor_cluster::EditorCluster;
use e2e::scenario::kubectl::get;
use e2e::scenario::namespace::Namespace;
use e2e::{cluster, scenario};
use tokio::process::Command;

use crate::manifest;

/// The HTTP status that the operator answers to curl with these words.
async fn status(url: &str, words: &[&str]) -> Result<String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--max-time", "10", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}"])
        .args(words)
        .arg(url)
        .output()
        .await?;
    ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn called_directly_the_operator_refuses_everyone_but_the_front_proxy_and_users_without_rights() -> Result<()> {
    let namespace = Namespace::create("s-metrics-api").await?;
    namespace.apply(&manifest::small("asked")).await?;
    EditorCluster::new(&namespace.name, "asked").ready().await?;

    let selector = "app.kubernetes.io/component=operator";
    let pods = get(&["pods", "-n", "editorcluster-system", "-l", selector]).await?;
    let ip = pods["items"][0]["status"]["podIP"].as_str().context("no operator pod has an address")?;
    let url = format!(
        "https://{ip}:6443/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/editorclusters.editorcluster.io/asked/editorcluster_connections",
        namespace.name
    );
    let pki = cluster::pki_folder();
    let file = |name: &str| pki.join(name).to_string_lossy().into_owned();
    let forged = ["--header", "X-Remote-User: admin", "--header", "X-Remote-Group: system:masters"];
    let (admin, admin_key) = (file("admin.crt"), file("admin.key"));
    let (proxy, proxy_key) = (file("front-proxy-client.crt"), file("front-proxy-client.key"));
    let by_admin = ["--cert", &admin, "--key", &admin_key];
    let by_proxy = ["--cert", &proxy, "--key", &proxy_key];

    let allowed = [&by_proxy[..], &forged].concat();
    scenario::until(
        "the front proxy is answered for a user with rights",
        std::time::Duration::from_secs(30),
        || async { Ok((status(&url, &allowed).await? == "200").then_some(())) },
    )
    .await?;
    ensure!(status(&url, &forged).await? == "401", "no certificate and forged headers");
    ensure!(status(&url, &[&by_admin[..], &forged].concat()).await? == "401", "a certificate of the cluster's CA");
    let nobody = ["--header", "X-Remote-User: nobody", "--header", "X-Remote-Group: system:authenticated"];
    ensure!(status(&url, &[&by_proxy[..], &nobody].concat()).await? == "403", "a user without rights");
    namespace.end();
    Ok(())
}
