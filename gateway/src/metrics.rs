//! What the gateway counts. Atomics only: counting takes no lock, and a scrape disturbs no shard.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::reader::failure::Outcome;

/// Why a session's message was not taken. The label's values are in one place so that they stay few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// A text frame.
    Text,
    /// A type of message that the protocol does not have.
    UnknownType,
    /// Cut short, or an update or awareness that does not decode.
    Undecodable,
    /// An update that would harm other clients.
    Refused,
    /// The message or the document would be over its limit.
    TooLarge,
    /// Not a WebSocket frame that a client may send.
    Frame,
    /// More messages in one frame than a client may send.
    TooMany,
}

impl BadMessage {
    fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::UnknownType => "unknown_type",
            Self::Undecodable => "undecodable",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Frame => "frame",
            Self::TooMany => "too_many",
        }
    }
}

/// What a limit has stopped or slowed down. The label's values are in one place so that they stay few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// A connection that did not send the head of its request in time.
    HeadTimeout,
    /// A connection that had sent no whole head when its place was needed.
    Handshakes,
    /// An HTTP request that was not answered in time, or whose place was needed.
    Requests,
    /// A session that held much memory when the process was about to be killed for its own.
    Shed,
    /// A WebSocket that was refused because the gateway is full.
    Connections,
    /// A WebSocket that was refused because the process's memory is short.
    Memory,
    /// A session whose client was not heard any more.
    Silent,
    /// A session that took nothing.
    Stuck,
    /// A session whose message did not come to its end in time.
    SlowMessage,
    /// A session that was no longer read for a while, because of what it asked.
    Rate,
    /// A session that did not keep up: it gets a difference later.
    Behind,
    /// A presence that was not taken, because its session tells of too many.
    Presences,
    /// A session whose unfinished message no longer fitted into the memory for those of all.
    Unfinished,
}

impl Limited {
    const ALL: [Self; 13] = [
        Self::HeadTimeout,
        Self::Handshakes,
        Self::Requests,
        Self::Shed,
        Self::Connections,
        Self::Memory,
        Self::Silent,
        Self::Stuck,
        Self::SlowMessage,
        Self::Rate,
        Self::Behind,
        Self::Presences,
        Self::Unfinished,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::HeadTimeout => "head_timeout",
            Self::Handshakes => "handshakes",
            Self::Requests => "requests",
            Self::Shed => "shed",
            Self::Connections => "connections",
            Self::Memory => "memory",
            Self::Silent => "silent",
            Self::Stuck => "stuck",
            Self::SlowMessage => "slow_message",
            Self::Rate => "rate",
            Self::Behind => "behind",
            Self::Presences => "presences",
            Self::Unfinished => "unfinished",
        }
    }
}

pub struct Metrics {
    registry: Registry,
    pub connections: IntGauge,
    pub documents: IntGauge,
    pub updates_received: IntCounter,
    pub updates_sent: IntCounter,
    /// Shards observe into a `local()` of it and flush that now and then.
    pub delivery: Histogram,
    /// 1 while the log answers, as asked every few seconds; 0 before it has answered once.
    pub log_up: IntGauge,
    /// The same of the database.
    pub store_up: IntGauge,
    pub log_errors: IntCounter,
    pub store_errors: IntCounter,
    /// Documents that were not served because what is stored of them is damaged, each attempt counted.
    pub damaged: IntCounter,
    /// Documents that were not opened because they are in quarantine, each attempt counted.
    pub quarantined: IntCounter,
    /// All that are in quarantine, as the database says now and then.
    pub quarantined_documents: IntGauge,
    /// Processes that died or stalled in a document, as far as this one has written it down.
    pub strikes: IntCounter,
    /// Threads that do not come back from their document.
    pub stalled: IntGauge,
    /// Documents that a sweep left alone because they are in quarantine.
    pub sweep_skipped: IntCounter,
    /// Documents that were opened because nobody advanced their log.
    pub swept: IntCounter,
    /// Entries of the log that are no update and were left out.
    pub skipped_entries: IntCounter,
    /// Of the documents that are open.
    pub pending_bytes: IntGauge,
    pub draining: IntGauge,
    pub memory_bytes: IntGauge,
    /// 0: there is none.
    pub memory_limit_bytes: IntGauge,
    bad_messages: IntCounterVec,
    closes: IntCounterVec,
    limited: IntCounterVec,
    history_reads: IntCounterVec,
    /// Connections that have not sent a whole head yet.
    pub handshakes: IntGauge,
    /// Bytes of messages that have not come to their end, in all sessions.
    pub unfinished_bytes: IntGauge,
}

/// From a local round trip to a log that is in trouble.
const DELIVERY_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    /// # Errors
    /// When two metrics have one name: a mistake in this file.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("editorcluster".to_owned()), None)?;
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let counter = |name, help| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let labelled = |name, help, label| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let delivery = Histogram::with_opts(
            HistogramOpts::new("delivery_seconds", "From the receipt of an update to its write to a session's socket.")
                .buckets(DELIVERY_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(delivery.clone()))?;
        let limited = labelled("limited_total", "What a limit has stopped or slowed down.", "reason")?;
        for reason in Limited::ALL {
            // There from the start, so that a rate can be taken of the first one.
            limited.with_label_values(&[reason.label()]);
        }
        let history_reads = labelled("history_reads_total", "Contents that were read for the history.", "outcome")?;
        for outcome in Outcome::ALL {
            history_reads.with_label_values(&[outcome.label()]);
        }
        Ok(Self {
            connections: gauge("connections", "Open WebSocket sessions.")?,
            documents: gauge("documents", "Open rooms.")?,
            updates_received: counter("updates_received_total", "Updates that sessions sent.")?,
            updates_sent: counter(
                "updates_sent_total",
                "Updates that were queued to sessions, each receiver counted.",
            )?,
            delivery,
            log_up: gauge("log_up", "1 while the log (Redis) answers, asked every few seconds.")?,
            store_up: gauge("store_up", "1 while the database answers, asked every few seconds.")?,
            log_errors: counter("log_errors_total", "Calls to the log that had no answer.")?,
            store_errors: counter("store_errors_total", "Calls to the database that had no answer.")?,
            damaged: counter("damaged_total", "Attempts to open a document that is stored damaged.")?,
            quarantined: counter("quarantined_total", "Attempts to open a document that is in quarantine.")?,
            quarantined_documents: gauge("quarantined_documents", "Documents in quarantine, in the whole database.")?,
            strikes: counter("strikes_total", "Strikes against documents in which a process died or stalled.")?,
            stalled: gauge("stalled", "Threads that have not come back from one document for long.")?,
            sweep_skipped: counter("sweep_skipped_total", "Documents in quarantine that a sweep left alone.")?,
            swept: counter("swept_total", "Documents that were opened because nobody advanced their log.")?,
            skipped_entries: counter("skipped_entries_total", "Entries of the log that are no update; left out.")?,
            pending_bytes: gauge(
                "pending_bytes",
                "Bytes of edits in open documents that wait for others which nobody has told.",
            )?,
            draining: gauge("draining", "1 from the start of the drain on.")?,
            memory_bytes: gauge("memory_bytes", "Memory that the process uses, mapped files left out.")?,
            memory_limit_bytes: gauge(
                "memory_limit_bytes",
                "Memory from which on new sessions are refused; 0: there is no limit.",
            )?,
            bad_messages: labelled("bad_messages_total", "Messages that closed their session.", "reason")?,
            closes: labelled("closes_total", "Sessions that the gateway closed.", "code")?,
            limited,
            history_reads,
            handshakes: gauge("handshakes", "Connections that have not sent a whole request head.")?,
            unfinished_bytes: gauge("unfinished_bytes", "Bytes of messages that have not come to their end.")?,
            registry,
        })
    }

    pub fn bad_message(&self, reason: BadMessage) {
        self.bad_messages.with_label_values(&[reason.label()]).inc();
    }

    /// A session that the gateway closed with this code.
    pub fn closed(&self, code: u16) {
        self.closes.with_label_values(&[code.to_string()]).inc();
    }

    pub fn limited(&self, reason: Limited) {
        self.limited.with_label_values(&[reason.label()]).inc();
    }

    /// A content that was read for the history, or was not.
    pub fn history_read(&self, outcome: Outcome) {
        self.history_reads.with_label_values(&[outcome.label()]).inc();
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_names_that_the_operator_reads() {
        let metrics = Metrics::new().unwrap();
        metrics.connections.set(3);
        metrics.bad_message(BadMessage::Text);
        metrics.closed(1003);
        metrics.limited(Limited::Rate);
        let page = metrics.render().unwrap();
        for line in [
            "editorcluster_connections 3",
            "editorcluster_documents 0",
            "editorcluster_updates_received_total 0",
            "editorcluster_updates_sent_total 0",
            "editorcluster_delivery_seconds_count 0",
            "editorcluster_log_up 0",
            "editorcluster_store_up 0",
            "editorcluster_log_errors_total 0",
            "editorcluster_store_errors_total 0",
            "editorcluster_damaged_total 0",
            "editorcluster_quarantined_total 0",
            "editorcluster_quarantined_documents 0",
            "editorcluster_strikes_total 0",
            "editorcluster_stalled 0",
            "editorcluster_sweep_skipped_total 0",
            "editorcluster_swept_total 0",
            "editorcluster_skipped_entries_total 0",
            "editorcluster_draining 0",
            "editorcluster_memory_bytes 0",
            "editorcluster_memory_limit_bytes 0",
            "editorcluster_bad_messages_total{reason=\"text\"} 1",
            "editorcluster_closes_total{code=\"1003\"} 1",
            "editorcluster_limited_total{reason=\"rate\"} 1",
            "editorcluster_limited_total{reason=\"stuck\"} 0",
            "editorcluster_history_reads_total{outcome=\"ok\"} 0",
            "editorcluster_history_reads_total{outcome=\"crashed\"} 0",
            "editorcluster_handshakes 0",
            "editorcluster_unfinished_bytes 0",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} is missing in\n{page}");
        }
    }
}
