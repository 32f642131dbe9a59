//! The log's thread. It takes all calls that are waiting, of all documents, and runs them in one transaction, so that
//! they share one sync to disk. Events and answers go out after the commit.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::table::Table;
use super::{Answer, Call, Function};
use crate::bus::{BusError, Event, Result};
use crate::room::log::{Head, ReadReply, Tip};

/// At most this many calls share a transaction, so that a flood does not make the first one wait for ever.
const BATCH: usize = 256;
/// Between the beginnings of two transactions at least: a commit costs ten times an entry, so a busy log commits for
/// many at once. A quiet one commits at once.
const COMMIT_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Writer {
    table: Table,
    /// Since when nothing can be written.
    stuck: Option<Instant>,
}

impl Writer {
    pub(super) fn new(table: Table) -> Self {
        Self { table, stuck: None }
    }

    pub(super) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Call>) {
        let (mut batch, mut next) = (Vec::new(), Instant::now());
        while let Some(first) = queue.blocking_recv() {
            batch.push(first);
            // Nobody wakes it meanwhile, however many come.
            thread::sleep(next.saturating_duration_since(Instant::now()));
            while batch.len() < BATCH
                && let Ok(call) = queue.try_recv()
            {
                batch.push(call);
            }
            next = Instant::now() + COMMIT_EVERY;
            let several = batch.len() > 1;
            match self.commit(&batch) {
                Ok(answers) => {
                    self.note(&Ok(&answers[..]));
                    batch.drain(..).zip(answers).for_each(|(call, answer)| tell(call, Ok(answer)));
                }
                // What one document's call fails of must not fail the others'.
                Err(_) if several => {
                    for call in batch.drain(..) {
                        let answer = self.commit(std::slice::from_ref(&call));
                        self.note(&answer.as_deref());
                        tell(call, answer.and_then(|mut answers| answers.pop().ok_or_else(no_answer)));
                    }
                }
                Err(error) => {
                    self.note(&Err(&error));
                    batch.drain(..).for_each(|call| tell(call, Err(error.clone())));
                }
            }
        }
    }

    /// Says once that nothing can be written, and once that it can again: rooms try again every two seconds.
    fn note(&mut self, outcome: &std::result::Result<&[Answer], &BusError>) {
        match (outcome, self.stuck) {
            (Err(BusError::Unavailable(error)), None) => {
                self.stuck = Some(Instant::now());
                tracing::error!(
                    error,
                    "the log takes no edits: they are kept in memory, and not acknowledged until it does; if the disk \
                     is full, make room on it"
                );
            }
            (Ok(answers), Some(since)) if answers.iter().any(|answer| matches!(answer, Answer::Written(Some(_)))) => {
                self.stuck = None;
                tracing::info!(seconds = since.elapsed().as_secs(), "the log takes edits again");
            }
            _ => {}
        }
    }

    fn commit(&mut self, batch: &[Call]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(batch.len());
        self.table.begin()?;
        let answered = self.answer_all(batch, &mut answers);
        let outcome = self.table.end(answered);
        if outcome.is_err() {
            // What is known of them may be of the transaction that failed.
            self.table.forget(batch.iter().map(|call| call.document.as_str()));
        }
        outcome.map(|()| answers)
    }

    fn answer_all(&mut self, batch: &[Call], answers: &mut Vec<Answer>) -> Result<()> {
        for call in batch {
            answers.push(self.answer(call)?);
        }
        self.table.flush()
    }

    fn answer(&mut self, call: &Call) -> Result<Answer> {
        let (document, table) = (call.document.as_str(), &mut self.table);
        match call.function {
            Function::Uncovered(behind) => return Ok(Answer::Uncovered(table.documents(behind)?)),
            // Also if its head is damaged.
            Function::Delete => {
                table.delete(document)?;
                return Ok(Answer::Deleted);
            }
            _ => {}
        }
        let state = table.head(document)?;
        Ok(match &call.function {
            Function::Read => {
                let entries = table.entries(document)?;
                let (head, last) = state.unzip();
                Answer::Read(ReadReply { entries, last, head, tenure: table.tenure.clone() })
            }
            Function::Peek => {
                let (head, last) = state.unzip();
                Answer::Peek(Tip { last, head, tenure: table.tenure.clone() })
            }
            Function::UncoveredEnd => {
                let any = table.has_entries(document)?;
                Answer::UncoveredEnd(state.filter(|_| any).map(|(_, last)| last))
            }
            Function::Uncovered(_) | Function::Delete => return Err(no_answer()),
            Function::Open { expected, epoch, tenure, update } => {
                if state.map(|(head, _)| head) != *expected || *tenure != table.tenure {
                    return Ok(Answer::Written(None));
                }
                let head = Head { epoch: *epoch, tenure: tenure.clone() };
                table.write_head(document, &head, 0)?;
                Answer::Written(Some(table.append(document, head, 0, update)))
            }
            Function::Append { epoch, update } => match state {
                Some((head, last)) if head.epoch == *epoch && head.tenure == table.tenure => {
                    Answer::Written(Some(table.append(document, head, last.n + 1, update)))
                }
                _ => Answer::Written(None),
            },
            Function::Cover(position, rev) => match state {
                Some((head, last)) if head.epoch == position.epoch => {
                    table.cover(document, *position, &head, last.n)?;
                    Answer::Covered(Some((*position, *rev)))
                }
                _ => Answer::Covered(None),
            },
        })
    }
}

fn no_answer() -> BusError {
    BusError::Malformed("no answer".to_owned())
}

fn tell(call: Call, answer: Result<Answer>) {
    let document = || call.document.clone();
    let event = match &answer {
        Ok(Answer::Written(Some(entry))) => Some(Event::Entry { document: document(), entry: entry.clone() }),
        Ok(Answer::Covered(Some((position, rev)))) => {
            Some(Event::Covered { document: document(), position: *position, rev: *rev })
        }
        Ok(Answer::Deleted) => Some(Event::Deleted { document: document() }),
        _ => None,
    };
    if let Some(event) = event {
        let _ = call.events.send(event);
    }
    // A caller that went away wants no answer.
    let _ = call.answer.send(answer);
}
