//! A lane as a list of cargo runs.

use super::options::{Lane, Options};

/// How the black-box tests choose the runtime of the programs that they start (`ANNALS_RUNTIME_MODE`, read by
/// `annals_tests`). Unmixed they run in the other two lanes, and `rollback` moves between them.
const MODES: &[&str] = &["mixed-server", "mixed-ingest"];

/// One `cargo test`.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub title: String,
    pub args: Vec<String>,
    /// For binaries with both runtimes.
    pub mode: Option<&'static str>,
}

/// Test files, by package.
#[derive(Debug, Default)]
pub struct Tests {
    pub adapter: Vec<String>,
    pub black_box: Vec<String>,
}

/// The runs of a lane. All of them, and the build of the programs, take the same packages: with another choice cargo
/// would resolve other features and compile the large dependencies again.
pub fn plan(options: &Options, tests: &Tests) -> Vec<Run> {
    let run = |title: &str, targets: &[String], mode: Option<&'static str>| {
        let mut args: Vec<String> = ["test", "--locked", "--no-fail-fast"].map(str::to_owned).to_vec();
        args.extend(
            options
                .lane
                .packages()
                .iter()
                .chain(options.lane.features())
                .map(ToString::to_string),
        );
        args.extend(targets.iter().cloned());
        args.extend(options.filter.clone());
        if !options.passed_on.is_empty() {
            args.push("--".to_owned());
            args.extend(options.passed_on.iter().cloned());
        }
        Run {
            title: title.to_owned(),
            args,
            mode,
        }
    };
    let named = |tests: &[String]| {
        tests
            .iter()
            .flat_map(|test| ["--test".to_owned(), test.clone()])
            .collect::<Vec<_>>()
    };
    match options.lane {
        Lane::Tokio => vec![run("everything on tokio", &[], None)],
        Lane::Asupersync => vec![run("everything on asupersync", &[], None)],
        Lane::Both => {
            let libraries = [vec!["--lib".to_owned()], named(&tests.adapter)].concat();
            let mut runs = vec![run("the libraries with both runtimes", &libraries, None)];
            if !tests.black_box.is_empty() {
                let black_box = named(&tests.black_box);
                let modes = MODES.iter();
                runs.extend(modes.map(|mode| {
                    run(
                        &format!("the programs with both runtimes, {mode}"),
                        &black_box,
                        Some(*mode),
                    )
                }));
            }
            runs
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(lane: Lane) -> Vec<Run> {
        let options = Options {
            lane,
            filter: Some("cursor".to_owned()),
            passed_on: vec!["--nocapture".to_owned()],
        };
        let tests = Tests {
            adapter: vec!["conformance".to_owned()],
            black_box: vec!["demo".to_owned(), "kill".to_owned()],
        };
        plan(&options, &tests)
    }

    fn lines(lane: Lane) -> Vec<String> {
        runs(lane).iter().map(|run| run.args.join(" ")).collect()
    }

    #[test]
    fn the_default_lane_never_names_the_second_runtime() {
        assert_eq!(
            lines(Lane::Tokio),
            ["test --locked --no-fail-fast --workspace cursor -- --nocapture"]
        );
    }

    #[test]
    fn the_asupersync_lane_has_no_default_features() {
        let expected = "test --locked --no-fail-fast --workspace --exclude xtask --no-default-features --features \
                        asupersync cursor -- --nocapture";
        assert_eq!(lines(Lane::Asupersync), [expected]);
    }

    #[test]
    fn both_runs_the_programs_mixed() {
        let modes: Vec<_> = runs(Lane::Both).iter().map(|run| run.mode).collect();
        assert_eq!(modes, [None, Some("mixed-server"), Some("mixed-ingest")]);
        let lines = lines(Lane::Both);
        let common = "test --locked --no-fail-fast --workspace --exclude xtask --features asupersync";
        assert_eq!(
            lines.first(),
            Some(&format!("{common} --lib --test conformance cursor -- --nocapture"))
        );
        assert_eq!(
            lines.last(),
            Some(&format!("{common} --test demo --test kill cursor -- --nocapture"))
        );
    }
}
