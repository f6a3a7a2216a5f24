//! The reference of the command line, `docs/cli.md`, made from the model so that it cannot say anything else.
//!
//! To write it anew: `ANNALS_WRITE_DOCS=1 cargo test -p annals-cli reference`.

use crate::cli::Command;
use crate::model::{self, Argument, Entry, Flag, Model};

const HEAD: &str = "\
# Command line reference

<!-- Made from the command line itself: ANNALS_WRITE_DOCS=1 cargo test -p annals-cli reference -->

`annals help COMMAND` says the same in the terminal, and `annals robot-docs` says it to programs, with the fields of every
answer and every error code.
";

fn markdown() -> String {
    let model = Model::read();
    let mut page = String::from(HEAD);
    page.push_str("\n| command | what it does |\n|---|---|\n");
    for entry in &model.commands {
        let anchor = format!("annals-{}", entry.name.replace(' ', "-"));
        page.push_str(&format!("| [`{}`](#{anchor}) | {} |\n", entry.name, cell(&entry.about)));
    }
    for entry in &model.commands {
        section(entry, &model, &mut page);
    }
    page.push_str("\n## Options of every command\n");
    flags(&model.global_flags, &mut page);
    page
}

fn section(entry: &Entry, model: &Model, page: &mut String) {
    page.push_str(&format!("\n## `annals {}`\n\n{}\n", entry.name, entry.about));
    page.push_str(&format!("\n```text\n{}\n```\n", entry.usage));
    if !entry.arguments.is_empty() {
        page.push_str("\n| argument | meaning |\n|---|---|\n");
        for argument in &entry.arguments {
            page.push_str(&format!("| `{}` | {} |\n", cell(&argument.name), meaning(argument)));
        }
    }
    flags(&entry.flags, page);
    if let Some(notes) = &entry.notes {
        page.push_str(&format!("\n```text\n{}\n```\n", notes.trim_end()));
    }
    let examples = Command::DECLARED.iter().flat_map(|command| command.examples);
    let own = examples.filter(|line| {
        model
            .entry_of(&model::words(line))
            .is_some_and(|of| of.name == entry.name)
    });
    let own: Vec<&str> = own.copied().collect();
    if !own.is_empty() {
        page.push_str(&format!("\n```console\n{}\n```\n", own.join("\n")));
    }
}

fn flags(flags: &[Flag], page: &mut String) {
    if flags.is_empty() {
        return;
    }
    page.push_str("\n| flag | meaning |\n|---|---|\n");
    for flag in flags {
        let short = flag
            .short
            .as_ref()
            .map(|short| format!("`{short}`, "))
            .unwrap_or_default();
        let value = flag.value.as_ref().map(|value| format!(" {value}")).unwrap_or_default();
        let mut meaning = cell(&flag.help);
        let mut more = |text: String| meaning.push_str(&text);
        if !flag.values.is_empty() {
            more(format!("; one of `{}`", flag.values.join("`, `")));
        }
        if let Some(default) = &flag.default {
            more(format!("; `{default}` unless said otherwise"));
        }
        page.push_str(&format!("| {short}`{}{}` | {meaning} |\n", flag.name, cell(&value)));
    }
}

fn meaning(argument: &Argument) -> String {
    let mut meaning = cell(&argument.help);
    if !argument.values.is_empty() {
        meaning.push_str(&format!("; one of `{}`", argument.values.join("`, `")));
    }
    meaning
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be told to write the file it checks"
)]
fn docs_cli_is_made_from_the_command_line() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let made = markdown();
    if std::env::var_os("ANNALS_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/cli.md is old: ANNALS_WRITE_DOCS=1 cargo test -p annals-cli reference"
    );
}
