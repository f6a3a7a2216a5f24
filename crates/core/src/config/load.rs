//! From layers to the tree, collecting every broken rule on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::errors::{ConfigError, ConfigErrors, Origin, Position};
use super::found::{HeldBack, LeftOut, Trust};
use super::keys::{Draft, ForgeDraft, KEYS, Key, Kind};
use super::source::{Raw, position};
use super::tree::{Config, EmbedProvider};
use crate::text::nearest;

/// What the configuration is made of, weakest first; the defaults are under all of them.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The file, if there is one: its path for messages, and its text.
    pub file: Option<(PathBuf, String)>,
    /// Whether somebody named that file.
    pub trust: Trust,
    /// The environment, names and values. Only `ANNALS_SECTION__KEY` counts: what has no double
    /// underscore is not configuration, and an empty value is none.
    pub env: Vec<(String, String)>,
    /// The command line, dotted keys and values.
    pub overrides: Vec<(String, String)>,
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// Every broken rule of every layer, also of a value that a later layer replaces.
    pub fn load(layers: &Layers) -> Result<Self, ConfigErrors> {
        Self::read(layers).map(|(config, _)| config)
    }

    /// Reads all layers; beside the configuration what of the file was left out, because nobody named it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(layers: &Layers) -> Result<(Self, Vec<LeftOut>), ConfigErrors> {
        let mut reader = Reader::default();
        let readable = layers.file.as_ref().is_none_or(|(path, text)| reader.file(path, text));
        let found = match layers.trust {
            Trust::Named => None,
            Trust::Found => Some(HeldBack::take(&mut reader.draft)),
        };
        reader.variables(&layers.env);
        for (key, value) in &layers.overrides {
            let segments: Vec<&str> = key.split('.').collect();
            reader.entry(&segments, Raw::Text(value), Place::new(Origin::CommandLine));
        }
        let mut config = reader.finish(readable)?;
        let left_out = found.map(|found| found.settle(&mut config, &layers.env));
        Ok((config, left_out.unwrap_or_default()))
    }
}

/// Where a value stands.
#[derive(Clone)]
struct Place {
    origin: Origin,
    position: Option<Position>,
}

impl Place {
    const fn new(origin: Origin) -> Self {
        Self { origin, position: None }
    }
}

#[derive(Default)]
struct Reader {
    draft: Draft,
    errors: Vec<ConfigError>,
}

/// What a path of names leads to.
enum Found {
    Key(&'static Key),
    Section,
    Nothing,
}

fn find(segments: &[&str]) -> Found {
    let fits = |key: &Key| {
        let mut names = key.name.split('.');
        segments
            .iter()
            .all(|segment| names.next().is_some_and(|name| name == *segment || name == "*"))
    };
    let depth = |key: &Key| key.name.split('.').count();
    match KEYS.iter().find(|key| fits(key)) {
        None => Found::Nothing,
        Some(_) => KEYS
            .iter()
            .find(|key| fits(key) && depth(key) == segments.len())
            .map_or(Found::Section, Found::Key),
    }
}

impl Reader {
    /// Reads the file; whether it could be read as TOML.
    fn file(&mut self, path: &Path, text: &str) -> bool {
        let (root, faults) = DeTable::parse_recoverable(text);
        let place = |byte: usize| Place {
            origin: Origin::File(path.to_owned()),
            position: Some(position(text, byte)),
        };
        for fault in &faults {
            // The message alone: the full text of the error quotes the line, which may be secret.
            let wrong = format!("valid TOML ({})", fault.message().trim());
            self.fail("", None, wrong, None, place(fault.span().map_or(0, |span| span.start)));
        }
        if faults.is_empty() {
            self.table(&mut Vec::new(), root.get_ref(), &place);
        }
        faults.is_empty()
    }

    fn table<'a>(&mut self, path: &mut Vec<&'a str>, table: &'a DeTable<'a>, place: &impl Fn(usize) -> Place) {
        for (name, value) in table {
            path.push(name.get_ref().as_ref());
            match (find(path), value.get_ref()) {
                (Found::Section, DeValue::Table(inner)) => {
                    if self.admits_forge(path, &place(name.span().start)) {
                        self.table(path, inner, place);
                    }
                }
                (Found::Section, _) => {
                    let section = path.join(".");
                    self.fail(&section, None, "a table".to_owned(), None, place(value.span().start));
                }
                (Found::Key(_), _) => self.entry(path, Raw::Toml(value.get_ref()), place(value.span().start)),
                (Found::Nothing, _) => self.unknown(path, place(name.span().start)),
            }
            path.pop();
        }
    }

    fn variables(&mut self, env: &[(String, String)]) {
        // By name, so that messages come in the same order every time.
        let ours: BTreeMap<&str, &str> = env
            .iter()
            .filter(|(name, value)| name.starts_with("ANNALS_") && name.contains("__") && !value.is_empty())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        for (name, value) in ours {
            let folded = name.strip_prefix("ANNALS_").unwrap_or_default().to_ascii_lowercase();
            let mut segments: Vec<String> = folded.split("__").map(str::to_owned).collect();
            if let [section, forge, ..] = segments.as_mut_slice()
                && section == "forges"
                && let Some(known) = self.draft.forges.keys().find(|known| known.replace('-', "_") == *forge)
            {
                forge.clone_from(known);
            }
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            self.entry(
                &segments,
                Raw::Text(value),
                Place::new(Origin::Variable(name.to_owned())),
            );
        }
    }

    /// One value for one key.
    fn entry(&mut self, segments: &[&str], raw: Raw<'_>, place: Place) {
        let name = segments.join(".");
        let key = match find(segments) {
            Found::Key(key) => key,
            Found::Section => return self.fail(&name, None, "followed by the name of a key".to_owned(), None, place),
            Found::Nothing => return self.unknown(segments, place),
        };
        if !self.admits_forge(segments, &place) {
            return;
        }
        if raw.wants_interpolation() {
            let must_be = format!(
                "written out; nothing is put in for `${{…}}`, but {} overrides it",
                key.variable()
            );
            return self.fail(&name, None, must_be, None, place);
        }
        self.draft.forge = forge_of(segments).unwrap_or_default().to_owned();
        if apply(&mut self.draft, &key.kind, raw).is_none() {
            let meant = match (&key.kind, raw.text()) {
                (Kind::Choice(names, _), Some(text)) => nearest(text, names.iter().copied()).map(str::to_owned),
                _ => None,
            };
            let shown = if matches!(key.kind, Kind::Private(..)) {
                None
            } else {
                Some(raw.shown())
            };
            self.fail(&name, shown, key.must_be(), meant, place);
        }
    }

    /// Whether the name of a forge, if there is one in the path, can be one.
    fn admits_forge(&mut self, segments: &[&str], place: &Place) -> bool {
        let Some(name) = forge_of(segments) else {
            return true;
        };
        // A doubled separator would make the forge's token variable look like configuration.
        let good = name.len() <= 64
            && name.split(['-', '_']).all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            });
        if !good {
            let must_be = "named with lower-case letters and digits, with single `-` or `_` between them".to_owned();
            self.fail(&format!("forges.{name}"), None, must_be, None, place.clone());
        } else if !self.draft.forges.contains_key(name) {
            self.draft.forges.insert(name.to_owned(), ForgeDraft::default());
        }
        good
    }

    /// A key nobody knows. Its value is not shown: it may be a token put into the wrong place.
    fn unknown(&mut self, segments: &[&str], place: Place) {
        let (last, parents) = segments.split_last().unwrap_or((&"", &[]));
        let siblings = KEYS.iter().filter_map(|key| {
            let mut names = key.name.split('.');
            let under = parents
                .iter()
                .all(|parent| names.next().is_some_and(|name| name == *parent || name == "*"));
            names.next().filter(|_| under)
        });
        let meant = match nearest(last, siblings) {
            Some("*") | None => KEYS
                .iter()
                .find(|key| key.leaf() == *last)
                .map(|key| key.name.replace('*', "<name>")),
            Some(sibling) => Some(parents.iter().copied().chain([sibling]).collect::<Vec<_>>().join(".")),
        };
        self.fail(&segments.join("."), None, "a known key".to_owned(), meant, place);
    }

    fn fail(&mut self, key: &str, value: Option<String>, must_be: String, suggestion: Option<String>, place: Place) {
        self.errors.push(ConfigError {
            key: key.chars().take(120).collect(),
            value,
            must_be,
            suggestion,
            position: place.position,
            origin: place.origin,
        });
    }

    fn finish(mut self, readable: bool) -> Result<Config, ConfigErrors> {
        // What an unreadable file leaves open is not known to be missing.
        if readable {
            self.rules_between_keys();
        }
        if !self.errors.is_empty() {
            return Err(ConfigErrors(self.errors));
        }
        let mut config = self.draft.config;
        config.forges = self
            .draft
            .forges
            .into_iter()
            .filter_map(|(name, forge)| Some((name, forge.finish()?)))
            .collect();
        Ok(config)
    }

    fn rules_between_keys(&mut self) {
        let mut broken = Vec::new();
        let mut by_address: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, forge) in &self.draft.forges {
            let wrong = |leaf: &str| {
                self.errors
                    .iter()
                    .any(|error| error.key == format!("forges.{name}.{leaf}"))
            };
            if forge.kind.is_none() && !wrong("kind") {
                broken.push((format!("forges.{name}.kind"), "set: what the forge is".to_owned()));
            }
            match &forge.base_url {
                None if !wrong("base_url") => {
                    broken.push((
                        format!("forges.{name}.base_url"),
                        "set: the address of the forge".to_owned(),
                    ));
                }
                None => {}
                Some(address) => {
                    if let Some(first) = by_address.insert(address.as_str(), name) {
                        let must_be = format!("another address than that of `forges.{first}`");
                        broken.push((format!("forges.{name}.base_url"), must_be));
                    }
                }
            }
        }
        let embed = &self.draft.config.embed;
        let serves = matches!(embed.provider, EmbedProvider::OpenAi | EmbedProvider::Ollama);
        if serves && embed.model.is_none() && !self.errors.iter().any(|error| error.key == "embed.model") {
            let must_be = format!("set: the model that `{}` is to use", embed.provider);
            broken.push(("embed.model".to_owned(), must_be));
        }
        for (key, must_be) in broken {
            self.fail(&key, None, must_be, None, Place::new(Origin::Together));
        }
    }
}

fn forge_of<'a>(segments: &[&'a str]) -> Option<&'a str> {
    match segments {
        ["forges", name, ..] => Some(*name),
        _ => None,
    }
}

fn apply(draft: &mut Draft, kind: &Kind, raw: Raw<'_>) -> Option<()> {
    match kind {
        Kind::Flag(set) => set(draft, raw.flag()?),
        Kind::Integer(min, max, set) => set(draft, raw.integer().filter(|n| (min..=max).contains(&n))?),
        Kind::Choice(_, set) | Kind::Text(_, set) | Kind::Private(_, set) => set(draft, raw.text()?)?,
        Kind::List(_, set) => set(draft, raw.list()?)?,
    }
    Some(())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
