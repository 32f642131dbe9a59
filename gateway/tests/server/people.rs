//! People who write until the gateway is gone, and what of it was acknowledged to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::client::Client;
use crate::gateway_process::eventually;

const EACH: usize = 2;

#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) document: &'static str,
    pub(crate) word: String,
    /// When it was known to be acknowledged, on the clock of whoever asked the people to write.
    pub(crate) moment: usize,
}

/// What was acknowledged, to all people so far.
#[derive(Clone, Default)]
pub(crate) struct Acknowledged(Arc<Mutex<Vec<Edit>>>);

impl Acknowledged {
    pub(crate) fn edits(&self) -> Vec<Edit> {
        self.0.lock().expect("nobody panics with it").clone()
    }

    pub(crate) async fn until_there_are(&self, count: usize) {
        eventually(&format!("{count} edits"), async || self.edits().len() >= count).await;
    }
}

/// Two people in each document write a word after the other.
pub(crate) fn write(
    gateway: SocketAddr,
    documents: &[&'static str],
    round: &str,
    acknowledged: &Acknowledged,
    clock: impl Fn() -> usize + Clone + Send + 'static,
) -> JoinSet<()> {
    let mut people = JoinSet::new();
    for (person, document) in documents.iter().cycle().take(EACH * documents.len()).copied().enumerate() {
        let (acknowledged, clock, round) = (acknowledged.clone(), clock.clone(), round.to_owned());
        people.spawn(async move {
            let mut client = Client::synced(gateway, document).await;
            for n in 0.. {
                // Some words are longer than a page of the database.
                let word = format!("{round}-{person}-{n}-{}", "x".repeat(if n % 16 == 15 { 5000 } else { 0 }));
                if !client.is_acknowledged(&format!(" {word}")).await {
                    return;
                }
                let edit = Edit { document, word, moment: clock() };
                acknowledged.0.lock().expect("nobody panics with it").push(edit);
            }
        });
    }
    people
}

/// The words that should be in a document and are not.
pub(crate) fn missing(edits: &[Edit], texts: &BTreeMap<&'static str, String>) -> Vec<Edit> {
    let words: BTreeMap<_, BTreeSet<&str>> =
        texts.iter().map(|(document, text)| (*document, text.split(' ').collect())).collect();
    let is_there = |edit: &Edit| words.get(edit.document).is_some_and(|words| words.contains(&*edit.word));
    edits.iter().filter(|edit| !is_there(edit)).cloned().collect()
}
