//! The editor page: the files that Vite built. `/` and `/d/{document}` are the page, everything else a file.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::percent_decode_str;

const PAGE: &str = "index.html";
const NOT_BUILT: &str = "The editor page is not built. In the source tree: cd web && npm ci && npm run build. \
                         Or name its directory with --web-root.\n";

/// What the public port serves besides WebSockets. `root` None: only `/healthz`; `api`: the REST interface, if it is to
/// be on this port.
pub fn router(root: Option<PathBuf>, api: Option<Router>) -> Router {
    let router = match root {
        Some(root) => Router::new().fallback(file).with_state(Arc::from(root)),
        None => Router::new(),
    };
    router.route("/healthz", get(|| async { "ok\n" })).merge(api.unwrap_or_default())
}

async fn file(State(root): State<Arc<Path>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = uri.path();
    if path.starts_with("/yjs/") {
        return (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")], "connect with a WebSocket\n")
            .into_response();
    }
    if path == "/" || path.starts_with("/d/") {
        return match send(&root.join(PAGE), Path::new(PAGE), &headers).await {
            Some(response) => response,
            None => (StatusCode::NOT_FOUND, NOT_BUILT).into_response(),
        };
    }
    // A missing file must not become the page: the browser would read HTML as a script.
    let found = match asset(path) {
        Some(asked) => send(&root.join(&asked), &asked, &headers).await,
        None => None,
    };
    found.unwrap_or_else(|| (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response())
}

/// The file that a URL's path names, relative to the root. None: not inside the root.
fn asset(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(path.trim_start_matches('/')).decode_utf8().ok()?;
    let path = PathBuf::from(decoded.as_ref());
    let inside = !decoded.contains('\0') && path.components().all(|part| matches!(part, Component::Normal(_)));
    inside.then_some(path)
}

async fn send(path: &Path, asked: &Path, headers: &HeaderMap) -> Option<Response> {
    let metadata = tokio::fs::metadata(path).await.ok().filter(|metadata| metadata.is_file())?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let etag = format!("\"{changed:x}-{:x}\"", metadata.len());
    // Vite puts a hash of the content into the names below `assets`; everything else may change under its name.
    let cache = if asked.starts_with("assets") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
        return Some((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let body = tokio::fs::read(path).await.ok()?;
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let mime = if mime.type_() == "text" { format!("{mime}; charset=utf-8") } else { mime.to_string() };
    let headers = [
        (header::CONTENT_TYPE, mime.as_str()),
        (header::CACHE_CONTROL, cache),
        (header::ETAG, &etag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Some((headers, body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_root_is_served() {
        for path in ["/../secret", "/a/../../secret", "/%2e%2e/secret", "/%2Fetc/passwd", "/a%00b", "/%ff"] {
            assert_eq!(asset(path), None, "{path}");
        }
        assert_eq!(asset("/assets/index-1.js"), Some("assets/index-1.js".into()));
        assert_eq!(asset("/"), Some(PathBuf::new()));
    }
}
