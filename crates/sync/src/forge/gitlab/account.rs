//! Whose a token is, and what it may do.

use annals_core::config::Account;
use annals_net_adapter::Cx;
use serde::Deserialize;

use super::client::GitLab;
use crate::forge::Via;
use crate::forge::budget::ByteBudget;
use crate::forge::error::ForgeError;
use crate::forge::host::{Fresh, Reply};
use crate::forge::meter::Meter;

/// More than either answer has.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
struct WireUser {
    username: String,
}

#[derive(Deserialize)]
struct WireToken {
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

impl GitLab {
    /// Asks the forge whose the token is. Scopes and end are known of access tokens only: other kinds tell nothing of
    /// themselves.
    ///
    /// # Errors
    /// [`ForgeError::AuthRejected`] for a token that is none, [`ForgeError::Forbidden`] for one that may not even read
    /// its own account; and whatever a request fails with.
    ///
    /// # Cancel safety
    /// It has no effect.
    pub async fn account(&self, cx: &Cx) -> Result<Account, ForgeError> {
        let budget = ByteBudget::new(MOST_BYTES);
        let (flight, meter) = (budget.flight(), Meter::default());
        let via = Via {
            flight: &flight,
            meter: &meter,
        };
        let user: WireUser = match self.get(cx, via, &self.urls.user()?, None).await? {
            Reply::Fresh(fresh) => self.read(&fresh)?,
            Reply::Forbidden => {
                return Err(ForgeError::Forbidden {
                    host: self.host.name().to_owned(),
                    what: "the account of the token".to_owned(),
                });
            }
            Reply::NotModified | Reply::Missing | Reply::Deleted | Reply::Elsewhere(_) | Reply::Refused(_) => {
                return Err(ForgeError::protocol(self.host.name(), "no account for the token"));
            }
        };
        flight.give_back_to(0);
        let token: Option<WireToken> = match self.get(cx, via, &self.urls.own_token()?, None).await {
            Ok(Reply::Fresh(fresh)) => Some(self.read(&fresh)?),
            // It was just accepted: this is another kind of token, or an older GitLab.
            Ok(
                Reply::NotModified
                | Reply::Missing
                | Reply::Deleted
                | Reply::Elsewhere(_)
                | Reply::Forbidden
                | Reply::Refused(_),
            )
            | Err(ForgeError::AuthRejected { .. }) => None,
            Err(error) => return Err(error),
        };
        let (scopes, expires_at) = token.map_or((Vec::new(), None), |token| (token.scopes, token.expires_at));
        Ok(Account {
            user: Some(user.username),
            scopes,
            expires_at,
        })
    }

    fn read<'a, T: Deserialize<'a>>(&self, fresh: &'a Fresh) -> Result<T, ForgeError> {
        serde_json::from_slice(&fresh.body)
            .map_err(|_| ForgeError::protocol(self.host.name(), "an account of another shape"))
    }
}
