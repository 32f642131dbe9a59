//! Many clients at once, and the account of what they write and get.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Client, Listener};
use crate::dialect::Dialect;
use crate::edit;
use crate::ledger::Ledger;

const ARRIVE_WITHIN: Duration = Duration::from_secs(120);

/// Who connects where.
#[derive(Clone)]
pub struct Shape {
    pub dialect: Dialect,
    /// Client i is at address i modulo their number.
    pub addresses: Vec<SocketAddr>,
    pub documents: usize,
    pub clients_per_document: usize,
    /// Documents are named PREFIX-NUMBER.
    pub prefix: String,
    /// Handshakes under way at a time.
    pub arriving: usize,
}

/// Yjs client ids are 32 bits. Each crowd takes others, or it would write what an earlier one has written already.
static NEXT_AUTHOR: AtomicU64 = AtomicU64::new(1);

impl Shape {
    fn ledger(&self) -> Rc<RefCell<Ledger>> {
        let count = self.documents * self.clients_per_document;
        let first = NEXT_AUTHOR.fetch_add(count as u64, Ordering::Relaxed);
        Rc::new(RefCell::new(Ledger::new(first, count, self.clients_per_document)))
    }
}

/// Connected clients, those of one document in a row.
pub struct Crowd {
    pub shape: Shape,
    pub clients: Vec<Rc<Client>>,
    pub ledger: Rc<RefCell<Ledger>>,
    /// From the beginning of a connection until its document was there.
    pub arrivals: Vec<Duration>,
}

/// Notes what comes in the ledger.
struct Accountant(Rc<RefCell<Ledger>>);

impl Listener for Accountant {
    fn update(&self, client: usize, update: &[u8], now: Instant) -> Result<()> {
        let mut ledger = self.0.borrow_mut();
        edit::decode(update, |author, clock, length| ledger.receive(client, author, clock, length, now))
    }

    fn edit(&self, client: usize, author: u64, clock: u32, now: Instant) {
        self.0.borrow_mut().receive(client, author, clock, 1, now);
    }

    /// `[count, (client, clock, JSON) ...]`, as y-protocols has it. Its clocks are numbered as edits are.
    fn awareness(&self, client: usize, body: &[u8], now: Instant) -> Result<()> {
        let mut ledger = self.0.borrow_mut();
        let mut at = edit::Cursor(body);
        for _ in 0..at.var()? {
            let (author, clock) = (at.var()?, u32::try_from(at.var()?)?);
            if at.bytes()? != b"null" {
                ledger.present(client, author, clock, now);
            }
        }
        Ok(())
    }
}

impl Crowd {
    /// Connects everybody and waits until all have their document.
    pub async fn gather(shape: Shape) -> Result<Self> {
        let ledger = shape.ledger();
        let listener = Rc::new(Accountant(ledger.clone()));
        Self::connect(shape, ledger, listener).await
    }

    /// As [`gather`](Self::gather), for clients with whom something else than an account is kept.
    pub async fn gather_for(shape: Shape, listener: Rc<dyn Listener>) -> Result<Self> {
        let ledger = shape.ledger();
        Self::connect(shape, ledger, listener).await
    }

    async fn connect(shape: Shape, ledger: Rc<RefCell<Ledger>>, listener: Rc<dyn Listener>) -> Result<Self> {
        let count = shape.documents * shape.clients_per_document;
        let mut crowd = Self { shape, clients: Vec::with_capacity(count), ledger, arrivals: Vec::new() };
        let mut joining = JoinSet::new();
        let mut next = 0;
        let arrive = async {
            while next < count || !joining.is_empty() {
                while next < count && joining.len() < crowd.shape.arriving {
                    joining.spawn_local(join(crowd.shape.clone(), next, listener.clone()));
                    next += 1;
                }
                if let Some(joined) = joining.join_next().await {
                    let (client, took) = joined??;
                    crowd.clients.push(client);
                    crowd.arrivals.push(took);
                }
            }
            anyhow::Ok(())
        };
        let outcome = timeout(ARRIVE_WITHIN, arrive).await;
        let there = crowd.clients.len();
        outcome.with_context(|| format!("after {} s only {there} of {count} are in", ARRIVE_WITHIN.as_secs()))??;
        crowd.clients.sort_unstable_by_key(|client| client.index);
        Ok(crowd)
    }

    /// For `length`, each of `writers` of every document makes `rate` edits a second (or moves its cursor, with
    /// `presence`), all evenly spread. An edit that is late is as late as its latency shows.
    pub async fn write(&self, writers: usize, rate: f64, length: Duration, presence: bool) -> Result<()> {
        let per = self.shape.clients_per_document;
        let authors: Vec<&Rc<Client>> = self.clients.iter().filter(|client| client.index % per < writers).collect();
        ensure!(!authors.is_empty(), "nobody writes");
        let step = Duration::from_secs_f64(1.0 / rate / authors.len() as f64);
        let (begin, mut frame) = (Instant::now(), Vec::new());
        let total = (length.as_secs_f64() / step.as_secs_f64()) as usize;
        for turn in 0..total {
            let due = begin + step.mul_f64(turn as f64);
            // Not one timer an edit: those of a millisecond leave together.
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
            let client = authors[turn % authors.len()];
            let (author, clock) = self.ledger.borrow_mut().send(client.index, due);
            frame.clear();
            if presence {
                self.shape.dialect.presence(&client.document, author, clock, &mut frame);
            } else {
                self.shape.dialect.edit(&client.document, author, clock, &mut frame);
            }
            client.send(&frame)?;
            if turn % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Waits until nothing is missing any more, or nothing has come for a while. What is missing then is lost.
    pub async fn settle(&self) -> u64 {
        let (mut before, mut since) = (u64::MAX, Instant::now());
        loop {
            let missing = self.ledger.borrow().missing();
            if missing < before {
                (before, since) = (missing, Instant::now());
            }
            if missing == 0 || since.elapsed() > Duration::from_secs(10) {
                return missing;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.clients.iter().for_each(|client| client.leave());
    }
}

async fn join(shape: Shape, index: usize, listener: Rc<dyn Listener>) -> Result<(Rc<Client>, Duration)> {
    let begin = Instant::now();
    let address = shape.addresses[index % shape.addresses.len()];
    let document = format!("{}-{}", shape.prefix, index / shape.clients_per_document);
    let client = Client::connect(address, shape.dialect, index, document, listener).await?;
    let at = client.synced().await;
    Ok((client, at.saturating_duration_since(begin)))
}
