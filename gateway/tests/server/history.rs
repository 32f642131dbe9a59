//! Versions over REST, of a document that people have open.

use gateway::server::Running;
use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway_process::{eventually, request, start_embedded};
use crate::rest::{get, post_json, send};

const NOTES: &str = "/api/v1/documents/my%20notes%2F1";

async fn start() -> (Running, tempfile::TempDir) {
    start_embedded(&["--api", "admin", "--checkpoint-after", "20ms"]).await
}

async fn versions(gateway: &Running) -> Vec<Value> {
    let reply = get(gateway.admin_addr, &format!("{NOTES}/versions")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["versions"].as_array().expect("a list").clone()
}

/// Writes as somebody new, and waits until it is in the database.
async fn visit(gateway: &Running, words: &str) {
    let mut client = Client::synced(gateway.public_addr, "my%20notes%2F1").await;
    client.write(words).await;
    let expected = client.text();
    drop(client);
    eventually("the room has ended", async || gateway.metrics.documents.get() == 0).await;
    let text = get(gateway.admin_addr, &format!("{NOTES}/versions/current?format=text")).await.text();
    assert_eq!(text, format!("== text\n{expected}\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_made_for_a_new_author_is_listed_read_compared_and_restored_before_everybodys_eyes() {
    let (gateway, _data) = start().await;
    let api = gateway.admin_addr;
    visit(&gateway, "Ann's words").await;
    assert_eq!(versions(&gateway).await, [] as [Value; 0]);
    visit(&gateway, " and Bob's").await;
    let list = versions(&gateway).await;
    assert_eq!(list.len(), 1, "{list:?}");
    let (first, ann) = (list[0]["id"].clone(), list[0]["authors"][0]["client"].clone());
    assert!(list[0]["name"].is_null() && list[0]["authors"][0]["user"].is_null());
    let path = format!("{NOTES}/versions/{first}");
    assert_eq!(get(api, &path).await.json(), list[0]);
    assert_eq!(get(api, &format!("{path}?format=text")).await.text(), "== text\nAnn's words\n");
    let json = get(api, &format!("{path}?format=json")).await.json();
    assert_eq!(json, json!({ "text": { "text": [{ "insert": "Ann's words" }] } }));

    let authors = get(api, NOTES).await.json()["authors"].clone();
    assert_eq!((authors.as_array().unwrap().len(), &authors[1]["client"]), (2, &ann));
    let wrote = async |asked: &str| get(api, &format!("{NOTES}/versions/{asked}")).await.json();
    let run = |at: usize, text: &str, client: &Value| json!({ "value": "text", "path": [], "at": at, "text": text, "client": client, "user": null });
    let (ann_wrote, bob_wrote) = (run(0, "Ann's words", &ann), run(11, " and Bob's", &authors[0]["client"]));
    for (asked, version, since, runs) in [
        ("current/authors".to_owned(), json!("current"), Value::Null, json!([ann_wrote, bob_wrote])),
        (format!("{first}/authors"), json!(first.to_string()), Value::Null, json!([ann_wrote])),
        (format!("current/authors?since={first}"), json!("current"), json!(first.to_string()), json!([bob_wrote])),
    ] {
        assert_eq!(wrote(&asked).await, json!({ "version": version, "since": since, "runs": runs }), "{asked}");
    }
    let diff = get(api, &format!("{path}/diff/current")).await.json();
    assert_eq!(diff["authors"], json!([{ "client": authors[0]["client"], "user": null }]));
    let difference = diff["diff"].as_str().unwrap();
    assert!(difference.contains("\n-Ann's words\n+Ann's words and Bob's\n"), "{difference}");

    // An edit that is not in the database yet is in a named version all the same.
    let mut eve = Client::synced(gateway.public_addr, "my%20notes%2F1").await;
    eve.write_acknowledged(" and Eve's").await;
    let named = post_json(api, &format!("{NOTES}/versions"), r#"{"name": "Everybody"}"#).await;
    assert_eq!((named.status, &named.json()["name"]), (201, &Value::from("Everybody")));
    let everybody = format!("{NOTES}/versions/{}", named.json()["id"]);
    let text = get(api, &format!("{everybody}?format=text")).await.text();
    assert_eq!(text, "== text\nAnn's words and Bob's and Eve's\n");

    let restored = post_json(api, &format!("{path}/restore"), "").await;
    assert_eq!((restored.status, &restored.json()["changed"]), (200, &Value::from(true)), "{}", restored.text());
    eve.until_text("Ann's words").await;
    eve.write_acknowledged("!").await;
    // What the document was before is a version, and comes back too.
    let before = restored.json()["before"]["id"].clone();
    let undone = post_json(api, &format!("{NOTES}/versions/{before}/restore"), "").await;
    assert_eq!(undone.status, 200, "{}", undone.text());
    eve.until_text("Ann's words and Bob's and Eve's").await;
    let again = post_json(api, &format!("{everybody}/restore"), "").await.json();
    assert_eq!(again, json!({ "changed": false, "before": null }));
    let fresh = Client::synced(gateway.public_addr, "my%20notes%2F1").await;
    assert_eq!(fresh.text(), "Ann's words and Bob's and Eve's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_answered_with_what_to_do() {
    let (gateway, _data) = start().await;
    let api = gateway.admin_addr;
    visit(&gateway, "words").await;
    for (method, path, body, status, says) in [
        ("GET", "/api/v1/documents/none", "", 404, "GET /api/v1/documents"),
        ("GET", "/api/v1/documents/none/versions", "", 404, "none"),
        ("GET", "/api/v1/documents/none/export", "", 404, "none"),
        ("DELETE", "/api/v1/documents/none", "", 404, "none"),
        ("GET", "/api/v1/documents/%00", "", 400, "control characters"),
        ("GET", "/api/v1/documents/%FF", "", 400, "UTF-8"),
        ("GET", "/api/v1/documents?limit=many", "", 400, "limit"),
        ("GET", &format!("{NOTES}/versions/77"), "", 404, "77"),
        ("GET", &format!("{NOTES}/versions/first"), "", 404, "current"),
        ("GET", &format!("{NOTES}/versions/77/authors"), "", 404, "77"),
        ("GET", &format!("{NOTES}/versions/current/authors?since=77"), "", 404, "77"),
        ("GET", &format!("{NOTES}/versions/current"), "", 400, "?format="),
        ("GET", &format!("{NOTES}/versions/current?format=pdf"), "", 400, "pdf"),
        ("POST", &format!("{NOTES}/versions"), r#"{"name": " "}"#, 400, "1 to 200"),
        ("POST", &format!("{NOTES}/versions"), "{}", 422, "name"),
        ("POST", &format!("{NOTES}/versions/current/restore"), "", 400, "version"),
        ("POST", &format!("{NOTES}/import"), "no update", 422, "the update is refused"),
    ] {
        let reply = send(api, method, path, "application/json", body.as_bytes()).await;
        let (found, detail) = reply.problem();
        assert_eq!(found, status, "{method} {path}: {detail}");
        assert!(detail.contains(says), "{method} {path}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_names_the_methods_that_are_served() {
    let (gateway, _data) = start().await;
    let description = get(gateway.admin_addr, "/api/openapi.json").await.json();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        let asked = path.replace("{document}", "d").replace("{version}", "1").replace("{other}", "2");
        let reply = send(gateway.admin_addr, "PATCH", &asked, "", b"").await;
        assert_eq!(reply.status, 405, "{path}");
        let allowed = reply.head.lines().find_map(|line| line.strip_prefix("allow: ")).expect("an Allow header");
        // axum answers HEAD wherever it answers GET.
        let mut served: Vec<_> = allowed.split(',').filter(|method| *method != "head").collect();
        let mut described: Vec<_> = methods.as_object().expect("methods").keys().map(String::as_str).collect();
        served.sort_unstable();
        described.sort_unstable();
        assert_eq!(served, described, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reaches_the_interface_unless_the_flag_says_where() {
    for (flags, admin, public) in
        [(&[][..], 404, 404), (&["--api", "admin"], 200, 404), (&["--api", "public"], 404, 200)]
    {
        let (gateway, _data) = start_embedded(flags).await;
        for (address, status) in [(gateway.admin_addr, admin), (gateway.public_addr, public)] {
            assert_eq!(request(address, "GET", "/api/v1/documents").await.status, status, "{flags:?}");
        }
    }
}
