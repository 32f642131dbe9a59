//! The project on a cluster: its image, the operator from the chart, a sample EditorCluster.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::cluster::{self, Cluster};
use crate::images::{self, Image, Recipe};
use crate::progress::Progress;
use crate::{paths, shell};

/// Where the operator is, and the name of its release.
pub const NAMESPACE: &str = "editorcluster-system";
const RELEASE: &str = "editorcluster";

const SAMPLE: &str = include_str!("../manifests/sample.yaml");

/// Builds the image, installs the operator, applies the sample, waits until it is Ready, prints where the editor is.
pub async fn deploy(cluster: &Cluster, progress: &Progress) -> Result<()> {
    if cluster.is_own() {
        let image = build(progress).await?;
        progress.during("the image on the nodes", cluster::import(std::slice::from_ref(&image))).await?;
        record(&[("editorcluster", &image)])?;
    } else {
        name_needed_images()?;
    }
    progress.during("the operator runs", install(cluster, &[])).await?;
    cluster.apply(SAMPLE).await?;
    progress.during("the sample EditorCluster is Ready", sample_ready(cluster)).await?;
    println!("editor: {}", editor(cluster).await?);
    println!("kubeconfig: {}", cluster.kubeconfig().display());
    Ok(())
}

/// The gateway's and the operator's image, from this workspace as it is now.
pub async fn build(progress: &Progress) -> Result<Image> {
    let workspace = paths::workspace();
    let mut cargo = shell::command("cargo");
    // All at once, as the tests build them, so that features are the same and nothing is compiled twice.
    cargo.args(["build", "--workspace", "--bins"]).current_dir(workspace);
    progress.during("programs built", shell::output(&mut cargo)).await?;
    build_web(progress).await?;
    let mut files: Vec<(PathBuf, PathBuf)> = ["gateway", "operator"]
        .iter()
        .map(|name| (paths::target().join("debug").join(name), PathBuf::from("target/debug").join(name)))
        .collect();
    files.push((workspace.join("web/dist"), PathBuf::from("web/dist")));
    let dockerfile = workspace.join("deploy/Dockerfile");
    let recipe = Recipe { name: "editorcluster", dockerfile, files, arguments: vec!["PROFILE=debug"] };
    let [image] = images::ensure([recipe], progress).await?;
    Ok(image)
}

/// Builds the web editor unless its sources are those of the last build.
async fn build_web(progress: &Progress) -> Result<()> {
    let web = paths::workspace().join("web");
    let mut hash = Sha256::new();
    let mut entries = fs::read_dir(&web).context("cannot read web")?.collect::<Result<Vec<_>, _>>()?;
    entries.retain(|entry| !["dist", "node_modules"].iter().any(|name| entry.file_name() == *name));
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        images::hash_files(&entry.path(), &PathBuf::from(entry.file_name()), &mut hash)?;
    }
    let key = images::short(hash);
    let record = paths::target().join("e2e/web");
    let is_built = web.join("dist/index.html").exists();
    if is_built && fs::read_to_string(&record).is_ok_and(|text| text == key) {
        return Ok(());
    }
    let build = async {
        for words in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
            shell::output(Command::new("npm").args(words).current_dir(&web)).await?;
        }
        anyhow::Ok(())
    };
    progress.during("web editor built", build).await?;
    fs::write(record, key)?;
    Ok(())
}

/// Remembers under which names images are on the nodes.
pub fn record(images: &[(&str, &Image)]) -> Result<()> {
    let mut names = recorded()?;
    for (what, image) in images {
        names.insert((*what).to_owned(), image.name.clone());
    }
    fs::write(paths::state().join("images.json"), serde_json::to_vec_pretty(&names)?)?;
    Ok(())
}

fn recorded() -> Result<BTreeMap<String, String>> {
    match fs::read(paths::state().join("images.json")) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// Installs or upgrades the operator, with further words for `helm upgrade`; does nothing if all is as it was last time.
pub async fn install(cluster: &Cluster, words: &[&str]) -> Result<()> {
    let chart = paths::workspace().join("charts/editorcluster");
    let mut arguments: Vec<String> = Vec::new();
    if cluster.is_own() {
        let names = recorded()?;
        let name =
            |what: &str| names.get(what).with_context(|| format!("no image `{what}` was built; run: cargo e2e up"));
        let (repository, tag) = name("editorcluster")?.rsplit_once(':').context("an image without a tag")?;
        for (key, value) in [
            ("image.repository", repository),
            ("image.tag", tag),
            ("images.redis", name("redis")?),
            ("images.postgres", name("postgres")?),
        ] {
            arguments.extend(["--set-string".to_owned(), format!("{key}={value}")]);
        }
        // A CRD that somebody has applied or patched by hand, to try it, is no reason to stop here.
        arguments.extend(["--take-ownership", "--force-conflicts"].map(str::to_owned));
    }
    arguments.extend(words.iter().map(|word| (*word).to_owned()));

    let mut hash = Sha256::new();
    images::hash_files(&chart, &PathBuf::new(), &mut hash)?;
    hash.update(arguments.join("\n"));
    let key = images::short(hash);
    let record = paths::state().join("release");
    let status = release_status(cluster).await?;
    if cluster.is_own() && status == "deployed" && fs::read_to_string(&record).is_ok_and(|text| text == key) {
        return Ok(());
    }
    // Helm refuses to go on where an interrupted run stopped.
    match &*status {
        "pending-install" => drop(cluster.helm(&["uninstall", RELEASE, "-n", NAMESPACE, "--wait"]).await?),
        "pending-upgrade" | "pending-rollback" => drop(cluster.helm(&["rollback", RELEASE, "-n", NAMESPACE]).await?),
        _ => {}
    }
    let chart = chart.to_string_lossy();
    let mut line = vec!["upgrade", "--install", RELEASE, &chart, "-n", NAMESPACE, "--create-namespace"];
    line.extend(["--wait", "--timeout", "3m"]);
    line.extend(arguments.iter().map(String::as_str));
    cluster.helm(&line).await?;
    if cluster.is_own() {
        fs::write(record, key)?;
    }
    Ok(())
}

/// Helm's word for the state of our release, empty if there is none.
async fn release_status(cluster: &Cluster) -> Result<String> {
    let list = cluster.helm(&["list", "-n", NAMESPACE, "-f", "^editorcluster$", "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&list).context("helm list printed no JSON")?;
    Ok(list[0]["status"].as_str().unwrap_or_default().to_owned())
}

/// Waits until the sample is Ready as it was last applied; says what its conditions are if it is not.
async fn sample_ready(cluster: &Cluster) -> Result<()> {
    shell::until("EditorCluster docs in namespace team-a Ready", Duration::from_secs(240), || async {
        let object = cluster.kubectl(&["get", "ec", "docs", "-n", "team-a", "-o", "json"]).await?;
        let object: Value = serde_json::from_str(&object)?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let ready = conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
        let words = |it: &Value| format!("{}={} ({}: {})", it["type"], it["status"], it["reason"], it["message"]);
        let all: Vec<String> = conditions.iter().map(words).collect();
        anyhow::ensure!(current && ready, "its conditions are: {}", all.join(", "));
        Ok(())
    })
    .await
}

/// The editor's address: a node port of the own cluster, a line for port-forward on another.
async fn editor(cluster: &Cluster) -> Result<String> {
    let path = "jsonpath={.spec.ports[0].nodePort}";
    let port = cluster.kubectl(&["get", "service", "docs-gateway", "-n", "team-a", "-o", path]).await?;
    Ok(match cluster.node_addresses().first() {
        Some(address) => format!("http://{address}:{port}/"),
        None => format!(
            "http://NODE:{port}/ on any node, or http://localhost:8080/ after: \
             kubectl port-forward -n team-a service/docs-gateway 8080:80"
        ),
    })
}

/// On a cluster that is not ours the images are what the chart's values name; we can neither push nor import them.
fn name_needed_images() -> Result<()> {
    let path = paths::workspace().join("charts/editorcluster/values.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let values: Value = serde_yaml::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tag = match text(&values["image"]["tag"]) {
        tag if tag.is_empty() => env!("CARGO_PKG_VERSION").to_owned(),
        tag => tag,
    };
    let image = format!("{}:{tag}", text(&values["image"]["repository"]));
    eprintln!("the nodes of this cluster must be able to pull these images (charts/editorcluster/values.yaml):");
    eprintln!("  {image}: cargo build --release --workspace --bins && (cd web && npm ci && npm run build) && \\");
    eprintln!("    docker build -f deploy/Dockerfile --build-arg PROFILE=release -t {image} . && docker push {image}");
    for (what, image) in values["images"].as_object().into_iter().flatten() {
        eprintln!("  {} ({what})", text(image));
    }
    Ok(())
}
