//! What a Redis URL says: which servers, and how to speak with them.
//!
//! | URL | what answers there |
//! |---|---|
//! | `redis://[user][:password@]host[:port][/db]` | one server, or the primary behind one name |
//! | `redis+sentinel://[user][:password@]host[:port],.../name[/db]` | sentinels that know the primary called `name` |
//! | `redis+cluster://[user][:password@]host[:port],...` | servers of a cluster, any of them |
//!
//! `rediss` instead of `redis` is TLS, to all of them. User, password and database are the primary's; the
//! sentinels' own are `?sentinel-user=` and `&sentinel-password=`, percent-encoded.

use percent_encoding::percent_decode_str;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use std::time::Duration;

const SENTINEL_PORT: u16 = 26379;
const REDIS_PORT: u16 = 6379;
const FORMS: &str = "write redis://[user][:password@]host[:port][/db], \
                     redis+sentinel://[user][:password@]host:port,.../name[/db] or \
                     redis+cluster://[user][:password@]host:port,...; rediss instead of redis is TLS";

/// Where the log's server is.
#[derive(Clone)]
pub(super) enum Address {
    Standalone(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        /// How to speak with the primary; its host and port are for the sentinels to say.
        primary: ConnectionInfo,
    },
    Cluster {
        seeds: Vec<ConnectionInfo>,
        /// How to speak with any of the servers.
        template: ConnectionInfo,
    },
}

/// Reads a URL. The error says what is wrong and never holds the URL, which may hold a password.
pub(super) fn parse(url: &str) -> Result<Address, String> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("it is no URL: {FORMS}"))?;
    match scheme {
        "redis" | "rediss" => Ok(Address::Standalone(server(url)?)),
        "redis+sentinel" => sentinel("redis", rest),
        "rediss+sentinel" => sentinel("rediss", rest),
        "redis+cluster" => cluster("redis", rest),
        "rediss+cluster" => cluster("rediss", rest),
        _ => Err(format!("its scheme is unknown: {FORMS}")),
    }
}

/// One server; commands and subscriptions will share a connection to it.
fn server(url: &str) -> Result<ConnectionInfo, String> {
    let info = url.into_connection_info().map_err(|error| format!("{error}: {FORMS}"))?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp))
}

fn sentinel(scheme: &str, rest: &str) -> Result<Address, String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let (name, database) = path.split_once('/').unwrap_or((path, ""));
    if name.is_empty() {
        return Err(format!("it does not say what the sentinels call the primary: {FORMS}"));
    }
    let own = sentinels_own(query)?;
    let sentinels = hosts
        .split(',')
        .map(|host| {
            let info = server(&format!("{scheme}://{}", with_port(host, SENTINEL_PORT)))?;
            Ok(info.set_redis_settings(own.clone()))
        })
        .collect::<Result<Vec<_>, String>>()?;
    // Any host will do here: only what stands around it is kept.
    let primary = server(&format!("{scheme}://{user}{}primary/{database}", if user.is_empty() { "" } else { "@" }))?;
    Ok(Address::Sentinel { sentinels, name: decode(name)?, primary })
}

fn cluster(scheme: &str, rest: &str) -> Result<Address, String> {
    let (user, hosts) = rest.rsplit_once('@').map_or(("", rest), |(user, hosts)| (user, hosts));
    if hosts.trim_end_matches('/').contains(['/', '?']) {
        return Err(format!("a cluster has no databases, so nothing stands behind the servers: {FORMS}"));
    }
    let at = if user.is_empty() { "" } else { "@" };
    let server = |host: &str| server(&format!("{scheme}://{user}{at}{}", with_port(host, REDIS_PORT)));
    let seeds: Vec<_> = hosts.trim_end_matches('/').split(',').map(server).collect::<Result<_, _>>()?;
    let template = seeds.first().cloned().ok_or_else(|| FORMS.to_owned())?;
    Ok(Address::Cluster { seeds, template })
}

/// User and password for the sentinels themselves.
fn sentinels_own(query: &str) -> Result<RedisConnectionInfo, String> {
    let mut own = RedisConnectionInfo::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        own = match pair.split_once('=') {
            Some(("sentinel-user", user)) => own.set_username(decode(user)?),
            Some(("sentinel-password", password)) => own.set_password(decode(password)?),
            _ => return Err("behind the ? only sentinel-user=... and sentinel-password=... are known".to_owned()),
        };
    }
    Ok(own)
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "its percent-encoded parts are no UTF-8 text".to_owned())
}

fn with_port(host: &str, port: u16) -> String {
    // A colon within brackets belongs to an IPv6 address.
    let has_port = host.rsplit_once(':').is_some_and(|(_, digits)| !digits.contains(']'));
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinel_of(url: &str) -> (Vec<String>, String, ConnectionInfo, Vec<ConnectionInfo>) {
        match parse(url) {
            Ok(Address::Sentinel { sentinels, name, primary }) => {
                let addresses = sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
                (addresses, name, primary, sentinels)
            }
            Ok(_) => panic!("no sentinels"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_plain_url_is_one_server_that_speaks_resp3() {
        let Ok(Address::Standalone(info)) = parse("rediss://ann:p%40ss@cache.example:7000/3\n") else { panic!() };
        assert_eq!(info.addr().to_string(), "cache.example:7000");
        assert!(matches!(info.addr(), redis::ConnectionAddr::TcpTls { insecure: false, .. }));
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("ann"), Some("p@ss"), 3));
        assert_eq!(settings.protocol(), ProtocolVersion::RESP3);
    }

    #[test]
    fn user_password_and_database_are_the_primarys_and_the_sentinels_have_their_own() {
        let url =
            "redis+sentinel://ann:p%40ss@one,two:7000,[::1]/my%20master/2?sentinel-user=s&sentinel-password=x%26y";
        let (addresses, name, primary, sentinels) = sentinel_of(url);
        assert_eq!(addresses, ["one:26379", "two:7000", "::1:26379"]);
        assert_eq!(name, "my master");
        let settings = primary.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("ann"), Some("p@ss"), 2));
        for sentinel in &sentinels {
            let settings = sentinel.redis_settings();
            assert_eq!((settings.username(), settings.password(), settings.db()), (Some("s"), Some("x&y"), 0));
        }
    }

    #[test]
    fn tls_is_for_sentinels_and_primary_alike() {
        let (_, _, primary, sentinels) = sentinel_of("rediss+sentinel://one/main");
        for info in sentinels.iter().chain([&primary]) {
            assert!(matches!(info.addr(), redis::ConnectionAddr::TcpTls { insecure: false, .. }));
        }
        assert_eq!(primary.redis_settings().password(), None);
    }

    #[test]
    fn a_cluster_is_known_by_any_of_its_servers() {
        let Ok(Address::Cluster { seeds, template }) = parse("rediss+cluster://:p@one,two:7000/") else { panic!() };
        let addresses: Vec<_> = seeds.iter().map(|seed| seed.addr().to_string()).collect();
        assert_eq!(addresses, ["one:6379", "two:7000"]);
        assert_eq!(template.redis_settings().password(), Some("p"));
        assert!(matches!(template.addr(), redis::ConnectionAddr::TcpTls { .. }));
    }

    #[test]
    fn a_refusal_says_what_to_write_and_not_what_was_written() {
        let wrong = [
            ("host:6379", "no URL"),
            ("http://:secret@host", "scheme is unknown"),
            ("redis://:secret@host/one", "database number"),
            ("redis+sentinel://:secret@one,two", "call the primary"),
            ("redis+sentinel://:secret@one:port/main", "redis+sentinel://"),
            ("redis+sentinel://:secret@/main", "redis+sentinel://"),
            ("redis+cluster://:secret@one/1", "no databases"),
            ("redis+cluster://", "redis+cluster://"),
            ("redis+sentinel://one/main?password=secret", "sentinel-password"),
            ("redis+sentinel://one/main?sentinel-password=%ff", "UTF-8"),
        ];
        for (url, sentence) in wrong {
            let said = parse(url).err().unwrap_or_default();
            assert!(said.to_lowercase().contains(&sentence.to_lowercase()), "{url}: {said}");
            assert!(!said.contains("secret"), "{url}: {said}");
        }
    }
}
