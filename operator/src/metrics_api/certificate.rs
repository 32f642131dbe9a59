//! The certificate that the metrics API shows: a CA of its own and a serving certificate, in one Secret that all
//! replicas share. Whoever is first makes it; it is made anew when two thirds of its time are over.
//!
//! The CA lives ten years and the serving certificate one. When the CA is made anew, `ca.crt` holds the old one too, so
//! that a replica that still shows a certificate of the old one is believed until it has read the Secret again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use rustls::ServerConfig;
use tokio::sync::watch;

use super::Settings;

pub mod issue;
pub mod tls;

use issue::Material;

const EVERY: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

/// Keeps the Secret and what is served from it. Never ends.
pub(super) async fn keep(client: Client, settings: Settings, serving: watch::Sender<Option<Arc<ServerConfig>>>) {
    let mut shown = None;
    loop {
        let turn = async {
            let material = ensure(&client, &settings).await?;
            if shown.as_ref() != Some(&material) {
                serving.send_replace(Some(Arc::new(tls::server_config(&material)?)));
                tracing::info!(secret = settings.secret_name, "the metrics API's certificate is loaded");
                shown = Some(material);
            }
            anyhow::Ok(())
        };
        match turn.await {
            Ok(()) => tokio::time::sleep(EVERY).await,
            Err(error) => {
                tracing::warn!("the metrics API's certificate, trying again: {error:#}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// The bundle with which the API server verifies us; nothing while there is no Secret.
pub(super) async fn ca_bundle(client: &Client, settings: &Settings) -> Result<Option<String>> {
    let secret = Api::<Secret>::namespaced(client.clone(), &settings.namespace).get_opt(&settings.secret_name).await?;
    Ok(secret.as_ref().and_then(material).map(|material| material.ca_bundle))
}

/// The reference to the ClusterRole of the chart, which an uninstall deletes.
pub(super) async fn owner(client: &Client, settings: &Settings) -> Result<Option<OwnerReference>> {
    let Some(name) = &settings.owner_cluster_role else { return Ok(None) };
    let role = Api::<ClusterRole>::all(client.clone())
        .get_metadata(name)
        .await
        .with_context(|| format!("cannot read ClusterRole {name}, which owns what the metrics API makes"))?;
    Ok(Some(OwnerReference {
        api_version: "rbac.authorization.k8s.io/v1".to_owned(),
        kind: "ClusterRole".to_owned(),
        name: name.clone(),
        uid: role.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }))
}

async fn ensure(client: &Client, settings: &Settings) -> Result<Material> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &settings.namespace);
    let name = &settings.secret_name;
    // Two replicas that start together both find nothing; the second one's create is refused and it reads again.
    for _ in 0..3 {
        let found = secrets.get_opt(name).await.with_context(|| format!("cannot read Secret {name}"))?;
        let stored = found.as_ref().and_then(material);
        let Some(fresh) = issue::renewed(stored.as_ref(), &names(settings), jiff::Timestamp::now())? else {
            return stored.context("nothing was stored and nothing made");
        };
        let written = match found {
            None => {
                let secret = secret(settings, owner(client, settings).await?, &fresh);
                secrets.create(&PostParams::default(), &secret).await
            }
            // Guarded by the resource version that was read.
            Some(mut secret) => {
                secret.data = Some(data(&fresh));
                secrets.replace(name, &PostParams::default(), &secret).await
            }
        };
        match written {
            Ok(_) => return Ok(fresh),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error).with_context(|| format!("cannot write Secret {name}")),
        }
    }
    anyhow::bail!("Secret {name} changes again and again while it is written")
}

fn names(settings: &Settings) -> Vec<String> {
    let (service, namespace) = (&settings.service_name, &settings.namespace);
    vec![format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.cluster.local")]
}

fn secret(settings: &Settings, owner: Option<OwnerReference>, material: &Material) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(settings.secret_name.clone()),
            namespace: Some(settings.namespace.clone()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "editorcluster-operator".to_owned())].into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data(material)),
        ..Secret::default()
    }
}

fn data(material: &Material) -> BTreeMap<String, ByteString> {
    let Material { ca_bundle, ca_key, certificate, key } = material;
    [("ca.crt", ca_bundle), ("ca.key", ca_key), ("tls.crt", certificate), ("tls.key", key)]
        .map(|(name, pem)| (name.to_owned(), ByteString(pem.clone().into_bytes())))
        .into()
}

fn material(secret: &Secret) -> Option<Material> {
    let pem = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
    Some(Material {
        ca_bundle: pem("ca.crt")?,
        ca_key: pem("ca.key")?,
        certificate: pem("tls.crt")?,
        key: pem("tls.key")?,
    })
}
