//! Counts what `cargo test` prints.

/// What a run of `cargo test` came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub programs: usize,
    pub failed: Vec<String>,
    pub ignored: Vec<String>,
    /// Test programs that ended without a result: a crash, an abort, a kill.
    pub unfinished: Vec<String>,
    /// Lines in which a runtime named, at its end, tasks that were still there.
    pub left_behind: Vec<String>,
    failed_count: usize,
    ignored_count: usize,
    running: Option<String>,
    /// Names under the last `failures:`, which libtest prints twice: before the captured output, and before the names.
    listed: Option<Vec<String>>,
}

impl Tally {
    /// Reads one line of the merged output.
    pub fn read(&mut self, line: &str) {
        let trimmed = line.trim();
        if let Some(program) = program(trimmed) {
            self.begin(program);
        } else if let Some(counts) = result(trimmed) {
            self.count(counts);
        } else if let Some(name) = line.strip_prefix("test ").and_then(ignored) {
            self.ignored.push(self.qualified(name));
        } else if trimmed.contains("left behind: [") {
            // As `annals_net_adapter::testing` says it.
            let said = self.qualified(trimmed);
            self.left_behind.push(said);
        } else if trimmed == "failures:" {
            self.listed = Some(Vec::new());
        } else if let Some(listed) = &mut self.listed
            && let Some(name) = line.strip_prefix("    ")
        {
            listed.push(name.to_owned());
        }
    }

    /// Closes the account; call it when the output has ended.
    pub fn finish(mut self) -> Self {
        self.unfinished.extend(self.running.take());
        self
    }

    /// Adds another run, whose names get a prefix.
    pub fn add(&mut self, other: Self, prefix: Option<&str>) {
        let named = |names: Vec<String>| {
            names
                .into_iter()
                .map(move |name| prefix.map_or_else(|| name.clone(), |prefix| format!("[{prefix}] {name}")))
        };
        self.passed += other.passed;
        self.programs += other.programs;
        self.failed_count += other.failed_count;
        self.ignored_count += other.ignored_count;
        self.failed.extend(named(other.failed));
        self.ignored.extend(named(other.ignored));
        self.unfinished.extend(named(other.unfinished));
        self.left_behind.extend(named(other.left_behind));
    }

    /// Tests that failed; the names are a help, this is the count.
    pub fn failed_count(&self) -> usize {
        self.failed_count
    }

    pub fn ignored_count(&self) -> usize {
        self.ignored_count
    }

    fn begin(&mut self, program: String) {
        self.unfinished.extend(self.running.replace(program));
        self.programs += 1;
        self.listed = None;
    }

    fn count(&mut self, counts: &str) {
        let number = |what: &str| {
            let part = counts.split(';').find_map(|part| part.trim().strip_suffix(what));
            part.and_then(|part| part.split_whitespace().next_back())
                .and_then(|number| number.parse().ok())
        };
        self.passed += number(" passed").unwrap_or(0);
        self.failed_count += number(" failed").unwrap_or(0);
        self.ignored_count += number(" ignored").unwrap_or(0);
        let listed = self.listed.take().unwrap_or_default();
        let listed: Vec<String> = listed.iter().map(|name| self.qualified(name)).collect();
        self.failed.extend(listed);
        self.running = None;
    }

    fn qualified(&self, name: &str) -> String {
        match &self.running {
            Some(program) => format!("{program}: {name}"),
            None => name.to_owned(),
        }
    }
}

/// The names in what `cargo test -- --list` prints, with their programs.
pub fn listed<'a>(output: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut running = String::new();
    let mut names = Vec::new();
    for line in output {
        if let Some(program) = program(line.trim()) {
            running = program;
        } else if let Some(name) = line.strip_suffix(": test") {
            names.push(format!("{running}: {name}"));
        }
    }
    names.sort();
    names
}

/// The program that a line of cargo announces.
fn program(line: &str) -> Option<String> {
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} (documentation)"));
    }
    let (source, file) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
    let file = file.strip_suffix(')')?.rsplit('/').next()?;
    let (name, _hash) = file.rsplit_once('-')?;
    let source = source.strip_prefix("unittests ").unwrap_or(source);
    Some(format!("{name} ({source})"))
}

/// The counts of a finished program.
fn result(line: &str) -> Option<&str> {
    let verdict = line.strip_prefix("test result: ")?;
    verdict
        .strip_prefix("ok. ")
        .or_else(|| verdict.strip_prefix("FAILED. "))
}

/// The test that a line says was ignored; the rest of the line may give a reason.
fn ignored(line: &str) -> Option<&str> {
    let (name, verdict) = line.rsplit_once(" ... ")?;
    verdict.starts_with("ignored").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally.finish()
    }

    const MIXED: &str = "
   Compiling annals-core v0.1.0
     Running unittests src/lib.rs (target/debug/deps/annals_core-0123456789abcdef)

running 4 tests
test a::one ... ok
test a::two ... FAILED
test a::three ... ignored, needs Redis
test a::four - should panic ... ok

failures:

---- a::two stdout ----
    assertion failed
left behind: [TaskInfo { name: \"reader\" }]
test result: not one of ours

failures:
    a::two

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s

error: test failed, to rerun pass `-p annals-core --lib`
   Doc-tests annals_core

running 1 test
test crates/core/src/lib.rs - x (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn passed_failed_and_ignored_are_counted_by_name() {
        let tally = tally(MIXED);
        assert_eq!(
            (
                tally.passed,
                tally.programs,
                tally.failed_count(),
                tally.ignored_count()
            ),
            (3, 2, 1, 1)
        );
        assert_eq!(tally.failed, ["annals_core (src/lib.rs): a::two"]);
        assert_eq!(tally.ignored, ["annals_core (src/lib.rs): a::three"]);
        assert_eq!(tally.unfinished, [""; 0]);
        assert!(tally.left_behind.iter().all(|said| said.contains("reader")));
        assert_eq!(tally.left_behind.len(), 1);
    }

    #[test]
    fn a_list_names_the_program_of_each_test() {
        let output = "     Running unittests src/lib.rs (target/debug/deps/annals_core-01)\nb::two: test\na::one: test\n\n\
                      2 tests, 0 benchmarks\n   Doc-tests annals_core\nsrc/lib.rs - x (line 3): test\n";
        assert_eq!(
            listed(output.lines()),
            [
                "annals_core (documentation): src/lib.rs - x (line 3)",
                "annals_core (src/lib.rs): a::one",
                "annals_core (src/lib.rs): b::two",
            ]
        );
    }

    #[test]
    fn a_program_without_a_result_is_unfinished() {
        let output = "     Running tests/a.rs (target/debug/deps/a-1f)\nrunning 2 tests\ntest x ... ok\n\
                      error: test failed\n     Running tests/b.rs (target/debug/deps/b-2e)\n\
                      test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
                      \x20    Running tests/c.rs (target/debug/deps/c-3d)\n";
        assert_eq!(tally(output).unfinished, ["a (tests/a.rs)", "c (tests/c.rs)"]);
    }
}
