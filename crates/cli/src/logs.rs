//! Log lines, on standard error.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use crate::cli::LogFormat;
use crate::output::{Console, Palette};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verbosity {
    pub quiet: bool,
    pub verbose: u8,
}

impl Verbosity {
    fn filter(self) -> Targets {
        let ours = match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::WARN,
            (false, 1) => LevelFilter::INFO,
            (false, 2) => LevelFilter::DEBUG,
            (false, _) => LevelFilter::TRACE,
        };
        // Libraries below may log whole requests; only their complaints are wanted.
        let theirs = if self.quiet {
            LevelFilter::ERROR
        } else {
            LevelFilter::WARN
        };
        Targets::new().with_default(theirs).with_target("annals", ours)
    }
}

/// Starts logging, once per process.
pub fn start(verbosity: Verbosity, format: LogFormat, console: &Console, palette: Palette) {
    let builder = tracing_subscriber::fmt()
        .with_writer(console.clone())
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(palette == Palette::Coloured);
    let filter = verbosity.filter();
    let set = match format {
        LogFormat::Text => {
            let lines = builder
                .with_target(verbosity.verbose > 1)
                .without_time()
                .compact()
                .finish()
                .with(filter);
            tracing::subscriber::set_global_default(lines)
        }
        LogFormat::Json => {
            let lines = builder.json().flatten_event(true).finish().with(filter);
            tracing::subscriber::set_global_default(lines)
        }
    };
    // It fails only when a logger was set before, and then lines go there.
    drop(set);
}
