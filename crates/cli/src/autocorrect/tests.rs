//! What is put right, and what is left alone.

use clap::Parser;
use proptest::prelude::*;

use super::*;
use crate::cli::{Cli, Command};
use crate::model::words;

fn args(line: &str) -> Vec<OsString> {
    words(line).into_iter().map(OsString::from).collect()
}

/// The line as it is put right, and by which rules.
fn corrected(line: &str, mode: Mode) -> Option<(String, Vec<Rule>)> {
    let corrected = correct(&args(line), mode)?;
    let words: Vec<String> = corrected
        .args
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    Some((
        words.join(" "),
        corrected.corrections.iter().map(|one| one.rule).collect(),
    ))
}

#[test]
fn autocorrect_table_with_negatives() {
    use Rule::{Alias, Case, CommandAsFlag, FlagAsCommand, Prefix, Similar, SinceUntil, SingleDash, Value};
    for (line, right, rules) in [
        (
            "annals issues -state open",
            "annals issues --state open",
            &[SingleDash][..],
        ),
        ("annals issues -label=bug", "annals issues --label=bug", &[SingleDash]),
        (
            "annals issues -project a/b",
            "annals issues --project a/b",
            &[SingleDash],
        ),
        ("annals -json issues", "annals --json issues", &[SingleDash]),
        ("annals -db x.db issues", "annals --db x.db issues", &[SingleDash]),
        ("annals issues --STATE open", "annals issues --state open", &[Case]),
        ("annals Issues", "annals issues", &[Case]),
        ("annals issues --mile 0.2", "annals issues --milestone 0.2", &[Prefix]),
        ("annals sync --wait-l 30s", "annals sync --wait-lock 30s", &[Prefix]),
        ("annals issue 12", "annals issues 12", &[Alias]),
        ("annals mr 12", "annals mrs 12", &[Alias]),
        ("annals find race", "annals search race", &[Alias]),
        ("annals help find", "annals help search", &[Alias]),
        ("annals robot issues", "annals --robot issues", &[FlagAsCommand]),
        ("annals db x.db issues", "annals --db x.db issues", &[FlagAsCommand]),
        ("annals --search race", "annals search race", &[CommandAsFlag]),
        (
            "annals --db x.db --issues -n 3",
            "annals --db x.db issues -n 3",
            &[CommandAsFlag],
        ),
        ("annals issues --since 7d", "annals issues --after 7d", &[SinceUntil]),
        (
            "annals mrs --since=7d --until 1d",
            "annals mrs --after=7d --before 1d",
            &[SinceUntil, SinceUntil],
        ),
        ("annals issues --state Open", "annals issues --state open", &[Value]),
        (
            "annals issues --state open,clsoed",
            "annals issues --state open,closed",
            &[Value],
        ),
        ("annals issues --sort=update", "annals issues --sort=updated", &[Value]),
        ("annals completions Bash", "annals completions bash", &[Value]),
        ("annals serach race", "annals search race", &[Similar]),
        ("annals projects ad URL", "annals projects add URL", &[Similar]),
        ("annals issues --lable bug", "annals issues --label bug", &[Similar]),
        ("annals --robto issues", "annals --robot issues", &[Similar]),
        (
            "annals serach race --limti 3",
            "annals search race --limit 3",
            &[Similar, Similar],
        ),
    ] {
        assert_eq!(
            corrected(line, Mode::Human),
            Some((right.to_owned(), rules.to_vec())),
            "{line}"
        );
    }

    for line in [
        // Right as it is.
        "annals issues --state open -n5 -qJ",
        "annals -p a/b issues -n 3",
        "annals help search",
        "annals search race",
        // A value may be anything.
        "annals search serach --mode auto",
        "annals issues --label lable --author --state",
        "annals --db issue version",
        "annals show 'projcts/x!1'",
        "annals sync-runs --run-id FULL",
        // What follows `--` is no flag.
        "annals search -- --lable -state",
        // Two are as near.
        "annals issues --a 3",
        "annals issues --as x",
        "annals search x --p",
        // Nothing is near enough.
        "annals frobnicate",
        "annals issues --frobnicate x",
        "annals issues --state sideways",
        // No such flag there: a sync has no time window, a list no mode.
        "annals sync --since 7d",
        "annals -1",
        "annals issues -n -5",
    ] {
        assert_eq!(corrected(line, Mode::Human), None, "{line}");
    }

    // A program must come nearer than a person.
    for (line, human) in [
        ("annals iss", true),
        ("annals issues --auther x", true),
        ("annals issues --miles 1", true),
    ] {
        assert_eq!(corrected(line, Mode::Human).is_some(), human, "{line}");
    }
    assert_eq!(corrected("annals iss", Mode::Robot), None);
    assert!(corrected("annals serach race", Mode::Robot).is_some());
}

#[test]
fn autocorrect_never_touches_destructive_flags() {
    for flag in DESTRUCTIVE_FLAGS {
        let name = flag.trim_start_matches('-');
        let shorter = name.get(..name.len() - 1).unwrap();
        for command in ["sync", "issues", "show 1", "migrate", "doctor"] {
            for slip in [
                format!("annals {command} -{name}"),
                format!("annals {command} --{shorter}"),
                format!("annals {command} --{}", name.to_uppercase()),
                format!("annals {command} --{name}x"),
                format!("annals {command} --x{name}"),
                format!("annals {name} {command}"),
            ] {
                for mode in [Mode::Human, Mode::Robot] {
                    let found = correct(&args(&slip), mode);
                    let touched = found.iter().flat_map(|found| &found.corrections);
                    for correction in touched {
                        assert!(
                            !DESTRUCTIVE_FLAGS.contains(&correction.to.as_str()) && !correction.from.contains(shorter),
                            "{slip}: {correction:?}"
                        );
                    }
                }
            }
        }
        // A line that destroys is run as it was typed, or not at all.
        assert_eq!(corrected(&format!("annals snyc {flag}"), Mode::Human), None, "{flag}");
    }
    for line in [
        "annals projects remov a/b",
        "annals projects REMOVE a/b",
        "annals auth logot",
        "annals projects remove --lable x",
    ] {
        let touched = corrected(line, Mode::Human);
        assert!(
            touched
                .as_ref()
                .is_none_or(|(line, _)| !line.contains("remove") && !line.contains("logout")),
            "{touched:?}"
        );
    }
}

/// What is right is never touched: every example of every command, whatever its mode.
#[test]
fn examples_stay_as_they_are() {
    for line in Command::DECLARED.iter().flat_map(|command| command.examples) {
        for mode in [Mode::Human, Mode::Robot] {
            assert_eq!(corrected(line, mode), None, "{line}");
        }
    }
}

proptest! {
    /// Any words: no panic; and a line that clap understands stays as it is, but for a long flag with one dash.
    #[test]
    fn what_is_understood_is_left_alone(
        words in proptest::collection::vec(
            prop_oneof![
                Just("issues".to_owned()), Just("search".to_owned()), Just("--state".to_owned()), Just("open".to_owned()),
                Just("-n".to_owned()), Just("3".to_owned()), Just("--".to_owned()), Just("--db=x".to_owned()), "\\PC{0,8}",
            ],
            0..6,
        )
    ) {
        let line: Vec<OsString> = std::iter::once("annals".to_owned()).chain(words).map(OsString::from).collect();
        let found = correct(&line, Mode::Human);
        if Cli::try_parse_from(&line).is_ok() {
            let rules: Vec<Rule> = found.into_iter().flat_map(|found| found.corrections).map(|one| one.rule).collect();
            prop_assert!(rules.iter().all(|rule| *rule == Rule::SingleDash), "{line:?} {rules:?}");
        }
    }
}
