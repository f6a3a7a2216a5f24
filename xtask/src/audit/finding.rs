//! One place that breaks a rule.

use std::fmt;

/// Where, which rule, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// From the top of the repository, or the cargo command whose output is meant.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// Name of the audit.
    pub audit: &'static str,
    /// What stands there; an exception may name it.
    pub what: String,
    /// Why it is wrong and what is right.
    pub why: String,
}

impl Finding {
    pub fn new(audit: &'static str, path: &str, line: usize, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            audit,
            what: what.into(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            audit,
            what,
            why,
        } = self;
        write!(f, "{path}:{line}: {audit}: `{what}`: {why}")
    }
}
