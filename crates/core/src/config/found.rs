//! What a configuration file may say that nobody named.
//!
//! Any folder may have an `annals.toml`, and who wrote the folder wrote that file. It may say how things are done; where
//! secrets and texts go is for a file to say that somebody named or keeps as their own (ADR 0017).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::base_url::BaseUrl;
use super::keys::Draft;
use super::tree::{Config, EmbedProvider, ForgeSettings, ToldBy, token_variable};

/// Whether somebody named the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// They did, or it is the user's own.
    #[default]
    Named,
    /// It lay in the folder.
    Found,
}

/// What a found file says and may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The key, or the section.
    pub key: String,
    /// What following it would do, as a phrase after "it would".
    pub would: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: it would {}", self.key, self.would)
    }
}

/// What a found file says of secrets, held back until every layer has spoken: a later one may say where they go.
#[derive(Debug)]
pub(super) struct HeldBack {
    forges: BTreeMap<String, FoundForge>,
    embed_token_env: Option<String>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug)]
struct FoundForge {
    base_url: Option<BaseUrl>,
    token_env: Option<String>,
    ca_file: Option<PathBuf>,
}

impl HeldBack {
    /// Takes it out of a draft that holds only what the file says.
    pub fn take(draft: &mut Draft) -> Self {
        let forges = draft.forges.iter_mut().map(|(name, forge)| {
            let found = FoundForge {
                base_url: forge.base_url.clone(),
                token_env: forge.token_env.take(),
                ca_file: forge.ca_file.take(),
            };
            (name.clone(), found)
        });
        let mut found = Self {
            forges: forges.collect(),
            embed_token_env: draft.config.embed.token_env.take(),
            left_out: Vec::new(),
        };
        let embed = &mut draft.config.embed;
        // Also where the file names no provider: a variable may.
        if !embed.is_local() || embed.base_url.as_ref().is_some_and(|address| !address.is_loopback()) {
            let server = embed.base_url.take();
            let server = server.map_or_else(|| format!("the server of `{}`", embed.provider), |url| url.to_string());
            found.leave_out("embed", format!("send the texts of the mirror, and a key, to {server}"));
            embed.provider = EmbedProvider::Hashing;
            found.embed_token_env = None;
        }
        let hosts = std::mem::take(&mut draft.config.server.allowed_hosts);
        if !hosts.is_empty() {
            let would = format!("show the mirror to pages of {}", hosts.join(", "));
            found.leave_out("server.allowed_hosts", would);
        }
        found
    }

    fn leave_out(&mut self, key: impl Into<String>, would: String) {
        self.left_out.push(LeftOut { key: key.into(), would });
    }

    /// Puts back what stays on this machine, and tells the rest.
    pub fn settle(mut self, config: &mut Config, env: &[(String, String)]) -> Vec<LeftOut> {
        for (name, found) in std::mem::take(&mut self.forges) {
            if let Some(forge) = config.forges.get_mut(&name) {
                self.settle_forge(&name, found, forge, env);
            }
        }
        let embed = &mut config.embed;
        if let Some(variable) = self.embed_token_env.take().filter(|_| embed.token_env.is_none()) {
            if embed.is_local() {
                embed.token_env = Some(variable);
            } else {
                self.leave_out(
                    "embed.token_env",
                    format!("send the key in {variable} to another machine"),
                );
            }
        }
        self.left_out
    }

    fn settle_forge(&mut self, name: &str, found: FoundForge, forge: &mut ForgeSettings, env: &[(String, String)]) {
        if forge.base_url.is_loopback() {
            forge.token_env = forge.token_env.take().or(found.token_env);
            forge.ca_file = forge.ca_file.take().or(found.ca_file);
            return;
        }
        let mut asked = found.token_env.filter(|_| forge.token_env.is_none());
        if found.base_url.as_ref() == Some(&forge.base_url) {
            forge.told_by = ToldBy::FoundFile;
            // Whoever set a variable for the forge of this name did not mean this address.
            asked = asked.or_else(|| forge.token_env.take());
        }
        let usable = forge.token_variables(name);
        let address = forge.base_url.to_string();
        if let Some(variable) = asked.filter(|variable| !usable.contains(variable)) {
            let would = format!("send the token in {variable} to {address}");
            self.leave_out(format!("forges.{name}.token_env"), would);
        }
        let named = token_variable(name);
        let is_set = env
            .iter()
            .any(|(name, value)| *name == named && !value.trim().is_empty());
        if is_set && !usable.contains(&named) {
            self.leave_out(
                format!("forges.{name}"),
                format!("send the token in {named} to {address}"),
            );
        }
        if let Some(file) = found.ca_file.filter(|_| forge.ca_file.is_none()) {
            let would = format!("let whoever made {} read what is sent to {address}", file.display());
            self.leave_out(format!("forges.{name}.ca_file"), would);
        }
    }
}

#[cfg(test)]
#[path = "found_tests.rs"]
mod tests;
