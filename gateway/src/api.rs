//! REST under `/api/v1`: documents, their versions, export, import, deletion. It knows no users: whoever reaches it may
//! do everything, so it is off unless `--api` says where it is served.
//!
//! - `documents`, `versions`: the handlers
//! - `problem`: errors as RFC 9457 has them

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query};
use axum::http::header;
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::problem::Problem;
use crate::http::head::check_name;
use crate::quarantine::marks::Marks;
use crate::reader::readers::Readers;
use crate::shard::edits::Edit;
use crate::shard::{Command, Shards};
use crate::store::StoreError;
use crate::store::archive::Archive;
use crate::transfer;

mod documents;
mod problem;
#[cfg(test)]
mod tests;
mod versions;

const OPENAPI: &str = include_str!("api/openapi.json");
/// An edit that is not acknowledged by then may still be, later.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(20);

/// What the handlers work on.
#[derive(Clone)]
pub struct Api {
    pub archive: Arc<dyn Archive>,
    pub shards: Arc<Shards>,
    pub marks: Marks,
    pub readers: Arc<Readers>,
    /// Bytes of an import at most.
    pub max_document_bytes: usize,
}

type Answer<T> = Result<T, Problem>;

fn routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/api/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) })),
        ("/api/v1/documents", get(documents::list)),
        ("/api/v1/documents/{document}", get(documents::show).delete(documents::delete)),
        ("/api/v1/documents/{document}/export", get(documents::export)),
        ("/api/v1/documents/{document}/import", post(documents::import)),
        ("/api/v1/documents/{document}/versions", get(versions::list).post(versions::create)),
        ("/api/v1/documents/{document}/versions/{version}", get(versions::show)),
        ("/api/v1/documents/{document}/versions/{version}/authors", get(versions::authorship)),
        ("/api/v1/documents/{document}/versions/{version}/diff/{other}", get(versions::diff)),
        ("/api/v1/documents/{document}/versions/{version}/restore", post(versions::restore)),
    ]
}

pub fn router(api: Api) -> Router {
    let limit = DefaultBodyLimit::max(api.max_document_bytes);
    let router = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router.layer(limit).with_state(api)
}

impl Api {
    /// All of a document that was acknowledged until now.
    async fn whole(&self, document: &str) -> Answer<Bytes> {
        let bus = self.shards.of(document).bus.clone();
        transfer::whole(&*bus, &*self.archive, document, &self.marks)
            .await?
            .ok_or_else(|| Problem::no_document(document))
    }

    /// Bytes of what is stored of the document and waits for edits that nobody has told. None: it cannot be read now.
    async fn pending_bytes(&self, document: &str) -> Option<usize> {
        let bus = self.shards.of(document).bus.clone();
        match transfer::pending_bytes(&*bus, &*self.archive, document, &self.marks).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::debug!(document, %error, "cannot tell how much of the document waits");
                None
            }
        }
    }

    /// Also its versions are not read: what a process died of may be in them.
    async fn not_quarantined(&self, document: &str) -> Answer<()> {
        if self.archive.is_quarantined(document).await? { Err(StoreError::Quarantined.into()) } else { Ok(()) }
    }

    /// Brings an update into the document as a client would; returns when it is acknowledged.
    async fn edit(&self, document: &str, update: Bytes) -> Answer<()> {
        let (done, answer) = oneshot::channel();
        let edit = Edit { document: document.to_owned(), update, done };
        self.shards.of(document).send(Command::Edit(edit));
        match timeout(ACKNOWLEDGED_WITHIN, answer).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(refused))) => Err(refused.into()),
            Ok(Err(_)) => Err(Problem::unavailable("this gateway is ending; ask again")),
            Err(_) => Err(Problem::unavailable(
                "log or database do not answer. The change is not confirmed and may still be made; look at the \
                 document before asking again",
            )),
        }
    }
}

/// The parts of a path, the first of which names a document.
fn path<T>(path: Result<Path<T>, PathRejection>, document: impl Fn(&T) -> &str) -> Answer<T> {
    let Path(parts) = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    check_name(document(&parts)).map_err(Problem::bad_request)?;
    Ok(parts)
}

fn query<T>(query: Result<Query<T>, QueryRejection>) -> Answer<T> {
    query.map(|Query(query)| query).map_err(|error| Problem::bad_request(error.body_text()))
}
