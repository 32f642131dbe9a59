//! The bus of one process with embedded storage: the log is a table in the store's SQLite file.
//!
//! - `writer`: the thread that runs all calls, and what each function does
//! - `table`: the log's tables in SQL

use std::path::Path;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use self::table::Table;
use self::writer::Writer;
use super::{Bus, BusError, Cursor, Event, Events, Page, Result};
use crate::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure, Tip};
use crate::store::sqlite::{connect, open_pool};

mod table;
mod writer;

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
        open_pool(path, 1).await.map_err(unavailable)?.close().await;
        let file = path.to_owned();
        let table = spawn_blocking(move || Table::new(connect(&file)?)).await.map_err(unavailable)??;
        let (calls, queue) = mpsc::unbounded_channel();
        let writer = Writer::new(table);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(queue)).map_err(unavailable)?;
        Ok(Self { calls })
    }

    /// The way of one shard; its documents' events go to `events`.
    pub fn for_shard(&self, events: Events) -> SqliteBus {
        // The receiver is the shard that calls; a shard that is gone misses nothing, here and in the writer.
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
