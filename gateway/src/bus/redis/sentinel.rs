//! Asks the sentinels which server is the primary.
//!
//! The `redis` crate asks one sentinel after the other and believes the first that answers, also one that a partition
//! has left behind, and checks the ROLE on a connection other than the one that is used. Here all are asked at once,
//! what most of them say comes first, and `link` checks the ROLE on the connection itself.

use std::time::Duration;

use futures::future::join_all;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo};

use super::source::Loaded;

/// A sentinel that has not answered by then is left out.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A server's host and port as the sentinels say them.
pub(super) type Server = (String, u16);

/// What the sentinels say: every server that one of them takes for the primary, the one that most name first.
pub(super) async fn ask(loaded: &Loaded, sentinels: &[ConnectionInfo], name: &str) -> Vec<Server> {
    let answers = sentinels.iter().map(|sentinel| async move {
        let ask = async {
            // Times its own steps out too early for a sentinel that is busy with a failover.
            let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            let client = loaded.client(sentinel.clone())?;
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            let mut ask = redis::cmd("SENTINEL");
            ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
            ask.query_async::<Option<Server>>(&mut connection).await
        };
        let sentinel = sentinel.addr();
        match tokio::time::timeout(ANSWER_TIMEOUT, ask).await {
            Ok(Ok(Some(server))) => return Some(server),
            Ok(Ok(None)) => tracing::warn!(%sentinel, name, "this sentinel knows no primary of this name"),
            Ok(Err(error)) => tracing::warn!(%sentinel, %error, "this sentinel cannot be asked"),
            Err(_) => tracing::warn!(%sentinel, "this sentinel does not answer"),
        }
        None
    });
    by_votes(join_all(answers).await.into_iter().flatten().collect())
}

fn by_votes(answers: Vec<Server>) -> Vec<Server> {
    let mut servers: Vec<(Server, usize)> = Vec::new();
    for answer in answers {
        match servers.iter_mut().find(|(server, _)| *server == answer) {
            Some((_, votes)) => *votes += 1,
            None => servers.push((answer, 1)),
        }
    }
    // Stable: of two with equal votes the one whose sentinel stands first in the URL is tried first.
    servers.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
    servers.into_iter().map(|(server, _)| server).collect()
}

/// How to reach the server that the sentinels have named.
pub(super) fn connection_info(template: &ConnectionInfo, (host, port): &Server) -> ConnectionInfo {
    let address = match template.addr() {
        ConnectionAddr::TcpTls { insecure, .. } => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: *insecure, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host.clone(), *port),
    };
    template.clone().set_addr(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_sentinels_say_comes_first_and_a_lone_voice_is_kept() {
        let server = |host: &str| (host.to_owned(), 6379);
        let answers = vec![server("left-behind"), server("promoted"), server("promoted")];
        assert_eq!(by_votes(answers), [server("promoted"), server("left-behind")]);
        assert_eq!(by_votes(vec![server("b"), server("a")]), [server("b"), server("a")]);
        assert_eq!(by_votes(Vec::new()), []);
    }
}
