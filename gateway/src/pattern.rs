//! Patterns of document names, as flags take them.

use std::str::FromStr;

/// A name, or the beginning of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    beginning: String,
    /// Anything may follow.
    open: bool,
}

impl Pattern {
    pub fn matches(&self, document: &str) -> bool {
        document.strip_prefix(&self.beginning).is_some_and(|rest| self.open || rest.is_empty())
    }
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let beginning = text.strip_suffix('*');
        let pattern = Self { open: beginning.is_some(), beginning: beginning.unwrap_or(text).to_owned() };
        if text.is_empty() {
            return Err("it is empty: write a document's name, the beginning of names and *, or * alone for all");
        }
        if pattern.beginning.contains('*') {
            // It looks like a pattern that matches more than it would.
            return Err("only its last character may be a *: write the beginning of the names up to the first *");
        }
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        for (pattern, document, matches) in [
            ("notes", "notes", true),
            ("notes", "notes/1", false),
            ("notes", "note", false),
            ("notes/*", "notes/1", true),
            ("notes/*", "notes/", true),
            ("notes/*", "notes", false),
            ("notes/*", "my notes/1", false),
            ("notes/*", "Notes/1", false),
            ("*", "anything", true),
            ("a, b", "a, b", true),
            ("größe*", "größer", true),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(document), matches, "{pattern} {document}");
        }
    }

    #[test]
    fn what_would_match_other_than_it_looks_is_refused() {
        for pattern in ["", "**", "*/1", "a*b", "a*b*"] {
            assert!(pattern.parse::<Pattern>().is_err(), "{pattern}");
        }
    }
}
