//! The bus of one process with embedded storage: the log is a table in the store's SQLite file.
//!
//! One task takes all calls that are waiting, of all documents, and runs them in one transaction, so that they share
//! one sync to disk. Events and answers go out after the commit.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::{Bus, BusError, Event, Events, Result};
use crate::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure};
use crate::store::sqlite::{epoch_from_column, epoch_to_column, open_pool};

/// At most this many calls share a transaction, so that a flood does not make the first one wait for ever.
const BATCH: usize = 256;
/// There is one process and one connection that never breaks.
const GENERATION: u64 = 1;

/// The process's log. Every shard has its own `SqliteBus` on it.
#[derive(Clone, Debug)]
pub struct SqliteLog {
    calls: mpsc::UnboundedSender<Call>,
}

impl SqliteLog {
    /// Opens the file, which is made if it is missing; its task runs on the current runtime and ends with the last
    /// `SqliteLog` and `SqliteBus`.
    ///
    /// # Errors
    /// When the file cannot be opened or was made by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let pool = open_pool(path, 1).await.map_err(|error| BusError::Unavailable(error.to_string()))?;
        let (tenure,): (String,) =
            sqlx::query_as("SELECT tenure FROM log_tenure").fetch_one(&pool).await.map_err(unavailable)?;
        let (calls, queue) = mpsc::unbounded_channel();
        tokio::spawn(run(pool, Tenure(tenure), queue));
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
    Open { expected: Option<Head>, epoch: Epoch, tenure: Tenure, update: Bytes },
    Append { epoch: Epoch, update: Bytes },
    Cover(Position),
}

#[derive(Debug)]
enum Answer {
    Read(ReadReply),
    /// OPEN and APPEND: the entry that was written, if it was not refused.
    Written(Option<Entry>),
    /// COVER: the position, if it was not refused.
    Covered(Option<Position>),
}

async fn run(pool: SqlitePool, tenure: Tenure, mut queue: mpsc::UnboundedReceiver<Call>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        match commit(&pool, &tenure, &batch).await {
            Ok(answers) => {
                for (call, answer) in batch.drain(..).zip(answers) {
                    tell(&call, &answer);
                    // A caller that went away wants no answer.
                    let _ = call.answer.send(Ok(answer));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the log's transaction failed");
                let text = error.to_string();
                for call in batch.drain(..) {
                    // As above.
                    let _ = call.answer.send(Err(BusError::Unavailable(text.clone())));
                }
            }
        }
    }
}

fn tell(call: &Call, answer: &Answer) {
    let document = || call.document.clone();
    let event = match answer {
        Answer::Written(Some(entry)) => Event::Entry { document: document(), entry: entry.clone() },
        Answer::Covered(Some(position)) => Event::Covered { document: document(), position: *position },
        Answer::Read(_) | Answer::Written(None) | Answer::Covered(None) => return,
    };
    let _ = call.events.send(event);
}

async fn commit(pool: &SqlitePool, tenure: &Tenure, batch: &[Call]) -> sqlx::Result<Vec<Answer>> {
    // Immediate: a transaction that reads first and writes later would fail when the store wrote in between.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let mut answers = Vec::with_capacity(batch.len());
    for call in batch {
        answers.push(answer(&mut transaction, tenure, call).await?);
    }
    transaction.commit().await?;
    Ok(answers)
}

async fn answer(db: &mut SqliteConnection, tenure: &Tenure, call: &Call) -> sqlx::Result<Answer> {
    let document = call.document.as_str();
    let state = head(db, document).await?;
    match &call.function {
        Function::Read => {
            let rows: Vec<(i64, i64, Vec<u8>)> =
                sqlx::query_as("SELECT epoch, n, bytes FROM log WHERE document = ? ORDER BY seq")
                    .bind(document)
                    .fetch_all(&mut *db)
                    .await?;
            let entries = rows
                .into_iter()
                .map(|(epoch, n, bytes)| Entry {
                    position: Position { epoch: epoch_from_column(epoch), n: n.cast_unsigned() },
                    update: bytes.into(),
                })
                .collect();
            let (head, last) = state.unzip();
            Ok(Answer::Read(ReadReply { entries, last, head, tenure: tenure.clone() }))
        }
        Function::Open { expected, epoch, tenure: asked, update } => {
            if state.map(|(head, _)| head) != *expected || asked != tenure {
                return Ok(Answer::Written(None));
            }
            let entry = Entry { position: Position { epoch: *epoch, n: 0 }, update: update.clone() };
            write(db, document, tenure, &entry).await?;
            Ok(Answer::Written(Some(entry)))
        }
        Function::Append { epoch, update } => match state {
            Some((head, last)) if head.epoch == *epoch && head.tenure == *tenure => {
                let entry = Entry { position: Position { epoch: *epoch, n: last.n + 1 }, update: update.clone() };
                write(db, document, tenure, &entry).await?;
                Ok(Answer::Written(Some(entry)))
            }
            _ => Ok(Answer::Written(None)),
        },
        Function::Cover(position) => match state {
            Some((head, _)) if head.epoch == position.epoch => {
                // At once, not late as in Redis: log and checkpoint are one file, so they are lost together or not
                // at all. Entries of older epochs go too, as in Redis. Head stays, as the checkpoint's row does.
                sqlx::query("DELETE FROM log WHERE document = ? AND (epoch <> ? OR n <= ?)")
                    .bind(document)
                    .bind(epoch_to_column(position.epoch))
                    .bind(position.n.cast_signed())
                    .execute(&mut *db)
                    .await?;
                Ok(Answer::Covered(Some(*position)))
            }
            _ => Ok(Answer::Covered(None)),
        },
    }
}

async fn head(db: &mut SqliteConnection, document: &str) -> sqlx::Result<Option<(Head, Position)>> {
    let row: Option<(i64, String, i64)> =
        sqlx::query_as("SELECT epoch, tenure, last_n FROM log_head WHERE document = ?")
            .bind(document)
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(epoch, tenure, n)| {
        let epoch = epoch_from_column(epoch);
        (Head { epoch, tenure: Tenure(tenure) }, Position { epoch, n: n.cast_unsigned() })
    }))
}

async fn write(db: &mut SqliteConnection, document: &str, tenure: &Tenure, entry: &Entry) -> sqlx::Result<()> {
    let (epoch, n) = (epoch_to_column(entry.position.epoch), entry.position.n.cast_signed());
    sqlx::query("INSERT INTO log (document, epoch, n, bytes) VALUES (?, ?, ?, ?)")
        .bind(document)
        .bind(epoch)
        .bind(n)
        .bind(entry.update.as_ref())
        .execute(&mut *db)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO log_head (document, epoch, tenure, last_n) VALUES (?, ?, ?, ?)")
        .bind(document)
        .bind(epoch)
        .bind(&tenure.0)
        .bind(n)
        .execute(&mut *db)
        .await?;
    Ok(())
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

    async fn cover(&self, document: &str, position: Position) -> Result<bool> {
        match self.call(document, Function::Cover(position)).await? {
            Answer::Covered(position) => Ok(position.is_some()),
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

    async fn ping(&self) -> Result<()> {
        if self.calls.is_closed() { Err(unavailable("the log's task has ended")) } else { Ok(()) }
    }
}
