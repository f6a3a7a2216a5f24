//! Slips on the command line, put right before it is parsed, and said.
//!
//! [`correct`] walks over the words up to `--` with the model of the command line in hand, so it knows which word is a
//! command, which a flag and which a value; [`choose`] finds what a word was meant to be. A word that is right, a value
//! that may be anything and a line that destroys something stay as they are: what is not certain is an error, as it
//! would be without all this.

mod choose;
#[cfg(test)]
mod tests;

use std::ffi::OsString;

use serde::Serialize;

use self::choose::{Candidate, Least};
use crate::model::{Entry, Flag, Model};
use crate::output::Mode;

/// A word that was taken for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Correction {
    pub from: String,
    pub to: String,
    pub rule: Rule,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `-state` is `--state`.
    SingleDash,
    /// `--State`, `Search`.
    Case,
    /// `--mile` is `--milestone`, where no other flag begins so.
    Prefix,
    /// `find` is `search`.
    Alias,
    /// `annals robot issues`.
    FlagAsCommand,
    /// `annals --search race`.
    CommandAsFlag,
    /// `--since` is `--after`, `--until` is `--before`.
    SinceUntil,
    /// A value of a flag that takes only certain ones.
    Value,
    /// Nothing else is nearly as much like it.
    Similar,
}

/// Flags that are typed as they are meant, or not at all.
const DESTRUCTIVE_FLAGS: &[&str] = &[
    "--full",
    "--repair",
    "--purge",
    "--accept-deletions",
    "--retry-failed",
    "--force",
    "--accept-loss",
    "--wipe",
    "--yes",
];

/// The same of commands.
const DESTRUCTIVE_COMMANDS: &[&str] = &["auth logout", "projects remove"];

/// A command line with its slips put right.
#[derive(Debug)]
pub struct Corrected {
    pub args: Vec<OsString>,
    pub corrections: Vec<Correction>,
}

/// Puts right what it can; `None` if there is nothing.
pub fn correct(args: &[OsString], mode: Mode) -> Option<Corrected> {
    let model = Model::read();
    let mut walk = Walk {
        model: &model,
        least: Least::of(mode),
        path: String::new(),
        count: 0,
        pending: None,
        args: args.first().cloned().into_iter().collect(),
        corrections: Vec::new(),
        destroys: false,
    };
    let mut words = args.iter().skip(1);
    for word in words.by_ref() {
        match word.to_str() {
            Some("--") => {
                walk.args.push(word.clone());
                break;
            }
            Some(text) => walk.word(text),
            None => {
                walk.args.push(word.clone());
                walk.count += usize::from(walk.pending.take().is_none());
            }
        }
    }
    walk.args.extend(words.cloned());
    (!walk.corrections.is_empty() && !walk.destroys).then_some(Corrected {
        args: walk.args,
        corrections: walk.corrections,
    })
}

/// A flag whose value is the next word.
#[derive(Debug, Clone)]
struct Pending {
    /// The values it takes, if not any.
    values: Vec<String>,
    /// Whether commas separate several.
    list: bool,
}

impl Pending {
    fn of(flag: &Flag) -> Self {
        Self {
            values: flag.values.clone(),
            list: flag.list,
        }
    }
}

#[derive(Debug)]
struct Walk<'a> {
    model: &'a Model,
    least: Least,
    /// The command so far: `projects add`.
    path: String,
    /// How many words of the command there were since.
    count: usize,
    pending: Option<Pending>,
    args: Vec<OsString>,
    corrections: Vec<Correction>,
    destroys: bool,
}

impl Walk<'_> {
    fn word(&mut self, text: &str) {
        if let Some(Pending { values, list }) = self.pending.take() {
            let value = self.value(text, &values, list);
            self.args.push(value.into());
        } else if let Some(name) = text.strip_prefix("--") {
            self.long(text, name);
        } else if text.len() > 1 && text.starts_with('-') {
            self.short(text);
        } else {
            self.plain(text);
        }
    }

    fn entry(&self) -> Option<&Entry> {
        self.model.commands.iter().find(|entry| entry.name == self.path)
    }

    /// The flags that may stand here.
    fn flags(&self) -> impl Iterator<Item = &Flag> {
        let own = self.entry().map(|entry| entry.flags.as_slice()).unwrap_or_default();
        own.iter().chain(&self.model.global_flags)
    }

    fn flag_called(&self, name: &str) -> Option<Flag> {
        let called = |flag: &&Flag| flag.name == name || flag.aliases.iter().any(|alias| alias == name);
        self.flags().find(called).cloned()
    }

    /// The last words of the commands that may stand here.
    fn commands(&self) -> Vec<String> {
        let inner = self.model.commands.iter().filter_map(|entry| {
            let name = match self.path.as_str() {
                "" => entry.name.as_str(),
                path => entry.name.strip_prefix(path)?.strip_prefix(' ')?,
            };
            (!name.contains(' ')).then(|| name.to_owned())
        });
        inner.collect()
    }

    fn long(&mut self, text: &str, name: &str) {
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let dashed = format!("--{name}");
        if DESTRUCTIVE_FLAGS.contains(&dashed.as_str()) {
            self.destroys = true;
        }
        let built_in = ["--help", "--version", "--no-autocorrect"].contains(&dashed.as_str());
        if built_in || self.flag_called(&dashed).is_some() {
            return self.take(&dashed, value, None);
        }
        if self.path.is_empty() && value.is_none() && self.commands().iter().any(|command| command == name) {
            self.corrected(text, name, Rule::CommandAsFlag);
            return self.plain(name);
        }
        match self.meant_flag(name) {
            Some((to, rule)) => self.take(&to, value, Some((&dashed, rule))),
            None => {
                self.args.push(text.into());
            }
        }
    }

    fn meant_flag(&self, name: &str) -> Option<(String, Rule)> {
        let renamed = match name.to_ascii_lowercase().as_str() {
            "since" => Some("--after"),
            "until" => Some("--before"),
            _ => None,
        };
        if let Some(renamed) = renamed.filter(|renamed| self.flag_called(renamed).is_some()) {
            return Some((renamed.to_owned(), Rule::SinceUntil));
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for flag in self.flags() {
            let names = std::iter::once(&flag.name).chain(&flag.aliases);
            candidates.extend(names.map(|spelling| Candidate::flag(spelling, &flag.name)));
        }
        // Also where they are not understood: a word that is most like one of them is not taken for another flag.
        candidates.extend(DESTRUCTIVE_FLAGS.iter().map(|flag| Candidate::flag(flag, flag)));
        candidates.extend(["--help", "--version"].map(|flag| Candidate::flag(flag, flag)));
        let (to, rule) = choose::flag(name, &candidates, self.least)?;
        (!DESTRUCTIVE_FLAGS.contains(&to.as_str())).then_some((to, rule))
    }

    /// Takes a flag, which may have been written otherwise, and remembers whether its value is next.
    fn take(&mut self, name: &str, value: Option<&str>, otherwise: Option<(&str, Rule)>) {
        if let Some((from, rule)) = otherwise {
            self.corrected(from, name, rule);
        }
        let flag = self.flag_called(name);
        let takes = flag.filter(|flag| flag.value.is_some());
        match (value, takes) {
            (Some(value), Some(flag)) => {
                let value = self.value(value, &flag.values, flag.list);
                self.args.push(format!("{name}={value}").into());
            }
            (Some(value), None) => self.args.push(format!("{name}={value}").into()),
            (None, Some(flag)) => {
                self.args.push(name.into());
                self.pending = Some(Pending::of(&flag));
            }
            (None, None) => self.args.push(name.into()),
        }
    }

    /// `-n5`, `-qJ`; or a long flag with a dash too few.
    fn short(&mut self, text: &str) {
        let bare = text.trim_start_matches('-');
        let (name, value) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (bare, None),
        };
        let cluster = self.cluster(bare);
        let exact = format!("--{name}");
        let long = self.flag_called(&exact).map(|_| exact).or_else(|| {
            let folded = format!("--{}", name.to_ascii_lowercase());
            let known = cluster.is_none() && self.flag_called(&folded).is_some();
            known.then_some(folded)
        });
        // `-project` could be `-p roject`, and never is.
        let meant = long.filter(|long| name.len() > 2 || cluster.is_none() && long.len() > 3);
        match (meant, cluster) {
            (Some(long), _) if !DESTRUCTIVE_FLAGS.contains(&long.as_str()) => {
                self.take(&long, value, Some((&format!("-{name}"), Rule::SingleDash)));
            }
            (_, Some(next)) => {
                self.args.push(text.into());
                self.pending = next;
            }
            (_, None) => self.args.push(text.into()),
        }
    }

    /// Whether these are letters of flags; and if the last one's value is the next word, that flag.
    fn cluster(&self, letters: &str) -> Option<Option<Pending>> {
        for (at, letter) in letters.char_indices() {
            if "hV".contains(letter) {
                continue;
            }
            let short = format!("-{letter}");
            let flag = self
                .flags()
                .find(|flag| flag.short.as_deref() == Some(short.as_str()))?;
            if flag.value.is_some() {
                let is_last = at + letter.len_utf8() == letters.len();
                return Some(is_last.then(|| Pending::of(flag)));
            }
        }
        Some(None)
    }

    /// A word without dashes.
    fn plain(&mut self, text: &str) {
        let count = self.count;
        let commands = self.commands();
        if count == 0 && self.path.is_empty() && text == "help" {
            self.args.push(text.into());
        } else if count == 0 && !commands.is_empty() {
            self.command(text, &commands);
        } else {
            let values = self
                .entry()
                .and_then(|entry| entry.arguments.get(count))
                .map(|argument| argument.values.clone());
            let value = self.value(text, &values.unwrap_or_default(), false);
            self.args.push(value.into());
            self.count += 1;
        }
    }

    fn command(&mut self, text: &str, commands: &[String]) {
        let (to, rule) = if commands.iter().any(|command| command == text) {
            (text.to_owned(), None)
        } else if let Some((to, rule)) = self.meant_command(text, commands) {
            (to, Some(rule))
        } else {
            self.args.push(text.into());
            self.count += 1;
            return;
        };
        if rule == Some(Rule::FlagAsCommand) {
            return self.take(&to, None, Some((text, Rule::FlagAsCommand)));
        }
        let path = self.inner(&to);
        if DESTRUCTIVE_COMMANDS.contains(&path.as_str()) {
            self.destroys = true;
        }
        if let Some(rule) = rule {
            self.corrected(text, &to, rule);
        }
        self.args.push(to.into());
        (self.path, self.count) = (path, 0);
    }

    fn inner(&self, name: &str) -> String {
        format!("{} {name}", self.path).trim_start().to_owned()
    }

    fn meant_command(&self, text: &str, commands: &[String]) -> Option<(String, Rule)> {
        let mut candidates: Vec<Candidate> = commands.iter().map(|name| Candidate::word(name, name)).collect();
        let prefix = format!("{} ", self.path);
        let destructive = DESTRUCTIVE_COMMANDS
            .iter()
            .filter_map(|command| command.strip_prefix(&prefix));
        candidates.extend(destructive.map(|name| Candidate::word(name, name)));
        let root = self.path.is_empty();
        let case = choose::case(text, &candidates).map(|to| (to, Rule::Case));
        let alias = || {
            let known = crate::cli::Command::DECLARED
                .iter()
                .find(|command| root && command.aliases.contains(&text.to_ascii_lowercase().as_str()));
            known.map(|command| (command.name.to_owned(), Rule::Alias))
        };
        let flag = || {
            let flag = format!("--{text}");
            let known = root && !DESTRUCTIVE_FLAGS.contains(&flag.as_str()) && self.flag_called(&flag).is_some();
            known.then_some((flag, Rule::FlagAsCommand))
        };
        let similar = || choose::similar(text, &candidates, self.least.commands).map(|to| (to, Rule::Similar));
        let (to, rule) = case.or_else(alias).or_else(flag).or_else(similar)?;
        let destroys = DESTRUCTIVE_COMMANDS.contains(&self.inner(&to).as_str());
        (!destroys).then_some((to, rule))
    }

    /// A value, put right if it must be one of a few and is none of them.
    fn value(&mut self, text: &str, values: &[String], list: bool) -> String {
        if values.is_empty() {
            return text.to_owned();
        }
        if list && text.contains(',') {
            let parts: Vec<String> = text.split(',').map(|part| self.value(part, values, false)).collect();
            return parts.join(",");
        }
        if values.iter().any(|value| value == text) {
            return text.to_owned();
        }
        let candidates: Vec<Candidate> = values.iter().map(|value| Candidate::word(value, value)).collect();
        match choose::value(text, &candidates, self.least) {
            Some(to) => {
                self.corrected(text, &to, Rule::Value);
                to
            }
            None => text.to_owned(),
        }
    }

    fn corrected(&mut self, from: &str, to: &str, rule: Rule) {
        self.corrections.push(Correction {
            from: from.to_owned(),
            to: to.to_owned(),
            rule,
        });
    }
}
