//! Versions: list, name, read, compare, restore.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::documents::page;
use super::problem::Problem;
use super::{Answer, Api, path, query};
use crate::history::policy::ClientId;
use crate::history::portable::time;
use crate::history::reading::{Question, Users};
use crate::store::archive::VersionInfo;

/// Instead of a version's number: the document as it is.
const CURRENT: &str = "current";
const LONGEST_NAME: usize = 200;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    before: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(api): State<Api>,
    asked: Result<Path<String>, PathRejection>,
    which: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Json<Value>> {
    let document = path(asked, |document: &String| document)?;
    let ListQuery { before, limit } = query(which)?;
    api.not_quarantined(&document).await?;
    let limit = page(limit);
    let found = api.archive.versions(&document, before.unwrap_or(i64::MAX), limit).await?;
    if found.is_empty() && api.archive.load(&document).await?.is_none() {
        return Err(Problem::no_document(&document));
    }
    let next = if found.len() == limit as usize { found.last().map(|version| version.id) } else { None };
    let users = api.users(&document).await?;
    let versions: Vec<_> = found.iter().map(|version| summary(version, &users)).collect();
    Ok(Json(json!({ "versions": versions, "next": next })))
}

impl Api {
    async fn users(&self, document: &str) -> Answer<Users> {
        let authors = self.archive.authors(document).await?;
        Ok(authors.into_iter().map(|author| (author.client, author.user)).collect())
    }

    /// The state of a version, or of the document as it is.
    async fn state(&self, document: &str, version: &str) -> Answer<(Option<VersionInfo>, Bytes)> {
        self.not_quarantined(document).await?;
        if version == CURRENT {
            return Ok((None, self.whole(document).await?));
        }
        let none = || Problem::no_version(document, version);
        let id = version.parse().map_err(|_| none())?;
        match self.archive.version(document, id).await? {
            Some((info, state)) => Ok((Some(info), state)),
            None => {
                // Or the document is the one that is gone.
                self.archive.load(document).await?;
                Err(none())
            }
        }
    }
}

fn authors(clients: &[ClientId], users: &Users) -> Value {
    clients.iter().map(|client| json!({ "client": client, "user": users.get(client).cloned().flatten() })).collect()
}

fn summary(version: &VersionInfo, users: &Users) -> Value {
    json!({
        "id": version.id,
        "name": version.name,
        "created_at": time(version.created_at),
        "bytes": version.bytes,
        "authors": authors(&version.authors, users),
    })
}

#[derive(Deserialize)]
pub(super) struct NewVersion {
    name: String,
}

pub(super) async fn create(
    State(api): State<Api>,
    asked: Result<Path<String>, PathRejection>,
    body: Result<Json<NewVersion>, JsonRejection>,
) -> Answer<(StatusCode, Json<Value>)> {
    let document = path(asked, |document: &String| document)?;
    let Json(NewVersion { name }) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "a version's name has 1 to {LONGEST_NAME} characters: write {{\"name\": \"First draft\"}}"
        )));
    }
    let state = api.whole(&document).await?;
    let version = api.keep(&document, name, state).await?;
    let users = api.users(&document).await?;
    Ok((StatusCode::CREATED, Json(summary(&version, &users))))
}

impl Api {
    /// Keeps a state of the document as a named version.
    async fn keep(&self, document: &str, name: &str, state: Bytes) -> Answer<VersionInfo> {
        if let Some(version) = self.archive.name_version(document, name, state.clone()).await? {
            return Ok(version);
        }
        // It is so new that it is only in the log. Versions belong to a row; whoever makes it, it will be there.
        self.archive.write(document, 0, state.clone(), None).await?;
        match self.archive.name_version(document, name, state).await? {
            Some(version) => Ok(version),
            None => {
                self.archive.load(document).await?;
                Err(Problem::no_document(document))
            }
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// A Yjs update.
    Update,
    /// Lines for people.
    Text,
    /// The content as JSON.
    Json,
}

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    format: Option<Format>,
}

pub(super) async fn show(
    State(api): State<Api>,
    asked: Result<Path<(String, String)>, PathRejection>,
    how: Result<Query<ShowQuery>, QueryRejection>,
) -> Answer<Response> {
    let (document, version) = path(asked, |(document, _): &(String, String)| document)?;
    let ShowQuery { format } = query(how)?;
    let (kind, question) = match format {
        Some(Format::Update) => {
            let (_, state) = api.state(&document, &version).await?;
            return Ok(([(header::CONTENT_TYPE, "application/octet-stream")], state).into_response());
        }
        Some(Format::Text) => ("text/plain; charset=utf-8", Question::Text),
        Some(Format::Json) => (JSON, Question::Json),
        None => {
            let (Some(info), _) = api.state(&document, &version).await? else {
                return Err(Problem::bad_request(
                    "the current document is no version yet: add ?format=update, text or json",
                ));
            };
            return Ok(Json(summary(&info, &api.users(&document).await?)).into_response());
        }
    };
    let turn = api.readers.turn(&document).await?;
    let (_, state) = api.state(&document, &version).await?;
    let content = turn.ask(question, [state, Bytes::new()]).await?;
    Ok(([(header::CONTENT_TYPE, kind)], content).into_response())
}

const JSON: &str = "application/json";

#[derive(Deserialize)]
pub(super) struct AuthorshipQuery {
    since: Option<String>,
}

/// Who wrote which words of a version, or of what it has and another has not.
pub(super) async fn authorship(
    State(api): State<Api>,
    asked: Result<Path<(String, String)>, PathRejection>,
    which: Result<Query<AuthorshipQuery>, QueryRejection>,
) -> Answer<Response> {
    let (document, version) = path(asked, |(document, _): &(String, String)| document)?;
    let AuthorshipQuery { since } = query(which)?;
    let turn = api.readers.turn(&document).await?;
    let (_, state) = api.state(&document, &version).await?;
    let (_, earlier) = match &since {
        Some(since) => api.state(&document, since).await?,
        None => (None, Bytes::new()),
    };
    let users = api.users(&document).await?;
    let runs = turn.ask(Question::Authors { version, since, users }, [state, earlier]).await?;
    Ok(([(header::CONTENT_TYPE, JSON)], runs).into_response())
}

pub(super) async fn diff(
    State(api): State<Api>,
    asked: Result<Path<(String, String, String)>, PathRejection>,
) -> Answer<Response> {
    let (document, from, to) = path(asked, |(document, ..): &(String, String, String)| document)?;
    let turn = api.readers.turn(&document).await?;
    let ((_, old), (_, new)) = (api.state(&document, &from).await?, api.state(&document, &to).await?);
    let users = api.users(&document).await?;
    let difference = turn.ask(Question::Difference { to, from, users }, [new, old]).await?;
    Ok(([(header::CONTENT_TYPE, JSON)], difference).into_response())
}

pub(super) async fn restore(
    State(api): State<Api>,
    asked: Result<Path<(String, String)>, PathRejection>,
) -> Answer<Json<Value>> {
    let (document, version) = path(asked, |(document, _): &(String, String)| document)?;
    let turn = api.readers.turn(&document).await?;
    let (info, target) = api.state(&document, &version).await?;
    let Some(info) = info else { return Err(Problem::bad_request("the document is as it is; name a version")) };
    let current = api.whole(&document).await?;
    let update = turn.ask(Question::Restore, [current.clone(), target]).await?;
    if update == editorcluster_core::document::EMPTY_UPDATE {
        return Ok(Json(json!({ "changed": false, "before": null })));
    }
    // So that it can be undone.
    let before = api.keep(&document, &format!("before version {} was restored", info.id), current).await?;
    api.edit(&document, update).await?;
    tracing::info!(document, version = info.id, "restored");
    Ok(Json(json!({ "changed": true, "before": summary(&before, &api.users(&document).await?) })))
}
