//! `annals auth`: the tokens of the forges, kept out of command lines and configuration files.

use std::net::Ipv4Addr;

use annals_core::config::{Account, BaseUrl, Credential, Credentials, ToldBy, token_variable};
use annals_core::{Code, Report, Secret, UnixMs};
use annals_net_adapter::{Cx, Slice};
use annals_sync::{Hosts, SyncOptions};
use serde::Serialize;

use super::{Conduct, Run, sync};
use crate::credentials;
use crate::error::Error;
use crate::output::page::one_line;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Meta, Mode, Page, Reply, Shape, Show, Style};
use crate::places;
use crate::secrets::TOKEN_PREFIXES;
use crate::session::Session;
use crate::stdin;
use crate::tokens::{self, Forge};

/// Keep, show or forget the access tokens of forges
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A token is looked for in the environment variable that `token_env` of the forge names, then in \
                        ANNALS_TOKEN_<FORGE>, then in credentials.toml, which `annals auth login` writes and nobody else \
                        can read."
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Try a token at its forge and keep it: asked for unseen, or read from standard input
    Login {
        /// The forge: its name in the configuration, its host or its address
        forge: Option<String>,
    },
    /// Show which forges have a token, whose it is and what it may do; asks nobody
    Status,
    /// Forget the kept token of a forge
    Logout {
        /// The forge: its name in the configuration, its host or its address
        forge: Option<String>,
    },
}

#[derive(Debug, Serialize)]
pub struct Data {
    forges: Vec<Known>,
}

/// What is known of a forge's token.
#[derive(Debug, Serialize)]
struct Known {
    name: String,
    /// Its address.
    url: String,
    user: Option<String>,
    scopes: Vec<String>,
    expires_at: Option<String>,
    /// Where the token comes from: `env`, `file`, or nowhere.
    store: Option<&'static str>,
    /// The variable, if it comes from one.
    variable: Option<String>,
    /// As much of it as everybody may see.
    token: Option<String>,
    /// Whether there is one that is not known to have ended.
    ok: bool,
}

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "forges.name", "forges.url", "forges.user", "forges.scopes", "forges.expires_at", "forges.store",
        "forges.variable", "forges.token", "forges.ok",
    ],
    list: Some("forges"),
    minimal: &["name", "store", "ok"],
};

/// With one of these a token can read what is mirrored.
const ENOUGH: &[&str] = &["read_api", "api"];

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "auth";
    const EXAMPLES: &'static [&'static str] = &[
        "annals auth login",
        "annals auth login gitlab.com",
        "annals auth status",
        "annals auth logout gitlab.com",
    ];
    const SLICE: Option<Slice> = Some(Slice::Ingest);
    const CONDUCT: Conduct = Conduct::Reads;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let kept = credentials::load(&session.env)?;
        let now = cx.unix_ms();
        match self.what {
            What::Login { forge } => {
                let asked = forge.as_deref();
                login(cx, session, kept, meant(session, asked, named(session, asked)?)?).await
            }
            What::Status => {
                // Those of the configuration, and those that only have a token.
                let with_token: Vec<BaseUrl> = kept.tokens().into_keys().collect();
                let all = tokens::forges(session.config(), &with_token);
                Ok(Reply::from(Data {
                    forges: all.iter().map(|forge| known(session, now, &kept, forge)).collect(),
                }))
            }
            What::Logout { forge } => {
                let forge = to_forget(session, &kept, forge.as_deref())?;
                logout(session, now, kept, &forge)
            }
        }
    }
}

async fn login(cx: &Cx, session: &Session, mut kept: Credentials, forge: Forge) -> Result<Reply<Data>, Error> {
    let host = forge.settings.base_url.authority().to_owned();
    let options = SyncOptions::new(session.config(), Hosts::new());
    let in_the_clear = in_the_clear(&options, &forge)?;
    if session.out.mode == Mode::Human {
        // While there is still time to type nothing.
        session.out.warn(&in_the_clear);
    }
    let token = stdin::token(cx, session, &host).await?;
    let account = annals_sync::account(cx, &options, &forge.settings.base_url, token.clone()).await;
    let account = account.map_err(|error| refused(sync::told(session, &[], &error)))?;
    if !account.scopes.is_empty() && !account.scopes.iter().any(|scope| ENOUGH.contains(&scope.as_str())) {
        let has = account.scopes.join(", ");
        let message = format!("the token for {host} lacks the scope read_api; it has {has}. It was not kept");
        let report = Report::new(Code::Forbidden, message).with_detail("scopes", account.scopes);
        return Err(report.with_suggestion("make one with the scope read_api").into());
    }
    let base_url = forge.settings.base_url.clone();
    let credential = Credential {
        base_url,
        token,
        account,
    };
    kept.set(&forge.name, &credential);
    credentials::store(&session.env, &kept)?;
    let forge_known = known(session, cx.unix_ms(), &kept, &forge);
    let stronger = forge_known.variable.iter().map(|variable| {
        format!("the environment variable {variable} is set, and its token is used instead of the one just kept")
    });
    let in_the_clear = in_the_clear.into_iter().filter(|_| session.out.mode == Mode::Robot);
    let meta = Meta {
        warnings: stronger.chain(in_the_clear).collect(),
        ..Meta::default()
    };
    Ok(Reply::Data(
        Data {
            forges: vec![forge_known],
        },
        meta,
    ))
}

/// What is to be said before a token goes where everybody on the way can read it.
///
/// # Errors
/// `usage` where the user has not configured that: a slip of one letter must not cost a token.
fn in_the_clear(options: &SyncOptions, forge: &Forge) -> Result<Vec<String>, Report> {
    let base_url = &forge.settings.base_url;
    if base_url.is_confidential() {
        return Ok(Vec::new());
    }
    let readable =
        format!("{base_url} is asked without TLS: everybody on the way can read the token with every request");
    if options.is_configured(base_url) {
        return Ok(vec![readable]);
    }
    let rest = base_url.as_str().trim_start_matches("http://");
    Err(Report::new(Code::Usage, readable).with_suggestion(format!(
        "use https://{rest}, or put the http address into a configuration of your own"
    )))
}

/// The forge, where whoever asked knows which one it is.
///
/// # Errors
/// `usage` where only a found file says who is meant: the token would go to whom the file likes.
fn meant(session: &Session, asked: Option<&str>, forge: Forge) -> Result<Forge, Report> {
    let by_name = asked.is_none_or(|asked| session.config().forges.contains_key(asked.trim()));
    let is_of_host = asked.is_some_and(|asked| forge.variables().contains(&token_variable(asked.trim())));
    match forge.settings.told_by {
        ToldBy::FoundFile if by_name && !is_of_host => {
            let message = format!(
                "only ./{file}, which nobody named, says that {} is {}",
                forge.name,
                forge.settings.base_url,
                file = places::LOCAL_CONFIG
            );
            let suggestion = format!(
                "name the address of the forge, or the file: --config ./{}",
                places::LOCAL_CONFIG
            );
            Err(Report::new(Code::Usage, message).with_suggestion(suggestion))
        }
        ToldBy::FoundFile | ToldBy::User => Ok(forge),
    }
}

/// A refusal of the token that was just typed is no reason to log in.
fn refused(error: Error) -> Error {
    match error {
        Error::Told(report) if report.code == Code::AuthRejected => {
            let mut report = *report;
            report.actions = Vec::new();
            report.suggestion = Some("it was not kept; a token needs the scope read_api".to_owned());
            report.into()
        }
        other => other,
    }
}

fn logout(session: &Session, now: UnixMs, mut kept: Credentials, forge: &Forge) -> Result<Reply<Data>, Error> {
    if !kept.remove(&forge.settings.base_url) {
        let message = format!("no token is kept for {}", forge.settings.base_url);
        return Err(Report::new(Code::NotFound, message)
            .with_action("annals auth status")
            .into());
    }
    credentials::store(&session.env, &kept)?;
    Ok(Reply::from(Data {
        forges: vec![known(session, now, &kept, forge)],
    }))
}

/// The forge whose token is to be forgotten: the one that was named, or else the one whose token is kept under that
/// name, which the configuration may have lost since.
fn to_forget(session: &Session, kept: &Credentials, asked: Option<&str>) -> Result<Forge, Report> {
    let named = named(session, asked);
    if named
        .as_ref()
        .is_ok_and(|forge| kept.at(&forge.settings.base_url).is_some())
    {
        return named;
    }
    let mut all = kept.all();
    match all.find(|(name, _)| asked.is_some_and(|asked| asked.trim() == *name)) {
        Some((_, credential)) => Ok(Forge::at(session.config(), &credential.base_url)),
        None => named,
    }
}

/// The forge that was named, or the only one there is.
fn named(session: &Session, asked: Option<&str>) -> Result<Forge, Report> {
    let config = session.config();
    let Some(asked) = asked.map(str::trim) else {
        let mut configured = tokens::forges(config, &[]);
        return match (configured.pop(), configured.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Report::new(Code::Usage, "the configuration has no forge: name one")
                .with_suggestion("annals auth login https://gitlab.com")),
            (Some(last), false) => {
                let names = configured.iter().chain([&last]).map(|forge| forge.name.clone());
                let names: Vec<String> = names.collect();
                Err(
                    Report::new(Code::Usage, format!("which forge? There are {}", names.join(", ")))
                        .with_detail("candidates", names),
                )
            }
        };
    };
    if let Some(settings) = config.forges.get(asked) {
        return Ok(Forge {
            name: asked.to_owned(),
            settings: settings.clone(),
        });
    }
    let url = if asked.contains("://") {
        asked.to_owned()
    } else {
        format!("https://{asked}")
    };
    let base = url.parse::<BaseUrl>().ok().filter(|_| is_like_address(asked)).ok_or_else(|| {
        Report::new(
            Code::Usage,
            "the word given is neither a forge of the configuration nor an address. It is not repeated: if it is a token, \
             it is in the shell's history now, so revoke it",
        )
        .with_suggestion("run `annals auth login https://gitlab.com` and type the token at its prompt")
    })?;
    Ok(Forge::at(config, &base))
}

/// Whether somebody may have meant an address: a bare word is as likely a token, which must go nowhere.
fn is_like_address(text: &str) -> bool {
    let host = text.split(['/', ':']).next().unwrap_or_default();
    let is_ip = text.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    // Tokens may have dots, but none ends like a domain.
    let is_domain = host.rsplit_once('.').is_some_and(|(_, top)| {
        top.len() >= 2 && (top.starts_with("xn--") || top.bytes().all(|byte| byte.is_ascii_alphabetic()))
    });
    text.contains("://") || is_ip || is_domain || host.eq_ignore_ascii_case("localhost")
}

fn known(session: &Session, now: UnixMs, kept: &Credentials, forge: &Forge) -> Known {
    let variable = forge.variable_in_use(&session.env);
    let of_variable = variable.as_ref().and_then(|variable| session.env.get(variable));
    let (store, token, account) = match (of_variable, kept.at(&forge.settings.base_url)) {
        (Some(token), _) => (Some("env"), Some(Secret::new(token.trim())), Account::default()),
        (None, Some(credential)) => (Some("file"), Some(credential.token), credential.account),
        (None, None) => (None, None, Account::default()),
    };
    Known {
        name: forge.name.clone(),
        url: forge.settings.base_url.as_str().to_owned(),
        ok: token.is_some() && !has_ended(now, account.expires_at.as_deref()),
        user: account.user,
        scopes: account.scopes,
        expires_at: account.expires_at,
        store,
        variable,
        token: token.as_ref().map(masked),
    }
}

/// Whether the day a token ends, as the forge wrote it, is over.
fn has_ended(now: UnixMs, expires_at: Option<&str>) -> bool {
    let today = now.rfc3339();
    let day = |text: &str| text.get(..10).map(str::to_owned);
    expires_at
        .and_then(day)
        .zip(day(&today))
        .is_some_and(|(end, today)| end <= today)
}

/// The kind of the token, which everybody may know, and nothing of what is secret.
fn masked(token: &Secret) -> String {
    let kind = TOKEN_PREFIXES
        .iter()
        .find(|prefix| token.expose().starts_with(**prefix));
    format!("{}********", kind.copied().unwrap_or_default())
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("FORGE", Column::Left),
            ("TOKEN", Column::Left),
            ("FROM", Column::Left),
            ("USER", Column::Left),
            ("SCOPES", Column::Flexible),
            ("UNTIL", Column::Left),
        ]);
        for forge in &self.forges {
            let text = |text: &Option<String>| Cell::from(text.as_deref().map_or_else(|| "–".to_owned(), one_line));
            let from = forge
                .variable
                .clone()
                .or_else(|| forge.store.map(|_| "credentials.toml".to_owned()));
            let token = forge
                .token
                .clone()
                .unwrap_or_else(|| "none: public access only".to_owned());
            let style = if forge.ok { Style::Good } else { Style::Attention };
            table.row([
                Cell::styled(one_line(&forge.name), Style::Link),
                Cell::styled(token, style),
                text(&from),
                text(&forge.user),
                one_line(&forge.scopes.join(", ")).into(),
                text(&forge.expires_at),
            ]);
        }
        if self.forges.is_empty() {
            page.line("no forge is configured, and no token is kept; annals auth login https://HOST keeps one");
        } else {
            page.table(&table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_word_is_no_address() {
        for address in [
            "https://forge/git",
            "gitlab.com",
            "gitlab.example:8443/git",
            "localhost",
            "LOCALHOST:8080",
            "[::1]:8080",
            "10.0.0.7",
        ] {
            assert!(is_like_address(address), "{address}");
        }
        for word in [
            "Zq3x9PpLw0aBcDeFgHiJ",
            "0f1e2d3c4b5a",
            "gitlab",
            "custom-Zq3x9PpLw0aB.01.0w1x9a",
            "a/b.c",
            "",
        ] {
            assert!(!is_like_address(word), "{word}");
        }
    }

    #[test]
    fn a_token_shows_its_kind_at_most() {
        for (token, shown) in [
            ("glpat-Zq3x9PpLw0aB", "glpat-********"),
            ("ghp_abcdefghijkl", "ghp_********"),
            ("s3cret", "********"),
            ("pass-word", "********"),
            ("", "********"),
        ] {
            assert_eq!(masked(&Secret::new(token)), shown);
        }
    }
}
