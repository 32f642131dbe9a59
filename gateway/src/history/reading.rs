//! What can be asked about a document's content, and the answers. The only way to the modules that use the CRDT library.
//!
//! The library may take any time and any memory, and may end the process. So nobody but `reader::process`, which is a
//! process of its own, calls `answer` (`tests/purity.rs`).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::authorship::{Run, runs};
use super::content::{Content, open, read};
use super::policy::{ClientId, clocks};
use super::{json, restore, text};

pub use super::content::Unreadable;

/// The users of Yjs clients, as far as they are known.
pub type Users = HashMap<ClientId, Option<String>>;

/// A question about one state, or two: `[of, compared with]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The first state as lines for people.
    Text,
    /// The first state as JSON.
    Json,
    /// Who wrote which words of the first state that the second, an earlier one or none, does not have. The names are
    /// those of the states in the answer.
    Authors { version: String, since: Option<String>, users: Users },
    /// What has to be done to the second state to get the first one. The names are those of the states in the answer.
    Difference { to: String, from: String, users: Users },
    /// The update to the first state after which its content is that of the second.
    Restore,
}

#[derive(Serialize)]
struct Authorship<'a> {
    version: &'a str,
    since: Option<&'a str>,
    runs: Vec<Words<'a>>,
}

#[derive(Serialize)]
struct Words<'a> {
    #[serde(flatten)]
    run: Run,
    user: Option<&'a str>,
}

#[derive(Serialize)]
struct Difference<'a> {
    from: &'a str,
    to: &'a str,
    authors: Vec<Author<'a>>,
    diff: String,
}

#[derive(Serialize)]
struct Author<'a> {
    client: ClientId,
    user: Option<&'a str>,
}

/// The bytes that answer the question: text, JSON, or for `Restore` an update.
///
/// # Errors
/// A state cannot be read.
pub fn answer(question: &Question, [first, second]: [&[u8]; 2]) -> Result<Vec<u8>, Unreadable> {
    match question {
        Question::Text => Ok(text::render(&content(first)?).into_bytes()),
        Question::Json => bytes(&json::document(&content(first)?)),
        Question::Authors { version, since, users } => {
            let runs = runs(&open(first)?, &open(second)?)?;
            let runs = runs.into_iter().map(|run| Words { user: user(users, run.client), run }).collect();
            bytes(&Authorship { version, since: since.as_deref(), runs })
        }
        Question::Difference { to, from, users } => {
            let (new, old) = (text::render(&content(first)?), text::render(&content(second)?));
            let diff = text::difference((&format!("version {from}"), &old), (&format!("version {to}"), &new));
            let authors = wrote_between(second, first);
            let authors = authors.into_iter().map(|client| Author { client, user: user(users, client) }).collect();
            bytes(&Difference { from, to, authors, diff })
        }
        Question::Restore => Ok(restore::restore(first, second)?.into()),
    }
}

fn content(state: &[u8]) -> Result<Content, Unreadable> {
    read(&open(state)?)
}

fn bytes(answer: &impl Serialize) -> Result<Vec<u8>, Unreadable> {
    // Only what is no JSON at all would be an error, such as a key that is no string.
    serde_json::to_vec(answer).map_err(|_| Unreadable::Undecodable)
}

fn user(users: &Users, client: ClientId) -> Option<&str> {
    users.get(&client)?.as_deref()
}

/// The clients whose writing is in the new state and not in the old one. Yjs does not say who deletes.
fn wrote_between(old: &[u8], new: &[u8]) -> Vec<ClientId> {
    let known: HashMap<_, _> = clocks(old).into_iter().collect();
    let grown = clocks(new).into_iter().filter(|(client, clock)| *clock > known.get(client).copied().unwrap_or(0));
    let mut clients: Vec<_> = grown.map(|(client, _)| client).collect();
    clients.sort_unstable();
    clients
}
