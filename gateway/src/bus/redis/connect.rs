//! A new connection: to which server, and what it must know first.
//!
//! Each is made anew from what the URL's file and the sentinels say then. With sentinels the server must call itself the
//! primary. For a cluster see `cluster`.

use std::sync::Arc;

use futures::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, PushInfo, RedisResult};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::address::Address;
use super::cluster::{self, Cluster};
use super::live::{Live, Servers, is_primary, load_functions};
use super::sentinel;
use super::source::{Loaded, RedisSource};
use super::watch::{ANSWER_TIMEOUT, Watch};
use crate::bus::BusError;

/// A new connection and what belongs to it.
pub(super) struct Connected {
    pub(super) live: Live,
    pub(super) messages: UnboundedReceiver<PushInfo>,
    pub(super) watch: Watch,
}

impl Connected {
    fn new(generation: u64, servers: Servers, messages: UnboundedReceiver<PushInfo>, watch: Watch) -> Self {
        Self { live: Live::new(generation, servers), messages, watch }
    }
}

/// Connects to the server, or the servers, that are the right ones now.
pub(super) async fn connect(source: &RedisSource, generation: u64) -> Result<Connected, BusError> {
    let loaded = source.load()?;
    let (pushes, messages) = unbounded_channel();
    match &loaded.address {
        Address::Standalone(info) => {
            let connection = connect_to(&loaded, info.clone(), &pushes, false).await?;
            let watch = Watch { server: info.addr().to_string(), loaded, named: None };
            Ok(Connected::new(generation, Servers::One(connection), messages, watch))
        }
        Address::Sentinel { sentinels, name, primary } => {
            let mut problem = BusError::Unavailable(format!("no sentinel says which server is the primary of {name}"));
            for named in sentinel::ask(&loaded, sentinels, name).await {
                let info = sentinel::connection_info(primary, &named);
                let server = info.addr().to_string();
                match connect_to(&loaded, info, &pushes, true).await {
                    Ok(connection) => {
                        let watch = Watch { loaded, server, named: Some(named) };
                        return Ok(Connected::new(generation, Servers::One(connection), messages, watch));
                    }
                    Err(error) => problem = error,
                }
            }
            Err(problem)
        }
        Address::Cluster { seeds, template } => {
            let map = cluster::ask(&loaded, seeds).await?;
            let infos = map.primaries.iter().map(|primary| sentinel::connection_info(template, primary));
            let connections = try_join_all(infos.map(|info| connect_to(&loaded, info, &pushes, true))).await?;
            let watch = Watch { server: format!("a cluster of {}", connections.len()), loaded, named: None };
            let cluster = Arc::new(Cluster { map, connections });
            Ok(Connected::new(generation, Servers::Cluster(cluster), messages, watch))
        }
    }
}

/// A connection to one server, with the log's functions in it.
async fn connect_to(
    loaded: &Loaded,
    info: ConnectionInfo,
    pushes: &UnboundedSender<PushInfo>,
    must_be_primary: bool,
) -> Result<MultiplexedConnection, BusError> {
    let server = info.addr().to_string();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(None)
        .set_push_sender(pushes.clone());
    let connect = async {
        let mut connection = loaded.client(info)?.get_multiplexed_async_connection_with_config(&config).await?;
        if must_be_primary && !is_primary(&mut connection).await? {
            return Ok(None);
        }
        load_functions(&mut connection).await?;
        RedisResult::Ok(Some(connection))
    };
    let problem = match tokio::time::timeout(ANSWER_TIMEOUT, connect).await {
        Ok(Ok(Some(connection))) => return Ok(connection),
        Ok(Ok(None)) => "it was named as a primary and says that it is none".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
    };
    Err(BusError::Unavailable(format!("{server}: {problem}")))
}
