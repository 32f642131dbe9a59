//! The store's thread. It takes all checkpoints that are waiting, of all documents, and writes them in one transaction,
//! so that they share one sync to disk. Each is in a savepoint of its own: what one fails of does not fail the others.
//! Answers go out after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::{Checkpoint, Planned};
use super::connection::connect;
use super::damage::unavailable;
use crate::store::{Result, StoreError, Written};

/// At most so many checkpoints share a transaction,
const BATCH: usize = 256;
/// and no more are taken once their states are as large as this: the log waits while they are written.
const BATCH_BYTES: usize = 4 << 20;
/// Between the beginnings of two transactions at least. A quiet store commits at once.
const COMMIT_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Call {
    pub(super) checkpoint: Checkpoint,
    pub(super) answer: oneshot::Sender<Result<Written>>,
}

/// A call that has got as far as the transaction.
type Ready = (Call, Planned);

pub(super) struct Writer {
    db: Connection,
}

impl Writer {
    /// Starts the thread, for a file with its tables. It ends with the last sender.
    pub(super) fn start(path: &Path) -> Result<mpsc::UnboundedSender<Call>> {
        let mut writer = Self { db: connect(path).map_err(unavailable)? };
        let (calls, queue) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(calls)
    }

    fn run(&mut self, mut queue: mpsc::UnboundedReceiver<Call>) {
        let mut next = Instant::now();
        while let Some(first) = queue.blocking_recv() {
            // Nobody wakes it meanwhile, however many come.
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next = Instant::now() + COMMIT_EVERY;
            let (mut bytes, mut calls) = (first.checkpoint.state.len(), vec![first]);
            while calls.len() < BATCH
                && bytes < BATCH_BYTES
                && let Ok(call) = queue.try_recv()
            {
                bytes += call.checkpoint.state.len();
                calls.push(call);
            }
            self.write(calls);
        }
    }

    fn write(&mut self, calls: Vec<Call>) {
        let ready: Vec<Ready> = calls.into_iter().filter_map(|call| self.plan(call)).collect();
        let outcome = self.commit(&ready);
        match outcome {
            Ok(answers) => ready.into_iter().zip(answers).for_each(|((call, _), answer)| tell(call, answer)),
            // What is too much together may do one by one. Who waited for a lock has waited long enough.
            Err(error) if ready.len() > 1 && error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => {
                for ready in ready {
                    let answer = match self.commit(std::slice::from_ref(&ready)) {
                        Ok(mut answers) => answers.pop().unwrap_or(Ok(Written::Conflict)),
                        Err(error) => Err(unavailable(error)),
                    };
                    tell(ready.0, answer);
                }
            }
            Err(error) => {
                let error = unavailable(error);
                ready.into_iter().for_each(|(call, _)| tell(call, Err(error.clone())));
            }
        }
    }

    /// Before the transaction: what takes its time here holds up no log. None: the call has its answer.
    fn plan(&self, call: Call) -> Option<Ready> {
        // A panic over one document's bytes must not end the thread that writes all of them.
        let planned = catch_unwind(AssertUnwindSafe(|| call.checkpoint.plan(&self.db)));
        let answer = match planned {
            Ok(Ok(Some(planned))) => return Some((call, planned)),
            Ok(Ok(None)) => Ok(Written::Conflict),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StoreError::Corrupt("a document's state could not be worked on".to_owned())),
        };
        tell(call, answer);
        None
    }

    /// An error is the transaction's; what a single checkpoint fails of is in its answer.
    fn commit(&mut self, ready: &[Ready]) -> rusqlite::Result<Vec<Result<Written>>> {
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut answers = Vec::with_capacity(ready.len());
        for (call, planned) in ready {
            let savepoint = transaction.savepoint()?;
            answers.push(match call.checkpoint.write(&savepoint, planned) {
                Ok(true) => {
                    savepoint.commit()?;
                    Ok(Written::Rev(call.checkpoint.expected + 1))
                }
                Ok(false) => Ok(Written::Conflict),
                // Some errors, a full disk's among them, end the whole transaction.
                Err(error) if savepoint.is_autocommit() => return Err(error),
                Err(error) => Err(unavailable(error)),
            });
        }
        transaction.commit()?;
        Ok(answers)
    }
}

fn tell(call: Call, answer: Result<Written>) {
    // A caller that went away wants no answer.
    let _ = call.answer.send(answer);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::history::policy::Policy;
    use crate::store::sqlite::open_pool;

    type Answer = oneshot::Receiver<Result<Written>>;

    /// A thread's writer without its thread; nothing may be written to the document `refused`.
    async fn writer(directory: &Path, refusal: &str) -> Writer {
        let file = directory.join("store.db");
        open_pool(&file, 1).await.unwrap().close().await;
        let db = connect(&file).unwrap();
        db.execute_batch(&format!(
            "CREATE TEMP TRIGGER refuse AFTER INSERT ON documents WHEN NEW.id = 'refused' \
             BEGIN SELECT RAISE({refusal}, 'refused'); END"
        ))
        .unwrap();
        Writer { db }
    }

    fn call(document: &str, expected: i64) -> (Call, Answer) {
        let (answer, answered) = oneshot::channel();
        let (document, state, policy) = (document.to_owned(), Bytes::from_static(b"x"), Policy::default());
        let checkpoint = Checkpoint { document, expected, state, position: None, policy };
        (Call { checkpoint, answer }, answered)
    }

    /// All in one batch. None: a failure.
    fn write(writer: &mut Writer, calls: &[(&str, i64)]) -> Vec<Option<Written>> {
        let (calls, answers): (Vec<_>, Vec<_>) = calls.iter().map(|(document, rev)| call(document, *rev)).unzip();
        writer.write(calls);
        answers.into_iter().map(|mut answer| answer.try_recv().unwrap().ok()).collect()
    }

    fn documents(writer: &Writer) -> Vec<String> {
        let mut query = writer.db.prepare("SELECT id FROM documents ORDER BY id").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[tokio::test]
    async fn a_refused_or_late_document_fails_no_other() {
        // ROLLBACK ends the transaction of all, ABORT only what the document has written.
        for refusal in ["ABORT", "ROLLBACK"] {
            let directory = tempfile::tempdir().unwrap();
            let mut writer = writer(directory.path(), refusal).await;
            let answers = write(&mut writer, &[("a", 0), ("late", 7), ("refused", 0), ("b", 0), ("a", 0)]);
            let (first, conflict) = (Some(Written::Rev(1)), Some(Written::Conflict));
            assert_eq!(answers, [first.clone(), conflict.clone(), None, first, conflict], "{refusal}");
            assert_eq!(documents(&writer), ["a", "b"], "{refusal}");
            assert_eq!(write(&mut writer, &[("a", 1)]), [Some(Written::Rev(2))], "{refusal}");
        }
    }
}
