//! A lane as a list of cargo runs.

use super::options::{Lane, Options};

/// How the black-box tests choose the runtime of the programs that they start (`ANNALS_RUNTIME_MODE`, read by
/// `annals_tests`).
const MODES: &[&str] = &["tokio", "asupersync", "mixed-server", "mixed-ingest"];

/// One `cargo test`.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub title: String,
    pub args: Vec<String>,
    /// For binaries with both runtimes.
    pub mode: Option<&'static str>,
}

pub fn plan(options: &Options) -> Vec<Run> {
    let run = |title: String, packages: &[&str], mode: Option<&'static str>| {
        let mut args: Vec<String> = ["test", "--locked", "--no-fail-fast"].map(str::to_owned).to_vec();
        args.extend(packages.iter().chain(options.lane.features()).map(ToString::to_string));
        args.extend(options.filter.clone());
        if !options.passed_on.is_empty() {
            args.push("--".to_owned());
            args.extend(options.passed_on.iter().cloned());
        }
        Run { title, args, mode }
    };
    match options.lane {
        Lane::Tokio => vec![run("everything on tokio".to_owned(), &["--workspace"], None)],
        Lane::Asupersync => vec![run("everything on asupersync".to_owned(), &["--workspace"], None)],
        Lane::Both => {
            let adapter = run(
                "the adapter with both runtimes".to_owned(),
                &["-p", "annals-net-adapter"],
                None,
            );
            let black_box = MODES.iter().map(|mode| {
                run(
                    format!("the programs with both runtimes, {mode}"),
                    &["-p", "annals-tests"],
                    Some(*mode),
                )
            });
            std::iter::once(adapter).chain(black_box).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lane: Lane) -> Vec<String> {
        let options = Options {
            lane,
            filter: Some("cursor".to_owned()),
            passed_on: vec!["--nocapture".to_owned()],
        };
        plan(&options).iter().map(|run| run.args.join(" ")).collect()
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
        let expected = "test --locked --no-fail-fast --workspace --no-default-features --features asupersync cursor \
                        -- --nocapture";
        assert_eq!(lines(Lane::Asupersync), [expected]);
    }

    #[test]
    fn both_runs_the_black_box_tests_in_every_mode() {
        let options = super::super::options::parse(&["--lane=both".to_owned()]);
        let runs = options.ok().flatten().map(|options| plan(&options)).unwrap_or_default();
        let modes: Vec<_> = runs.iter().map(|run| run.mode).collect();
        assert_eq!(
            modes,
            [
                None,
                Some("tokio"),
                Some("asupersync"),
                Some("mixed-server"),
                Some("mixed-ingest")
            ]
        );
    }
}
