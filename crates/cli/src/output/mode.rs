//! For whom a command answers: a person or a program.

use std::ffi::OsString;
use std::io::IsTerminal;

use annals_net_adapter::Environment;

/// For whom a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A person at a terminal: tables, colours, relative times.
    Human,
    /// A program: one envelope line.
    Robot,
}

/// Which streams end at a person's screen, and how large it is.
#[derive(Debug, Clone, Copy)]
pub struct Terminals {
    pub stdout: bool,
    pub stderr: bool,
    /// Whether a person types.
    pub stdin: bool,
    pub columns: Option<usize>,
    pub rows: Option<usize>,
}

impl Terminals {
    /// Looks at the streams of this process.
    pub fn look() -> Self {
        let size = terminal_size::terminal_size();
        Self {
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
            stdin: std::io::stdin().is_terminal(),
            columns: size.map(|(width, _)| usize::from(width.0)),
            rows: size.map(|(_, height)| usize::from(height.0)),
        }
    }
}

impl Mode {
    /// A flag decides; else the variable; else whether a person sees the answer.
    pub fn choose(flag: Option<Self>, env: &Environment, terminals: &Terminals) -> Self {
        let variable = match env.get("ANNALS_ROBOT") {
            Some("1") => Some(Self::Robot),
            Some("0") => Some(Self::Human),
            _ => None,
        };
        let seen = if terminals.stdout { Self::Human } else { Self::Robot };
        flag.or(variable).unwrap_or(seen)
    }

    /// The flag among arguments that have not been understood (yet): an error has to be told in the right manner too.
    pub fn flag_among(args: &[OsString]) -> Option<Self> {
        let words = args.iter().skip(1).filter_map(|arg| arg.to_str());
        let flags = words.take_while(|word| *word != "--").filter_map(|word| match word {
            "--robot" | "--json" => Some(Self::Robot),
            "--human" => Some(Self::Human),
            // `-qJ`: only letters that take no value may stand before it.
            cluster if is_cluster_with_j(cluster) => Some(Self::Robot),
            _ => None,
        });
        flags.last()
    }
}

fn is_cluster_with_j(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|letters| letters.contains('J') && letters.chars().all(|letter| "Jqv".contains(letter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn robot_mode_matrix() {
        use Mode::{Human, Robot};
        for flag in [None, Some(Human), Some(Robot)] {
            for variable in [None, Some("1"), Some("0"), Some("")] {
                for stdout in [true, false] {
                    let env = Environment::new(variable.map(|value| ("ANNALS_ROBOT".to_owned(), value.to_owned())));
                    let terminals = Terminals {
                        stdout,
                        stderr: true,
                        stdin: true,
                        columns: None,
                        rows: None,
                    };
                    let expected = match (flag, variable, stdout) {
                        (Some(flag), _, _) => flag,
                        (None, Some("1"), _) => Robot,
                        (None, Some("0"), _) => Human,
                        (None, _, true) => Human,
                        (None, _, false) => Robot,
                    };
                    assert_eq!(
                        Mode::choose(flag, &env, &terminals),
                        expected,
                        "{flag:?} {variable:?} {stdout}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_flag_is_found_before_parsing() {
        for (words, found) in [
            (&["annals", "serach", "--robot"][..], Some(Mode::Robot)),
            (&["annals", "-qJ", "x"], Some(Mode::Robot)),
            (&["annals", "--json", "--human"], Some(Mode::Human)),
            (&["annals", "search", "--", "--robot"], None),
            (&["annals", "search", "-Jx"], None),
            (&["--robot"], None),
        ] {
            assert_eq!(Mode::flag_among(&args(words)), found, "{words:?}");
        }
    }
}
