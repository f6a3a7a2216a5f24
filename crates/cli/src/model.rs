//! The command line as data: what the reference for programs, the printed reference and the correction of slips are made
//! of. It is read from the one clap model, so it cannot know another command line than the one that is parsed.

use std::any::TypeId;

use clap::{Arg, ArgAction, Command, CommandFactory};
use serde::Serialize;

use crate::cli::Cli;

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    /// What every command takes.
    pub global_flags: Vec<Flag>,
    /// The commands, each followed by its subcommands.
    pub commands: Vec<Entry>,
}

/// A command or subcommand.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// As it is typed: `projects add`.
    pub name: String,
    pub about: String,
    pub usage: String,
    pub arguments: Vec<Argument>,
    pub flags: Vec<Flag>,
    /// What its help ends with.
    #[serde(skip)]
    pub notes: Option<String>,
}

/// A word that is known by its place.
#[derive(Debug, Clone, Serialize)]
pub struct Argument {
    pub name: String,
    pub required: bool,
    pub repeats: bool,
    /// The words it may be, where they are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    pub help: String,
}

/// A word that begins with dashes.
#[derive(Debug, Clone, Serialize)]
pub struct Flag {
    /// `--state`.
    pub name: String,
    /// `-n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short: Option<String>,
    /// Other names, which count as much.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What its value is called; none for one that takes no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether it may be given several times and adds up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeats: bool,
    /// Whether commas separate several values of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// Whether its value is a whole number.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_number: bool,
    pub help: String,
}

impl Model {
    /// The model of this binary.
    pub fn read() -> Self {
        let root = Cli::command();
        let mut commands = Vec::new();
        for command in visible(&root) {
            add(command, "", &mut commands);
        }
        Self {
            global_flags: flags(&root).collect(),
            commands,
        }
    }

    /// The entry that the words of a command line name: the longest one.
    pub fn entry_of(&self, words: &[String]) -> Option<&Entry> {
        let names = |entry: &&Entry| {
            let mut name = entry.name.split(' ').zip(words.iter().skip(1));
            entry.name.split(' ').count() < words.len() && name.all(|(part, word)| part == word)
        };
        let found = self.commands.iter().filter(names);
        found.max_by_key(|entry| entry.name.len())
    }
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

fn add(command: &Command, before: &str, entries: &mut Vec<Entry>) {
    let name = if before.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{before} {}", command.get_name())
    };
    let usage = command.clone().bin_name(format!("annals {name}")).render_usage();
    let usage = usage.to_string().replace("Usage: ", "");
    let usage: Vec<&str> = usage.split_whitespace().collect();
    entries.push(Entry {
        about: command.get_about().map(ToString::to_string).unwrap_or_default(),
        usage: usage.join(" "),
        arguments: command
            .get_positionals()
            .filter(|arg| !arg.is_hide_set())
            .map(argument)
            .collect(),
        flags: flags(command).collect(),
        notes: command.get_after_help().map(ToString::to_string),
        name: name.clone(),
    });
    for inner in visible(command) {
        add(inner, &name, entries);
    }
}

fn argument(arg: &Arg) -> Argument {
    Argument {
        name: value_name(arg).unwrap_or_else(|| arg.get_id().as_str().to_uppercase()),
        required: arg.is_required_set(),
        repeats: arg.get_num_args().is_some_and(|count| count.max_values() > 1)
            || matches!(arg.get_action(), ArgAction::Append),
        values: values(arg),
        help: help(arg),
    }
}

fn flags(command: &Command) -> impl Iterator<Item = Flag> {
    let opts = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    opts.filter_map(flag)
}

fn flag(arg: &Arg) -> Option<Flag> {
    let dashed = |name: &str| format!("--{name}");
    let takes_value = arg.get_action().takes_values();
    let default: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    Some(Flag {
        name: dashed(arg.get_long()?),
        short: arg.get_short().map(|letter| format!("-{letter}")),
        aliases: arg
            .get_all_aliases()
            .unwrap_or_default()
            .into_iter()
            .map(dashed)
            .collect(),
        value: if takes_value { value_name(arg) } else { None },
        values: if takes_value { values(arg) } else { Vec::new() },
        default: (takes_value && !default.is_empty()).then(|| default.join(",")),
        repeats: matches!(arg.get_action(), ArgAction::Append | ArgAction::Count),
        list: arg.get_value_delimiter().is_some(),
        is_number: takes_value && is_number(arg),
        help: help(arg),
    })
}

fn is_number(arg: &Arg) -> bool {
    let parsed = arg.get_value_parser().type_id();
    let numbers = [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
    ];
    numbers.iter().any(|number| parsed == *number)
}

fn value_name(arg: &Arg) -> Option<String> {
    let names = arg.get_value_names()?;
    Some(names.first()?.to_string())
}

fn values(arg: &Arg) -> Vec<String> {
    let values = arg
        .get_possible_values()
        .into_iter()
        .filter(|value| !value.is_hide_set());
    values.map(|value| value.get_name().to_owned()).collect()
}

fn help(arg: &Arg) -> String {
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}

/// The words of a command line as a shell would split them; `'…'` quotes.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_a_shell_does() {
        assert_eq!(
            words("annals show 'a b!1'  -n 3"),
            ["annals", "show", "a b!1", "-n", "3"]
        );
        assert_eq!(words("a '' b"), ["a", "", "b"]);
    }

    #[test]
    fn an_entry_is_found_by_its_longest_name() {
        let model = Model::read();
        let name = |line: &str| model.entry_of(&words(line)).map(|entry| entry.name.clone());
        assert_eq!(name("annals projects add URL").as_deref(), Some("projects add"));
        assert_eq!(name("annals projects --fields path").as_deref(), Some("projects"));
        assert_eq!(name("annals nothing"), None);
    }
}
