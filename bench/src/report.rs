//! Figures: as lines of a table while the benchmark runs, and as JSON lines in target/bench.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::pairs::Pairs;
use crate::subject::Kind;

/// One figure of one subject in one scenario.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub scenario: &'static str,
    pub subject: &'static str,
    pub metric: &'static str,
    pub value: f64,
    pub unit: &'static str,
    /// The value as a multiple of the floor, for CPU times of one delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floors: Option<f64>,
    /// What design.md asks of us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    pub lost: u64,
    pub duplicated: u64,
    #[serde(skip)]
    peer: bool,
}

impl Figure {
    pub fn new(scenario: &'static str, subject: Kind, metric: &'static str, value: f64, unit: &'static str) -> Self {
        let peer = subject != Kind::Gateway;
        let subject = subject.name();
        Self { scenario, subject, metric, value, unit, floors: None, target: None, lost: 0, duplicated: 0, peer }
    }

    pub fn of_operator(scenario: &'static str, metric: &'static str, value: f64, unit: &'static str) -> Self {
        Self { subject: "operator", ..Self::new(scenario, Kind::Gateway, metric, value, unit) }
    }

    /// What our value must not be above; the peers have no targets.
    pub fn target(mut self, target: f64) -> Self {
        self.target = (!self.peer).then_some(target);
        self
    }

    /// What went wrong with deliveries while this was measured.
    pub fn account(mut self, lost: u64, duplicated: u64) -> Self {
        (self.lost, self.duplicated) = (lost, duplicated);
        self
    }
}

pub struct Report {
    folder: PathBuf,
    floor: Duration,
    missed: usize,
    pairs: Pairs,
}

impl Report {
    pub fn new(floor: Duration) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        println!(
            "{:<4} {:<11} {:<30} {:>12} {:<6} {:>7} {:>9} {:>6} {:>5}",
            "", "subject", "metric", "value", "unit", "floors", "target", "lost", "dupl"
        );
        Ok(Self { folder, floor, missed: 0, pairs: Pairs::default() })
    }

    /// Empties the scenario's file.
    pub fn begin(&self, scenario: &str) -> Result<()> {
        File::create(self.path(scenario)).map(drop).with_context(|| format!("cannot write for {scenario}"))
    }

    fn path(&self, scenario: &str) -> PathBuf {
        self.folder.join(format!("{scenario}.jsonl"))
    }

    /// `figure`, whose value is microseconds of CPU time for one delivery, also as a multiple of the floor, which is
    /// what its target is compared with.
    pub fn cpu(&mut self, mut figure: Figure) -> Result<()> {
        figure.floors = Some(figure.value / self.floor.as_secs_f64() / 1e6);
        self.figure(figure)
    }

    pub fn figure(&mut self, figure: Figure) -> Result<()> {
        let compared = figure.floors.unwrap_or(figure.value);
        let missed = figure.target.is_some_and(|target| compared > target) || figure.lost + figure.duplicated > 0;
        let optional = |value: Option<f64>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
        println!(
            "{:<4} {:<11} {:<30} {:>12.2} {:<6} {:>7} {:>9} {:>6} {:>5}{}",
            figure.scenario,
            figure.subject,
            figure.metric,
            figure.value,
            figure.unit,
            optional(figure.floors),
            optional(figure.target),
            figure.lost,
            figure.duplicated,
            if missed { "  MISSED" } else { "" }
        );
        self.missed += usize::from(missed && !figure.peer);
        self.pairs.take(&figure);
        let mut file = File::options().append(true).create(true).open(self.path(figure.scenario))?;
        writeln!(file, "{}", serde_json::to_string(&figure)?)?;
        Ok(())
    }

    /// Prints what two builds of the gateway have in common, and returns how many of our figures missed their target.
    pub fn end(mut self) -> usize {
        self.pairs.print();
        self.missed
    }
}
