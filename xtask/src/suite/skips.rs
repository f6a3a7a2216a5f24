//! What tests said they could not do on this machine.
//!
//! A test that lacks a tool appends one line to the file that `ANNALS_SKIP_LOG` names, `name<TAB>reason<TAB>how to get
//! it`, and returns. `annals_tests::skip` does so; a test of another crate may write the line itself.

use std::path::Path;

pub const SKIP_LOG: &str = "ANNALS_SKIP_LOG";

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skip {
    pub test: String,
    pub reason: String,
    pub cure: String,
}

/// Reads the file of one run; nobody wrote it when nothing was skipped.
pub fn read(file: &Path, mode: Option<&str>) -> anyhow::Result<Vec<Skip>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(parse(&text, mode)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn parse(text: &str, mode: Option<&str>) -> Vec<Skip> {
    let mut skips: Vec<Skip> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| skip(line, mode))
        .collect();
    skips.sort();
    skips.dedup();
    skips
}

fn skip(line: &str, mode: Option<&str>) -> Skip {
    let mut parts = line.splitn(3, '\t').map(str::trim);
    let mut part = |missing: &str| {
        parts
            .next()
            .filter(|part| !part.is_empty())
            .unwrap_or(missing)
            .to_owned()
    };
    let test = part("(a test without a name)");
    Skip {
        test: mode.map_or_else(|| test.clone(), |mode| format!("[{mode}] {test}")),
        reason: part("no reason given"),
        cure: part("not said"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_has_a_name_a_reason_and_a_cure() {
        let skips = parse(
            "b\tno Chromium\tapt-get install chromium\n\na\n\nb\tno Chromium\tapt-get install chromium\n",
            None,
        );
        let found: Vec<_> = skips
            .iter()
            .map(|skip| (&*skip.test, &*skip.reason, &*skip.cure))
            .collect();
        assert_eq!(
            found,
            [
                ("a", "no reason given", "not said"),
                ("b", "no Chromium", "apt-get install chromium")
            ]
        );
        assert!(
            parse("x\ty\tz", Some("mixed-server"))
                .iter()
                .all(|skip| skip.test == "[mixed-server] x")
        );
    }
}
