//! What the gateway counts. Atomics only: counting takes no lock, and a scrape disturbs no shard.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Why a session's message was not taken. The label's values are in one place so that they stay few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// A text frame.
    Text,
    /// A type of message that the protocol does not have.
    UnknownType,
    /// Cut short, or an update or awareness that does not decode.
    Undecodable,
    /// The message or the document would be over its limit.
    TooLarge,
    /// Not a WebSocket frame that a client may send.
    Frame,
}

impl BadMessage {
    fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::UnknownType => "unknown_type",
            Self::Undecodable => "undecodable",
            Self::TooLarge => "too_large",
            Self::Frame => "frame",
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
    pub log_errors: IntCounter,
    pub store_errors: IntCounter,
    /// Documents that were opened because nobody advanced their log.
    pub swept: IntCounter,
    pub draining: IntGauge,
    bad_messages: IntCounterVec,
    closes: IntCounterVec,
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
        Ok(Self {
            connections: gauge("connections", "Open WebSocket sessions.")?,
            documents: gauge("documents", "Open rooms.")?,
            updates_received: counter("updates_received_total", "Updates that sessions sent.")?,
            updates_sent: counter(
                "updates_sent_total",
                "Updates that were queued to sessions, each receiver counted.",
            )?,
            delivery,
            log_errors: counter("log_errors_total", "Calls to the log that had no answer.")?,
            store_errors: counter("store_errors_total", "Calls to the database that had no answer.")?,
            swept: counter("swept_total", "Documents that were opened because nobody advanced their log.")?,
            draining: gauge("draining", "1 from the start of the drain on.")?,
            bad_messages: labelled("bad_messages_total", "Messages that closed their session.", "reason")?,
            closes: labelled("closes_total", "Sessions that the gateway closed.", "code")?,
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
        let page = metrics.render().unwrap();
        for line in [
            "editorcluster_connections 3",
            "editorcluster_documents 0",
            "editorcluster_updates_received_total 0",
            "editorcluster_updates_sent_total 0",
            "editorcluster_delivery_seconds_count 0",
            "editorcluster_log_errors_total 0",
            "editorcluster_store_errors_total 0",
            "editorcluster_swept_total 0",
            "editorcluster_draining 0",
            "editorcluster_bad_messages_total{reason=\"text\"} 1",
            "editorcluster_closes_total{code=\"1003\"} 1",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} is missing in\n{page}");
        }
    }
}
