//! From the next step of a row to commands that run as they stand.

use super::Code;

/// First words of the commands this version has. A next step that names another one stays text.
pub const COMMANDS: &[&str] = &[
    "sync",
    "search",
    "show",
    "issues",
    "mrs",
    "file-history",
    "timeline",
    "who",
    "count",
    "notes",
    "projects",
    "sync-runs",
    "verify",
    "embed",
    "related",
    "explain",
    "migrate",
    "stats",
    "health",
    "doctor",
    "backup",
    "demo",
    "serve",
    "init",
    "auth",
    "mcp",
    "robot-docs",
    "completions",
    "man",
    "version",
    "help",
];

impl Code {
    /// The commands of [`next`](Self::next) that exist and have all their values: every word in
    /// capitals is replaced by its value, and a command with a word that has none is left out.
    #[must_use]
    pub fn actions(self, values: &[(&str, &str)]) -> Vec<String> {
        self.next()
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|command| fill(command, values))
            .collect()
    }
}

fn fill(command: &str, values: &[(&str, &str)]) -> Option<String> {
    let mut words = command.split(' ');
    if words.next() != Some("annals") || !COMMANDS.contains(&words.clone().next()?) {
        return None;
    }
    let mut filled = String::from("annals");
    for word in words {
        filled.push(' ');
        if is_placeholder(word) {
            let (_, value) = values.iter().find(|(name, _)| *name == word)?;
            filled.push_str(&quoted(value));
        } else {
            filled.push_str(word);
        }
    }
    Some(filled)
}

fn is_placeholder(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The value as one word of a POSIX shell: it may come from a forge.
fn quoted(value: &str) -> String {
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
    fn actions_are_complete_commands() {
        assert_eq!(Code::Network.actions(&[]), ["annals doctor"]);
        assert_eq!(Code::Protocol.actions(&[]), ["annals sync", "annals doctor"]);
        assert_eq!(Code::Partial.actions(&[]), ["annals sync"]);
        assert_eq!(
            Code::Partial.actions(&[("R", "0190-7")]),
            ["annals sync", "annals sync-runs --run-id 0190-7"]
        );
        assert_eq!(Code::RateLimited.actions(&[]), ["annals sync --wait 1h"]);
    }

    #[test]
    fn a_command_that_does_not_exist_yet_is_no_action() {
        assert!(Code::Unauthenticated.actions(&[]).is_empty());
        assert!(Code::IllegalState.actions(&[("ID", "7")]).is_empty());
        assert!(Code::HostUnknown.actions(&[]).is_empty());
    }

    #[test]
    fn a_value_cannot_break_out_of_its_word() {
        assert_eq!(
            Code::NotFound.actions(&[("URL", "https://f.example/a/b")]),
            ["annals sync https://f.example/a/b"]
        );
        assert_eq!(
            Code::NotFound.actions(&[("URL", "x'; rm -rf ~ #")]),
            [r"annals sync 'x'\''; rm -rf ~ #'"]
        );
        assert_eq!(Code::NotFound.actions(&[("URL", "")]), ["annals sync ''"]);
    }
}
