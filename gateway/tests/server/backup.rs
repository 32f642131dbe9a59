//! Export and import while gateways run.

use std::net::SocketAddr;
use std::path::Path;

use clap::Parser;
use e2e_servers::{Postgres, Redis};
use gateway::backup::{export, import};
use gateway::cli::Args;
use gateway::config::{Config, Storage};
use serde_json::Value;

use crate::client::Client;
use crate::gateway_process::{eventually, start, start_embedded};
use crate::rest::{get, post_json, send};
use crate::two_gateways::pod;

fn storage(flags: &[&str]) -> Storage {
    let args = Args::try_parse_from([&["gateway"], flags].concat()).expect("there are such flags");
    Config::try_from(args).expect("the flags are valid").storage.expect("a place for documents")
}

pub(crate) fn embedded(directory: &Path) -> Storage {
    storage(&["--data-dir", directory.to_str().expect("a path in UTF-8")])
}

/// A document's versions, the oldest first.
async fn versions(api: SocketAddr, document: &str) -> Vec<Value> {
    let mut versions = get(api, &format!("/api/v1/documents/{document}/versions")).await.json()["versions"].clone();
    let versions = versions.as_array_mut().expect("a list");
    versions.reverse();
    std::mem::take(versions)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_and_is_only_in_the_log_is_restored_on_an_empty_machine() {
    let files = tempfile::tempdir().unwrap();
    {
        let (gateway, data) = start_embedded(&["--checkpoint-after", "1h"]).await;
        let mut ann = Client::synced(gateway.public_addr, "notes%2F1").await;
        ann.write_acknowledged("only in the log").await;
        assert_eq!(export(&embedded(data.path()), Some("notes/1"), files.path()).await.unwrap(), 1);
        ann.write_acknowledged(", later").await;
    }
    let manifest = std::fs::read_to_string(files.path().join("notes%2F1.json")).unwrap();
    for part in ["\"id\": \"notes/1\"", "\"exported_at\": \"20", "\"sha256\": \"", "yjs-update-v1"] {
        assert!(manifest.contains(part), "{part} is missing in {manifest}");
    }

    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(import(&embedded(elsewhere.path()), None, files.path(), false).await.unwrap(), 1);
    let gateway = start(&["--data-dir", elsewhere.path().to_str().unwrap()]).await;
    assert_eq!(Client::synced(gateway.public_addr, "notes%2F1").await.text(), "only in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_all_has_documents_without_a_row_and_every_version_and_an_import_brings_each_once() {
    let (gateway, data) = start_embedded(&["--api", "admin", "--checkpoint-after", "1h"]).await;
    let api = gateway.admin_addr;
    for (words, name) in [("first", "one"), (" second", "two")] {
        Client::synced(gateway.public_addr, "with").await.write_acknowledged(words).await;
        let body = format!("{{\"name\": \"{name}\"}}");
        assert_eq!(post_json(api, "/api/v1/documents/with/versions", &body).await.status, 201);
    }
    // It is made by the checkpoint behind the second author.
    let automatic = async || versions(api, "with").await.iter().any(|version| version["name"].is_null());
    eventually("an automatic version", automatic).await;
    let exported = versions(api, "with").await;
    // It stays open: the room's checkpoint is an hour away.
    let mut young = Client::synced(gateway.public_addr, "young").await;
    young.write_acknowledged("only in the log").await;
    let files = tempfile::tempdir().unwrap();
    assert_eq!(export(&embedded(data.path()), None, files.path()).await.unwrap(), 2);

    let elsewhere = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert_eq!(import(&embedded(elsewhere.path()), None, files.path(), false).await.unwrap(), 2);
    }
    let gateway = start(&["--data-dir", elsewhere.path().to_str().unwrap(), "--api", "admin"]).await;
    let api = gateway.admin_addr;
    assert_eq!(Client::synced(gateway.public_addr, "young").await.text(), "only in the log");
    assert_eq!(Client::synced(gateway.public_addr, "with").await.text(), "first second");
    let imported = versions(api, "with").await;
    assert_eq!(imported.len(), exported.len(), "{imported:?}");
    for (version, before) in imported.iter().zip(&exported) {
        for part in ["name", "created_at", "bytes", "authors"] {
            assert_eq!(version[part], before[part], "{part}");
        }
    }
    let first = imported.iter().find(|version| version["name"] == "one").unwrap();
    let path = format!("/api/v1/documents/with/versions/{}", first["id"]);
    assert_eq!(get(api, &format!("{path}?format=text")).await.text(), "== text\nfirst\n");
    assert_eq!(post_json(api, &format!("{path}/restore"), "").await.json()["changed"], true);
    assert_eq!(Client::synced(gateway.public_addr, "with").await.text(), "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_documents_go_from_a_cluster_into_another_and_newer_edits_stay() {
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let shared = storage(&["--redis-url", &redis.url(), "--database-url", &postgres.url()]);
    let files = tempfile::tempdir().unwrap();
    let gateway = pod(&redis, &postgres, &["--checkpoint-after", "20ms"]).await;
    let mut open = Client::synced(gateway.public_addr, "d0").await;
    for name in ["d1", "d2", "d3"] {
        Client::synced(gateway.public_addr, name).await.write_acknowledged(name).await;
    }
    open.write_acknowledged("before").await;
    eventually("all are in the database", async || export(&shared, None, files.path()).await.unwrap() == 4).await;
    open.write_acknowledged(" and after").await;

    // Into the same cluster: nothing is overwritten, and whoever has it open goes on.
    assert_eq!(import(&shared, None, files.path(), false).await.unwrap(), 4);
    open.write_acknowledged("!").await;
    assert_eq!(Client::synced(gateway.public_addr, "d0").await.text(), "before and after!");

    // Into one where somebody has it open, who sees it at once.
    let (redis, postgres) = (Redis::start().unwrap(), Postgres::start().unwrap());
    let other = pod(&redis, &postgres, &[]).await;
    let mut bob = Client::synced(other.public_addr, "d0").await;
    bob.write_acknowledged("new, ").await;
    let shared = storage(&["--redis-url", &redis.url(), "--database-url", &postgres.url()]);
    assert_eq!(import(&shared, None, files.path(), false).await.unwrap(), 4);
    bob.until("the import", |bob| bob.text().contains("before") && bob.text().contains("new, ")).await;
    assert_eq!(Client::synced(other.public_addr, "d2").await.text(), "d2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_deleted_documents_and_wrong_directories_are_refused() {
    let files = tempfile::tempdir().unwrap();
    let (gateway, data) = start_embedded(&["--api", "admin"]).await;
    let place = embedded(data.path());
    let mut ann = Client::synced(gateway.public_addr, "notes").await;
    ann.write_acknowledged("words").await;
    assert_eq!(export(&place, Some("notes"), files.path()).await.unwrap(), 1);
    let refused = |error: anyhow::Error, says: &str| {
        let text = format!("{error:#}");
        assert!(text.contains(says), "{text}");
    };
    refused(export(&place, Some("none"), files.path()).await.unwrap_err(), "no document `none`");
    refused(export(&embedded(files.path()), None, files.path()).await.unwrap_err(), "check --data-dir");
    refused(import(&place, None, data.path(), false).await.unwrap_err(), "no documents in");

    send(gateway.admin_addr, "DELETE", "/api/v1/documents/notes", "", b"").await;
    refused(import(&place, None, files.path(), false).await.unwrap_err(), "--revive");
    assert_eq!(import(&place, Some("notes"), files.path(), true).await.unwrap(), 1);
    assert_eq!(Client::synced(gateway.public_addr, "notes").await.text(), "words");

    let state = files.path().join("notes.yjs");
    let mut bytes = std::fs::read(&state).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    refused(import(&place, None, files.path(), false).await.unwrap_err(), "not what was exported");
}
