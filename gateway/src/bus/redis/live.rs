//! Calls on a connection that is up.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};
use tokio_util::sync::CancellationToken;

use super::cluster::{self, Cluster};
use super::functions;
use super::names::Names;
use crate::bus::BusError;
use crate::room::log::Position;
use crate::without;

/// The connection of one generation, or those to all primaries of a cluster.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) generation: u64,
    pub(super) servers: Servers,
    /// Cancelled by whoever finds out that the connection is no good.
    pub(super) broken: CancellationToken,
}

#[derive(Clone)]
pub(super) enum Servers {
    One(MultiplexedConnection),
    Cluster(Arc<Cluster>),
}

impl Live {
    pub(super) fn new(generation: u64, servers: Servers) -> Self {
        Self { generation, servers, broken: CancellationToken::new() }
    }

    /// Runs one call and judges its error: one that speaks about the connection ends it.
    pub(super) async fn call<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, CallError> {
        let result = tokio::select! {
            result = call => result,
            () = self.broken.cancelled() => return Err(CallError::other("the connection broke during the call")),
        };
        result.map_err(|error| {
            if is_function_missing(&error) {
                return CallError::FunctionMissing;
            }
            if !cluster::is_on_its_way(&error) && ends_connection(&error) {
                self.broken.cancel();
            }
            CallError::other(error)
        })
    }

    /// The connection for a document's commands and subscription.
    pub(super) fn connection(&self, names: &Names) -> Result<MultiplexedConnection, BusError> {
        self.connection_of(names.tag())
    }

    /// The connection for a key; `tag` is what of it the cluster hashes.
    pub(super) fn connection_of(&self, tag: &str) -> Result<MultiplexedConnection, BusError> {
        match &self.servers {
            Servers::One(connection) => Ok(connection.clone()),
            Servers::Cluster(cluster) => cluster.connection(tag).cloned(),
        }
    }

    /// The connection to one of the servers, by number.
    pub(super) fn server(&self, index: usize) -> Option<MultiplexedConnection> {
        self.all().get(index).cloned()
    }

    /// Puts the log's functions into the server that has the document.
    pub(super) async fn load_functions(&self, names: &Names) -> Result<(), BusError> {
        let mut connection = self.connection(names)?;
        Ok(self.call(async move { load_functions(&mut connection).await }).await?)
    }

    /// An update that is in a document's log. None: it is no longer there.
    pub(super) async fn fetch(&self, document: &str, position: Position) -> Result<Option<Bytes>, BusError> {
        let names = Names::of(document);
        let mut connection = self.connection(&names)?;
        let id = format!("{}-{}", position.epoch, position.n);
        let mut range = redis::cmd("XRANGE");
        range.arg(names.stream).arg(&id).arg(&id);
        let found: Vec<(Value, (Value, Vec<u8>))> =
            self.call(async move { range.query_async(&mut connection).await }).await?;
        Ok(found.into_iter().next().map(|(_, (_, update))| Bytes::from(update)))
    }

    fn all(&self) -> &[MultiplexedConnection] {
        match &self.servers {
            Servers::One(connection) => std::slice::from_ref(connection),
            Servers::Cluster(cluster) => &cluster.connections,
        }
    }

    /// Whether every server answers.
    pub(super) async fn ping(&self) -> Result<(), CallError> {
        let pings = self.all().iter().cloned().map(|mut connection| async move {
            self.call(async { redis::cmd("PING").query_async::<Value>(&mut connection).await }).await.map(drop)
        });
        try_join_all(pings).await.map(drop)
    }

    /// Whether every server takes itself for a primary.
    pub(super) async fn are_primaries(&self) -> Result<bool, CallError> {
        let roles = self
            .all()
            .iter()
            .cloned()
            .map(|mut connection| async move { self.call(async { is_primary(&mut connection).await }).await });
        Ok(try_join_all(roles).await?.into_iter().all(|is_primary| is_primary))
    }
}

pub(super) async fn load_functions(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    // What the rule's name is was checked at the start.
    let library = functions::library(without::rule().ok().flatten());
    let mut load = redis::cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(&*library);
    load.query_async::<Value>(connection).await.map(drop)
}

pub(super) async fn is_primary(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let role: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
    Ok(matches!(role.first(), Some(Value::BulkString(role)) if role == b"master"))
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The server does not know our functions; the call did not run.
    FunctionMissing,
    Other(String),
}

impl CallError {
    fn other(error: impl ToString) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<CallError> for BusError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::FunctionMissing => Self::Unavailable("Redis forgot the log's functions".to_owned()),
            CallError::Other(text) => Self::Unavailable(text),
        }
    }
}

fn is_function_missing(error: &RedisError) -> bool {
    error.to_string().contains("Function not found")
}

fn ends_connection(error: &RedisError) -> bool {
    // Answers of a server that is not, or no longer, the primary that we want to talk to.
    const WRONG_SERVER: [&str; 7] =
        ["READONLY", "MOVED", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "NOREPLICAS"];
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.code().is_some_and(|code| WRONG_SERVER.contains(&code))
        || error.to_string().contains("READONLY")
}
