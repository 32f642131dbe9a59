//! Where the URL and the certificates come from. All files are read again at every connection, so that what rotates
//! is taken up without a restart.

use std::path::{Path, PathBuf};

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates};

use super::address::{self, Address};
use crate::bus::{BusError, Result};

/// What a `RedisBus` needs to know to find its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSource {
    pub url: RedisUrl,
    /// PEM certificates of the authorities that may have signed the servers'. Default: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate and key, for servers that ask for one.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// The URL, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisUrl {
    Text(String),
    File(PathBuf),
}

// It may hold a password.
impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => formatter.write_str("Text"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

impl From<&str> for RedisSource {
    fn from(url: &str) -> Self {
        Self { url: RedisUrl::Text(url.to_owned()), ca_file: None, client_certificate: None }
    }
}

impl RedisSource {
    /// Whether it can be used as it is now.
    ///
    /// # Errors
    /// A file cannot be read, or the URL is none.
    pub fn check(&self) -> Result<()> {
        self.load().map(drop)
    }

    /// Everything as it is now.
    ///
    /// # Errors
    /// A file cannot be read, or the URL is none.
    pub(super) fn load(&self) -> Result<Loaded> {
        let url = self.url()?;
        let invalid = |problem| BusError::Unavailable(format!("the Redis URL is not valid: {problem}"));
        let address = address::parse(&url).map_err(invalid)?;
        Ok(Loaded { url, address, certificates: self.certificates()? })
    }

    fn url(&self) -> Result<String> {
        match &self.url {
            RedisUrl::Text(url) => Ok(url.clone()),
            RedisUrl::File(path) => {
                let text = read("the Redis URL", path)?;
                String::from_utf8(text)
                    .map_err(|_| BusError::Unavailable(format!("the Redis URL in {} is no text", path.display())))
            }
        }
    }

    fn certificates(&self) -> Result<Option<TlsCertificates>> {
        let root_cert =
            self.ca_file.as_deref().map(|path| read("the certificates of Redis's authority", path)).transpose()?;
        let client_tls = match &self.client_certificate {
            Some((certificate, key)) => Some(ClientTlsConfig {
                client_cert: read("the certificate for Redis", certificate)?,
                client_key: read("the key of the certificate for Redis", key)?,
            }),
            None => None,
        };
        let any = root_cert.is_some() || client_tls.is_some();
        Ok(any.then_some(TlsCertificates { client_tls, root_cert }))
    }

    /// Whether the file has another URL now than the one that was loaded. One that cannot be used is no reason to give
    /// up a connection that works.
    pub(super) fn has_changed(&self, loaded: &Loaded) -> bool {
        match &self.url {
            RedisUrl::Text(_) => false,
            RedisUrl::File(_) => self.url().is_ok_and(|url| url != loaded.url && address::parse(&url).is_ok()),
        }
    }
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| BusError::Unavailable(format!("cannot read {what} from {}: {error}", path.display())))
}

/// What one connection is made with.
pub(super) struct Loaded {
    url: String,
    pub(super) address: Address,
    certificates: Option<TlsCertificates>,
}

impl Loaded {
    /// A client for one server.
    pub(super) fn client(&self, server: ConnectionInfo) -> RedisResult<Client> {
        match (&self.certificates, server.addr()) {
            (Some(certificates), ConnectionAddr::TcpTls { .. }) => Client::build_with_tls(server, certificates.clone()),
            _ => Client::open(server),
        }
    }
}
