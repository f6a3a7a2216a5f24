//! A token on the command line is refused, because it is in the shell's history and in the process list by then. It is
//! never repeated.

use std::ffi::OsString;

use annals_core::config::{BaseUrl, token_variable};
use annals_core::{Code, Report};
use clap::CommandFactory;

use crate::cli::Cli;
use crate::tokens::base_of;

/// Flags that people expect to take a token.
const TOKEN_FLAGS: &[&str] = &[
    "--token",
    "--private-token",
    "--access-token",
    "--password",
    "--api-key",
];

/// How tokens of the known forges begin.
pub const TOKEN_PREFIXES: &[&str] = &[
    "glpat-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "glptt-",
    "glft-",
    "glimt-",
    "glagent-",
    "gloas-",
    "glsoat-",
    "glffct-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
];

/// Refuses a command line with a token in it. A search may look for one: that is how leaks are found.
///
/// # Errors
/// `usage`, with advice, and without the token.
pub fn refuse(args: &[OsString]) -> Result<(), Report> {
    let words: Vec<String> = args
        .iter()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let searches = command(&words) == Some("search");
    for word in &words {
        let (flag, value) = word.split_once('=').unwrap_or((word, ""));
        if TOKEN_FLAGS.contains(&flag) {
            return Err(refusal("a token is not given on the command line", &words));
        }
        let is_address = |word| has_credentials(word) || !searches && has_bare_credentials(word);
        if [word.as_str(), value].into_iter().any(is_address) {
            return Err(refusal("an address with credentials inside is refused", &words));
        }
        if !searches && [word.as_str(), value].into_iter().any(has_token_in_query) {
            return Err(refusal("an address with a token in its query is refused", &words));
        }
        if !searches && [word.as_str(), value].into_iter().any(is_token) {
            return Err(refusal("an argument looks like an access token", &words));
        }
    }
    Ok(())
}

/// The command: the first word that is neither a flag nor the value of one.
fn command(words: &[String]) -> Option<&str> {
    let cli = Cli::command();
    let takes_value = |word: &str| {
        cli.get_arguments().any(|flag| {
            let is_it = match (word.strip_prefix("--"), word.strip_prefix('-')) {
                (Some(long), _) => flag
                    .get_long_and_visible_aliases()
                    .is_some_and(|all| all.contains(&long)),
                (None, Some(short)) => flag.get_short().is_some_and(|letter| short.ends_with(letter)),
                (None, None) => false,
            };
            is_it && flag.get_action().takes_values()
        })
    };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            return Some(word);
        }
        if takes_value(word) {
            words.next();
        }
    }
    None
}

/// Parameters that forges take a token in.
const TOKEN_PARAMETERS: &[&str] = &[
    "private_token",
    "access_token",
    "job_token",
    "feed_token",
    "rss_token",
    "authenticity_token",
    "token",
];

/// Whether it is an address, with its scheme or without, that carries a token behind its `?`.
fn has_token_in_query(word: &str) -> bool {
    let query = word.split_once('?').map(|(_, query)| query);
    query.is_some_and(|query| {
        query.split(['&', ';', '#']).any(|pair| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name).to_ascii_lowercase();
            TOKEN_PARAMETERS.contains(&name.as_str())
        })
    })
}

fn refusal(what: &str, words: &[String]) -> Report {
    let message =
        format!("{what}: it would stay in the shell's history and the process list. Revoke it if it was a real one");
    let variable = words
        .iter()
        .find_map(|word| base_without_credentials(word))
        .map_or_else(
            || "ANNALS_TOKEN_<FORGE>".to_owned(),
            |base| token_variable(base.authority()),
        );
    Report::new(Code::Usage, message).with_suggestion(format!(
        "put the token into the environment variable {variable}, or the one that `token_env` of the forge names, or type \
         it at the prompt of `annals auth login`",
    ))
}

/// The forge of an address, which may have a user in front of it.
fn base_without_credentials(word: &str) -> Option<BaseUrl> {
    let (scheme, rest) = word.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    base_of(&format!("{scheme}://{host}"))
}

fn is_token(word: &str) -> bool {
    TOKEN_PREFIXES
        .iter()
        .any(|prefix| word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 8))
}

/// Whether it is an address with something before an `@` in its host part.
fn has_credentials(word: &str) -> bool {
    let after_scheme = word.split_once("://").map(|(_, rest)| rest);
    after_scheme
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .is_some_and(|host| host.contains('@'))
}

/// The same of an address whose scheme was left out. `mail@example.org` and `git@host:path` are none.
fn has_bare_credentials(word: &str) -> bool {
    let (host, path) = word.split_once(['/', '?', '#']).unwrap_or((word, ""));
    host.split_once('@').is_some_and(|(user, host)| {
        let is_user = !user.is_empty() && user != "git" && !user.starts_with('-');
        is_user && !host.is_empty() && (user.contains(':') || host.contains('.') && !path.is_empty())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn token_as_argument_refused() {
        for words in [
            &["sync", "glpat-s3cret-s3cret"][..],
            &["sync", "--token", "s3cret"],
            &["sync", "--token=s3cret"],
            &["sync", "--db=glpat-s3cret-s3cret"],
            &["sync", "https://oauth2:s3cret@gitlab.com/a/b"],
            &["show", "https://s3cret@gitlab.com/a/b/-/issues/1"],
            &["search", "--db=https://u:s3cret@h/x", "x"],
            &["sync", "https://gitlab.com/a/b?private_token=s3cret"],
            &[
                "show",
                "https://gitlab.com/a/b/-/issues/1?x=1&access_token=s3cret#note_1",
            ],
            &["projects", "https://gitlab.com/a/b?TOKEN=s3cret"],
            &["sync", "search", "glpat-s3cret-s3cret"],
            &["-p", "search", "sync", "glpat-s3cret-s3cret"],
            &["--project", "search", "sync", "glpat-s3cret-s3cret"],
            // Without the scheme, as people type it.
            &["sync", "gitlab.com/a/b?private_token=s3cret"],
            &["projects", "add", "gitlab.com/a/b?feed_token=s3cret"],
            &["sync", "https://gitlab.com/a/b?job_token=s3cret"],
            &["show", "oauth2:s3cret@gitlab.com/a/b/-/issues/1"],
            &["show", "s3cret@gitlab.com/a/b/-/issues/1"],
        ] {
            let args: Vec<OsString> = std::iter::once(&"annals").chain(words).map(OsString::from).collect();
            let report = refuse(&args).unwrap_err();
            assert_eq!(report.code, Code::Usage, "{words:?}");
            assert!(!format!("{report:?}").contains("s3cret"), "{report:?}");
        }
    }

    #[test]
    fn the_variable_of_the_forge_is_named_where_the_forge_is() {
        for (words, variable) in [
            (
                &["sync", "--token", "s3cret", "https://gitlab.com/a/b"][..],
                "variable ANNALS_TOKEN_GITLAB_COM,",
            ),
            (
                &["sync", "http://u:s3cret@127.0.0.1:8080/a/b"],
                "variable ANNALS_TOKEN_127_0_0_1_8080,",
            ),
            (&["sync", "--token", "s3cret"], "variable ANNALS_TOKEN_<FORGE>,"),
        ] {
            let args: Vec<OsString> = std::iter::once(&"annals").chain(words).map(OsString::from).collect();
            let suggestion = refuse(&args).unwrap_err().suggestion.unwrap();
            assert!(suggestion.contains(variable), "{suggestion}");
        }
    }

    #[test]
    fn other_words_pass() {
        for words in [
            &["search", "glpat-s3cret-s3cret"][..],
            &["search", "mail@example.org"],
            &["sync", "https://gitlab.com/a/b"],
            &["show", "https://gitlab.com/a/@b/-/issues/1"],
            &["sync", "glpat-"],
            &["--robot", "search", "glpat-s3cret-s3cret"],
            &["show", "https://gitlab.com/a/b/-/issues/1?tokens=3"],
            &["sync", "git@gitlab.com:a/b.git"],
            &["notes", "--author", "mail@example.org"],
            &["who", "@ann/b.c"],
            &["search", "why oauth2:x@gitlab.com/a?token=1"],
            &["-p", "group/app", "search", "glpat-s3cret-s3cret"],
        ] {
            let args: Vec<OsString> = std::iter::once(&"annals").chain(words).map(OsString::from).collect();
            assert_eq!(refuse(&args), Ok(()), "{words:?}");
        }
    }
}
