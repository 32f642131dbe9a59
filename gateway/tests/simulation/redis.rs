//! A log server that keeps one document's log: what the functions of `bus/redis/functions.lua` do, in memory, and what
//! a restart or a promotion makes of it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use gateway::room::log::{Appended, Entry, Epoch, Head, Opened, Position, ReadReply, Tenure, Tip};
use gateway::room::{Failed, Now, Rule};

/// Longer than a database lags (`Fault::DatabaseLosesCommits`), a row is believed to be there, and a call takes.
const TRIM_AFTER: Duration = Duration::from_secs(20);
/// A replica lags, or a file lacks, at most this many writes.
const HISTORY: usize = 12;

/// One server: a process with its data.
pub(crate) struct Redis {
    /// Names the tenure: another one at each start and promotion.
    pub(crate) reign: u64,
    pub(crate) up: bool,
    data: Data,
    /// What the data was before each of the last writes.
    history: VecDeque<Data>,
    time_to_live: Duration,
    without: Option<Rule>,
}

#[derive(Clone, Default)]
struct Data {
    head: Option<Head>,
    stream: Option<Stream>,
    expires: Option<Now>,
    trim: Option<(u64, Now)>,
}

#[derive(Clone)]
struct Stream {
    entries: Vec<Entry>,
    last: Position,
}

/// What subscribers are told.
#[derive(Clone)]
pub(crate) enum Notice {
    Entry(Entry),
    Covered(Position, Option<i64>),
}

impl Redis {
    pub(crate) fn new(reign: u64, time_to_live: Duration, without: Option<Rule>) -> Self {
        Self { reign, up: true, data: Data::default(), history: VecDeque::new(), time_to_live, without }
    }

    /// The replica that takes over lacks the last `lag` writes.
    pub(crate) fn promoted(&self, reign: u64, lag: usize) -> Self {
        let mut replica = Self {
            data: self.data.clone(),
            history: self.history.clone(),
            ..Self::new(reign, self.time_to_live, self.without)
        };
        replica.lose_tail(lag);
        replica
    }

    fn tenure(&self) -> Tenure {
        let reign = if self.without == Some(Rule::Tenure) { 0 } else { self.reign };
        Tenure(format!("reign-{reign}"))
    }

    pub(crate) fn expire(&mut self, now: Now) {
        if self.data.expires.is_some_and(|at| now >= at) {
            self.empty();
        }
    }

    pub(crate) fn empty(&mut self) {
        (self.data, self.history) = (Data::default(), VecDeque::new());
    }

    pub(crate) fn lose_tail(&mut self, count: usize) {
        for _ in 0..count {
            self.data = self.history.pop_back().unwrap_or_default();
        }
    }

    /// The server is short of memory and its policy is to take any key.
    pub(crate) fn evict_head(&mut self) {
        (self.data.head, self.data.trim) = (None, None);
    }

    pub(crate) fn evict_stream(&mut self) {
        self.data.stream = None;
    }

    fn remember(&mut self) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(self.data.clone());
    }

    fn last(&self) -> Option<Position> {
        self.data.stream.as_ref().map(|stream| stream.last)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.data.stream.iter().flat_map(|stream| &stream.entries)
    }

    pub(crate) fn read(&self) -> ReadReply {
        let Tip { last, head, tenure } = self.peek();
        ReadReply { entries: self.entries().cloned().collect(), last, head, tenure }
    }

    pub(crate) fn peek(&self) -> Tip {
        Tip { last: self.last(), head: self.data.head.clone(), tenure: self.tenure() }
    }

    /// Where the log ends, if it has no time to live.
    pub(crate) fn uncovered_end(&self) -> Option<Position> {
        if self.data.expires.is_some() { None } else { self.last() }
    }

    pub(crate) fn open(
        &mut self,
        expected: Option<&Head>,
        epoch: Epoch,
        tenure: &Tenure,
        update: Bytes,
    ) -> Result<(Opened, Option<Notice>), Failed> {
        if self.data.head.as_ref() != expected || *tenure != self.tenure() {
            return Ok((Opened::Refused, None));
        }
        self.remember();
        self.data.trim = None;
        self.data.head = Some(Head { epoch, tenure: tenure.clone() });
        let entry = self.add(epoch, update)?;
        self.data.expires = None;
        Ok((Opened::Opened, Some(Notice::Entry(entry))))
    }

    pub(crate) fn append(&mut self, epoch: Epoch, update: Bytes) -> Result<(Appended, Option<Notice>), Failed> {
        let tenure = self.tenure();
        let open = if self.without == Some(Rule::RefuseOtherEpochs) {
            self.data.head.as_ref().is_none_or(|head| head.tenure == tenure)
        } else {
            self.data.head.as_ref().is_some_and(|head| head.epoch == epoch && head.tenure == tenure)
                && self.data.stream.is_some()
        };
        if !open {
            return Ok((Appended::Refused, None));
        }
        self.remember();
        let entry = self.add(epoch, update)?;
        if self.without != Some(Rule::PersistOnAppend) {
            self.data.expires = None;
        }
        Ok((Appended::At(entry.position), Some(Notice::Entry(entry))))
    }

    /// `XADD epoch-*`: ids only grow.
    fn add(&mut self, epoch: Epoch, update: Bytes) -> Result<Entry, Failed> {
        let n = match &self.data.stream {
            Some(stream) if stream.last.epoch == epoch => stream.last.n + 1,
            Some(stream) if stream.last.epoch.0 > epoch.0 => return Err(Failed),
            _ => 0,
        };
        let entry = Entry { position: Position { epoch, n }, update };
        let empty = || Stream { entries: Vec::new(), last: entry.position };
        let stream = self.data.stream.get_or_insert_with(empty);
        stream.last = entry.position;
        stream.entries.push(entry.clone());
        Ok(entry)
    }

    pub(crate) fn cover(&mut self, now: Now, position: Position, rev: Option<i64>) -> (bool, Option<Notice>) {
        let current = self.data.head.as_ref().is_some_and(|head| head.epoch == position.epoch);
        if !current && self.without != Some(Rule::RefuseOtherEpochs) {
            return (false, None);
        }
        self.remember();
        let data = &mut self.data;
        let old_enough = if self.without == Some(Rule::TrimLate) {
            Some((position.n, now))
        } else {
            data.trim.filter(|(_, at)| now >= *at + TRIM_AFTER)
        };
        if let (Some((n, _)), Some(stream)) = (old_enough, &mut data.stream) {
            let keep = |at: Position| at.epoch.0 > position.epoch.0 || at.epoch == position.epoch && at.n > n;
            stream.entries.retain(|entry| keep(entry.position));
        }
        if old_enough.is_some() || data.trim.is_none() {
            data.trim = Some((position.n, now));
        }
        let whole = data.stream.as_ref().is_some_and(|stream| stream.last == position);
        if whole || self.without == Some(Rule::ExpireAtLastOnly) {
            data.expires = Some(now + self.time_to_live);
        }
        (true, Some(Notice::Covered(position, rev)))
    }
}
