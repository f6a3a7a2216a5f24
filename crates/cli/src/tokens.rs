//! Where the token of a forge comes from: the variable that the configuration names, or the one made of the forge's
//! name. What the token is, is never told.

use annals_core::config::{BaseUrl, Config, Credentials, ForgeKind, ForgeSettings};
use annals_core::{Code, Report};
use annals_net_adapter::Environment;

/// A forge as a sync sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forge {
    pub name: String,
    pub settings: ForgeSettings,
}

impl Forge {
    /// The forge at an address: as it is configured, else under the name of its host.
    pub fn at(config: &Config, base_url: &BaseUrl) -> Self {
        let configured = config.forges.iter().find(|(_, forge)| forge.base_url == *base_url);
        match configured {
            Some((name, settings)) => Self {
                name: name.clone(),
                settings: settings.clone(),
            },
            None => {
                let rest = base_url.as_str().split_once("://").map(|(_, rest)| rest);
                Self {
                    name: rest.unwrap_or(base_url.as_str()).to_owned(),
                    settings: ForgeSettings::new(ForgeKind::GitLab, base_url.clone()),
                }
            }
        }
    }

    /// The variables that may hold its token, in order.
    pub fn variables(&self) -> Vec<String> {
        self.settings.token_variables(&self.name)
    }

    /// The variable that does hold it.
    pub fn variable_in_use(&self, env: &Environment) -> Option<String> {
        let is_set = |variable: &String| env.get(variable).is_some_and(|value| !value.trim().is_empty());
        self.variables().into_iter().find(is_set)
    }
}

/// The forges that a command may have asked: the configured ones, and those at these addresses.
pub fn forges(config: &Config, others: &[BaseUrl]) -> Vec<Forge> {
    let configured = config.forges.values().map(|forge| &forge.base_url);
    let mut all: Vec<Forge> = Vec::new();
    for base_url in configured.chain(others) {
        let forge = Forge::at(config, base_url);
        if !all.contains(&forge) {
            all.push(forge);
        }
    }
    all
}

/// The address of the forge that a project's address is of, if it is one.
pub fn base_of(url: &str) -> Option<BaseUrl> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    format!("{scheme}://{authority}").parse().ok()
}

/// The failure of a request with the place that has the wrong token, or lacks one: a variable, or the file of tokens.
pub fn advise(report: Report, forges: &[Forge], env: &Environment, kept: &Credentials) -> Report {
    let about_token = [
        Code::TokenMissing,
        Code::AuthRejected,
        Code::NotFoundRemote,
        Code::Forbidden,
    ];
    if !about_token.contains(&report.code) {
        return report;
    }
    let detail = report.details.get("host").and_then(serde_json::Value::as_str);
    // What a forge fails with begins with the forge.
    let host = detail.or_else(|| report.message.split(' ').next()).unwrap_or_default();
    let host = host.to_owned();
    let here = forges
        .iter()
        .filter(|forge| forge.settings.base_url.authority() == host);
    let Some(first) = here.clone().next() else {
        return report;
    };
    let mut report = report;
    for action in &mut report.actions {
        // That of the code names no forge, and there may be none configured, or several.
        if action == "annals auth login" {
            action.push_str(&format!(" {}", first.settings.base_url));
        }
    }
    if report.suggestion.is_some() {
        return report;
    }
    let rejected = matches!(report.code, Code::AuthRejected | Code::TokenMissing);
    let with_token = here.clone().find(|forge| kept.at(&forge.settings.base_url).is_some());
    let advice = match (here.clone().find_map(|forge| forge.variable_in_use(env)), with_token) {
        (Some(variable), _) if rejected => {
            format!("the token in {variable} is not a valid one: set {variable} to one with the scope read_api")
        }
        (Some(variable), _) => {
            format!("if it is private, the owner of the token in {variable} must be allowed to read it")
        }
        (None, Some(forge)) if rejected => format!(
            "the token kept for {host} is not a valid one any more: `annals auth login {}` keeps another",
            forge.settings.base_url
        ),
        (None, Some(_)) => {
            format!("if it is private, the owner of the token kept for {host} must be allowed to read it")
        }
        (None, None) => {
            let (variables, address) = (first.variables().join(" or "), &first.settings.base_url);
            let set = match variables.as_str() {
                "" => String::new(),
                variables => format!("set {variables} to a valid token with the scope read_api, or "),
            };
            let run = format!("{set}run `annals auth login {address}`");
            if rejected {
                run
            } else {
                format!("if it is private, {run}")
            }
        }
    };
    report.with_suggestion(advice)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn env(set: &[(&str, &str)]) -> Environment {
        Environment::new(
            set.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn config() -> Config {
        let mut config = Config::default();
        let mut forge = ForgeSettings::new(ForgeKind::GitLab, "https://gitlab.com".parse().unwrap());
        forge.token_env = Some("WORK".to_owned());
        config.forges.insert("main-one".to_owned(), forge);
        config
    }

    #[test]
    fn a_token_comes_from_the_named_variable_first() {
        let main = &forges(&config(), &[])[0];
        assert_eq!(main.variables(), ["WORK", "ANNALS_TOKEN_MAIN_ONE"]);
        let both = env(&[("ANNALS_TOKEN_MAIN_ONE", "a"), ("WORK", "b")]);
        assert_eq!(main.variable_in_use(&both).as_deref(), Some("WORK"));
        let blank = env(&[("ANNALS_TOKEN_MAIN_ONE", "a"), ("WORK", " ")]);
        assert_eq!(main.variable_in_use(&blank).as_deref(), Some("ANNALS_TOKEN_MAIN_ONE"));
        assert_eq!(main.variable_in_use(&env(&[])), None);
    }

    #[test]
    fn a_forge_that_is_not_configured_is_named_like_its_host() {
        let base = base_of("http://127.0.0.1:18473/group/app").unwrap();
        let forge = Forge::at(&config(), &base);
        assert_eq!(forge.variables(), ["ANNALS_TOKEN_127_0_0_1_18473"]);
        assert_eq!(base_of("group/app"), None);
        let base = base_of("https://GitLab.com/group/app").unwrap();
        assert_eq!(Forge::at(&config(), &base).name, "main-one");
    }

    #[test]
    fn advice_names_the_variable_of_the_forge_that_failed() {
        let other = ["https://other.example".parse().unwrap()];
        let all = forges(&config(), &other);
        let kept = Credentials::default();
        let said = |code, message: &str, set: &[(&str, &str)]| {
            advise(Report::new(code, message), &all, &env(set), &kept).suggestion
        };
        for (code, message, set, part) in [
            (
                Code::AuthRejected,
                "gitlab.com rejected the token",
                Some("WORK"),
                "set WORK to",
            ),
            (
                Code::AuthRejected,
                "gitlab.com rejected the token",
                None,
                "set WORK or ANNALS_TOKEN_MAIN_ONE to",
            ),
            (
                Code::AuthRejected,
                "other.example rejected",
                Some("ANNALS_TOKEN_OTHER_EXAMPLE"),
                "ANNALS_TOKEN_OTHER_EXAMPLE",
            ),
            (
                Code::NotFoundRemote,
                "other.example has no project",
                None,
                "if it is private, set ANNALS_TOKEN_OTHER_EXAMPLE to",
            ),
        ] {
            let set: Vec<(&str, &str)> = set.into_iter().map(|name| (name, "x")).collect();
            let advice = said(code, message, &set).unwrap();
            assert!(advice.contains(part), "{advice}");
        }
        assert_eq!(said(Code::AuthRejected, "third.example rejected the token", &[]), None);
        assert_eq!(said(Code::Network, "gitlab.com is away", &[]), None);
    }

    #[test]
    fn the_login_that_helps_names_the_address() {
        let all = forges(&config(), &["https://other.example".parse().unwrap()]);
        for (code, actions) in [
            (Code::TokenMissing, &["annals auth login https://other.example"][..]),
            (
                Code::AuthRejected,
                &["annals auth login https://other.example", "annals sync"],
            ),
        ] {
            let report = Report::new(code, "other.example wants a token").with_suggestion("set a variable");
            let advised = advise(report, &all, &env(&[]), &Credentials::default());
            assert_eq!(advised.actions, actions);
            assert_eq!(advised.suggestion.as_deref(), Some("set a variable"));
        }
    }

    #[test]
    fn advice_knows_the_kept_token_of_that_address() {
        let file = "[forges.old-name]\nbase_url = \"https://gitlab.com\"\ntoken = \"s3cret\"\n";
        let kept = Credentials::parse(file).unwrap();
        let all = forges(&config(), &["https://other.example".parse().unwrap()]);
        let said = |code, message: &str, set: &[(&str, &str)]| {
            let advised = advise(Report::new(code, message), &all, &env(set), &kept);
            advised.suggestion.unwrap()
        };
        for (code, message, part) in [
            (
                Code::AuthRejected,
                "gitlab.com rejected",
                "`annals auth login https://gitlab.com` keeps",
            ),
            (
                Code::NotFoundRemote,
                "gitlab.com has no project",
                "token kept for gitlab.com must be",
            ),
            (
                Code::NotFoundRemote,
                "other.example has no project",
                "set ANNALS_TOKEN_OTHER_EXAMPLE to",
            ),
        ] {
            let advice = said(code, message, &[]);
            assert!(advice.contains(part), "{advice}");
        }
        let advice = said(Code::AuthRejected, "gitlab.com rejected", &[("WORK", "x")]);
        assert!(advice.contains("token in WORK"), "a variable is stronger: {advice}");
    }
}
