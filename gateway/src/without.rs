//! A gateway that does without one rule of the log protocol. The scenarios on the cluster show with it that they would
//! notice the rule's loss (`e2e/tests/faults/mutations.rs`). Debug builds alone know it.

use std::env::{self, VarError};

use anyhow::{Context, Result, bail};

use crate::room::Rule;

const VARIABLE: &str = "EDITORCLUSTER_WITHOUT_RULE";

/// The rule that this process does without. A release build keeps them all, whatever its environment says.
///
/// # Errors
/// The environment names none that can be taken out here.
pub(crate) fn rule() -> Result<Option<Rule>> {
    if !cfg!(debug_assertions) {
        return Ok(None);
    }
    match env::var(VARIABLE) {
        Ok(name) => named(&name).map(Some),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context(VARIABLE),
    }
}

fn named(name: &str) -> Result<Rule> {
    // The spec's `sweepSeconds` takes the sweep out, and the simulation takes out the rest.
    let rules = [Rule::Tenure, Rule::PersistOnAppend, Rule::ContiguousPosition, Rule::AcknowledgeAllHeld];
    match rules.into_iter().find(|rule| format!("{rule:?}") == name) {
        Some(rule) => Ok(rule),
        None => bail!("{VARIABLE} is `{name}`; write one of {rules:?}, or leave it out to keep every rule"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_goes_by_its_name_and_another_name_is_refused() {
        assert_eq!(named("Tenure").unwrap(), Rule::Tenure);
        assert_eq!(named("AcknowledgeAllHeld").unwrap(), Rule::AcknowledgeAllHeld);
        assert!(named("tenure").unwrap_err().to_string().contains("write one of [Tenure, "));
    }
}
