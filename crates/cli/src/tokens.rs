//! Where the token of a forge comes from: the variable that the configuration names, or the one made of the forge's
//! name. What the token is, is never told.

use annals_core::config::{BaseUrl, Config, ForgeKind, ForgeSettings, token_variable};
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
        let named = self.settings.token_env.iter().cloned();
        named.chain([token_variable(&self.name)]).collect()
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
}
