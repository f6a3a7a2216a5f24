//! A file that nobody named says how things are done, and not where secrets and texts go.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::config::Layers;

fn read(trust: Trust, text: &str, env: &[(&str, &str)]) -> (Config, Vec<String>) {
    let layers = Layers {
        file: Some(("annals.toml".into(), text.to_owned())),
        trust,
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        overrides: Vec::new(),
    };
    let (config, left_out) = Config::read(&layers).unwrap();
    (config, left_out.iter().map(LeftOut::to_string).collect())
}

fn forge(name: &str, base_url: &str, more: &str) -> String {
    format!("[forges.{name}]\nkind = \"gitlab\"\nbase_url = \"{base_url}\"\n{more}\n")
}

#[test]
fn a_found_file_sends_no_variable_but_that_of_the_host() {
    for (name, base_url, more, env, usable, left_out) in [
        (
            "work",
            "https://evil.example",
            "token_env = \"WORK\"",
            None,
            &["ANNALS_TOKEN_EVIL_EXAMPLE"][..],
            Some("WORK to https://evil.example"),
        ),
        (
            "gitlab-com",
            "https://evil.example",
            "",
            Some("ANNALS_TOKEN_GITLAB_COM"),
            &["ANNALS_TOKEN_EVIL_EXAMPLE"],
            Some("ANNALS_TOKEN_GITLAB_COM to https://evil.example"),
        ),
        (
            "gitlab-com",
            "https://gitlab.com",
            "",
            Some("ANNALS_TOKEN_GITLAB_COM"),
            &["ANNALS_TOKEN_GITLAB_COM"],
            None,
        ),
        (
            "x",
            "https://gitlab.com",
            "token_env = \"ANNALS_TOKEN_GITLAB_COM\"",
            None,
            &["ANNALS_TOKEN_GITLAB_COM"],
            None,
        ),
        // Its variable is that of my.corp.example too.
        (
            "my",
            "https://my-corp.example",
            "",
            Some("ANNALS_TOKEN_MY"),
            &[],
            Some("ANNALS_TOKEN_MY to"),
        ),
        // A variable that was meant for another forge of the name.
        (
            "work",
            "https://evil.example",
            "",
            Some("ANNALS_FORGES__WORK__TOKEN_ENV"),
            &["ANNALS_TOKEN_EVIL_EXAMPLE"],
            Some("token_env: it would send the token in S"),
        ),
        (
            "here",
            "http://127.0.0.1:8080",
            "token_env = \"WORK\"",
            None,
            &["WORK", "ANNALS_TOKEN_HERE"],
            None,
        ),
        (
            "here",
            "http://localhost:8080",
            "token_env = \"WORK\"",
            None,
            &["WORK", "ANNALS_TOKEN_HERE"],
            None,
        ),
    ] {
        let text = forge(name, base_url, more);
        let env: Vec<_> = env.into_iter().map(|variable| (variable, "S")).collect();
        let (config, told) = read(Trust::Found, &text, &env);
        assert_eq!(config.forges[name].token_variables(name), usable, "{text}");
        assert_eq!(told.len(), usize::from(left_out.is_some()), "{text}: {told:?}");
        assert!(left_out.is_none_or(|part| told[0].contains(part)), "{told:?}");
        let (config, told) = read(Trust::Named, &text, &env);
        assert!(
            told.is_empty()
                && config.forges[name]
                    .token_variables(name)
                    .contains(&token_variable(name))
        );
    }
}

#[test]
fn a_found_file_makes_nobody_trusted_and_names_no_embedder_elsewhere() {
    let text = [
        forge("gitlab-com", "https://gitlab.com", "ca_file = \"evil.pem\"").as_str(),
        "[server]\nallowed_hosts = [\"evil.example\"]\n[embed]\nprovider = \"openai\"\nmodel = \"m\"\n\
         base_url = \"https://evil.example\"\ntoken_env = \"GITHUB_TOKEN\"\n[sync]\njobs = 3\n",
    ]
    .concat();
    let (config, told) = read(Trust::Found, &text, &[]);
    assert_eq!(config.forges["gitlab-com"].ca_file, None);
    assert!(config.server.allowed_hosts.is_empty() && config.embed.is_local());
    assert_eq!((&config.embed.base_url, &config.embed.token_env), (&None, &None));
    assert_eq!(config.sync.jobs, 3, "how things are done it may say");
    for (at, key) in ["embed", "server.allowed_hosts", "forges.gitlab-com.ca_file"]
        .into_iter()
        .enumerate()
    {
        assert!(told[at].starts_with(&format!("{key}: it would ")), "{told:?}");
    }
    let (config, told) = read(Trust::Named, &text, &[]);
    assert!(told.is_empty() && !config.embed.is_local() && !config.server.allowed_hosts.is_empty());
    assert!(config.forges["gitlab-com"].ca_file.is_some());
}

#[test]
fn what_a_found_file_says_of_an_embedder_is_not_half_believed() {
    // The usual address of the provider is elsewhere too.
    let (config, told) = read(Trust::Found, "[embed]\nprovider = \"openai\"\nmodel = \"m\"\n", &[]);
    assert!(config.embed.is_local() && told.len() == 1, "{told:?}");
    // The user chose the provider, and the file would choose where it is.
    let openai = [("ANNALS_EMBED__PROVIDER", "openai")];
    let text = "[embed]\nmodel = \"m\"\nbase_url = \"https://evil.example\"\n";
    let (config, told) = read(Trust::Found, text, &openai);
    assert!(config.embed.base_url.is_none() && told.len() == 1, "{told:?}");
    let (config, told) = read(Trust::Found, "[embed]\nmodel = \"m\"\ntoken_env = \"WORK\"\n", &openai);
    assert!(config.embed.token_env.is_none() && told.len() == 1, "{told:?}");
    // On this machine it may be.
    let text =
        "[embed]\nprovider = \"ollama\"\nmodel = \"m\"\nbase_url = \"http://127.0.0.1:9\"\ntoken_env = \"WORK\"\n";
    let (config, told) = read(Trust::Found, text, &[]);
    assert!(
        told.is_empty() && config.embed.token_env.is_some() && config.embed.base_url.is_some(),
        "{told:?}"
    );
}
