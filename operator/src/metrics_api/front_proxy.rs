//! Who asks. The Kubernetes API server's front proxy shows a client certificate of a CA of its own and names the user
//! in headers. Nobody else is believed: no bearer token, no certificate of another CA or for another name, and no
//! header without the certificate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::http::HeaderMap;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use percent_encoding::percent_decode_str;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;

/// Where Kubernetes publishes what an aggregated API needs to know.
const CONFIG_MAP: &str = "extension-apiserver-authentication";
const EVERY: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

/// A user as the front proxy names him.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    pub name: String,
    pub uid: Option<String>,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// How the front proxy is recognised.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    verifier: Arc<dyn ClientCertVerifier>,
    settings: Published,
}

/// What the ConfigMap says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Published {
    ca: String,
    /// Empty: every name that the CA has signed, as Kubernetes defines it.
    allowed_names: Vec<String>,
    username_headers: Vec<String>,
    uid_headers: Vec<String>,
    group_headers: Vec<String>,
    extra_prefixes: Vec<String>,
}

impl FrontProxy {
    /// Reads the data of the ConfigMap.
    ///
    /// # Errors
    /// If there is no front proxy CA or no header for the user's name: then this cluster has no aggregation.
    pub fn from_config_map(data: &BTreeMap<String, String>) -> Result<Self> {
        let list = |key: &str| -> Result<Vec<String>> {
            let Some(text) = data.get(key) else { return Ok(Vec::new()) };
            serde_json::from_str(text).with_context(|| format!("{key} of ConfigMap {CONFIG_MAP} is not a JSON list"))
        };
        let settings = Published {
            ca: data.get("requestheader-client-ca-file").cloned().unwrap_or_default(),
            allowed_names: list("requestheader-allowed-names")?,
            username_headers: list("requestheader-username-headers")?,
            uid_headers: list("requestheader-uid-headers")?,
            group_headers: list("requestheader-group-headers")?,
            extra_prefixes: list("requestheader-extra-headers-prefix")?,
        };
        if settings.username_headers.is_empty() {
            bail!(
                "ConfigMap {CONFIG_MAP} names no requestheader-username-headers: start kube-apiserver with its --requestheader- flags"
            );
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(settings.ca.as_bytes()) {
            roots.add(certificate.context("requestheader-client-ca-file holds something that is no certificate")?)?;
        }
        if roots.is_empty() {
            bail!(
                "ConfigMap {CONFIG_MAP} has no requestheader-client-ca-file: start kube-apiserver with --requestheader-client-ca-file"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { verifier, settings })
    }

    /// Whether the client's certificate is the front proxy's. `chain` starts with the client's own certificate, of
    /// which the handshake has proved that the client holds the key.
    ///
    /// # Errors
    /// With what is wrong, for the log. The client is told nothing of it.
    pub fn recognise(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), &'static str> {
        let Some((own, intermediates)) = chain.split_first() else { return Err("no client certificate") };
        self.verifier
            .verify_client_cert(own, intermediates, now)
            .map_err(|_| "the client certificate is not of the front proxy's CA, or not valid now")?;
        if self.settings.allowed_names.is_empty() {
            return Ok(());
        }
        let (_, parsed) =
            x509_parser::parse_x509_certificate(own).map_err(|_| "the client certificate cannot be read")?;
        // Of several common names the last one counts, as in Go; one that is not a string counts as none.
        let name = parsed.subject().iter_common_name().last().and_then(|name| name.as_str().ok());
        match name {
            Some(name) if self.settings.allowed_names.iter().any(|allowed| allowed == name) => Ok(()),
            _ => Err("the client certificate is for a name that is not the front proxy's"),
        }
    }

    /// The user whom the headers name. Only to be asked after [`recognise`](Self::recognise).
    pub fn user(&self, headers: &HeaderMap) -> Option<User> {
        let first =
            |names: &[String]| names.iter().find_map(|name| values(headers, name).find(|value| !value.is_empty()));
        let name = first(&self.settings.username_headers)?;
        let groups = self.settings.group_headers.iter().flat_map(|name| values(headers, name)).collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for header in headers.keys() {
            let prefixes = &self.settings.extra_prefixes;
            let Some(key) = prefixes.iter().find_map(|prefix| header.as_str().strip_prefix(&prefix.to_lowercase()))
            else {
                continue;
            };
            let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
            extra.entry(key).or_default().extend(values(headers, header.as_str()));
        }
        Some(User { name, uid: first(&self.settings.uid_headers), groups, extra })
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = String> + use<'a> {
    headers.get_all(name.to_lowercase()).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Keeps `trust` as the cluster publishes it, read again every minute. Never ends.
pub(super) async fn keep(client: Client, trust: watch::Sender<Option<Arc<FrontProxy>>>) {
    let config_maps: Api<ConfigMap> = Api::namespaced(client, "kube-system");
    loop {
        let read = async {
            let map = config_maps.get(CONFIG_MAP).await.context("cannot read it")?;
            FrontProxy::from_config_map(&map.data.unwrap_or_default())
        };
        match read.await {
            Ok(fresh) => {
                trust.send_if_modified(|known| {
                    let changed = known.as_ref().is_none_or(|known| known.settings != fresh.settings);
                    if changed {
                        tracing::info!(allowed_names = ?fresh.settings.allowed_names, "the front proxy is known");
                        *known = Some(Arc::new(fresh));
                    }
                    changed
                });
                tokio::time::sleep(EVERY).await;
            }
            Err(error) => {
                tracing::warn!("ConfigMap kube-system/{CONFIG_MAP}, trying again: {error:#}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
