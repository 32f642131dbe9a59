//! The quarantine in the database: strikes, and the documents that are not opened. `quarantine::rule` decides.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Result, Store};
use crate::quarantine::rule::{Counted, is_enough};

/// Why a document has a strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process ended while it was working on the document.
    Died,
    /// It did not come back from it.
    Stalled,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::Stalled => "stalled",
        }
    }
}

/// A process died or stalled in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    pub document: String,
    /// The process. It strikes a document once.
    pub run: u64,
    pub cause: Cause,
    /// What it was doing, as `quarantine::marks::Doing` has it.
    pub doing: &'static str,
    /// Documents that it was working on, this one among them.
    pub suspects: u32,
}

/// A strike as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrikeInfo {
    pub cause: String,
    pub doing: String,
    pub suspects: u32,
    /// Unix seconds.
    pub at: i64,
    pub age: Duration,
}

/// A strike's columns, in the order of its fields; the age in seconds.
pub(super) type StrikeColumns = (String, String, i64, i64, i64);

impl From<StrikeColumns> for StrikeInfo {
    fn from((cause, doing, suspects, at, age): StrikeColumns) -> Self {
        let suspects = u32::try_from(suspects).unwrap_or(u32::MAX);
        Self { cause, doing, suspects, at, age: Duration::from_secs(age.max(0).cast_unsigned()) }
    }
}

/// A document that is not opened. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub document: String,
    pub since: i64,
}

/// A row as it is in the database, whether it can be served or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    pub state: Bytes,
    pub epoch: Option<i64>,
    pub n: Option<i64>,
    pub rev: i64,
    pub deleted: bool,
    /// Whether it is what was written, as far as its checksum says; a row of an earlier schema has none.
    pub sound: bool,
}

#[async_trait]
pub trait Quarantine: Store {
    /// Writes a strike down, once for each process and document.
    async fn note_strike(&self, strike: &Strike) -> Result<()>;
    /// The strikes that are not forgotten yet, the latest first.
    async fn strikes(&self, document: &str) -> Result<Vec<StrikeInfo>>;
    /// Refuses the document from now on. False: it is in quarantine already.
    async fn quarantine(&self, document: &str) -> Result<bool>;
    /// All that is in quarantine, by name.
    async fn quarantined(&self) -> Result<Vec<Quarantined>>;
    async fn is_quarantined(&self, document: &str) -> Result<bool>;
    /// Takes the document out of quarantine and forgets its strikes. False: it was not in there.
    async fn release(&self, document: &str) -> Result<bool>;
    /// The row, undecoded. None: there is none.
    async fn raw(&self, document: &str) -> Result<Option<RawRow>>;

    /// Strikes the document, and puts it into quarantine if that is enough. True: it is in there since now.
    ///
    /// Two gateways that strike at once both write first and then look, so one of them at least sees both.
    async fn strike(&self, strike: &Strike) -> Result<bool> {
        self.note_strike(strike).await?;
        let strikes = self.strikes(&strike.document).await?;
        let counted: Vec<_> =
            strikes.iter().map(|strike| Counted { age: strike.age, suspects: strike.suspects }).collect();
        Ok(is_enough(&counted) && self.quarantine(&strike.document).await?)
    }
}
