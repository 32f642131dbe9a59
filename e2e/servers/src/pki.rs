//! Certificate authorities, certificates and kubeconfigs of a test cluster.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// An authority whose certificate and issued certificates are files `NAME.crt` and `NAME.key` of one folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Makes a new authority and writes `NAME.crt` and `NAME.key`.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, format!("editorcluster-{name}"));
        let certificate = params.self_signed(&key)?.pem();
        write(&folder.join(format!("{name}.crt")), &certificate)?;
        write(&folder.join(format!("{name}.key")), &key.serialize_pem())?;
        Ok(Self { folder: folder.to_owned(), issuer: Issuer::new(params, key), certificate })
    }

    /// Issues `FILE.crt` and `FILE.key` for a client or server: `user` is its name, `group` its organisation, `names`
    /// the DNS names and addresses that it serves.
    pub fn issue(&self, file: &str, user: &str, group: Option<&str>, names: &[&str]) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let identity = Identity { certificate, key: key.serialize_pem() };
        write(&self.folder.join(format!("{file}.crt")), &identity.certificate)?;
        write(&self.folder.join(format!("{file}.key")), &identity.key)?;
        Ok(identity)
    }

    /// Writes a kubeconfig that talks to `server` as `identity` and carries everything in itself.
    pub fn kubeconfig(&self, path: &Path, server: &str, identity: &Identity) -> Result<()> {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        let text = format!(
            "apiVersion: v1
kind: Config
clusters:
- name: editorcluster
  cluster: {{server: \"{server}\", certificate-authority-data: {}}}
users:
- name: user
  user: {{client-certificate-data: {}, client-key-data: {}}}
contexts:
- name: editorcluster
  context: {{cluster: editorcluster, user: user}}
current-context: editorcluster
",
            encode(&self.certificate),
            encode(&identity.certificate),
            encode(&identity.key)
        );
        write(path, &text)
    }
}

/// A certificate and its key, both PEM.
pub struct Identity {
    certificate: String,
    key: String,
}

/// Writes the key pair that service account tokens are signed with: `NAME.key` and `NAME.pub`.
pub fn signing_key(folder: &Path, name: &str) -> Result<()> {
    let key = KeyPair::generate()?;
    write(&folder.join(format!("{name}.key")), &key.serialize_pem())?;
    write(&folder.join(format!("{name}.pub")), &key.public_key_pem())
}

/// Keys are for their owner only.
fn write(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
