//! A command line that cannot be understood, told like every other failure.

use std::ffi::OsString;

use annals_core::text::{nearest, visible};
use annals_core::{Code, Report};
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Cli;
use crate::error::Error;
use crate::output::stdout;

/// What clap's answer comes to.
#[derive(Debug)]
pub enum Answer {
    /// Help or version: printed as it is, and nothing went wrong.
    Text(String),
    /// No command was named: a person is shown the help.
    Nothing { help: String, report: Box<Report> },
    /// A mistake.
    Mistake(Box<Report>),
}

/// Reads what clap says about a command line.
pub fn read(error: &clap::Error) -> Answer {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Answer::Text(error.render().to_string()),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let report = Report::new(Code::Usage, "no command was named")
                .with_action("annals demo")
                .with_action("annals help")
                .with_detail("commands", commands());
            Answer::Nothing {
                help: Cli::command().render_help().to_string(),
                report: Box::new(report),
            }
        }
        _ => Answer::Mistake(Box::new(mistake(error))),
    }
}

/// Prints what was asked for.
///
/// # Errors
/// A failure to write.
pub fn print(text: &str) -> Result<(), Error> {
    stdout::print(text)
}

/// The same without any word that was typed: behind `annals auth` one of them may be a token.
pub fn untold(report: Report) -> Report {
    let message = "the words after `annals auth` cannot be understood. They are not repeated: if one of them is a token, it is \
                   in the shell's history now, so revoke it";
    Report {
        message: message.to_owned(),
        ..report
    }
}

fn mistake(error: &clap::Error) -> Report {
    let rendered = error.render().to_string();
    let paragraphs: Vec<&str> = rendered.split("\n\n").collect();
    let what = paragraphs
        .first()
        .copied()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    // A list of possible values follows on lines of its own.
    let words: Vec<&str> = what.split_whitespace().collect();
    let mut report = Report::new(Code::Usage, visible(&words.join(" ")));
    let usage = paragraphs
        .iter()
        .find_map(|paragraph| paragraph.trim().strip_prefix("Usage: "));
    if let Some(usage) = usage.and_then(|usage| usage.lines().next()) {
        report = report.with_detail("usage", visible(usage).into_owned());
    }
    let valid = strings(error, ContextKind::ValidValue);
    if !valid.is_empty() {
        report = report.with_detail("valid", valid);
    }
    report.suggestion = suggestion(error);
    if error.kind() == ErrorKind::InvalidSubcommand {
        report = report.with_detail("commands", commands());
    }
    report
}

/// The command that shows how the command of these arguments is used, whatever else is wrong with them.
pub fn help_for(args: &[OsString]) -> String {
    let read = Cli::command().ignore_errors(true).try_get_matches_from(args);
    let command = read.ok().and_then(|found| found.subcommand_name().map(str::to_owned));
    // An option with a mistake may hide the command behind it.
    let command = command.or_else(|| {
        let words = args.iter().skip(1).filter_map(|arg| arg.to_str());
        words
            .take_while(|word| *word != "--")
            .find(|word| commands().iter().any(|command| command == word))
            .map(str::to_owned)
    });
    match command.as_deref() {
        None | Some("help") => "annals help".to_owned(),
        Some(command) => format!("annals help {command}"),
    }
}

/// What was probably meant: the nearest command, or clap's best guess, which it says last.
fn suggestion(error: &clap::Error) -> Option<String> {
    if let Some(wrong) = strings(error, ContextKind::InvalidSubcommand).first() {
        let commands = commands();
        return nearest(wrong, commands.iter().map(String::as_str)).map(str::to_owned);
    }
    let kinds = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
        ContextKind::SuggestedSubcommand,
    ];
    kinds.into_iter().flat_map(|kind| strings(error, kind)).next_back()
}

fn strings(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![visible(text).into_owned()],
        Some(ContextValue::Strings(texts)) => texts.iter().map(|text| visible(text).into_owned()).collect(),
        _ => Vec::new(),
    }
}

fn commands() -> Vec<String> {
    Cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use clap::Parser;

    fn report(words: &[&str]) -> Report {
        let error = Cli::try_parse_from(words).unwrap_err();
        match read(&error) {
            Answer::Nothing { report, .. } | Answer::Mistake(report) => *report,
            Answer::Text(text) => unreachable!("{text}"),
        }
    }

    #[test]
    fn mistakes_come_with_what_was_meant() {
        for (words, suggestion, help) in [
            (&["annals", "serach"][..], Some("search"), "annals help"),
            (
                &["annals", "issues", "--stat", "open"],
                Some("--state"),
                "annals help issues",
            ),
            (&["annals", "--robt", "version"], Some("--robot"), "annals help version"),
            (
                &["annals", "version", "--color", "alwys"],
                Some("always"),
                "annals help version",
            ),
            (&["annals", "sync", "--jobs", "many"], None, "annals help sync"),
            (
                &["annals", "--db", "search", "show", "--no-such"],
                None,
                "annals help show",
            ),
            (&["annals", "help", "nothing"], None, "annals help"),
            (&["annals"], None, "annals help"),
        ] {
            let report = report(words);
            assert_eq!(
                (report.code, report.suggestion.as_deref()),
                (Code::Usage, suggestion),
                "{words:?}"
            );
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(help_for(&args), help, "{words:?}");
            assert!(
                !report.message.contains('\n') && !report.message.starts_with("error"),
                "{}",
                report.message
            );
        }
    }

    #[test]
    fn escapes_in_arguments_are_inert() {
        let report = report(&["annals", "\x1b[31mx"]);
        assert!(
            !format!("{} {}", report.message, report.details).contains('\x1b'),
            "{}",
            report.message
        );
    }

    #[test]
    fn help_and_version_are_answers() {
        for words in [["annals", "--help"], ["annals", "--version"], ["annals", "help"]] {
            let error = Cli::try_parse_from(words).unwrap_err();
            assert!(matches!(read(&error), Answer::Text(_)), "{words:?}");
        }
    }
}
