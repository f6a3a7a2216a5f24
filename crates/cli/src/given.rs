//! The files that a command line names, for the commands it prints: a next step must act on the same files as the
//! command that failed.

use annals_core::Report;

use crate::cli::Global;

/// Commands that read neither the mirror nor the configuration, and the demo, which has a file of its own.
const WITHOUT_FILES: &[&str] = &[
    "help",
    "explain",
    "version",
    "completions",
    "man",
    "robot-docs",
    "init",
    "demo",
];

/// The flags `--db` and `--config` as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given(String);

impl Given {
    /// The flags of a command line; `own` is what the command sets where no flag does.
    pub fn of(global: &Global, own: &[(String, String)]) -> Self {
        let own_db = own.iter().find(|(key, _)| key == "db.path").map(|(_, path)| path);
        let mut flags = String::new();
        if let Some(path) = global.db.as_ref().or(own_db) {
            flags.push_str(&format!(" --db {}", quoted(path)));
        }
        if let Some(path) = &global.config {
            flags.push_str(&format!(" --config {}", quoted(&path.to_string_lossy())));
        }
        Self(flags)
    }

    /// The command with the flags, if it is one of Annals that takes them.
    pub fn command(&self, line: &str) -> String {
        let takes_files = line
            .strip_prefix("annals ")
            .and_then(|rest| rest.split(' ').next())
            .is_some_and(|name| !WITHOUT_FILES.contains(&name));
        let has_them = line.split(' ').any(|word| matches!(word, "--db" | "--config"));
        if takes_files && !has_them {
            format!("{line}{}", self.0)
        } else {
            line.to_owned()
        }
    }

    /// A sentence whose commands, which stand in backticks, have the flags; or one command.
    pub fn sentence(&self, text: &str) -> String {
        if !text.contains('`') {
            return self.command(text);
        }
        let parts = text.split('`').enumerate();
        let parts = parts.map(|(at, part)| {
            if at % 2 == 1 {
                self.command(part)
            } else {
                part.to_owned()
            }
        });
        parts.collect::<Vec<_>>().join("`")
    }

    /// A report whose next steps have the flags.
    pub fn report(&self, report: &Report) -> Report {
        Report {
            suggestion: report.suggestion.as_deref().map(|text| self.sentence(text)),
            actions: report.actions.iter().map(|action| self.command(action)).collect(),
            ..report.clone()
        }
    }
}

/// The value as one word of a POSIX shell.
pub fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_that_read_files_are_given_them() {
        let given = Given(" --db m.db".to_owned());
        for (line, told) in [
            ("annals sync", "annals sync --db m.db"),
            ("annals sync --db x", "annals sync --db x"),
            ("annals help sync", "annals help sync"),
            ("chmod 600 m.db", "chmod 600 m.db"),
            (
                "mirror it with `annals sync URL`, or look at `annals demo`",
                "mirror it with `annals sync URL --db m.db`, or look at `annals demo`",
            ),
        ] {
            assert_eq!(given.sentence(line), told);
            assert_eq!(Given::default().sentence(line), line);
        }
    }

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(quoted("./a.db"), "./a.db");
        assert_eq!(quoted("my file's.db"), r"'my file'\''s.db'");
        assert_eq!(quoted(""), "''");
    }
}
