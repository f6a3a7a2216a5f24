//! What the suite came to, in words and as a verdict.

use std::fmt::Write as _;
use std::time::Duration;

use super::libtest::Tally;
use super::skips::Skip;
use crate::Verdict;

pub struct Summary {
    pub lane: &'static str,
    pub tally: Tally,
    pub skips: Vec<Skip>,
    pub took: Duration,
    /// Runs with which cargo was not content.
    pub failed_runs: Vec<String>,
    pub filter: Option<String>,
}

impl Summary {
    /// Everything ran, nothing failed, nothing was ignored.
    pub fn verdict(&self) -> Verdict {
        let tally = &self.tally;
        let ran = tally.passed > 0;
        let clean = tally.failed_count() == 0 && tally.ignored_count() == 0 && tally.unfinished.is_empty();
        if ran && clean && self.failed_runs.is_empty() {
            Verdict::Holds
        } else {
            Verdict::Broken
        }
    }

    pub fn text(&self) -> String {
        let tally = &self.tally;
        // A test that leaves itself out returns, and libtest calls that passed.
        let skipped = self
            .skips
            .iter()
            .map(|skip| &skip.test)
            .collect::<std::collections::BTreeSet<_>>()
            .len();
        let mut text = format!("\n== suite, lane {} ==\n", self.lane);
        list(&mut text, "failed", &tally.failed);
        list(&mut text, "ended without a result", &tally.unfinished);
        list(&mut text, "ignored, which counts as failed", &tally.ignored);
        list(&mut text, "cargo was not content with", &self.failed_runs);
        if !self.skips.is_empty() {
            line(
                &mut text,
                &format!("skipped, because this machine lacks something ({skipped}):"),
            );
            for Skip { test, reason, cure } in &self.skips {
                line(&mut text, &format!("  {test}: {reason}; to run it: {cure}"));
            }
        }
        if tally.passed == 0 && tally.failed_count() == 0 {
            line(
                &mut text,
                &self
                    .filter
                    .as_ref()
                    .map_or("no test ran".to_owned(), |filter| format!("no test matches {filter:?}")),
            );
        }
        line(
            &mut text,
            &format!(
                "{}: {} passed, {} failed, {} ignored, {} skipped in {} test programs, {}",
                if self.verdict() == Verdict::Holds {
                    "ok"
                } else {
                    "FAILED"
                },
                tally.passed.saturating_sub(skipped),
                tally.failed_count(),
                tally.ignored_count(),
                skipped,
                tally.programs,
                took(self.took),
            ),
        );
        text
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").ok();
}

fn list(text: &mut String, title: &str, names: &[String]) {
    if !names.is_empty() {
        line(text, &format!("{title}:"));
        names.iter().for_each(|name| line(text, &format!("  {name}")));
    }
}

fn took(took: Duration) -> String {
    match took.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(output: &str, skips: Vec<Skip>) -> Summary {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        Summary {
            lane: "tokio",
            tally: tally.finish(),
            skips,
            took: Duration::from_secs(61),
            failed_runs: Vec::new(),
            filter: None,
        }
    }

    const RUNNING: &str = "     Running unittests src/lib.rs (target/debug/deps/a-1f)\n";

    #[test]
    fn skipped_tests_are_named_and_do_not_fail() {
        let skip = Skip {
            test: "page_works".to_owned(),
            reason: "no Chromium".to_owned(),
            cure: "apt-get install chromium".to_owned(),
        };
        let summary = summary(
            &format!("{RUNNING}test result: ok. 2 passed; 0 failed; 0 ignored;"),
            vec![skip],
        );
        assert_eq!(summary.verdict(), Verdict::Holds);
        let text = summary.text();
        assert!(
            text.contains("page_works: no Chromium; to run it: apt-get install chromium"),
            "{text}"
        );
        assert!(
            text.ends_with("ok: 1 passed, 0 failed, 0 ignored, 1 skipped in 1 test programs, 1 min 1 s\n"),
            "{text}"
        );
    }

    #[test]
    fn ignored_unfinished_and_empty_runs_fail() {
        for output in [
            format!("{RUNNING}test x ... ignored\ntest result: ok. 2 passed; 0 failed; 1 ignored;"),
            format!("{RUNNING}test result: FAILED. 2 passed; 1 failed; 0 ignored;"),
            format!("{RUNNING}test result: ok. 2 passed; 0 failed; 0 ignored;\n{RUNNING}"),
            format!("{RUNNING}test result: ok. 0 passed; 0 failed; 0 ignored;"),
            String::new(),
        ] {
            assert_eq!(summary(&output, Vec::new()).verdict(), Verdict::Broken, "{output}");
        }
    }
}
