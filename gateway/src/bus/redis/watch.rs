//! Watches a connection: it can die, or stop to be the right one, without a word.

use std::time::{Duration, Instant};

use super::address::Address;
use super::cluster;
use super::live::{Live, Servers};
use super::sentinel::{self, Server};
use super::source::{Loaded, RedisSource};

/// After this long without an answer the connection is given up.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the connection is asked whether it still lives. Answers come in order, so a ping stands for every call
/// before it and no call needs a timer of its own: it ends at the latest after this time and the time-out.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How often sentinels are asked whether another server is the primary by now, and a cluster for slots that it lacked. One that a partition has cut off
/// from them, and not from us, calls itself the primary for ever.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// What has to be known of a connection to find out when it is no good any more.
pub(super) struct Watch {
    pub(super) loaded: Loaded,
    /// For people.
    pub(super) server: String,
    /// What the sentinels called the server; None: there are none.
    pub(super) named: Option<Server>,
}

impl Watch {
    /// Returns the reason why the connection should end.
    pub(super) async fn run(&self, live: &Live, source: &RedisSource) -> &'static str {
        let mut asked = Instant::now();
        loop {
            tokio::time::sleep(PING_EVERY).await;
            if source.has_changed(&self.loaded) {
                return "the URL's file has another one";
            }
            let asks = async {
                match &self.loaded.address {
                    Address::Standalone(_) => live.ping().await.map(|()| true),
                    Address::Sentinel { .. } | Address::Cluster { .. } => live.are_primaries().await,
                }
            };
            match tokio::time::timeout(ANSWER_TIMEOUT, asks).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return "the server is no longer the primary",
                Ok(Err(_)) | Err(_) => return "it does not answer",
            }
            if asked.elapsed() >= ASK_EVERY {
                if self.is_deposed().await {
                    return "the sentinels have another primary";
                }
                if self.finds_slots(live).await {
                    return "the cluster's slots that were nobody's are somebody's now";
                }
                asked = Instant::now();
            }
        }
    }

    /// Whether sentinels name a primary, and none of them ours.
    async fn is_deposed(&self) -> bool {
        let (Address::Sentinel { sentinels, name, .. }, Some(ours)) = (&self.loaded.address, &self.named) else {
            return false;
        };
        let named = sentinel::ask(&self.loaded, sentinels, name).await;
        !named.is_empty() && !named.contains(ours)
    }

    /// Whether some of the cluster's slots had no server, and have one now. No answer of a server tells it: the documents
    /// of those slots are asked for nowhere.
    async fn finds_slots(&self, live: &Live) -> bool {
        let (Address::Cluster { seeds, .. }, Servers::Cluster(cluster)) = (&self.loaded.address, &live.servers) else {
            return false;
        };
        !cluster.map.is_whole() && cluster::ask(&self.loaded, seeds).await.is_ok_and(|map| map != cluster.map)
    }
}
