//! Two gateways on one Redis and one Postgres.

use e2e_servers::{Postgres, Redis};
use gateway::drain;
use gateway::server::Running;

use crate::client::Client;
use crate::gateway_process::{eventually, get, metric, start};

pub(crate) async fn pod(redis: &Redis, postgres: &Postgres, more: &[&str]) -> Running {
    let flags =
        ["--target", "socket", "--redis-url", &redis.url(), "--database-url", &postgres.url(), "--settle", "0s"];
    let gateway = start(&[&flags, more].concat()).await;
    eventually("it is ready", async || get(gateway.admin_addr, "/readyz").await.status == 200).await;
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_two_gateways_edit_one_document_and_it_outlives_both() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let (left, right) = (pod(&redis, &postgres, &[]).await, pod(&redis, &postgres, &[]).await);
    let mut ann = Client::synced(left.public_addr, "notes").await;
    let mut bob = Client::synced(right.public_addr, "notes").await;
    for round in 0..20 {
        ann.write("a").await;
        bob.write("b").await;
        let both = |client: &Client| client.text().len() == 2 * (round + 1);
        ann.until("both edits", both).await;
        bob.until("both edits", both).await;
        assert_eq!(ann.text(), bob.text());
    }
    ann.show_presence(7, 1, r#"{"name":"Ann"}"#).await;
    bob.until("Ann's cursor", |bob| bob.presence(7).is_some()).await;

    let text = ann.text();
    let ((), code, ()) = tokio::join!(drain::run(&left), ann.closed(), async {
        bob.until("no ghost of Ann", |bob| bob.presence(7).as_deref() == Some("null")).await;
    });
    assert_eq!(code, 1012);
    tokio::join!(drain::run(&right), bob.closed());
    for gateway in [&left, &right] {
        assert_eq!(metric(gateway, "editorcluster_documents").await, 0.0);
    }
    drop((left, right));
    // Also with the log lost: the drain has written everything to the database.
    redis.command(&["FLUSHALL"]).unwrap();
    let again = pod(&redis, &postgres, &[]).await;
    assert_eq!(Client::synced(again.public_addr, "notes").await.text(), text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_not_ready_before_it_has_reached_redis_and_the_database() {
    let redis = Redis::start().unwrap();
    let mut postgres = Postgres::prepare().unwrap();
    let flags = ["--target", "socket", "--redis-url", &redis.url(), "--database-url", &postgres.url()];
    let gateway = start(&flags).await;
    assert_eq!(get(gateway.admin_addr, "/readyz").await.status, 503);
    assert_eq!(get(gateway.admin_addr, "/livez").await.status, 200);
    postgres.run().unwrap();
    eventually("it is ready", async || get(gateway.admin_addr, "/readyz").await.status == 200).await;
    // An outage later unreadies nobody.
    postgres.stop().unwrap();
    assert_eq!(get(gateway.admin_addr, "/readyz").await.status, 200);
}

/// Nobody is connected and nothing is written: it is found out all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_say_that_redis_or_the_database_is_away_and_that_it_is_back() {
    let (mut redis, mut postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let gateway = pod(&redis, &postgres, &[]).await;
    let is = async |what: &str, log: f64, store: f64| {
        let now =
            async || (metric(&gateway, "editorcluster_log_up").await, metric(&gateway, "editorcluster_store_up").await);
        eventually(what, async || now().await == (log, store)).await;
    };
    is("both are up", 1.0, 1.0).await;
    postgres.stop().unwrap();
    is("the database is away", 1.0, 0.0).await;
    redis.kill9();
    is("both are away", 0.0, 0.0).await;
    postgres.run().unwrap();
    redis.run().unwrap();
    is("both are back", 1.0, 1.0).await;
}
