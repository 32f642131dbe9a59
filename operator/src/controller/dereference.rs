//! Stage 1: reads what the spec names. Users' Secrets are read with `get` alone, so nothing wakes us when they change.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use rand::Rng;
use rand::distr::Alphanumeric;
use thiserror::Error;

use super::build::Component;
use super::build::child_name;
use crate::crd::{EditorCluster, Reason};

/// A Secret's keys and values.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// What the spec names, as it was found.
#[derive(Clone, Default)]
pub struct Dereferenced {
    /// The Secret that we made for the managed Redis. None: there is none, or it is somebody else's.
    pub redis: Option<SecretData>,
    /// The Secret that we made for the managed Postgres.
    pub postgres: Option<SecretData>,
    /// The Secret that `spec.redis.external` names.
    pub external_redis: Option<SecretData>,
    /// The Secrets that `spec.redis.external.tls` names.
    pub redis_ca: Option<SecretData>,
    pub redis_certificate: Option<SecretData>,
    /// The Secret that `spec.storage.postgres.external` names.
    pub external_postgres: Option<SecretData>,
    /// Passwords for the Secrets that are yet to be made. Thought up here, because what follows is pure.
    pub fresh: Fresh,
}

#[derive(Clone, Default)]
pub struct Fresh {
    pub redis: String,
    pub postgres: String,
}

/// What was to be read could not be.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot read the Secret {secret}: {source}")]
    ApiError { secret: String, source: Box<kube::Error> },
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Self::ApiError { .. } => Reason::ApiError,
        }
    }
}

/// Reads every Secret that the object needs or that was made for it.
///
/// # Errors
///
/// The API server could not be asked. A Secret that does not exist is no error here.
pub async fn dereference(client: &Client, object: &EditorCluster) -> Result<Dereferenced, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let name = object.name_any();
    let external_redis = object.spec.redis.as_ref().and_then(|redis| redis.external.as_ref());
    let tls = external_redis.and_then(|redis| redis.tls.as_ref());
    let postgres = object.spec.storage.as_ref().and_then(|storage| storage.postgres.as_ref());
    let external_postgres = postgres.and_then(|postgres| postgres.external.as_ref());
    Ok(Dereferenced {
        redis: read(&secrets, Some(&child_name(&name, Component::Redis))).await?,
        postgres: read(&secrets, Some(&child_name(&name, Component::Postgres))).await?,
        external_redis: read(&secrets, external_redis.map(|it| it.secret_name.as_str())).await?,
        redis_ca: read(&secrets, tls.and_then(|tls| tls.ca_secret_name.as_deref())).await?,
        redis_certificate: read(&secrets, tls.and_then(|tls| tls.certificate_secret_name.as_deref())).await?,
        external_postgres: read(&secrets, external_postgres.map(|it| it.secret_name.as_str())).await?,
        fresh: Fresh { redis: password(), postgres: password() },
    })
}

async fn read(secrets: &Api<Secret>, name: Option<&str>) -> Result<Option<SecretData>, Error> {
    let Some(name) = name else { return Ok(None) };
    let secret = secrets
        .get_opt(name)
        .await
        .map_err(|source| Error::ApiError { secret: name.to_owned(), source: Box::new(source) })?;
    let data =
        |secret: Secret| secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    Ok(secret.map(data))
}

/// 32 letters and digits, so that no URL, shell or SQL has to quote it.
fn password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect()
}
