//! The gateway's side: whose turn it is, and a process for each reading, which is gone when the answer is there, the
//! time is over, or nobody wants to know any more.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::COMMAND;
use super::bounds::Bounds;
use super::failure::{Failure, Outcome};
use super::wire::{self, Verdict};
use crate::history::reading::Question;
use crate::metrics::Metrics;

/// Of the time of a reading: so long a request waits for its turn.
const WAIT_SHARE: u32 = 2;
/// Of what a process says before it dies.
const MOST_SAID: u64 = 1024;
/// jemalloc's settings: no thread of its own, and nothing kept that is not used, since the limit counts it.
const ALLOCATOR: (&str, &str) = ("MALLOC_CONF", "background_thread:false,retain:false,narenas:1");

/// How readings are done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway's program.
    pub program: PathBuf,
    pub bounds: Bounds,
    /// Readings at once; at least 1.
    pub at_once: usize,
}

/// The file of the running program, also if another one has taken its place since.
pub fn own_program() -> PathBuf {
    let running = Path::new("/proc/self/exe");
    if running.exists() { running.to_owned() } else { std::env::current_exe().unwrap_or_default() }
}

/// Starts the processes that read.
pub struct Readers {
    settings: Settings,
    turns: Semaphore,
    metrics: Arc<Metrics>,
}

/// The right to read one document now. It is taken before the document is loaded, so that those who wait hold none.
pub(crate) struct Turn<'a> {
    readers: &'a Readers,
    document: &'a str,
    /// None: the semaphore was closed, which nobody does.
    _permit: Option<SemaphorePermit<'a>>,
}

impl Readers {
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Self {
        Self { turns: Semaphore::new(settings.at_once), settings, metrics }
    }

    /// Waits until the document may be read.
    ///
    /// # Errors
    /// Others are being read for too long.
    pub(crate) async fn turn<'a>(&'a self, document: &'a str) -> Result<Turn<'a>, Failure> {
        let wait = self.settings.bounds.time / WAIT_SHARE;
        match timeout(wait, self.turns.acquire()).await {
            Ok(permit) => Ok(Turn { readers: self, document, _permit: permit.ok() }),
            Err(_) => {
                self.metrics.history_read(Outcome::Busy);
                Err(Failure::Busy(wait))
            }
        }
    }
}

impl Turn<'_> {
    /// The answer's bytes. If this is dropped before it is there, the process is killed.
    ///
    /// # Errors
    /// The states cannot be read, or not within the bounds.
    pub(crate) async fn ask(self, question: Question, states: [Bytes; 2]) -> Result<Bytes, Failure> {
        let (answer, said) = self.readers.settings.ask(&question, states).await;
        let outcome = answer.as_ref().map_or_else(Failure::outcome, |_| Outcome::Ok);
        self.readers.metrics.history_read(outcome);
        if let Err(failure) = &answer {
            tracing::warn!(document = self.document, outcome = outcome.label(), %failure, ?said, "not read");
        }
        answer
    }
}

impl Settings {
    /// That all readings at once may take.
    pub fn memory_bytes(&self) -> u64 {
        self.bounds.memory_bytes.saturating_mul(self.at_once as u64)
    }

    /// The answer, and what the process said about its end.
    async fn ask(&self, question: &Question, states: [Bytes; 2]) -> (Result<Bytes, Failure>, String) {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => return (Err(Failure::NotStarted(error)), String::new()),
        };
        match timeout(self.bounds.time, converse(&mut child, question, states)).await {
            Ok(Ok(End { heard: Some((Verdict::Read, bytes)), said, .. })) => (Ok(bytes), said),
            Ok(Ok(End { heard: Some((Verdict::Refused(reason), _)), said, .. })) => {
                (Err(Failure::Refused(reason)), said)
            }
            Ok(Ok(End { heard: None, said, status })) => (Err(Failure::of(status, &said, self.bounds)), said),
            Ok(Err(error)) => (Err(Failure::Crashed(error.to_string())), String::new()),
            Err(_) => {
                // It cannot stand up to this; an error means that it has ended meanwhile.
                let _ = child.kill().await;
                (Err(Failure::Timeout(self.bounds.time)), String::new())
            }
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .arg0("gateway")
            .arg(COMMAND)
            .args(self.bounds.arguments())
            .env_clear()
            .env(ALLOCATOR.0, ALLOCATOR.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Or Ctrl-C would end it while the gateway still answers its last requests.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// How a process ended.
struct End {
    heard: Option<(Verdict, Bytes)>,
    said: String,
    status: ExitStatus,
}

/// Asks, hears the answer if there is one, and waits for the process's end.
async fn converse(child: &mut Child, question: &Question, states: [Bytes; 2]) -> io::Result<End> {
    let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let Some(((mut input, mut output), error)) = pipes else { return Err(io::Error::other("it has no pipes")) };
    let talk = async move {
        // If it dies meanwhile, its end says more than this error.
        let _ = wire::ask(&mut input, question, &states).await;
        drop(states);
        let heard = wire::hear(&mut output).await.ok();
        // It ends now at the latest.
        drop(input);
        heard
    };
    let (heard, said) = tokio::join!(talk, first_words(error));
    Ok(End { heard, said, status: child.wait().await? })
}

/// The beginning of what is said, once all is said.
async fn first_words(mut pipe: ChildStderr) -> String {
    let mut said = Vec::new();
    // As far as it could be read.
    let _ = (&mut pipe).take(MOST_SAID).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_program_that_cannot_be_started_is_an_answer_and_leaves_the_turn_to_the_next_one() {
        let bounds = Bounds { time: Duration::from_secs(1), memory_bytes: 1 << 30 };
        let settings = Settings { program: "/nowhere/gateway".into(), bounds, at_once: 1 };
        let metrics = Arc::new(Metrics::new().unwrap());
        let readers = Readers::new(settings, metrics.clone());
        for _ in 0..2 {
            let answer = readers.turn("notes").await.unwrap().ask(Question::Text, [Bytes::new(), Bytes::new()]).await;
            assert!(matches!(answer, Err(Failure::NotStarted(_))), "{answer:?}");
        }
        let page = metrics.render().unwrap();
        assert!(page.contains("editorcluster_history_reads_total{outcome=\"crashed\"} 2\n"), "{page}");
    }
}
