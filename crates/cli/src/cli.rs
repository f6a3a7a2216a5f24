//! The command line. Each command is declared in its own file; this is the list of them and what they share.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use annals_core::config::{ColorChoice, RuntimeName, TimeStyle};

use crate::commands::{self, Declared, Run};
use crate::logs::Verbosity;
use crate::output::{Mode, Shape};
use crate::pager::Paging;

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

/// The commands: from this one list come the enum that clap parses and every walk over all of them.
macro_rules! commands {
    ($($variant:ident: $module:ident),+ $(,)?) => {
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($variant(commands::$module::Args)),+
        }

        impl Command {
            /// What each command declares of itself, in the order of the help.
            pub const DECLARED: &'static [Declared] = &[$(Declared::of::<commands::$module::Args>()),+];

            /// What its answer looks like.
            pub fn shape(&self) -> Shape {
                match self {
                    $(Self::$variant(args) => args.shape()),+
                }
            }

            /// Hands the command to somebody who treats all of them alike.
            pub fn visit<V: Visit>(self, visitor: V) -> V::Out {
                match self {
                    $(Self::$variant(args) => visitor.visit(args)),+
                }
            }
        }
    };
}

commands! {
    Sync: sync,
    Search: search,
    Show: show,
    Related: related,
    Issues: issues,
    Mrs: mrs,
    Notes: notes,
    FileHistory: file_history,
    Timeline: timeline,
    Who: who,
    Count: count,
    Projects: projects,
    SyncRuns: sync_runs,
    Embed: embed,
    Verify: verify,
    Init: init,
    Auth: auth,
    Serve: serve,
    Mcp: mcp,
    Demo: demo,
    Stats: stats,
    Health: health,
    Doctor: doctor,
    Backup: backup,
    Migrate: migrate,
    Explain: explain,
    RobotDocs: robot_docs,
    Completions: completions,
    Man: man,
    Version: version,
}

/// Treats every command alike.
pub trait Visit {
    type Out;
    fn visit<C: Run>(self, command: C) -> Self::Out;
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
    /// Keep the line of JSON to so many bytes: whole items are left out, and `meta` says how to get them
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1024..), display_order = 901)]
    pub max_bytes: Option<u64>,
    /// Take the words as they are typed: correct no slip
    #[arg(long, global = true, display_order = 903)]
    pub no_autocorrect: bool,
    /// Print a long page as it is, also on a terminal
    #[arg(long, global = true, display_order = 902)]
    pub no_pager: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_parser = words(ColorChoice::NAMES), display_order = 902)]
    pub color: Option<String>,
    /// How to show times
    #[arg(long, global = true, value_name = "STYLE", value_parser = words(TimeStyle::NAMES), display_order = 902)]
    pub time: Option<String>,
    /// The time zone of days and local times
    #[arg(long, global = true, value_name = "ZONE", display_order = 902)]
    pub tz: Option<String>,
    /// Answer from the past: a day means its end, 30d counts back from now
    #[arg(long, global = true, value_name = "WHEN", display_order = 900)]
    pub as_of: Option<String>,
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

    pub const fn paging(&self) -> Paging {
        if self.no_pager { Paging::Never } else { Paging::IfLong }
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

    /// Every next step that errors name can be taken.
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
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
