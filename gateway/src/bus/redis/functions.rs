//! The log's functions as they are put into servers.

use std::borrow::Cow;

use crate::room::Rule;

const SOURCE: &str = include_str!("functions.lua");

/// What tells one reign of a server from the next.
const REIGN: &str = "string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')";
/// What stops the log's expiry.
const PERSIST: &str = "\n  redis.call('PERSIST', keys[1])\n  redis.call('PERSIST', keys[2])\n";

/// The library; without what keeps a rule, if it is the functions that keep it.
pub(super) fn library(without: Option<Rule>) -> Cow<'static, str> {
    match without {
        Some(Rule::Tenure) => SOURCE.replace(REIGN, "'always'").into(),
        Some(Rule::PersistOnAppend) => SOURCE.replace(PERSIST, "\n").into(),
        _ => SOURCE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_kept_in_one_place_and_taken_out_there() {
        for (rule, place) in [(Rule::Tenure, REIGN), (Rule::PersistOnAppend, PERSIST)] {
            assert_eq!(library(None).matches(place).count(), 1, "{rule:?}");
            assert_eq!(library(Some(rule)).matches(place).count(), 0, "{rule:?}");
        }
        assert_eq!(library(None), library(Some(Rule::Sweep)));
    }
}
