//! The typed tree, with the defaults.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::base_url::BaseUrl;
use super::rate::Rate;
use crate::time::Zone;

macro_rules! choice {
    ($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])+ $variant,)+
        }

        impl $name {
            /// The words the configuration knows.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The word in the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            pub(super) fn read(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

choice! {
    /// A runtime by its name; whether it is compiled in is another question.
    RuntimeName {
        /// Tokio.
        Tokio = "tokio",
        /// asupersync.
        Asupersync = "asupersync",
    }
}

choice! {
    /// The kinds of forge this version speaks to.
    ForgeKind {
        /// GitLab, API version 4.
        GitLab = "gitlab",
    }
}

choice! {
    /// How documents are searched.
    SearchMode {
        /// Hybrid where an embedder that knows meanings is configured, else lexical.
        Auto = "auto",
        /// By words.
        Lexical = "lexical",
        /// By likeness of vectors.
        Semantic = "semantic",
        /// By both, their ranks put together.
        Hybrid = "hybrid",
    }
}

choice! {
    /// Who makes vectors of documents.
    EmbedProvider {
        /// Annals itself, offline: texts with the same words and word parts are alike.
        Hashing = "hashing",
        /// A server with the API of OpenAI.
        OpenAi = "openai",
        /// A server with the API of Ollama.
        Ollama = "ollama",
        /// Nobody: documents have no vectors.
        None = "none",
    }
}

choice! {
    /// How times are shown to people.
    TimeStyle {
        /// `3d ago`.
        Relative = "relative",
        /// RFC 3339 in UTC.
        Iso = "iso",
        /// Date and time in the zone of `cli.tz`.
        Local = "local",
    }
}

choice! {
    /// When output is coloured.
    ColorChoice {
        /// On a terminal.
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

/// Everything that can be configured. Each field is a key of [`KEYS`](super::KEYS), where its
/// meaning stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `[runtime]`.
    pub runtime: RuntimeSettings,
    /// `[db]`.
    pub db: DbSettings,
    /// `[forges.<name>]`.
    pub forges: BTreeMap<String, ForgeSettings>,
    /// `[sync]`.
    pub sync: SyncSettings,
    /// `[search]`.
    pub search: SearchSettings,
    /// `[embed]`.
    pub embed: EmbedSettings,
    /// `[server]`.
    pub server: ServerSettings,
    /// `[cli]`.
    pub cli: CliSettings,
}

impl Config {
    /// The bounds of a server's shutdown: its grace covers the notice and the wait for requests.
    #[must_use]
    pub fn server_shutdown(&self) -> ShutdownSettings {
        let serving = self.server.drain_notice + self.server.graceful_shutdown;
        ShutdownSettings {
            grace: self.runtime.shutdown.grace.max(serving),
            ..self.runtime.shutdown
        }
    }
}

/// `[runtime]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// `None`: tokio where it is compiled in, else the one that is.
    pub default: Option<RuntimeName>,
    /// 0: one per core.
    pub workers: usize,
    #[expect(missing_docs, reason = "the key table says it")]
    pub max_blocking: usize,
    #[expect(missing_docs, reason = "the key table says it")]
    pub max_tasks: usize,
    /// `[runtime.slices]`.
    pub slices: SliceSettings,
    /// `[runtime.shutdown]`.
    pub shutdown: ShutdownSettings,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            default: None,
            workers: 0,
            max_blocking: 32,
            max_tasks: 100_000,
            slices: SliceSettings::default(),
            shutdown: ShutdownSettings::default(),
        }
    }
}

/// `[runtime.slices]`; `None` is the default runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct SliceSettings {
    pub server: Option<RuntimeName>,
    pub ingest: Option<RuntimeName>,
    pub slack: Option<RuntimeName>,
    pub queue: Option<RuntimeName>,
}

impl SliceSettings {
    /// The slices that are moved, by name.
    pub fn moved(self) -> impl Iterator<Item = (&'static str, RuntimeName)> {
        [
            ("server", self.server),
            ("ingest", self.ingest),
            ("slack", self.slack),
            ("queue", self.queue),
        ]
        .into_iter()
        .filter_map(|(slice, runtime)| runtime.map(|runtime| (slice, runtime)))
    }
}

/// `[runtime.shutdown]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct ShutdownSettings {
    pub grace: Duration,
    pub cancel: Duration,
    pub hard: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            cancel: Duration::from_secs(3),
            hard: Duration::from_secs(2),
        }
    }
}

/// `[db]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct DbSettings {
    /// `None`: `annals.db` in the user data directory.
    pub path: Option<PathBuf>,
    pub auto_migrate: bool,
    pub backups: usize,
    pub readers: usize,
}

impl Default for DbSettings {
    fn default() -> Self {
        Self {
            path: None,
            auto_migrate: true,
            backups: 3,
            readers: 4,
        }
    }
}

/// `[forges.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct ForgeSettings {
    pub kind: ForgeKind,
    pub base_url: BaseUrl,
    /// `None`: only [`token_variable`].
    pub token_env: Option<String>,
    pub projects: Vec<String>,
    pub concurrency: usize,
    pub window: Rate,
    pub ca_file: Option<PathBuf>,
    pub enabled: bool,
    /// Whose word its address is.
    pub told_by: ToldBy,
}

/// Whose word the address of a forge is, which decides what it may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    /// The user's: typed, in a variable, or in a file of theirs; or it is this machine.
    User,
    /// That of a file which lay in the folder; see [`Trust::Found`](super::Trust::Found).
    FoundFile,
}

impl ForgeSettings {
    /// A forge of which only kind and address are known, everything else by default: what a URL
    /// on the command line says.
    #[must_use]
    pub fn new(kind: ForgeKind, base_url: BaseUrl) -> Self {
        Self {
            kind,
            base_url,
            token_env: None,
            projects: Vec::new(),
            concurrency: 4,
            window: Rate {
                count: 600,
                period: Duration::from_secs(60),
                burst: 0,
            },
            ca_file: None,
            enabled: true,
            told_by: ToldBy::User,
        }
    }

    /// The variables that may hold the token of this forge, which has this name, in order.
    ///
    /// Where a found file says who the forge is, neither the variable nor the name that it chose counts, but only the
    /// forge's own host. In a variable `-` and `_` are what `.` is, so a host with one has none: the variable of
    /// `my.corp.example` must not be that of `my-corp.example`.
    #[must_use]
    pub fn token_variables(&self, name: &str) -> Vec<String> {
        let authority = self.base_url.authority();
        match self.told_by {
            ToldBy::User => self.token_env.iter().cloned().chain([token_variable(name)]).collect(),
            ToldBy::FoundFile if authority.contains(['-', '_']) => Vec::new(),
            ToldBy::FoundFile => vec![token_variable(authority)],
        }
    }
}

/// The environment variable that holds a forge's token where `token_env` names none:
/// `ANNALS_TOKEN_<FORGE>`, in capitals, with `_` for every other character.
#[must_use]
pub fn token_variable(forge: &str) -> String {
    let name = forge.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    "ANNALS_TOKEN_".chars().chain(name).collect()
}

/// `[sync]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct SyncSettings {
    pub rewind: Duration,
    pub jobs: usize,
    pub sweep_every: Duration,
    pub max_wait: Duration,
    pub events: bool,
    pub page_size: usize,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            rewind: Duration::from_secs(2),
            jobs: 4,
            sweep_every: Duration::from_secs(7 * 86_400),
            max_wait: Duration::from_secs(60),
            events: true,
            page_size: 100,
        }
    }
}

/// `[search]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct SearchSettings {
    pub mode: SearchMode,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self { mode: SearchMode::Auto }
    }
}

/// `[embed]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct EmbedSettings {
    pub provider: EmbedProvider,
    /// `None`: where the provider usually is.
    pub base_url: Option<BaseUrl>,
    /// Set where the provider is a server.
    pub model: Option<String>,
    /// `None`: as many as the model gives.
    pub dims: Option<usize>,
    pub batch: usize,
    pub timeout: Duration,
    pub concurrency: usize,
    /// `None`: only [`EMBED_TOKEN_VARIABLE`].
    pub token_env: Option<String>,
}

impl EmbedSettings {
    /// Whether texts stay on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match (self.provider, &self.base_url) {
            (EmbedProvider::Hashing | EmbedProvider::None, _) | (EmbedProvider::Ollama, None) => true,
            (EmbedProvider::OpenAi, None) => false,
            (EmbedProvider::OpenAi | EmbedProvider::Ollama, Some(address)) => address.is_loopback(),
        }
    }
}

/// The environment variable that holds the embedder's key where `embed.token_env` names none.
pub const EMBED_TOKEN_VARIABLE: &str = "ANNALS_TOKEN_EMBED";

impl Default for EmbedSettings {
    fn default() -> Self {
        Self {
            provider: EmbedProvider::Hashing,
            base_url: None,
            model: None,
            dims: None,
            batch: 16,
            timeout: Duration::from_secs(30),
            concurrency: 2,
            token_env: None,
        }
    }
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct ServerSettings {
    pub listen: SocketAddr,
    pub allowed_hosts: Vec<String>,
    pub drain_notice: Duration,
    pub graceful_shutdown: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allowed_hosts: Vec::new(),
            drain_notice: Duration::ZERO,
            graceful_shutdown: Duration::from_secs(15),
        }
    }
}

/// `[cli]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key table says it")]
pub struct CliSettings {
    pub time: TimeStyle,
    pub tz: Zone,
    pub color: ColorChoice,
    pub autocorrect: bool,
}

impl Default for CliSettings {
    fn default() -> Self {
        Self {
            time: TimeStyle::Relative,
            tz: Zone::utc(),
            color: ColorChoice::Auto,
            autocorrect: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forge_has_its_token_variable() {
        assert_eq!(token_variable("gitlab-com"), "ANNALS_TOKEN_GITLAB_COM");
    }

    #[test]
    fn a_server_waits_for_its_requests() {
        let mut config = Config::default();
        assert_eq!(config.server_shutdown().grace, Duration::from_secs(15));
        config.runtime.shutdown.grace = Duration::from_secs(60);
        assert_eq!(config.server_shutdown().grace, Duration::from_secs(60));
        assert_eq!(config.server_shutdown().cancel, Duration::from_secs(3));
    }

    #[test]
    fn only_moved_slices_are_named() {
        let slices = SliceSettings {
            ingest: Some(RuntimeName::Asupersync),
            ..SliceSettings::default()
        };
        assert!(slices.moved().eq([("ingest", RuntimeName::Asupersync)]));
    }
}
