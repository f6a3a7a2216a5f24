//! A page that is longer than the screen goes through the reader's own pager.
//!
//! It is started when the command is over and its runtime has drained: a person may read for an hour, and nothing of the
//! command is held open for that.

use std::io::Write;
use std::process::Stdio;

use annals_net_adapter::Environment;

use crate::error::Error;
use crate::model::words;
use crate::output::{Mode, Terminals, stdout};

/// A program that shows text a screen at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pager {
    /// The program and its arguments; never empty.
    command: Vec<String>,
    /// Variables that make it behave, unless the reader has set them.
    settings: Vec<(&'static str, &'static str)>,
    /// Lines of the screen.
    rows: usize,
}

/// Whether a pager may be used at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    IfLong,
    Never,
}

impl Pager {
    /// The one to use: `ANNALS_PAGER`, else `PAGER`, else `less -FRX`. None for a program, none without a terminal, and
    /// none if the reader says so with an empty variable or `cat`.
    pub fn choose(paging: Paging, mode: Mode, env: &Environment, terminals: &Terminals) -> Option<Self> {
        let rows = terminals.rows.filter(|_| terminals.stdout && mode == Mode::Human)?;
        if paging == Paging::Never || env.get("TERM") == Some("dumb") {
            return None;
        }
        let named = ["ANNALS_PAGER", "PAGER"].into_iter().find_map(|name| env.get(name));
        let command = words(named.unwrap_or("less -FRX"));
        if command.first().is_none_or(|program| program == "cat") {
            return None;
        }
        let wanted = [("LESS", "FRX"), ("LV", "-c")];
        let settings = wanted.into_iter().filter(|(name, _)| env.get(name).is_none()).collect();
        Some(Self {
            command,
            settings,
            rows,
        })
    }

    /// Whether the text is more than a screen.
    pub fn is_for(&self, text: &str) -> bool {
        text.lines().count() >= self.rows
    }

    /// Shows the text and waits until it has been read; without a pager that runs, it is just printed.
    ///
    /// # Errors
    /// [`Error::ClosedPipe`], or a failure to write.
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a pager reads the keyboard, so it must be in the foreground group, which a child of the adapter never is; \
                  no runtime is left to wait for it either"
    )]
    pub fn show(&self, text: &str) -> Result<(), Error> {
        let Some((program, arguments)) = self.command.split_first() else {
            return stdout::print(text);
        };
        let child = std::process::Command::new(program)
            .args(arguments)
            .envs(self.settings.iter().copied())
            .stdin(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            return stdout::print(text);
        };
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever quits before the end has seen enough.
            drop(stdin.write_all(text.as_bytes()));
        }
        drop(child.wait());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pager_is_chosen_by_whoever_reads() {
        let terminals = |stdout, rows| Terminals {
            stdout,
            stderr: true,
            stdin: true,
            columns: Some(80),
            rows,
        };
        let screen = terminals(true, Some(10));
        let env = |pairs: &[(&str, &str)]| {
            Environment::new(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            )
        };
        let command = |pairs: &[(&str, &str)]| {
            Pager::choose(Paging::IfLong, Mode::Human, &env(pairs), &screen).map(|pager| pager.command.join(" "))
        };
        assert_eq!(command(&[]).as_deref(), Some("less -FRX"));
        assert_eq!(command(&[("PAGER", "more")]).as_deref(), Some("more"));
        assert_eq!(
            command(&[("PAGER", "more"), ("ANNALS_PAGER", "most -w")]).as_deref(),
            Some("most -w")
        );
        for none in [
            &[("PAGER", "")][..],
            &[("PAGER", "cat")],
            &[("ANNALS_PAGER", ""), ("PAGER", "more")],
            &[("TERM", "dumb")],
        ] {
            assert_eq!(command(none), None, "{none:?}");
        }
        let chosen = |paging, mode, terminals: &Terminals| Pager::choose(paging, mode, &env(&[]), terminals);
        assert_eq!(chosen(Paging::Never, Mode::Human, &screen), None);
        assert_eq!(chosen(Paging::IfLong, Mode::Robot, &screen), None);
        assert_eq!(chosen(Paging::IfLong, Mode::Human, &terminals(false, Some(10))), None);
        assert_eq!(chosen(Paging::IfLong, Mode::Human, &terminals(true, None)), None);
        let settings =
            |pairs| Pager::choose(Paging::IfLong, Mode::Human, &env(pairs), &screen).map(|pager| pager.settings);
        assert_eq!(settings(&[("LESS", "-i")]), Some(vec![("LV", "-c")]));
    }

    #[test]
    fn only_what_is_longer_than_the_screen_is_paged() {
        let pager = Pager {
            command: vec!["less".to_owned()],
            settings: Vec::new(),
            rows: 3,
        };
        assert!(!pager.is_for("1\n2\n"));
        assert!(pager.is_for("1\n2\n3\n"));
    }
}
