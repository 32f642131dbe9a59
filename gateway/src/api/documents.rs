//! Documents: list, look at, delete, export, import.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Answer, Api, path, query};
use crate::history::portable::{stem, time};
use crate::store::StoreError;
use crate::store::archive::{Author, DocumentInfo};

const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;

/// The number of things that a page shows, within reason.
pub(super) fn page(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(api): State<Api>,
    asked: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Json<Value>> {
    let ListQuery { after, limit } = query(asked)?;
    let limit = page(limit);
    let found = api.archive.documents(&after, limit).await?;
    let next = if found.len() == limit as usize { found.last().map(|info| info.id.clone()) } else { None };
    let documents: Vec<_> = found.iter().map(summary).collect();
    Ok(Json(json!({ "documents": documents, "next": next })))
}

fn summary(info: &DocumentInfo) -> Value {
    json!({
        "id": info.id,
        "bytes": info.bytes,
        "created_at": time(info.created_at),
        "updated_at": time(info.updated_at),
    })
}

fn author(author: &Author) -> Value {
    json!({
        "client": author.client,
        "user": author.user,
        "first_seen": time(author.first_seen),
        "last_seen": time(author.last_seen),
    })
}

pub(super) async fn show(State(api): State<Api>, asked: Result<Path<String>, PathRejection>) -> Answer<Json<Value>> {
    let document = path(asked, |document: &String| document)?;
    let Some(info) = api.archive.document(&document).await? else {
        // The row that is not there may be one that was deleted, which is an error of its own.
        api.archive.load(&document).await?;
        return Err(Problem::no_document(&document));
    };
    let mut answer = summary(&info);
    answer["quarantined"] = api.archive.is_quarantined(&document).await?.into();
    answer["pending_bytes"] = api.pending_bytes(&document).await.into();
    answer["authors"] = api.archive.authors(&document).await?.iter().map(author).collect();
    Ok(Json(answer))
}

pub(super) async fn delete(State(api): State<Api>, asked: Result<Path<String>, PathRejection>) -> Answer<StatusCode> {
    let document = path(asked, |document: &String| document)?;
    let bus = api.shards.of(&document).bus.clone();
    match api.archive.load(&document).await {
        // Its log is removed again all the same: this may be a second try, after the log could not be reached.
        // What is damaged or in quarantine can be deleted, so that a backup can take its place.
        Ok(Some(_)) | Err(StoreError::Deleted | StoreError::Corrupt(_) | StoreError::Quarantined) => {}
        Ok(None) if bus.read(&document).await?.last.is_some() => {}
        Ok(None) => return Err(Problem::no_document(&document)),
        Err(error) => return Err(error.into()),
    }
    // First the row: from then on nothing is written, and whoever opens it is refused.
    api.archive.delete(&document).await?;
    bus.delete(&document).await.map_err(|error| {
        Problem::unavailable(format!("the document is deleted, but sessions may still be open: {error}; ask again"))
    })?;
    tracing::info!(document, "deleted");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn export(State(api): State<Api>, asked: Result<Path<String>, PathRejection>) -> Answer<Response> {
    let document = path(asked, |document: &String| document)?;
    let state = api.whole(&document).await?;
    let name = format!("attachment; filename=\"{}.yjs\"", stem(&document));
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, &name)];
    Ok((headers, state).into_response())
}

#[derive(Deserialize)]
pub(super) struct ImportQuery {
    #[serde(default)]
    revive: bool,
}

pub(super) async fn import(
    State(api): State<Api>,
    asked: Result<Path<String>, PathRejection>,
    how: Result<Query<ImportQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<StatusCode> {
    let document = path(asked, |document: &String| document)?;
    let ImportQuery { revive } = query(how)?;
    let update = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    if revive {
        api.archive.revive(&document).await?;
    }
    api.edit(&document, update).await?;
    Ok(StatusCode::NO_CONTENT)
}
