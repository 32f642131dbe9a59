//! What must be in the Secrets.

use kube::ResourceExt;

use super::{Invalid, Password, PostgresPlan};
use crate::controller::dereference::{Dereferenced, SecretData};
use crate::crd::{EditorCluster, RedisTls};

const REDIS_FIELD: &str = "spec.redis.external.secretName";
const REDIS_CA_FIELD: &str = "spec.redis.external.tls.caSecretName";
const REDIS_CERTIFICATE_FIELD: &str = "spec.redis.external.tls.certificateSecretName";
const POSTGRES_FIELD: &str = "spec.storage.postgres.external.secretName";

/// The user's Secret with the URL of a Redis.
pub(super) fn redis(object: &EditorCluster, secret: &str, key: &str, data: Option<&SecretData>) -> Result<(), Invalid> {
    let data = data.ok_or_else(|| not_found(object, REDIS_FIELD, secret))?;
    let url = text(REDIS_FIELD, secret, key, data)?;
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let kind = scheme.strip_prefix("rediss").or_else(|| scheme.strip_prefix("redis"));
    let problem = "must be a URL: write redis://[user][:password@]host[:port][/db], redis+sentinel://.../name or redis+cluster://...; rediss for TLS";
    match kind {
        Some("" | "+sentinel" | "+cluster") => Ok(()),
        _ => Err(wrong(REDIS_FIELD, secret, key, problem)),
    }
}

/// The user's Secrets with certificates for TLS.
pub(super) fn redis_tls(object: &EditorCluster, tls: &RedisTls, found: &Dereferenced) -> Result<(), Invalid> {
    let check = |field, secret: Option<&String>, data: &Option<SecretData>, keys: &[&str]| {
        let Some(secret) = secret else { return Ok(()) };
        let data = data.as_ref().ok_or_else(|| not_found(object, field, secret))?;
        keys.iter().try_for_each(|key| text(field, secret, key, data).map(drop))
    };
    check(REDIS_CA_FIELD, tls.ca_secret_name.as_ref(), &found.redis_ca, &["ca.crt"])?;
    let certificate = tls.certificate_secret_name.as_ref();
    check(REDIS_CERTIFICATE_FIELD, certificate, &found.redis_certificate, &["tls.crt", "tls.key"])
}

/// The user's Secret with the address of a Postgres, in either of its two shapes.
pub(super) fn postgres(
    object: &EditorCluster,
    secret: String,
    data: Option<&SecretData>,
) -> Result<PostgresPlan, Invalid> {
    let data = data.ok_or_else(|| not_found(object, POSTGRES_FIELD, &secret))?;
    if data.contains_key("uri") {
        let uri = text(POSTGRES_FIELD, &secret, "uri", data)?;
        let is_url = uri.starts_with("postgres://") || uri.starts_with("postgresql://");
        let problem = "must be a URL: write postgres://user:password@host:port/database";
        return if is_url {
            Ok(PostgresPlan::ExternalUri { secret })
        } else {
            Err(wrong(POSTGRES_FIELD, &secret, "uri", problem))
        };
    }
    if ["host", "port", "dbname", "user", "username", "password"].iter().all(|key| !data.contains_key(*key)) {
        return Err(missing(POSTGRES_FIELD, &secret, "uri"));
    }
    let user = if data.contains_key("user") || !data.contains_key("username") { "user" } else { "username" };
    for key in ["host", "port", "dbname", user, "password"] {
        let value = text(POSTGRES_FIELD, &secret, key, data)?;
        // The kubelet puts the URL together, and it escapes nothing.
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c)) {
            let problem = "has characters that cannot stand in a URL: add a key uri with the whole URL, such characters percent-encoded";
            return Err(wrong(POSTGRES_FIELD, &secret, key, problem));
        }
    }
    Ok(PostgresPlan::ExternalParts { secret, user: user.to_owned() })
}

/// The password in a Secret that we made, or `fresh` when there is none yet.
pub(super) fn generated(
    object: &EditorCluster,
    component: &str,
    data: Option<&SecretData>,
    fresh: &str,
) -> Result<Password, Invalid> {
    let Some(data) = data else {
        return Ok(Password { value: fresh.to_owned(), stored: false });
    };
    let secret = format!("{}-{component}", object.name_any());
    let field = "made by the operator";
    let value = text(field, &secret, "password", data)?;
    if !value.chars().all(|c| c.is_ascii_alphanumeric()) {
        let problem = "may hold letters and digits alone: delete the Secret, and a new one is made";
        return Err(wrong(field, &secret, "password", problem));
    }
    Ok(Password { value: value.to_owned(), stored: true })
}

fn text<'a>(field: &'static str, secret: &str, key: &str, data: &'a SecretData) -> Result<&'a str, Invalid> {
    let value = data.get(key).ok_or_else(|| missing(field, secret, key))?;
    let text = std::str::from_utf8(value).map_err(|_| wrong(field, secret, key, "must be UTF-8 text"))?;
    if text.is_empty() { Err(wrong(field, secret, key, "is empty: write its value")) } else { Ok(text) }
}

fn not_found(object: &EditorCluster, field: &'static str, secret: &str) -> Invalid {
    let namespace = object.namespace().unwrap_or_default();
    Invalid::SecretNotFound { field, secret: secret.to_owned(), namespace }
}

fn missing(field: &'static str, secret: &str, key: &str) -> Invalid {
    Invalid::SecretKeyMissing { field, secret: secret.to_owned(), key: key.to_owned() }
}

fn wrong(field: &'static str, secret: &str, key: &str, problem: &'static str) -> Invalid {
    Invalid::SecretValueInvalid { field, secret: secret.to_owned(), key: key.to_owned(), problem }
}
