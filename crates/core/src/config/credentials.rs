//! The file of tokens, `credentials.toml`, as text: what is in it, and what it says after a change.
//!
//! A forge has its token under `[forges.<name>]`, with what was learnt about it when it was checked. Tables that are not
//! known here stay as they are.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use crate::secret::Secret;

/// The tokens of the forges.
#[derive(Clone, Default)]
pub struct Credentials {
    root: Table,
}

/// What is known of a forge's token.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The token.
    pub token: Secret,
    /// What was learnt when it was checked.
    pub account: Account,
}

/// Whose token it is and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The name of its owner at the forge.
    pub user: Option<String>,
    /// Its scopes, where the forge tells.
    pub scopes: Vec<String>,
    /// The day or time it ends, as the forge wrote it.
    pub expires_at: Option<String>,
}

/// A text that is not such a file. It repeats nothing of the text, which may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// It is no TOML.
    #[error("line {line} is not TOML")]
    Syntax {
        /// Where.
        line: usize,
    },
    /// A forge has no token that is text.
    #[error("forges.{name} has no token")]
    NoToken {
        /// Which.
        name: String,
    },
}

const FORGES: &str = "forges";

impl Credentials {
    /// Reads the file.
    ///
    /// # Errors
    /// [`BadCredentials`], without a word of what the file says.
    pub fn parse(text: &str) -> Result<Self, BadCredentials> {
        let root: Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..text.floor_char_boundary(at)).unwrap_or_default();
            BadCredentials::Syntax {
                line: before.matches('\n').count() + 1,
            }
        })?;
        let credentials = Self { root };
        let bad = credentials.names().find(|name| credentials.get(name).is_none());
        match bad {
            Some(name) => Err(BadCredentials::NoToken { name: name.to_owned() }),
            None => Ok(credentials),
        }
    }

    /// The forges that have a token.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let forges = self.root.get(FORGES).and_then(Value::as_table);
        forges.into_iter().flat_map(|forges| forges.keys().map(String::as_str))
    }

    /// The token of a forge.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Credential> {
        let forge = self.root.get(FORGES)?.get(name)?;
        let text = |key: &str| forge.get(key).and_then(Value::as_str).map(str::to_owned);
        let scopes = forge.get("scopes").and_then(Value::as_array);
        let scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
        Some(Credential {
            token: Secret::new(text("token").filter(|token| !token.trim().is_empty())?.trim()),
            account: Account {
                user: text("user"),
                scopes: scopes.map(str::to_owned).collect(),
                expires_at: text("expires_at"),
            },
        })
    }

    /// All tokens by the names of their forges.
    #[must_use]
    pub fn tokens(&self) -> BTreeMap<String, Secret> {
        let all = self
            .names()
            .filter_map(|name| Some((name.to_owned(), self.get(name)?.token)));
        all.collect()
    }

    /// Puts a token in, in place of the one before.
    pub fn set(&mut self, name: &str, credential: &Credential) {
        let Credential { token, account } = credential;
        let mut forge = Table::new();
        forge.insert("token".to_owned(), token.expose().into());
        let texts = [("user", &account.user), ("expires_at", &account.expires_at)];
        for (key, text) in texts {
            forge.extend(text.clone().map(|text| (key.to_owned(), text.into())));
        }
        if !account.scopes.is_empty() {
            forge.insert("scopes".to_owned(), account.scopes.clone().into());
        }
        let forges = self.root.entry(FORGES).or_insert_with(|| Value::Table(Table::new()));
        if !forges.is_table() {
            *forges = Value::Table(Table::new());
        }
        if let Some(forges) = forges.as_table_mut() {
            forges.insert(name.to_owned(), Value::Table(forge));
        }
    }

    /// Takes a token out; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let forges = self.root.get_mut(FORGES).and_then(Value::as_table_mut);
        forges.is_some_and(|forges| forges.remove(name).is_some())
    }

    /// What the file says: a secret as a whole.
    #[must_use]
    pub fn text(&self) -> Secret {
        Secret::new(self.root.to_string())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const FILE: &str = "\
[fleet.eu]
admin_key = \"k3y\"

[forges.gitlab-com]
token = \" glpat-s3cret \"
user = \"reader\"
scopes = [\"read_api\", \"read_user\"]
expires_at = \"2027-01-31\"
";

    #[test]
    fn what_is_put_in_is_read_again_and_the_rest_stays() {
        let mut credentials = Credentials::parse(FILE).unwrap();
        let known = credentials.get("gitlab-com").unwrap();
        assert_eq!(known.token.expose(), "glpat-s3cret");
        assert_eq!(
            (known.account.user.as_deref(), known.account.scopes.len()),
            (Some("reader"), 2)
        );
        let other = Credential {
            token: Secret::new("a\"b\\c"),
            account: Account::default(),
        };
        credentials.set("work", &other);
        let again = Credentials::parse(credentials.text().expose()).unwrap();
        assert_eq!(again.names().collect::<Vec<_>>(), ["gitlab-com", "work"]);
        assert_eq!(again.tokens()["work"].expose(), "a\"b\\c");
        assert_eq!(again.get("gitlab-com").unwrap().account, known.account);
        assert!(again.text().expose().contains("k3y"), "tables of others stay");
        let mut again = again;
        assert!(again.remove("work") && !again.remove("work"));
        assert_eq!(again.names().count(), 1);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_token() {
        for (text, told) in [
            ("[forges.a]\ntoken = glpat-s3cret", "line 2 is not TOML"),
            ("[forges.a]\ntokn = \"glpat-s3cret\"", "forges.a has no token"),
            ("[forges.a]\ntoken = \"\"", "forges.a has no token"),
            ("[forges.a]\ntoken = 7", "forges.a has no token"),
        ] {
            assert_eq!(Credentials::parse(text).unwrap_err().to_string(), told);
        }
        let shown = format!("{:?}", Credentials::parse(FILE).unwrap());
        assert_eq!(shown, "[\"gitlab-com\"]");
    }
}
