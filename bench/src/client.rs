//! One simulated client: a socket that reads whatever comes and notes it.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::dialect::{Dialect, Incoming};
use crate::wire;

/// What comes to a client, in a form that needs no copy.
pub trait Listener {
    /// `client` has got an edit, a run of edits or a whole document.
    fn update(&self, client: usize, update: &[u8], now: Instant) -> Result<()>;
    fn edit(&self, client: usize, author: u64, clock: u32, now: Instant);
    fn awareness(&self, client: usize, body: &[u8], now: Instant) -> Result<()>;
}

pub struct Client {
    pub index: usize,
    pub document: String,
    dialect: Dialect,
    stream: TcpStream,
    /// What the socket did not take.
    unsent: RefCell<Vec<u8>>,
    wake: Notify,
    synced: Cell<Option<Instant>>,
    arrived: Notify,
    left: Cell<bool>,
}

thread_local! {
    /// All clients read into it, one after the other.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 << 10]);
}

impl Client {
    /// Connects, opens the WebSocket and begins to read; [`synced`](Self::synced) tells when the document is there.
    pub async fn connect(
        address: SocketAddr,
        dialect: Dialect,
        index: usize,
        document: String,
        listener: Rc<dyn Listener>,
    ) -> Result<Rc<Self>> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let client = Self {
            index,
            dialect,
            stream,
            unsent: RefCell::default(),
            wake: Notify::new(),
            synced: Cell::new(None),
            arrived: Notify::new(),
            left: Cell::new(false),
            document,
        };
        client.send(wire::request(&dialect.path(&client.document)).as_bytes())?;
        let mut read = Vec::new();
        let head = loop {
            client.stream.readable().await?;
            match client.stream.try_read_buf(&mut read) {
                Ok(0) => bail!("the server closes before it answers"),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(head) = wire::head_length(&read)? {
                break head;
            }
        };
        read.drain(..head);
        let mut opening = Vec::new();
        dialect.open(&client.document, &mut opening);
        client.send(&opening)?;
        let client = Rc::new(client);
        let reading = client.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = reading.read(read, &*listener).await {
                eprintln!("client {} of {}: {error:#}", reading.index, reading.document);
            }
        });
        Ok(client)
    }

    /// When the client had its document; waits for that.
    pub async fn synced(&self) -> Instant {
        loop {
            let arrived = self.arrived.notified();
            match self.synced.get() {
                Some(at) => return at,
                None => arrived.await,
            }
        }
    }

    /// Sends frames; what the socket does not take now leaves later.
    pub fn send(&self, frames: &[u8]) -> Result<()> {
        let mut unsent = self.unsent.borrow_mut();
        let mut taken = 0;
        if unsent.is_empty() {
            taken = match self.stream.try_write(frames) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
        }
        if taken < frames.len() {
            unsent.extend_from_slice(&frames[taken..]);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until the socket has taken everything.
    pub async fn sent(&self) -> Result<()> {
        while !self.unsent.borrow().is_empty() {
            self.stream.writable().await?;
            self.send_rest()?;
        }
        Ok(())
    }

    fn send_rest(&self) -> Result<()> {
        let mut unsent = self.unsent.borrow_mut();
        match self.stream.try_write(&unsent) {
            Ok(taken) => drop(unsent.drain(..taken)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Reads until the connection ends.
    async fn read(&self, mut rest: Vec<u8>, listener: &dyn Listener) -> Result<()> {
        self.consume(&mut rest, listener)?;
        while !self.left.get() {
            let interest = if self.unsent.borrow().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = tokio::select! {
                ready = self.stream.ready(interest) => ready?,
                () = self.wake.notified() => continue,
            };
            if ready.is_writable() {
                self.send_rest()?;
            }
            if ready.is_readable() && !self.read_some(&mut rest, listener)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ends the connection, without a word.
    pub fn leave(&self) {
        self.left.set(true);
        self.wake.notify_one();
    }

    /// Takes what is there; false: the connection has ended.
    fn read_some(&self, rest: &mut Vec<u8>, listener: &dyn Listener) -> Result<bool> {
        SCRATCH.with_borrow_mut(|scratch| match self.stream.try_read(scratch) {
            Ok(0) => Ok(false),
            Ok(count) => {
                // Nearly always whole frames, which need no copy.
                if rest.is_empty() {
                    let used = self.frames(&scratch[..count], listener)?;
                    rest.extend_from_slice(&scratch[used..count]);
                } else {
                    rest.extend_from_slice(&scratch[..count]);
                    self.consume(rest, listener)?;
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error.into()),
        })
    }

    fn consume(&self, rest: &mut Vec<u8>, listener: &dyn Listener) -> Result<()> {
        let used = self.frames(rest, listener)?;
        rest.drain(..used);
        if rest.is_empty() {
            *rest = Vec::new();
        }
        Ok(())
    }

    /// Handles the whole frames in front; returns their length.
    fn frames(&self, read: &[u8], listener: &dyn Listener) -> Result<usize> {
        let (mut used, now) = (0, Instant::now());
        while let Some((opcode, payload, length)) = wire::parse(&read[used..])? {
            used += length;
            match opcode {
                wire::PING => self.answer(wire::PONG, payload)?,
                wire::CLOSE => {
                    bail!("the server closes: {}", String::from_utf8_lossy(payload.get(2..).unwrap_or_default()))
                }
                wire::TEXT | wire::BINARY => {
                    let mut outcome = Ok(());
                    self.dialect.read(&self.document, payload, |incoming| {
                        if outcome.is_ok() {
                            outcome = self.take(incoming, listener, now);
                        }
                    })?;
                    outcome?;
                }
                _ => {}
            }
        }
        Ok(used)
    }

    fn take(&self, incoming: Incoming<'_>, listener: &dyn Listener, now: Instant) -> Result<()> {
        match incoming {
            Incoming::Update { update, synced } => {
                listener.update(self.index, update, now)?;
                if synced {
                    self.arrive(now);
                }
            }
            Incoming::Edit { author, clock } => listener.edit(self.index, author, clock, now),
            Incoming::Awareness(body) => listener.awareness(self.index, body, now)?,
            Incoming::Synced => self.arrive(now),
            Incoming::Answer(text) => self.answer(wire::TEXT, text.as_bytes())?,
            Incoming::Nothing => {}
        }
        Ok(())
    }

    fn arrive(&self, now: Instant) {
        self.synced.set(self.synced.get().or(Some(now)));
        self.arrived.notify_waiters();
    }

    fn answer(&self, opcode: u8, payload: &[u8]) -> Result<()> {
        let mut frame = Vec::new();
        wire::write(opcode, payload, &mut frame);
        self.send(&frame)
    }
}
