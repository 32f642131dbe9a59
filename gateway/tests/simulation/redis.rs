//! A log server that keeps one document's log: what the functions of `bus/redis/functions.lua` do, in memory.

use std::time::Duration;

use bytes::Bytes;
use gateway::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure};
use gateway::room::{Failed, Now};

const TRIM_AFTER: Duration = Duration::from_secs(10);
const TIME_TO_LIVE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(crate) struct Redis {
    /// Counts restarts; names the tenure.
    pub(crate) reign: u64,
    head: Option<Head>,
    pub(crate) stream: Option<Stream>,
    expires: Option<Now>,
    trim: Option<(u64, Now)>,
}

pub(crate) struct Stream {
    pub(crate) entries: Vec<Entry>,
    last: Position,
}

/// What subscribers are told.
#[derive(Clone)]
pub(crate) enum Notice {
    Entry(Entry),
    Covered(Position),
}

impl Redis {
    fn tenure(&self) -> Tenure {
        Tenure(format!("reign-{}", self.reign))
    }

    pub(crate) fn expire(&mut self, now: Now) {
        if self.expires.is_some_and(|at| now >= at) {
            self.empty();
        }
    }

    pub(crate) fn empty(&mut self) {
        *self = Self { reign: self.reign, ..Self::default() };
    }

    /// The last `count` entries never reached the server that goes on.
    pub(crate) fn lose_tail(&mut self, count: usize) {
        let Some(stream) = &mut self.stream else { return };
        let keep = stream.entries.len().saturating_sub(count);
        stream.entries.truncate(keep);
        match (stream.entries.last(), &self.head) {
            (Some(entry), Some(head)) if entry.position.epoch == head.epoch => stream.last = entry.position,
            // The copy is older than the epoch's opening, so it does not have its head either.
            _ => self.empty(),
        }
    }

    pub(crate) fn read(&self) -> ReadReply {
        ReadReply {
            entries: self.stream.as_ref().map(|stream| stream.entries.clone()).unwrap_or_default(),
            last: self.stream.as_ref().map(|stream| stream.last),
            head: self.head.clone(),
            tenure: self.tenure(),
        }
    }

    pub(crate) fn open(
        &mut self,
        expected: Option<&Head>,
        epoch: Epoch,
        tenure: &Tenure,
        update: Bytes,
    ) -> Result<(Opened, Option<Notice>), Failed> {
        if self.head.as_ref() != expected || *tenure != self.tenure() {
            return Ok((Opened::Refused, None));
        }
        self.trim = None;
        self.head = Some(Head { epoch, tenure: tenure.clone() });
        let entry = self.add(epoch, update)?;
        Ok((Opened::Opened, Some(Notice::Entry(entry))))
    }

    pub(crate) fn append(&mut self, epoch: Epoch, update: Bytes) -> Result<(Appended, Option<Notice>), Failed> {
        let tenure = self.tenure();
        let open = self.head.as_ref().is_some_and(|head| head.epoch == epoch && head.tenure == tenure);
        if !open || self.stream.is_none() {
            return Ok((Appended::Refused, None));
        }
        let entry = self.add(epoch, update)?;
        Ok((Appended::At(entry.position), Some(Notice::Entry(entry))))
    }

    /// `XADD epoch-*` and PERSIST: ids only grow.
    fn add(&mut self, epoch: Epoch, update: Bytes) -> Result<Entry, Failed> {
        let n = match &self.stream {
            Some(stream) if stream.last.epoch == epoch => stream.last.n + 1,
            Some(stream) if stream.last.epoch.0 > epoch.0 => return Err(Failed),
            _ => 0,
        };
        let entry = Entry { position: Position { epoch, n }, update };
        let stream = self.stream.get_or_insert_with(|| Stream { entries: Vec::new(), last: entry.position });
        stream.last = entry.position;
        stream.entries.push(entry.clone());
        self.expires = None;
        Ok(entry)
    }

    pub(crate) fn cover(&mut self, now: Now, position: Position) -> (bool, Option<Notice>) {
        if self.head.as_ref().is_none_or(|head| head.epoch != position.epoch) {
            return (false, None);
        }
        let old_enough = self.trim.filter(|(_, at)| now >= *at + TRIM_AFTER);
        if let (Some((n, _)), Some(stream)) = (old_enough, &mut self.stream) {
            let keep = |at: Position| at.epoch.0 > position.epoch.0 || at.epoch == position.epoch && at.n > n;
            stream.entries.retain(|entry| keep(entry.position));
        }
        if old_enough.is_some() || self.trim.is_none() {
            self.trim = Some((position.n, now));
        }
        if self.stream.as_ref().is_some_and(|stream| stream.last == position) {
            self.expires = Some(now + TIME_TO_LIVE);
        }
        (true, Some(Notice::Covered(position)))
    }
}
