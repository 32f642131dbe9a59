//! The bus of one process with embedded storage: the log is a table in the store's SQLite file.
//!
//! One thread takes all calls that are waiting, of all documents, and runs them in one transaction, so that they share
//! one sync to disk. Events and answers go out after the commit.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::pool::PoolConnection;
use sqlx::{QueryBuilder, Sqlite};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Bus, BusError, Cursor, Event, Events, Page, Result};
use crate::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure, Tip};
use crate::store::sqlite::{epoch_from_column, epoch_to_column, open_pool};

/// At most this many calls share a transaction, so that a flood does not make the first one wait for ever.
const BATCH: usize = 256;
/// Between the beginnings of two transactions at least: a commit costs ten times an entry, so a busy log commits for
/// many at once. A quiet one commits at once.
const COMMIT_EVERY: Duration = Duration::from_millis(5);
/// Entries of one statement.
const ROWS: usize = 16;
/// Documents that a sweep asks for at once.
const SWEEP_STEP: u32 = 500;
/// There is one process and one connection that never breaks.
const GENERATION: u64 = 1;

/// The process's log. Every shard has its own `SqliteBus` on it.
#[derive(Clone, Debug)]
pub struct SqliteLog {
    calls: mpsc::UnboundedSender<Call>,
}

impl SqliteLog {
    /// Opens the file, which is made if it is missing; its thread ends with the last `SqliteLog` and `SqliteBus`.
    ///
    /// # Errors
    /// When the file cannot be opened or was made by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let pool = open_pool(path, 1).await.map_err(|error| BusError::Unavailable(error.to_string()))?;
        let (tenure,): (String,) =
            sqlx::query_as("SELECT tenure FROM log_tenure").fetch_one(&pool).await.map_err(unavailable)?;
        let (calls, queue) = mpsc::unbounded_channel();
        let db = pool.acquire().await.map_err(unavailable)?;
        let writer = Writer { db, tenure: Tenure(tenure), heads: HashMap::new(), rows: Vec::new() };
        let runtime = Builder::new_current_thread().enable_time().build().map_err(unavailable)?;
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || runtime.block_on(writer.run(queue)))
            .map_err(unavailable)?;
        Ok(Self { calls })
    }

    /// The way of one shard; its documents' events go to `events`.
    pub fn for_shard(&self, events: Events) -> SqliteBus {
        // The receiver is the shard that calls; a shard that is gone misses nothing, here and in `tell`.
        let _ = events.send(Event::Connected { generation: GENERATION });
        SqliteBus { calls: self.calls.clone(), events }
    }
}

/// One shard's way to the process's log.
#[derive(Clone, Debug)]
pub struct SqliteBus {
    calls: mpsc::UnboundedSender<Call>,
    events: Events,
}

#[derive(Debug)]
struct Call {
    document: String,
    function: Function,
    events: Events,
    answer: oneshot::Sender<Result<Answer>>,
}

#[derive(Debug)]
enum Function {
    Read,
    Peek,
    Open {
        expected: Option<Head>,
        epoch: Epoch,
        tenure: Tenure,
        update: Bytes,
    },
    Append {
        epoch: Epoch,
        update: Bytes,
    },
    Cover(Position, Option<i64>),
    /// The documents with entries, behind so many others.
    Uncovered(u64),
    UncoveredEnd,
    Delete,
}

#[derive(Debug)]
enum Answer {
    Read(ReadReply),
    Peek(Tip),
    /// OPEN and APPEND: the entry that was written, if it was not refused.
    Written(Option<Entry>),
    /// COVER: the position and the `rev`, if it was not refused.
    Covered(Option<(Position, Option<i64>)>),
    Uncovered(Vec<String>),
    UncoveredEnd(Option<Position>),
    Deleted,
}

/// The log's thread: one connection, and what it knows of each document that is being written.
struct Writer {
    db: PoolConnection<Sqlite>,
    tenure: Tenure,
    /// Where each open stream stands: this process alone writes, so the table need not be asked each time. A document
    /// is in here from its first call until it is covered.
    heads: HashMap<String, (Head, Position)>,
    /// Entries that the transaction still has to write.
    rows: Vec<(String, Entry)>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Call>) {
        let (mut batch, mut next) = (Vec::new(), Instant::now());
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            if next > Instant::now() {
                tokio::time::sleep_until(next).await;
                while batch.len() < BATCH
                    && let Ok(call) = queue.try_recv()
                {
                    batch.push(call);
                }
            }
            next = Instant::now() + COMMIT_EVERY;
            match self.commit(&batch).await {
                Ok(answers) => {
                    for (call, answer) in batch.drain(..).zip(answers) {
                        tell(&call, &answer);
                        // A caller that went away wants no answer.
                        let _ = call.answer.send(Ok(answer));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the log's transaction failed");
                    self.rows.clear();
                    let text = error.to_string();
                    for call in batch.drain(..) {
                        // What is known of it may be of the transaction that failed.
                        self.heads.remove(&call.document);
                        // As above.
                        let _ = call.answer.send(Err(BusError::Unavailable(text.clone())));
                    }
                }
            }
        }
    }

    async fn commit(&mut self, batch: &[Call]) -> sqlx::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(batch.len());
        // One statement is a transaction of its own.
        if batch.len() <= ROWS && batch.iter().all(|call| self.is_append_to_known(call)) {
            for call in batch {
                answers.push(self.answer(call).await?);
            }
            self.write_rows().await?;
            return Ok(answers);
        }
        // Immediate: a transaction that reads first and writes later would fail when the store wrote in between.
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *self.db).await?;
        let mut outcome = self.answer_all(batch, &mut answers).await;
        if outcome.is_ok() {
            outcome = sqlx::query("COMMIT").execute(&mut *self.db).await.map(drop);
        }
        if outcome.is_err() {
            // The failure may have ended the transaction already.
            let _ = sqlx::query("ROLLBACK").execute(&mut *self.db).await;
        }
        outcome.map(|()| answers)
    }

    fn is_append_to_known(&self, call: &Call) -> bool {
        matches!(call.function, Function::Append { .. }) && self.heads.contains_key(&call.document)
    }

    async fn answer_all(&mut self, batch: &[Call], answers: &mut Vec<Answer>) -> sqlx::Result<()> {
        for call in batch {
            answers.push(self.answer(call).await?);
        }
        self.write_rows().await
    }

    async fn answer(&mut self, call: &Call) -> sqlx::Result<Answer> {
        let document = call.document.as_str();
        if let Function::Uncovered(behind) = call.function {
            self.write_rows().await?;
            return Ok(Answer::Uncovered(self.documents(behind).await?));
        }
        let state = self.head(document).await?;
        match &call.function {
            Function::Read => {
                self.write_rows().await?;
                let entries = self.entries(document).await?;
                let (head, last) = state.unzip();
                Ok(Answer::Read(ReadReply { entries, last, head, tenure: self.tenure.clone() }))
            }
            Function::Peek => {
                let (head, last) = state.unzip();
                Ok(Answer::Peek(Tip { last, head, tenure: self.tenure.clone() }))
            }
            Function::UncoveredEnd => {
                self.write_rows().await?;
                let any = sqlx::query("SELECT 1 FROM log WHERE document = ? LIMIT 1");
                let any = any.bind(document).fetch_optional(&mut *self.db).await?;
                Ok(Answer::UncoveredEnd(any.and(state).map(|(_, last)| last)))
            }
            Function::Uncovered(_) => Ok(Answer::Uncovered(Vec::new())),
            Function::Open { expected, epoch, tenure, update } => {
                if state.map(|(head, _)| head) != *expected || *tenure != self.tenure {
                    return Ok(Answer::Written(None));
                }
                let head = Head { epoch: *epoch, tenure: tenure.clone() };
                self.write_head(document, &head, 0).await?;
                Ok(Answer::Written(Some(self.append(document, head, 0, update))))
            }
            Function::Append { epoch, update } => match state {
                Some((head, last)) if head.epoch == *epoch && head.tenure == self.tenure => {
                    Ok(Answer::Written(Some(self.append(document, head, last.n + 1, update))))
                }
                _ => Ok(Answer::Written(None)),
            },
            Function::Delete => {
                self.write_rows().await?;
                self.delete(document).await?;
                Ok(Answer::Deleted)
            }
            Function::Cover(position, rev) => match state {
                Some((head, last)) if head.epoch == position.epoch => {
                    self.write_rows().await?;
                    self.cover(document, *position).await?;
                    // Its entries no longer tell where the stream ends.
                    self.write_head(document, &head, last.n).await?;
                    self.heads.remove(document);
                    Ok(Answer::Covered(Some((*position, *rev))))
                }
                _ => Ok(Answer::Covered(None)),
            },
        }
    }

    /// The head of a document's stream and the last position given out in it.
    async fn head(&mut self, document: &str) -> sqlx::Result<Option<(Head, Position)>> {
        if let Some(known) = self.heads.get(document) {
            return Ok(Some(known.clone()));
        }
        // The head's row has the position as of the last OPEN or COVER; the entries have those after it.
        let row: Option<(i64, String, i64)> = sqlx::query_as(
            "SELECT epoch, tenure, max(last_n, coalesce((SELECT max(n) FROM log \
             WHERE log.document = log_head.document AND log.epoch = log_head.epoch), 0)) \
             FROM log_head WHERE document = ?",
        )
        .bind(document)
        .fetch_optional(&mut *self.db)
        .await?;
        let state = row.map(|(epoch, tenure, n)| {
            let epoch = epoch_from_column(epoch);
            (Head { epoch, tenure: Tenure(tenure) }, Position { epoch, n: n.cast_unsigned() })
        });
        if let Some(state) = &state {
            self.heads.insert(document.to_owned(), state.clone());
        }
        Ok(state)
    }

    fn append(&mut self, document: &str, head: Head, n: u64, update: &Bytes) -> Entry {
        let position = Position { epoch: head.epoch, n };
        let entry = Entry { position, update: update.clone() };
        self.rows.push((document.to_owned(), entry.clone()));
        self.heads.insert(document.to_owned(), (head, position));
        entry
    }

    async fn write_rows(&mut self) -> sqlx::Result<()> {
        for rows in self.rows.chunks(ROWS) {
            let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO log (document, epoch, n, bytes) ");
            query.push_values(rows, |mut row, (document, entry)| {
                row.push_bind(document)
                    .push_bind(epoch_to_column(entry.position.epoch))
                    .push_bind(entry.position.n.cast_signed())
                    .push_bind(entry.update.as_ref());
            });
            query.build().execute(&mut *self.db).await?;
        }
        self.rows.clear();
        Ok(())
    }

    async fn write_head(&mut self, document: &str, head: &Head, last: u64) -> sqlx::Result<()> {
        sqlx::query("INSERT OR REPLACE INTO log_head (document, epoch, tenure, last_n) VALUES (?, ?, ?, ?)")
            .bind(document)
            .bind(epoch_to_column(head.epoch))
            .bind(&head.tenure.0)
            .bind(last.cast_signed())
            .execute(&mut *self.db)
            .await?;
        Ok(())
    }

    async fn entries(&mut self, document: &str) -> sqlx::Result<Vec<Entry>> {
        let rows: Vec<(i64, i64, Vec<u8>)> =
            sqlx::query_as("SELECT epoch, n, bytes FROM log WHERE document = ? ORDER BY seq")
                .bind(document)
                .fetch_all(&mut *self.db)
                .await?;
        let entry = |(epoch, n, bytes): (i64, i64, Vec<u8>)| Entry {
            position: Position { epoch: epoch_from_column(epoch), n: n.cast_unsigned() },
            update: bytes.into(),
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    async fn documents(&mut self, behind: u64) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar("SELECT DISTINCT document FROM log ORDER BY document LIMIT ? OFFSET ?")
            .bind(SWEEP_STEP)
            .bind(behind.cast_signed())
            .fetch_all(&mut *self.db)
            .await
    }

    async fn delete(&mut self, document: &str) -> sqlx::Result<()> {
        for query in ["DELETE FROM log WHERE document = ?", "DELETE FROM log_head WHERE document = ?"] {
            sqlx::query(query).bind(document).execute(&mut *self.db).await?;
        }
        self.heads.remove(document);
        Ok(())
    }

    /// At once, not late as in Redis: log and checkpoint are one file, so they are lost together or not at all.
    /// Entries of older epochs go too, as in Redis. Head stays, as the checkpoint's row does.
    async fn cover(&mut self, document: &str, position: Position) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM log WHERE document = ? AND (epoch <> ? OR n <= ?)")
            .bind(document)
            .bind(epoch_to_column(position.epoch))
            .bind(position.n.cast_signed())
            .execute(&mut *self.db)
            .await?;
        Ok(())
    }
}

fn tell(call: &Call, answer: &Answer) {
    let document = || call.document.clone();
    let event = match answer {
        Answer::Written(Some(entry)) => Event::Entry { document: document(), entry: entry.clone() },
        Answer::Covered(Some((position, rev))) => {
            Event::Covered { document: document(), position: *position, rev: *rev }
        }
        Answer::Deleted => Event::Deleted { document: document() },
        _ => return,
    };
    let _ = call.events.send(event);
}

fn unavailable(error: impl ToString) -> BusError {
    BusError::Unavailable(error.to_string())
}

impl SqliteBus {
    async fn call(&self, document: &str, function: Function) -> Result<Answer> {
        let ended = || BusError::Unavailable("the log's task has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let call = Call { document: document.to_owned(), function, events: self.events.clone(), answer };
        self.calls.send(call).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

fn mixed_up() -> BusError {
    BusError::Malformed("the answer of another function".to_owned())
}

#[async_trait]
impl Bus for SqliteBus {
    async fn subscribe(&self, _document: &str) -> Result<u64> {
        // Nothing to do: the shard that makes the calls is the one that hears them.
        Ok(GENERATION)
    }

    async fn unsubscribe(&self, _document: &str) -> Result<()> {
        Ok(())
    }

    async fn read(&self, document: &str) -> Result<ReadReply> {
        match self.call(document, Function::Read).await? {
            Answer::Read(reply) => Ok(reply),
            _ => Err(mixed_up()),
        }
    }

    async fn open(
        &self,
        document: &str,
        expected: Option<&Head>,
        epoch: Epoch,
        tenure: &Tenure,
        update: Bytes,
    ) -> Result<Opened> {
        let function = Function::Open { expected: expected.cloned(), epoch, tenure: tenure.clone(), update };
        match self.call(document, function).await? {
            Answer::Written(entry) => Ok(if entry.is_some() { Opened::Opened } else { Opened::Refused }),
            _ => Err(mixed_up()),
        }
    }

    async fn append(&self, document: &str, epoch: Epoch, update: Bytes) -> Result<Appended> {
        match self.call(document, Function::Append { epoch, update }).await? {
            Answer::Written(entry) => Ok(entry.map_or(Appended::Refused, |entry| Appended::At(entry.position))),
            _ => Err(mixed_up()),
        }
    }

    async fn peek(&self, document: &str) -> Result<Tip> {
        match self.call(document, Function::Peek).await? {
            Answer::Peek(tip) => Ok(tip),
            _ => Err(mixed_up()),
        }
    }

    async fn cover(&self, document: &str, position: Position, rev: Option<i64>) -> Result<bool> {
        match self.call(document, Function::Cover(position, rev)).await? {
            Answer::Covered(position) => Ok(position.is_some()),
            _ => Err(mixed_up()),
        }
    }

    async fn is_my_sweep(&self, _every: Duration) -> Result<bool> {
        Ok(true)
    }

    async fn uncovered(&self, from: Cursor) -> Result<Page> {
        match self.call("", Function::Uncovered(from.at)).await? {
            Answer::Uncovered(documents) => {
                let count = documents.len() as u64;
                let next = (count == u64::from(SWEEP_STEP)).then_some(Cursor { at: from.at + count, ..from });
                Ok(Page { documents, next })
            }
            _ => Err(mixed_up()),
        }
    }

    async fn uncovered_end(&self, document: &str) -> Result<Option<Position>> {
        match self.call(document, Function::UncoveredEnd).await? {
            Answer::UncoveredEnd(end) => Ok(end),
            _ => Err(mixed_up()),
        }
    }

    async fn publish_awareness(&self, _document: &str, _update: Bytes) -> Result<()> {
        // There is no other gateway.
        Ok(())
    }

    async fn query_awareness(&self, _document: &str) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, document: &str) -> Result<()> {
        match self.call(document, Function::Delete).await? {
            Answer::Deleted => Ok(()),
            _ => Err(mixed_up()),
        }
    }

    async fn ping(&self) -> Result<()> {
        if self.calls.is_closed() { Err(unavailable("the log's task has ended")) } else { Ok(()) }
    }
}
