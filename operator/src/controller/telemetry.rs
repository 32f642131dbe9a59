//! The controller's own metrics. Labels are names of reasons, never texts or objects.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::crd::Reason;

/// Counters of the reconciles.
#[derive(Clone)]
pub struct Telemetry {
    reconciles: IntCounterVec,
}

impl Telemetry {
    /// Registers the counters.
    ///
    /// # Errors
    ///
    /// They are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new("editorcluster_operator_reconciles_total", "Reconciles by how they ended.");
        let reconciles = IntCounterVec::new(options, &["result"])?;
        registry.register(Box::new(reconciles.clone()))?;
        Ok(Self { reconciles })
    }

    /// Counts one that ended well (None) or for a reason.
    pub fn count(&self, failure: Option<Reason>) {
        let result = failure.map_or_else(|| "Done".to_owned(), Reason::name);
        self.reconciles.with_label_values(&[result.as_str()]).inc();
    }
}
