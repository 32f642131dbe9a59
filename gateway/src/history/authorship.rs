//! Which words of a document each Yjs client has written.
//!
//! Every item of a text has its writer's id, which the library tells in one way only: it compares a text with an earlier
//! state and says who added what. Compared with nothing, everything was added. It does not tell of what is embedded in a
//! text and of formats.

use serde::Serialize;
use yrs::branch::{Branch, BranchPtr};
use yrs::types::text::YChange;
use yrs::{
    Any, Array as _, ArrayRef, Doc, IdSet, Out, ReadTxn, Snapshot, Text as _, TextRef, Transact as _, TransactionMut,
};

use super::content::{Unreadable, branch, deeper, named, text_in};
use super::policy::ClientId;

/// For each text the library looks every client up, of both states: so many look-ups take some seconds.
const MAX_LOOK_UPS: usize = 100_000_000;

/// Words of one author that stand together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Run {
    /// The top-level value.
    pub value: String,
    /// The way from there to the text; empty if the value is the text.
    pub path: Vec<Step>,
    /// Where in the text, in UTF-16 units, as Yjs counts.
    pub at: usize,
    pub client: ClientId,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// In a list, among children, or in a text, in UTF-16 units.
    Index(usize),
    /// In a map or among attributes.
    Key(String),
}

/// What is written in a document's texts and was not in `since`, an earlier state of it or an empty document; in order.
///
/// # Errors
/// Something in the document is nested too deep, or it has too many texts and clients.
pub(super) fn runs(doc: &Doc, since: &Doc) -> Result<Vec<Run>, Unreadable> {
    let mut names: Vec<String> = doc.transact().root_refs().map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    let mut texts = Vec::new();
    for name in names {
        let root = doc.get_or_insert_array(name.as_str());
        let mut found = Found { path: Vec::new(), texts: Vec::new() };
        found.search(root.as_ref(), &doc.transact(), 0)?;
        texts.extend(found.texts.into_iter().map(|(path, text)| (name.clone(), path, text)));
    }
    // Without deletions: what was deleted has no words any more.
    let at = |doc: &Doc| Snapshot::new(doc.transact().state_vector(), IdSet::default());
    let (now, since) = (at(doc), at(since));
    if texts.len().saturating_mul(now.state_map.len() + since.state_map.len()) > MAX_LOOK_UPS {
        return Err(Unreadable::TooManyAuthors);
    }
    let (mut txn, mut runs) = (doc.transact_mut(), Vec::new());
    for (value, path, text) in texts {
        written(&text, &mut txn, &now, &since, |at, client, text| {
            runs.push(Run { value: value.clone(), path: path.clone(), at, client, text });
        });
    }
    Ok(runs)
}

/// The texts in a top-level value that have words.
struct Found {
    path: Vec<Step>,
    texts: Vec<(Vec<Step>, TextRef)>,
}

impl Found {
    /// Anything can be looked at as a text, a list and a map.
    fn search<T: ReadTxn>(&mut self, branch: &Branch, txn: &T, depth: usize) -> Result<(), Unreadable> {
        let depth = deeper(depth)?;
        let list = ArrayRef::from(BranchPtr::from(branch));
        if let Some(text) = text_in(&list, txn) {
            self.texts.push((self.path.clone(), text.clone()));
            let mut at = 0;
            for piece in text.diff(txn, YChange::identity) {
                self.enter(Step::Index(at), &piece.insert, txn, depth)?;
                at += length(&piece.insert);
            }
        } else {
            for (index, out) in list.iter(txn).enumerate() {
                self.enter(Step::Index(index), &out, txn, depth)?;
            }
        }
        for (key, out) in named(branch, txn) {
            self.enter(Step::Key(key), &out, txn, depth)?;
        }
        Ok(())
    }

    fn enter<T: ReadTxn>(&mut self, step: Step, out: &Out, txn: &T, depth: usize) -> Result<(), Unreadable> {
        let Some(branch) = branch(out) else { return Ok(()) };
        self.path.push(step);
        self.search(branch, txn, depth)?;
        self.path.pop();
        Ok(())
    }
}

/// How much of a text something in it is. A bare string that is embedded looks like words, and counts like them.
fn length(out: &Out) -> usize {
    match out {
        Out::Any(Any::String(words)) => words.encode_utf16().count(),
        _ => 1,
    }
}

/// Calls `run` with what of a text was not there before: where it stands, who has written it, and the words.
fn written(
    text: &TextRef,
    txn: &mut TransactionMut<'_>,
    now: &Snapshot,
    since: &Snapshot,
    mut run: impl FnMut(usize, ClientId, String),
) {
    let mut at = 0;
    let mut open: Option<(usize, ClientId, String)> = None;
    for piece in text.diff_range(txn, Some(now), Some(since), |change| change.id.client.get()) {
        let author = match (&piece.insert, piece.ychange) {
            (Out::Any(Any::String(words)), Some(client)) => Some((client, words)),
            _ => None,
        };
        match (&mut open, author) {
            (Some((_, client, text)), Some((author, words))) if *client == author => text.push_str(words),
            (open, author) => {
                let next = author.map(|(client, words)| (at, client, words.to_string()));
                if let Some((at, client, text)) = std::mem::replace(open, next) {
                    run(at, client, text);
                }
            }
        }
        at += length(&piece.insert);
    }
    if let Some((at, client, text)) = open {
        run(at, client, text);
    }
}

#[cfg(test)]
mod tests;
