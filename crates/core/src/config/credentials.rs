//! The file of tokens, `credentials.toml`, as text: what is in it, and what it says after a change.
//!
//! A forge has its token under `[forges.<name>]`, with the address it is for and what was learnt about it when it was
//! checked. The name is for people: only the address says who gets a token. Tables that are not known here stay as they
//! are.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::BaseUrl;
use crate::secret::Secret;

/// The tokens of the forges.
#[derive(Clone, Default)]
pub struct Credentials {
    root: Table,
}

/// What is known of a forge's token.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The forge it is for; no other one gets it.
    pub base_url: BaseUrl,
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
    /// A token is kept for nobody knows whom.
    #[error("forges.{name} has no base_url that is the address of a forge")]
    NoAddress {
        /// Which.
        name: String,
    },
    /// Two tokens are kept for one forge.
    #[error("forges.{first} and forges.{second} are for the same base_url")]
    Twice {
        /// The one.
        first: String,
        /// The other.
        second: String,
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
        let mut known = BTreeMap::new();
        for (name, forge) in credentials.forges() {
            let credential = read(name, forge)?;
            if let Some(first) = known.insert(credential.base_url, name.to_owned()) {
                let second = name.to_owned();
                return Err(BadCredentials::Twice { first, second });
            }
        }
        Ok(credentials)
    }

    fn forges(&self) -> impl Iterator<Item = (&str, &Value)> {
        let forges = self.root.get(FORGES).and_then(Value::as_table);
        forges.into_iter().flatten().map(|(name, forge)| (name.as_str(), forge))
    }

    /// What is kept, under the names it is kept under.
    pub fn all(&self) -> impl Iterator<Item = (&str, Credential)> {
        self.forges()
            .filter_map(|(name, forge)| Some((name, read(name, forge).ok()?)))
    }

    /// The token of the forge at an address.
    #[must_use]
    pub fn at(&self, base_url: &BaseUrl) -> Option<Credential> {
        let mut all = self.all().map(|(_, credential)| credential);
        all.find(|credential| credential.base_url == *base_url)
    }

    /// All tokens by the addresses of their forges.
    #[must_use]
    pub fn tokens(&self) -> BTreeMap<BaseUrl, Secret> {
        let all = self
            .all()
            .map(|(_, credential)| (credential.base_url, credential.token));
        all.collect()
    }

    /// Puts a token in, in place of the one before for the same address; the token of another forge that has the name
    /// already keeps it.
    pub fn set(&mut self, name: &str, credential: &Credential) {
        let Credential {
            base_url,
            token,
            account,
        } = credential;
        let _before = self.remove(base_url);
        let mut forge = Table::new();
        forge.insert("base_url".to_owned(), base_url.as_str().into());
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
            let mut key = name.to_owned();
            let mut others = 1_u32;
            while forges.contains_key(&key) {
                others = others.saturating_add(1);
                key = format!("{name}-{others}");
            }
            forges.insert(key, Value::Table(forge));
        }
    }

    /// Takes the token of a forge out; whether there was one.
    pub fn remove(&mut self, base_url: &BaseUrl) -> bool {
        let here = self.all().find(|(_, credential)| credential.base_url == *base_url);
        let Some(name) = here.map(|(name, _)| name.to_owned()) else {
            return false;
        };
        let forges = self.root.get_mut(FORGES).and_then(Value::as_table_mut);
        forges.is_some_and(|forges| forges.remove(&name).is_some())
    }

    /// What the file says: a secret as a whole.
    #[must_use]
    pub fn text(&self) -> Secret {
        Secret::new(self.root.to_string())
    }
}

fn read(name: &str, forge: &Value) -> Result<Credential, BadCredentials> {
    let text = |key: &str| forge.get(key).and_then(Value::as_str).map(str::to_owned);
    let token = text("token").filter(|token| !token.trim().is_empty());
    let token = token.ok_or_else(|| BadCredentials::NoToken { name: name.to_owned() })?;
    let base_url = text("base_url").and_then(|address| address.trim().parse().ok());
    let scopes = forge.get("scopes").and_then(Value::as_array);
    let scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
    Ok(Credential {
        base_url: base_url.ok_or_else(|| BadCredentials::NoAddress { name: name.to_owned() })?,
        token: Secret::new(token.trim()),
        account: Account {
            user: text("user"),
            scopes: scopes.map(str::to_owned).collect(),
            expires_at: text("expires_at"),
        },
    })
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.forges().map(|(name, _)| name)).finish()
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
base_url = \"https://GitLab.com/\"
token = \" glpat-s3cret \"
user = \"reader\"
scopes = [\"read_api\", \"read_user\"]
expires_at = \"2027-01-31\"
";

    fn address(text: &str) -> BaseUrl {
        text.parse().unwrap()
    }

    fn credential(base_url: &str, token: &str) -> Credential {
        Credential {
            base_url: address(base_url),
            token: Secret::new(token),
            account: Account::default(),
        }
    }

    fn names(credentials: &Credentials) -> Vec<&str> {
        credentials.all().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_is_put_in_is_read_again_and_the_rest_stays() {
        let mut credentials = Credentials::parse(FILE).unwrap();
        let gitlab = address("https://gitlab.com");
        let known = credentials.at(&gitlab).unwrap();
        assert_eq!(known.token.expose(), "glpat-s3cret");
        assert_eq!(
            (known.account.user.as_deref(), known.account.scopes.len()),
            (Some("reader"), 2)
        );
        let work = address("https://work.example/git");
        credentials.set("work", &credential(work.as_str(), "a\"b\\c"));
        let mut again = Credentials::parse(credentials.text().expose()).unwrap();
        assert_eq!(names(&again), ["gitlab-com", "work"]);
        assert_eq!(again.tokens()[&work].expose(), "a\"b\\c");
        assert_eq!(again.at(&gitlab).unwrap().account, known.account);
        assert!(again.text().expose().contains("k3y"), "tables of others stay");
        assert!(again.remove(&work) && !again.remove(&work));
        assert_eq!(names(&again), ["gitlab-com"]);
    }

    #[test]
    fn a_token_is_found_by_the_whole_address_only() {
        let credentials = Credentials::parse(FILE).unwrap();
        for other in [
            "http://gitlab.com",
            "https://gitlab.com:8443",
            "https://gitlab.com/git",
            "https://www.gitlab.com",
            "https://gitlab-com",
        ] {
            assert!(credentials.at(&address(other)).is_none(), "{other}");
            assert!(!credentials.tokens().contains_key(&address(other)), "{other}");
        }
    }

    #[test]
    fn an_address_has_one_token_and_a_name_takes_none_away() {
        let mut credentials = Credentials::default();
        credentials.set("forge.example", &credential("https://forge.example", "one"));
        credentials.set("forge.example", &credential("http://forge.example", "two"));
        assert_eq!(names(&credentials), ["forge.example", "forge.example-2"]);
        credentials.set("work", &credential("https://forge.example", "three"));
        assert_eq!(names(&credentials), ["forge.example-2", "work"]);
        let token = |base_url: &str| credentials.at(&address(base_url)).unwrap().token;
        assert_eq!(token("https://forge.example").expose(), "three");
        assert_eq!(token("http://forge.example").expose(), "two");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_token() {
        let twice = "\
[forges.a]
base_url = \"https://h.example\"
token = \"glpat-s3cret\"
[forges.b]
base_url = \"https://H.example/\"
token = \"glpat-s3cret\"
";
        for (text, told) in [
            ("[forges.a]\ntoken = glpat-s3cret", "line 2 is not TOML"),
            ("[forges.a]\ntokn = \"glpat-s3cret\"", "forges.a has no token"),
            ("[forges.a]\ntoken = \"\"", "forges.a has no token"),
            ("[forges.a]\ntoken = 7", "forges.a has no token"),
            (
                "[forges.a]\ntoken = \"glpat-s3cret\"",
                "forges.a has no base_url that is the address of a forge",
            ),
            (
                "[forges.a]\nbase_url = \"https://u:glpat-s3cret@h.example\"\ntoken = \"glpat-s3cret\"",
                "forges.a has no base_url that is the address of a forge",
            ),
            (twice, "forges.a and forges.b are for the same base_url"),
        ] {
            assert_eq!(Credentials::parse(text).unwrap_err().to_string(), told);
        }
        let shown = format!("{:?}", Credentials::parse(FILE).unwrap());
        assert_eq!(shown, "[\"gitlab-com\"]");
    }
}
