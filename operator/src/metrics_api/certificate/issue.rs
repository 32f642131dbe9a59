//! Makes the CA and the serving certificate, and decides when. Pure but for the randomness of keys.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 3650);
const SERVING_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365);
/// A certificate is valid from a little before it is made, for clocks that are behind.
const BEFORE: SignedDuration = SignedDuration::from_mins(10);

/// Everything in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// The CA that signs, and behind it the one before, if there was one.
    pub ca_bundle: String,
    pub ca_key: String,
    pub certificate: String,
    pub key: String,
}

/// What has to be stored instead of `stored`; nothing if that is good for longer.
///
/// # Errors
/// If no key or certificate can be made.
pub fn renewed(stored: Option<&Material>, names: &[String], now: Timestamp) -> Result<Option<Material>> {
    let Some(stored) = stored else { return new_ca(None, names, now).map(Some) };
    // The keys are checked too: a Secret that somebody has damaged heals.
    let (Some(ca), Ok(ca_key)) = (first(&stored.ca_bundle), KeyPair::from_pem(&stored.ca_key)) else {
        return new_ca(None, names, now).map(Some);
    };
    if !is_good(&ca, &ca_key, now) {
        return new_ca(Some(&stored.ca_bundle), names, now).map(Some);
    }
    let serving = first(&stored.certificate).zip(KeyPair::from_pem(&stored.key).ok());
    if serving.is_some_and(|(own, key)| is_good(&own, &key, now) && is_for(&own, names, &ca)) {
        return Ok(None);
    }
    let issuer = Issuer::from_ca_cert_der(&ca, ca_key).context("cannot sign with the stored CA")?;
    let (certificate, key) = serving_certificate(&issuer, names, now)?;
    Ok(Some(Material { certificate, key, ..stored.clone() }))
}

fn new_ca(before: Option<&str>, names: &[String], now: Timestamp) -> Result<Material> {
    let mut params = CertificateParams::new(Vec::new())?;
    // Two CAs in one bundle are told apart by their names.
    params.distinguished_name.push(DnType::CommonName, format!("editorcluster-metrics-api-{}", now.as_second()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now, CA_LIFE);
    let ca_key = KeyPair::generate()?;
    let pem = params.self_signed(&ca_key)?.pem();
    let ca_key_pem = ca_key.serialize_pem();
    let (certificate, key) = serving_certificate(&Issuer::new(params, ca_key), names, now)?;
    let old = before.and_then(|bundle| pem_of_first(bundle)).unwrap_or_default();
    Ok(Material { ca_bundle: pem + old, ca_key: ca_key_pem, certificate, key })
}

fn serving_certificate(issuer: &Issuer<'_, KeyPair>, names: &[String], now: Timestamp) -> Result<(String, String)> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    set_life(&mut params, now, SERVING_LIFE);
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn set_life(params: &mut CertificateParams, now: Timestamp, life: SignedDuration) {
    let at = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds)
    };
    params.not_before = at(now - BEFORE);
    params.not_after = at(now + life);
}

/// Valid, with a third of its life left, and the key is its own.
fn is_good(certificate: &CertificateDer<'_>, key: &KeyPair, now: Timestamp) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let (from, to) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let two_thirds = from + (to - from) / 3 * 2;
    (from..two_thirds).contains(&now.as_second()) && parsed.public_key().raw == key.subject_public_key_info()
}

fn is_for(certificate: &CertificateDer<'_>, names: &[String], ca: &CertificateDer<'_>) -> bool {
    let Ok((_, own)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let Ok((_, ca)) = x509_parser::parse_x509_certificate(ca) else { return false };
    let Ok(Some(alternatives)) = own.subject_alternative_name() else { return false };
    let has = |name: &String| {
        let wanted = x509_parser::extensions::GeneralName::DNSName(name);
        alternatives.value.general_names.contains(&wanted)
    };
    own.issuer().as_raw() == ca.subject().as_raw() && names.iter().all(has)
}

fn first(bundle: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(bundle.as_bytes()).ok()
}

fn pem_of_first(bundle: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let end = bundle.find(END)? + END.len();
    let newline = bundle[end..].find('\n').map_or(0, |at| at + 1);
    Some(&bundle[..end + newline])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["metrics.ns.svc".to_owned()]
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_hours(24 * day)
    }

    fn made(day: i64) -> Material {
        renewed(None, &names(), at(day)).unwrap().unwrap()
    }

    #[test]
    fn a_certificate_is_kept_for_two_thirds_of_its_life() {
        let stored = made(0);
        for day in [0, 1, 242] {
            assert!(renewed(Some(&stored), &names(), at(day)).unwrap().is_none(), "day {day}");
        }
        let fresh = renewed(Some(&stored), &names(), at(244)).unwrap().unwrap();
        assert!(fresh.certificate != stored.certificate && fresh.ca_bundle == stored.ca_bundle);
        assert!(renewed(Some(&fresh), &names(), at(244)).unwrap().is_none(), "what is made is good");
    }

    #[test]
    fn a_new_ca_brings_the_old_one_along_and_only_that() {
        let stored = made(0);
        let fresh = renewed(Some(&stored), &names(), at(2500)).unwrap().unwrap();
        assert!(fresh.ca_bundle.ends_with(&stored.ca_bundle) && fresh.ca_key != stored.ca_key);
        let third = renewed(Some(&fresh), &names(), at(5000)).unwrap().unwrap();
        assert_eq!(CertificateDer::pem_slice_iter(third.ca_bundle.as_bytes()).count(), 2);
        assert!(renewed(Some(&third), &names(), at(5000)).unwrap().is_none());
    }

    #[test]
    fn a_damaged_secret_or_another_name_is_made_anew() {
        let (good, other) = (made(0), made(1));
        let bad = |change: fn(&mut Material, &Material)| {
            let mut bad = good.clone();
            change(&mut bad, &other);
            renewed(Some(&bad), &names(), at(1)).unwrap().is_some()
        };
        assert!(bad(|bad, _| bad.ca_bundle = "nothing".to_owned()));
        assert!(bad(|bad, other| bad.ca_key = other.ca_key.clone()));
        assert!(bad(|bad, other| bad.key = other.key.clone()));
        assert!(bad(|bad, _| bad.certificate.clear()));
        assert!(bad(|bad, other| (bad.certificate, bad.key) = (other.certificate.clone(), other.key.clone())));
        assert!(renewed(Some(&good), &["renamed.ns.svc".to_owned()], at(1)).unwrap().is_some());
    }
}
