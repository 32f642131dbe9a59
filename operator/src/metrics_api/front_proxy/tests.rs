use axum::http::HeaderName;

use super::*;

fn published(names: &str) -> BTreeMap<String, String> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&key).unwrap().pem();
    [
        ("requestheader-client-ca-file", pem.as_str()),
        ("requestheader-allowed-names", names),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
        ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

#[test]
fn the_user_is_whom_the_headers_name() {
    let proxy = FrontProxy::from_config_map(&published("[]")).unwrap();
    let user = proxy.user(&headers(&[
        ("x-remote-user", "ann"),
        ("x-remote-uid", "7"),
        ("x-remote-group", "writers"),
        ("x-remote-group", "readers"),
        ("x-remote-extra-example.com%2fscope", "all"),
        ("x-other", "ignored"),
    ]));
    let expected = User {
        name: "ann".to_owned(),
        uid: Some("7".to_owned()),
        groups: vec!["writers".to_owned(), "readers".to_owned()],
        extra: [("example.com/scope".to_owned(), vec!["all".to_owned()])].into(),
    };
    assert_eq!(user, Some(expected));
    assert_eq!(proxy.user(&headers(&[("x-remote-group", "system:masters")])), None, "a group alone is nobody");
    assert_eq!(proxy.user(&headers(&[("x-remote-user", "")])), None);
}

#[test]
fn a_cluster_without_aggregation_is_told_which_flag_is_missing() {
    let mut no_ca = published("[]");
    no_ca.remove("requestheader-client-ca-file");
    let mut no_names = published("[]");
    no_names.remove("requestheader-username-headers");
    let bad_list = published("front-proxy");
    for (data, part) in
        [(no_ca, "--requestheader-client-ca-file"), (no_names, "--requestheader-"), (bad_list, "not a JSON list")]
    {
        let error = format!("{:#}", FrontProxy::from_config_map(&data).unwrap_err());
        assert!(error.contains(part), "{error}");
    }
}
