//! The configuration: one typed tree, one table of keys, all failures at once.
//!
//! [`Config`] is what the rest of Annals reads. [`KEYS`] says for every key its type, default and
//! meaning; reading, checking, suggestions and the generated reference all come from it, so a key
//! without a row does not exist. Layers, each over the one before: built-in defaults, the file,
//! `ANNALS_SECTION__KEY` variables, the command line.

mod base_url;
mod credentials;
mod errors;
mod found;
mod keys;
mod load;
mod rate;
mod reference;
mod source;
mod tree;

pub use base_url::{BadBaseUrl, BaseUrl};
pub use credentials::{Account, BadCredentials, Credential, Credentials};
pub use errors::{ConfigError, ConfigErrors, Origin, Position};
pub use found::{LeftOut, Trust};
pub use keys::{DefaultValue, KEYS, Key};
pub use load::Layers;
pub use rate::{BadRate, Rate};
pub use reference::reference_markdown;
pub use tree::{
    CliSettings, ColorChoice, Config, DbSettings, EMBED_TOKEN_VARIABLE, EmbedProvider, EmbedSettings, ForgeKind,
    ForgeSettings, RuntimeName, RuntimeSettings, SearchMode, SearchSettings, ServerSettings, ShutdownSettings,
    SliceSettings, SyncSettings, TimeStyle, ToldBy, token_variable,
};
