//! A token is tried before it is kept.

use annals_core::Secret;
use annals_core::config::{Account, BaseUrl};
use annals_net_adapter::Cx;

use crate::engine::SyncOptions;
use crate::error::Error;
use crate::forge::gitlab::{GitLab, GitLabOptions};

/// Asks the forge at `base_url` whose this token is and what it may do.
///
/// # Errors
/// The forge is switched off or cannot be reached, or refuses the token.
///
/// # Cancel safety
/// It has no effect.
pub async fn account(cx: &Cx, options: &SyncOptions, base_url: &BaseUrl, token: Secret) -> Result<Account, Error> {
    let (name, settings) = options.forge(base_url);
    if !settings.enabled {
        return Err(Error::ForgeDisabled { name });
    }
    let host = options.hosts.of(cx, &settings, options.settings.max_wait)?;
    let client = GitLab::new(
        host,
        GitLabOptions {
            base_url: base_url.as_str().to_owned(),
            token: Some(token),
            token_variables: Vec::new(),
            page_size: 1,
            capabilities: serde_json::Value::Null,
        },
    )?;
    Ok(client.account(cx).await?)
}
