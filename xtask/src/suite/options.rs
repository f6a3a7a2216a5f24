//! The command line of `cargo xtask test`.

use anyhow::{Context, bail};

/// Which runtimes are compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The default build.
    Tokio,
    /// Only asupersync.
    Asupersync,
    /// Both in one binary; the black-box tests once per way to choose between them.
    Both,
}

impl Lane {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Asupersync => "asupersync",
            Self::Both => "both",
        }
    }

    /// Which packages cargo is told to take; this tool has no runtime to choose.
    pub const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Tokio => &["--workspace"],
            Self::Asupersync | Self::Both => Self::PRODUCT,
        }
    }

    /// Everything but this tool.
    pub const PRODUCT: &'static [&'static str] = &["--workspace", "--exclude", "xtask"];

    /// Which features.
    pub const fn features(self) -> &'static [&'static str] {
        match self {
            Self::Tokio => &[],
            Self::Asupersync => &["--no-default-features", "--features", "asupersync"],
            Self::Both => &["--features", "asupersync"],
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub lane: Lane,
    /// Only tests whose name contains this.
    pub filter: Option<String>,
    /// What stood after `--`, for the test programs.
    pub passed_on: Vec<String>,
}

pub const HELP: &str = "\
cargo xtask test [--lane tokio|asupersync|both] [FILTER] [-- ARGS]

Builds and runs the whole suite on the default runtime; says by name what this machine could not run, why, and how to
get what is missing. An ignored test counts as failed.

  --lane LANE       tokio (default); asupersync: built with that runtime alone; both: built with both, the libraries
                    once, the programs on each and with one slice moved. Read docs/licensing.md before the last two.
  --features NAME   the same, named as cargo does: asupersync or both
  FILTER            only tests whose name contains it
  ARGS              for the test programs, such as --nocapture";

/// Reads the command line; nothing for a call for help.
pub fn parse(args: &[String]) -> anyhow::Result<Option<Options>> {
    let mut options = Options {
        lane: Lane::Tokio,
        filter: None,
        passed_on: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (arg.as_str(), None),
        };
        match name {
            "-h" | "--help" => return Ok(None),
            "--" => {
                options.passed_on = args.by_ref().cloned().collect();
            }
            "--lane" | "--features" => {
                let value = inline.or_else(|| args.next().map(String::as_str));
                options.lane = lane(value.with_context(|| format!("{name} needs a value"))?)?;
            }
            _ if name.starts_with('-') => bail!("no option {name:?}; `cargo xtask test --help` lists them"),
            _ if options.filter.is_some() => bail!("one filter at a time; after `--` the test programs take more"),
            _ => options.filter = Some(arg.clone()),
        }
    }
    Ok(Some(options))
}

fn lane(name: &str) -> anyhow::Result<Lane> {
    match name {
        "tokio" => Ok(Lane::Tokio),
        "asupersync" => Ok(Lane::Asupersync),
        "both" => Ok(Lane::Both),
        _ => bail!("no lane {name:?}; there are tokio, asupersync and both"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Option<Options>> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_default_is_the_whole_suite_on_tokio() {
        let expected = Options {
            lane: Lane::Tokio,
            filter: None,
            passed_on: Vec::new(),
        };
        assert_eq!(parsed("").unwrap(), Some(expected));
    }

    #[test]
    fn lane_filter_and_arguments_are_kept_apart() {
        for line in [
            "--lane both cursor -- --nocapture x",
            "cursor --features=both -- --nocapture x",
        ] {
            let options = parsed(line).unwrap().unwrap();
            assert_eq!((options.lane, options.filter.as_deref()), (Lane::Both, Some("cursor")));
            assert_eq!(options.passed_on, ["--nocapture", "x"]);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--lane", "--lane smol", "--fast", "a b", "--features all"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
