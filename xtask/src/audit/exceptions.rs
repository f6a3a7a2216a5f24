//! `xtask/audit.toml`: what is right although an audit says otherwise, and how many packages a build may have.

use anyhow::{Context, ensure};
use serde::Deserialize;
use toml::Spanned;

use super::finding::Finding;

pub const PATH: &str = "xtask/audit.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub exceptions: Vec<Spanned<Exception>>,
    pub ceilings: Ceilings,
}

/// One place where a rule does not apply, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    audit: String,
    /// A file; a folder when it ends with `/`.
    path: String,
    /// What the finding names; every finding of the file when absent.
    what: Option<String>,
    reason: String,
}

/// The most packages that each build may have.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    pub default: usize,
    pub asupersync: usize,
    pub both: usize,
}

impl Settings {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let settings: Self = toml::from_str(text).context(PATH)?;
        for exception in &settings.exceptions {
            ensure!(
                !exception.get_ref().reason.trim().is_empty(),
                "{PATH}: an exception without a reason"
            );
        }
        Ok(settings)
    }

    /// Takes out what is excepted, and adds a finding for each exception that excepted nothing.
    pub fn apply(&self, text: &str, audits: &[&'static str], mut findings: Vec<Finding>) -> Vec<Finding> {
        for exception in &self.exceptions {
            let Some(audit) = audits.iter().find(|audit| **audit == exception.get_ref().audit) else {
                continue;
            };
            let before = findings.len();
            findings.retain(|finding| !exception.get_ref().covers(finding));
            if findings.len() == before {
                let line = 1 + text
                    .bytes()
                    .take(exception.span().start)
                    .filter(|byte| *byte == b'\n')
                    .count();
                let why = "this exception excepts nothing; remove it";
                findings.push(Finding::new(audit, PATH, line, &exception.get_ref().path, why));
            }
        }
        findings
    }

    /// Exceptions from audits that do not exist.
    pub fn unknown_audits(&self, known: &dyn Fn(&str) -> bool) -> Vec<String> {
        let audits = self
            .exceptions
            .iter()
            .map(|exception| exception.get_ref().audit.clone());
        audits.filter(|audit| !known(audit)).collect()
    }
}

impl Exception {
    fn covers(&self, finding: &Finding) -> bool {
        let path = if self.path.ends_with('/') {
            finding.path.starts_with(&self.path)
        } else {
            finding.path == self.path
        };
        path && finding.audit == self.audit && self.what.as_ref().is_none_or(|what| *what == finding.what)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const TEXT: &str = r#"ceilings = { default = 1, asupersync = 2, both = 3 }
exceptions = [
  { audit = "clock", path = "a.rs", what = "x::now", reason = "because" },
  { audit = "clock", path = "b/", reason = "because" },
  { audit = "names", path = "c.rs", reason = "because" },
]"#;

    #[test]
    fn an_unused_exception_is_a_finding() {
        let settings = Settings::parse(TEXT).unwrap();
        let finding = |path: &str, what: &str| Finding::new("clock", path, 7, what, "");
        let left = settings.apply(
            TEXT,
            &["clock"],
            vec![finding("a.rs", "x::now"), finding("a.rs", "y::now")],
        );
        let places: Vec<_> = left.iter().map(|left| (left.path.as_str(), left.line)).collect();
        assert_eq!(places, [("a.rs", 7), (PATH, 4)]);
    }

    #[test]
    fn an_exception_needs_a_reason() {
        assert!(Settings::parse(&TEXT.replace("because", " ")).is_err());
    }
}
