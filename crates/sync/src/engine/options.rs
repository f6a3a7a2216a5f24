//! What a run is given.

use std::collections::BTreeMap;
use std::time::Duration;

use annals_core::config::{BaseUrl, Config, EmbedSettings, ForgeKind, ForgeSettings, SyncSettings, ToldBy};
use annals_core::{ProjectId, Secret, UnixMs};
use annals_db::ids::RunOrigin;
use annals_net_adapter::Cx;

use crate::forge::ForgeError;
use crate::forge::budget::DEFAULT_BYTES;
use crate::hosts::Hosts;
use crate::target::{ProjectUrl, TargetError};

/// A project to sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The address of a project, known or not.
    Url(String),
    /// The path of a project that is mirrored already.
    Path(String),
    /// A row of the file.
    Id(ProjectId),
}

impl Target {
    /// What a person typed: an address, or the path of a known project.
    #[must_use]
    pub fn read(text: &str) -> Self {
        if text.contains("://") || text.contains('@') {
            Self::Url(text.to_owned())
        } else {
            Self::Path(text.to_owned())
        }
    }
}

/// Whether the run ends with the document phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// It does.
    Make,
    /// It does not; they stay owed.
    Leave,
}

/// Whether the run ends with the embedding phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedding {
    /// It does, with this embedder.
    With(EmbedSettings),
    /// It does if this embedder has made vectors of the file before: they are kept up to date, and none are begun.
    Begun(EmbedSettings),
    /// It does not; vectors stay owed.
    Leave,
}

impl Embedding {
    /// What a sync that was told nothing does: searches go by vectors without being asked to where a model that knows
    /// meanings is configured, so only there are they worth their room to everybody (ADR 0016).
    #[must_use]
    pub fn of(settings: &EmbedSettings) -> Self {
        if annals_search::embed::is_configured(settings) {
            Self::With(settings.clone())
        } else {
            Self::Begun(settings.clone())
        }
    }
}

/// What of the streams is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What is new since the cursors.
    New,
    /// Everything, from the floor on and without asking whether it has changed. An interrupted
    /// reading goes on in the next run that reads so.
    Full,
}

/// When everything at the forge is compared with what is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepWhen {
    /// When it was never done, or long ago, or is not over yet.
    Due,
    /// In this run.
    Now,
}

/// Whether a sweep may mark a large part of a project as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletions {
    /// It may not.
    Guarded,
    /// Somebody has looked, and it may.
    Accepted,
}

/// How a run goes about it.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Who asked.
    pub origin: RunOrigin,
    /// Who this is, for whoever finds the lock held: `annals sync`.
    pub holder: String,
    /// `[sync]`.
    pub settings: SyncSettings,
    /// `[forges.*]`.
    pub forges: BTreeMap<String, ForgeSettings>,
    /// Tokens by the addresses of the forges they are for, from the credentials file; an environment variable wins.
    pub credentials: BTreeMap<BaseUrl, Secret>,
    /// The hosts of this process.
    pub hosts: Hosts,
    /// How long to wait for a project's lock; zero fails at once.
    pub lock_wait: Duration,
    /// Whether to make documents.
    pub documents: Documents,
    /// Whether to embed documents.
    pub embedding: Embedding,
    /// What is read.
    pub reading: Reading,
    /// Where a first sync begins; a later one reads again from there, once.
    pub since: Option<UnixMs>,
    /// When to sweep.
    pub sweep: SweepWhen,
    /// What a sweep may mark.
    pub deletions: Deletions,
    /// Decoded bytes that may be in flight.
    pub max_bytes: u64,
}

impl SyncOptions {
    /// The defaults of the command line, with the forges of `config`.
    #[must_use]
    pub fn new(config: &Config, hosts: Hosts) -> Self {
        Self {
            origin: RunOrigin::Cli,
            holder: "annals sync".to_owned(),
            settings: config.sync.clone(),
            forges: config.forges.clone(),
            credentials: BTreeMap::new(),
            hosts,
            lock_wait: Duration::ZERO,
            documents: Documents::Make,
            embedding: Embedding::of(&config.embed),
            reading: Reading::New,
            since: None,
            sweep: SweepWhen::Due,
            deletions: Deletions::Guarded,
            max_bytes: DEFAULT_BYTES,
        }
    }

    /// Takes the address of a project apart, with the help of the forges that are configured or have a token.
    pub(crate) fn project_url(&self, text: &str, known: &[String]) -> Result<ProjectUrl, TargetError> {
        let configured = self.forges.values().map(|forge| &forge.base_url);
        let named = configured.chain(self.credentials.keys()).map(BaseUrl::as_str);
        ProjectUrl::parse(text, named.chain(known.iter().map(String::as_str)))
    }

    /// The settings of the forge at `base_url`: those of the configuration, else the defaults under
    /// the name of its host.
    pub(crate) fn forge(&self, base_url: &BaseUrl) -> (String, ForgeSettings) {
        let configured = self.forges.iter().find(|(_, settings)| settings.base_url == *base_url);
        match configured {
            Some((name, settings)) => (name.clone(), settings.clone()),
            None => {
                let rest = base_url
                    .as_str()
                    .split_once("://")
                    .map_or(base_url.as_str(), |(_, rest)| rest);
                (rest.to_owned(), ForgeSettings::new(ForgeKind::GitLab, base_url.clone()))
            }
        }
    }
}

impl SyncOptions {
    /// The token of a forge and the variables it may come from, the first that says something winning; then the kept one.
    ///
    /// # Errors
    /// [`ForgeError::TokenUnusable`] for one that would be sent in clear text without anybody having configured that: the
    /// variable of a forge that is not configured is named after its host, whatever the scheme.
    pub(crate) fn token_of(
        &self,
        cx: &Cx,
        name: &str,
        settings: &ForgeSettings,
    ) -> Result<(Option<Secret>, Vec<String>), ForgeError> {
        let variables = settings.token_variables(name);
        // One that is set but blank says nothing, as everywhere.
        let of_variable = |variable: &String| cx.env(variable).map(str::trim).filter(|token| !token.is_empty());
        let token = variables.iter().find_map(of_variable).map(Secret::new);
        // By the address and not by the name: another forge may have the name by now, or the same host without TLS.
        let kept = || self.credentials.get(&settings.base_url).cloned();
        let base_url = &settings.base_url;
        if token.is_some() && !base_url.is_confidential() && !self.is_configured(base_url) {
            // One that is kept was kept for this very address.
            let token = kept().ok_or_else(|| ForgeError::TokenUnusable {
                host: base_url.authority().to_owned(),
                why: "everybody on the way could read it; use https, or put the http address into the configuration",
            })?;
            return Ok((Some(token), variables));
        }
        Ok((token.or_else(kept), variables))
    }

    /// Whether the user has configured a forge at this very address.
    #[must_use]
    pub fn is_configured(&self, base_url: &BaseUrl) -> bool {
        let of_user = |forge: &ForgeSettings| forge.base_url == *base_url && forge.told_by == ToldBy::User;
        self.forges.values().any(of_user)
    }
}
