//! Versions: list, name, read, compare, restore.

use std::collections::HashMap;

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
use crate::history::authorship::runs;
use crate::history::content::{Content, Unreadable, open, read};
use crate::history::policy::{ClientId, clocks};
use crate::history::portable::time;
use crate::history::{json as content_json, restore as restoring, text};
use crate::quarantine::marks::Doing;
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

type Users = HashMap<ClientId, Option<String>>;

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
    let (info, state) = api.state(&document, &version).await?;
    Ok(match (format, info) {
        (Some(Format::Update), _) => ([(header::CONTENT_TYPE, "application/octet-stream")], state).into_response(),
        (Some(Format::Text), _) => {
            api.aside(document, move || Ok(text::render(&content(&state)?))).await?.into_response()
        }
        (Some(Format::Json), _) => {
            Json(api.aside(document, move || Ok(content_json::document(&content(&state)?))).await?).into_response()
        }
        (None, Some(info)) => Json(summary(&info, &api.users(&document).await?)).into_response(),
        (None, None) => {
            return Err(Problem::bad_request(
                "the current document is no version yet: add ?format=update, text or json",
            ));
        }
    })
}

fn content(state: &[u8]) -> Result<Content, Unreadable> {
    read(&open(state)?)
}

impl Api {
    /// Away from the runtime's threads: a large document takes a while. And under a mark: content is decoded.
    async fn aside<T: Send + 'static>(
        &self,
        document: String,
        work: impl FnOnce() -> Result<T, Unreadable> + Send + 'static,
    ) -> Answer<T> {
        let marks = self.marks.clone();
        let marked = move || {
            let _mark = marks.enter(&document, Doing::Reading);
            work()
        };
        match tokio::task::spawn_blocking(marked).await {
            Ok(done) => Ok(done?),
            Err(error) => {
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the content cannot be read: {error}")))
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct AuthorshipQuery {
    since: Option<String>,
}

/// Who wrote which words of a version, or of what it has and another has not.
pub(super) async fn authorship(
    State(api): State<Api>,
    asked: Result<Path<(String, String)>, PathRejection>,
    which: Result<Query<AuthorshipQuery>, QueryRejection>,
) -> Answer<Json<Value>> {
    let (document, version) = path(asked, |(document, _): &(String, String)| document)?;
    let AuthorshipQuery { since } = query(which)?;
    let (_, state) = api.state(&document, &version).await?;
    let (_, earlier) = match &since {
        Some(since) => api.state(&document, since).await?,
        None => (None, Bytes::new()),
    };
    let runs = api.aside(document.clone(), move || runs(&open(&state)?, &open(&earlier)?)).await?;
    let users = api.users(&document).await?;
    let runs: Vec<_> = runs
        .into_iter()
        .map(|run| {
            let user = users.get(&run.client).cloned().flatten();
            json!({
                "value": run.value,
                "path": run.path,
                "at": run.at,
                "text": run.text,
                "client": run.client,
                "user": user,
            })
        })
        .collect();
    Ok(Json(json!({ "version": version, "since": since, "runs": runs })))
}

pub(super) async fn diff(
    State(api): State<Api>,
    asked: Result<Path<(String, String, String)>, PathRejection>,
) -> Answer<Json<Value>> {
    let (document, from, to) = path(asked, |(document, ..): &(String, String, String)| document)?;
    let ((_, old), (_, new)) = (api.state(&document, &from).await?, api.state(&document, &to).await?);
    let names = (format!("version {from}"), format!("version {to}"));
    let work = move || {
        let (old_text, new_text) = (text::render(&content(&old)?), text::render(&content(&new)?));
        let difference = text::difference((&names.0, &old_text), (&names.1, &new_text));
        Ok((difference, wrote_between(&old, &new)))
    };
    let (difference, clients) = api.aside(document.clone(), work).await?;
    let users = api.users(&document).await?;
    Ok(Json(json!({ "from": from, "to": to, "authors": authors(&clients, &users), "diff": difference })))
}

/// The clients whose writing is in the new state and not in the old one. Yjs does not say who deletes.
fn wrote_between(old: &[u8], new: &[u8]) -> Vec<ClientId> {
    let known: HashMap<_, _> = clocks(old).into_iter().collect();
    let grown = clocks(new).into_iter().filter(|(client, clock)| *clock > known.get(client).copied().unwrap_or(0));
    let mut clients: Vec<_> = grown.map(|(client, _)| client).collect();
    clients.sort_unstable();
    clients
}

pub(super) async fn restore(
    State(api): State<Api>,
    asked: Result<Path<(String, String)>, PathRejection>,
) -> Answer<Json<Value>> {
    let (document, version) = path(asked, |(document, _): &(String, String)| document)?;
    let (info, target) = api.state(&document, &version).await?;
    let Some(info) = info else { return Err(Problem::bad_request("the document is as it is; name a version")) };
    let current = api.whole(&document).await?;
    let before = current.clone();
    let update = api.aside(document.clone(), move || restoring::restore(&before, &target)).await?;
    if update == editorcluster_core::document::EMPTY_UPDATE {
        return Ok(Json(json!({ "changed": false, "before": null })));
    }
    // So that it can be undone.
    let before = api.keep(&document, &format!("before version {} was restored", info.id), current).await?;
    api.edit(&document, update).await?;
    tracing::info!(document, version = info.id, "restored");
    Ok(Json(json!({ "changed": true, "before": summary(&before, &api.users(&document).await?) })))
}
