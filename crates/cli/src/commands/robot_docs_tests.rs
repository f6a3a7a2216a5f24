//! What programs are told of the command line, beside the command line.

use std::collections::BTreeSet;

use clap::CommandFactory;
use clap_complete::Shell;

use super::*;

/// The names of all commands with their flags and values, as clap itself has them.
fn of_clap() -> BTreeSet<String> {
    fn walk(command: &clap::Command, path: &str, all: &mut BTreeSet<String>) {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let name = arg
                .get_long()
                .map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}"));
            all.insert(format!("{path} {name}"));
            if !arg.get_action().takes_values() {
                continue;
            }
            for value in arg.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
                all.insert(format!("{path} {name} {}", value.get_name()));
            }
        }
        for inner in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let path = format!("{path} {}", inner.get_name());
            all.insert(path.clone());
            walk(inner, &path, all);
        }
    }
    let mut all = BTreeSet::new();
    walk(&Cli::command(), "annals", &mut all);
    all
}

/// The same, as the docs have them.
fn of_docs() -> BTreeSet<String> {
    let model = Model::read();
    let mut all = BTreeSet::new();
    let mut add_flags = |path: &str, flags: &[Flag]| {
        for flag in flags {
            all.insert(format!("{path} {}", flag.name));
            all.extend(flag.values.iter().map(|value| format!("{path} {} {value}", flag.name)));
        }
    };
    add_flags("annals", &model.global_flags);
    for entry in &model.commands {
        add_flags(&format!("annals {}", entry.name), &entry.flags);
    }
    for entry in model.commands {
        let path = format!("annals {}", entry.name);
        // Clap knows an argument by its field, a reader by its place.
        let root = Cli::command();
        let mut command = &root;
        for part in entry.name.split(' ') {
            command = command.find_subcommand(part).unwrap();
        }
        for (arg, shown) in command.get_positionals().zip(&entry.arguments) {
            all.insert(format!("{path} {}", arg.get_id()));
            all.extend(
                shown
                    .values
                    .iter()
                    .map(|value| format!("{path} {} {value}", arg.get_id())),
            );
        }
        all.insert(path);
    }
    all
}

#[test]
fn robot_docs_drift() {
    let (clap, docs) = (of_clap(), of_docs());
    let missing: Vec<_> = clap.difference(&docs).collect();
    let extra: Vec<_> = docs.difference(&clap).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing in robot-docs: {missing:?}; extra: {extra:?}"
    );

    let model = Model::read();
    for entry in model.commands.iter().cloned() {
        let described = describe(entry);
        let name = &described.entry.name;
        let has_inner = model
            .commands
            .iter()
            .any(|other| other.name.starts_with(&format!("{name} ")));
        assert!(
            !described.examples.is_empty() || has_inner,
            "`annals {name}` has no example: add one to `EXAMPLES` of its `impl Run`"
        );
        assert!(
            !described.entry.about.is_empty(),
            "`annals {name}` does not say what it does: document its `Args`"
        );
        for flag in &described.entry.flags {
            assert!(
                !flag.help.is_empty(),
                "`annals {name} {}` has no help: document its field",
                flag.name
            );
        }
        for argument in &described.entry.arguments {
            assert!(
                !argument.help.is_empty(),
                "`annals {name} {}` has no help",
                argument.name
            );
        }
    }
    let declared = Command::DECLARED.iter().map(|command| command.name);
    let root = Cli::command();
    let parsed = root.get_subcommands().map(clap::Command::get_name);
    assert!(
        declared.eq(parsed),
        "`Run::NAME` of a command is not its name in the list of `commands!`"
    );

    let codes: Vec<Code> = Code::ALL.iter().map(|code| explain::Data::from(*code).code()).collect();
    assert_eq!(codes, Code::ALL);
}

#[test]
fn examples_and_workflows_parse() {
    let examples = Command::DECLARED
        .iter()
        .flat_map(|command| command.examples.iter().map(|line| (command.name, *line)));
    let steps = WORKFLOWS.iter().flat_map(|flow| flow.steps).map(|line| ("", *line));
    for (of, line) in examples.chain(steps) {
        let words = model::words(line);
        let cli = Cli::try_parse_from(&words).map_err(|error| error.to_string());
        assert!(cli.is_ok(), "{line}: {cli:?}");
        assert!(
            of.is_empty() || words[1] == of,
            "`{line}` is an example of another command than {of}"
        );
        if let Ok(Cli { global, command }) = cli
            && let Some(fields) = global.fields
        {
            let selected = crate::output::fields::Selection::parse(&fields, &command.shape());
            assert!(selected.is_ok(), "{line}: {selected:?}");
        }
    }
}

/// `minimal` is understood by every command, and names only what there is.
#[test]
fn every_shape_has_its_minimal_fields() {
    for line in Command::DECLARED.iter().flat_map(|command| command.examples) {
        let shape = shape_of(line).unwrap();
        for asked in ["minimal", "full"] {
            let read = crate::output::fields::Selection::parse(asked, &shape);
            assert!(read.is_ok(), "{line} --fields {asked}: {read:?}");
        }
        assert_eq!(shape.minimal.is_empty(), shape.fields.is_empty(), "{line}");
    }
}

#[test]
fn completions_and_man_pages_know_every_command_and_flag() {
    let model = Model::read();
    let scripts = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish].map(|shell| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "annals", &mut script);
        (shell.to_string(), String::from_utf8(script).unwrap())
    });
    let pages: String = super::super::man::pages()
        .unwrap()
        .into_iter()
        .map(|page| page.text)
        .collect();
    let pages = pages.replace("\\-", "-");
    let mut words: BTreeSet<&str> = model.global_flags.iter().map(|flag| flag.name.as_str()).collect();
    for entry in &model.commands {
        words.extend(entry.name.split(' '));
        words.extend(entry.flags.iter().map(|flag| flag.name.as_str()));
    }
    for word in words {
        let bare = word.trim_start_matches('-');
        for (shell, script) in &scripts {
            assert!(script.contains(bare), "the completions for {shell} do not know {word}");
        }
        assert!(pages.contains(bare), "the man pages do not know {word}");
    }
}
