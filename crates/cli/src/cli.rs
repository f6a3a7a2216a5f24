//! The command line. Each command is declared in its own file; this is the list of them and what they share.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use annals_core::config::{ColorChoice, RuntimeName, TimeStyle};

use crate::commands;
use crate::logs::Verbosity;
use crate::output::Mode;

/// Keeps a local, searchable, never-half-written record of what happens on your software forges.
#[derive(Debug, Parser)]
#[command(
    name = "annals",
    version,
    propagate_version = false,
    // The last of a repeated option counts, as with any other command: an alias may have given the first.
    args_override_self = true,
    max_term_width = 100,
    after_help = "Start with `annals demo`, which needs nothing, or `annals sync https://HOST/GROUP/PROJECT`.\n\
                  `annals help COMMAND` shows the rest."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Sync(commands::sync::Args),
    Search(commands::search::Args),
    Show(commands::show::Args),
    Issues(commands::issues::Args),
    Mrs(commands::mrs::Args),
    Projects(commands::projects::Args),
    SyncRuns(commands::sync_runs::Args),
    Serve(commands::serve::Args),
    Demo(commands::demo::Args),
    Doctor(commands::doctor::Args),
    Migrate(commands::migrate::Args),
    Explain(commands::explain::Args),
    Completions(commands::completions::Args),
    Version(commands::version::Args),
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The configuration file, instead of ./annals.toml or the user's
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    pub config: Option<std::path::PathBuf>,
    /// The file that holds the mirror
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    pub db: Option<String>,
    /// The project meant: its path, or the end of it where that is clear
    #[arg(short, long, global = true, value_name = "PROJECT", display_order = 900)]
    pub project: Option<String>,
    /// Answer with one line of JSON; the default when standard output is no terminal
    #[arg(
        short = 'J',
        long,
        alias = "json",
        global = true,
        overrides_with = "human",
        display_order = 901
    )]
    pub robot: bool,
    /// Answer for a person, also into a file or a pipe
    #[arg(long, global = true, overrides_with = "robot", display_order = 901)]
    pub human: bool,
    /// Only these fields of the answer, `minimal` or `full`
    #[arg(long, global = true, value_name = "A,B.C", display_order = 901)]
    pub fields: Option<String>,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_parser = words(ColorChoice::NAMES), display_order = 902)]
    pub color: Option<String>,
    /// How to show times
    #[arg(long, global = true, value_name = "STYLE", value_parser = words(TimeStyle::NAMES), display_order = 902)]
    pub time: Option<String>,
    /// The time zone of days and local times
    #[arg(long, global = true, value_name = "ZONE", display_order = 902)]
    pub tz: Option<String>,
    /// How to show progress on standard error: on a terminal, not at all, one event per line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "HOW",
        display_order = 902
    )]
    pub progress: ProgressChoice,
    /// Say nothing beside the answer but errors
    #[arg(short, long, global = true, display_order = 903)]
    pub quiet: bool,
    /// Log more; twice for details, three times for everything
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 903)]
    pub verbose: u8,
    /// How log lines look
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        display_order = 903
    )]
    pub log_format: LogFormat,
    /// The runtime to run on, of those built in
    #[arg(long, global = true, value_name = "NAME", value_parser = words(RuntimeName::NAMES), display_order = 904)]
    pub runtime: Option<String>,
}

fn words(names: &'static [&'static str]) -> clap::builder::PossibleValuesParser {
    names.into()
}

// Their values are not described one by one: that would double the length of every help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressChoice {
    #[default]
    Auto,
    None,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Global {
    /// The mode that a flag asks for.
    pub fn mode(&self) -> Option<Mode> {
        match (self.robot, self.human) {
            (true, _) => Some(Mode::Robot),
            (_, true) => Some(Mode::Human),
            (false, false) => None,
        }
    }

    pub fn verbosity(&self) -> Verbosity {
        Verbosity {
            quiet: self.quiet,
            verbose: self.verbose,
        }
    }

    /// Keys of the configuration that flags set.
    pub fn overrides(&self) -> Vec<(String, String)> {
        let flags = [
            ("db.path", &self.db),
            ("cli.color", &self.color),
            ("cli.time", &self.time),
            ("cli.tz", &self.tz),
            ("runtime.default", &self.runtime),
        ];
        let set = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        set.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_model_is_sound() {
        Cli::command().debug_assert();
    }

    /// `core` lists the commands that an error may name as the next step.
    #[test]
    fn next_steps_name_the_commands_there_are() {
        let model = Cli::command();
        let mut commands: Vec<&str> = model
            .get_subcommands()
            .map(clap::Command::get_name)
            .chain(["help"])
            .collect();
        let mut named = annals_core::code::COMMANDS.to_vec();
        commands.sort_unstable();
        named.sort_unstable();
        assert_eq!(commands, named);
    }

    /// One failure cannot happen before what its next step needs is there: entities synced one by one.
    #[test]
    fn every_action_is_a_command_that_parses() {
        let values = [
            ("R", "0190-7"),
            ("URL", "https://forge.example/group/app"),
            ("PROJECT", "group/app"),
        ];
        let mut wrong = Vec::new();
        for code in annals_core::Code::ALL {
            for action in code.actions(&values) {
                let parsed = Cli::try_parse_from(action.split(' '));
                let help = parsed
                    .as_ref()
                    .is_err_and(|error| error.kind() == clap::error::ErrorKind::DisplayHelp);
                if parsed.is_err() && !help {
                    wrong.push(code.as_str());
                }
            }
        }
        assert_eq!(wrong, ["surgical_preflight_failed"]);
    }
}
