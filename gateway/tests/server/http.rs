//! The public port's other half: the editor's files, and requests that are no session.

use gateway::server::Running;

use crate::client::Client;
use crate::gateway_process::{Answer, eventually, get, raw, request, start, start_embedded};

async fn upgrade(gateway: &Running, path: &str) -> Answer {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    raw(gateway.public_addr, &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_editor_is_served_with_its_routes_and_assets() {
    let web = tempfile::tempdir().unwrap();
    std::fs::create_dir(web.path().join("assets")).unwrap();
    std::fs::write(web.path().join("index.html"), "<title>Editor</title>").unwrap();
    std::fs::write(web.path().join("assets/index-1a2b.js"), "let x").unwrap();
    let gateway = start(&["--target", "web", "--web-root", web.path().to_str().unwrap()]).await;
    for page in ["/", "/d/notes", "/d/my.notes"] {
        let answer = get(gateway.public_addr, page).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "<title>Editor</title>"), "{page}");
        assert!(answer.head.contains("text/html; charset=utf-8"), "{}", answer.head);
        assert!(answer.head.contains("no-cache"), "{}", answer.head);
    }
    let asset = get(gateway.public_addr, "/assets/index-1a2b.js").await;
    assert_eq!((asset.status, asset.body.as_str()), (200, "let x"));
    assert!(asset.head.contains("immutable") && asset.head.contains("text/javascript"), "{}", asset.head);
    for gone in ["/assets/gone.js", "/favicon.ico", "/../secret", "/%2e%2e/secret"] {
        assert_eq!(get(gateway.public_addr, gone).await.status, 404, "{gone}");
    }
    assert_eq!(request(gateway.public_addr, "DELETE", "/").await.status, 405);

    let etag = asset.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let again = format!(
        "GET /assets/index-1a2b.js HTTP/1.1\r\nHost: test\r\nIf-None-Match: {etag}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(raw(gateway.public_addr, &again).await.status, 304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_built_editor_the_page_says_how_to_build_it() {
    let empty = tempfile::tempdir().unwrap();
    let gateway = start(&["--target", "web", "--web-root", empty.path().to_str().unwrap()]).await;
    let answer = get(gateway.public_addr, "/").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("npm run build"), "{}", answer.body);
    assert_eq!(get(gateway.public_addr, "/healthz").await.status, 200);
    assert_eq!(upgrade(&gateway, "/yjs/notes").await.status, 404);
    eventually("it is ready", async || get(gateway.admin_addr, "/readyz").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_document_name_is_refused_with_a_sentence() {
    let (gateway, _data) = start_embedded(&[]).await;
    for path in ["/yjs/", "/yjs/a/b", "/yjs/%00", "/elsewhere"] {
        let answer = upgrade(&gateway, path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.len() > 20, "{path}: {}", answer.body);
    }
    assert_eq!(get(gateway.public_addr, "/yjs/notes").await.status, 426);
    assert_eq!(raw(gateway.public_addr, "nonsense\r\n\r\n").await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_gateway_says_when_to_come_again() {
    let (gateway, _data) = start_embedded(&["--max-connections", "1"]).await;
    let first = Client::synced(gateway.public_addr, "notes").await;
    let answer = upgrade(&gateway, "/yjs/notes").await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("Retry-After: "), "{}", answer.head);
    drop(first);
    eventually("the place is free", async || gateway.metrics.connections.get() == 0).await;
    Client::synced(gateway.public_addr, "notes").await;
}
