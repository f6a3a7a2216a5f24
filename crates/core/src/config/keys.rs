//! The table of keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::base_url::{BaseUrl, is_host};
use super::rate::Rate;
use super::tree::{ColorChoice, Config, EmbedProvider, ForgeKind, ForgeSettings, RuntimeName, SearchMode, TimeStyle};

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// The dotted name; `*` stands for the name of a forge.
    pub name: &'static str,
    /// What holds where no layer sets it.
    pub default: DefaultValue,
    /// What it does, as a sentence.
    pub doc: &'static str,
    pub(super) kind: Kind,
}

/// What holds where no layer sets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value.
    Is(&'static str),
    /// Nothing, which means this.
    Unset(&'static str),
    /// It must be set.
    Required,
}

/// The type of a key, and how its value gets into the tree. The setters of written values answer
/// `None` to a value that is not what it must be.
#[derive(Debug)]
pub(super) enum Kind {
    Flag(fn(&mut Draft, bool)),
    Integer(u64, u64, fn(&mut Draft, u64)),
    Choice(&'static [&'static str], fn(&mut Draft, &str) -> Option<()>),
    Text(&'static str, fn(&mut Draft, &str) -> Option<()>),
    /// The same, for what may hold a secret by mistake: errors do not show it.
    Private(&'static str, fn(&mut Draft, &str) -> Option<()>),
    List(&'static str, fn(&mut Draft, Vec<String>) -> Option<()>),
}

impl Key {
    /// What a value must be, as a phrase after "must be".
    #[must_use]
    pub fn must_be(&self) -> String {
        match &self.kind {
            Kind::Flag(_) => "true or false".to_owned(),
            Kind::Integer(min, max, _) => format!("an integer from {min} to {max}"),
            Kind::Choice([only], _) => format!("`{only}`"),
            Kind::Choice(names, _) => format!("one of `{}`", names.join("`, `")),
            Kind::Text(what, _) | Kind::Private(what, _) | Kind::List(what, _) => (*what).to_owned(),
        }
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "ANNALS_{}",
            self.name.to_ascii_uppercase().replace('*', "<NAME>").replace('.', "__")
        )
    }

    /// The section it stands in.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.name.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Its name within the section.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, leaf)| leaf)
    }
}

/// The tree while it is being read. Forges are incomplete until every layer has spoken; `forge` is
/// the one whose key is being set.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub config: Config,
    pub forges: BTreeMap<String, ForgeDraft>,
    pub forge: String,
}

#[derive(Debug, Default)]
pub(super) struct ForgeDraft {
    pub kind: Option<ForgeKind>,
    pub base_url: Option<BaseUrl>,
    pub token_env: Option<String>,
    projects: Vec<String>,
    concurrency: Option<usize>,
    window: Option<Rate>,
    pub ca_file: Option<PathBuf>,
    enabled: Option<bool>,
}

impl ForgeDraft {
    /// The forge with its defaults filled in; nothing where a key that must be set is not.
    pub fn finish(self) -> Option<ForgeSettings> {
        let defaults = ForgeSettings::new(self.kind?, self.base_url?);
        Some(ForgeSettings {
            token_env: self.token_env,
            projects: self.projects,
            concurrency: self.concurrency.unwrap_or(defaults.concurrency),
            window: self.window.unwrap_or(defaults.window),
            ca_file: self.ca_file,
            enabled: self.enabled.unwrap_or(defaults.enabled),
            ..defaults
        })
    }
}

impl Draft {
    fn forge(&mut self) -> &mut ForgeDraft {
        self.forges.entry(self.forge.clone()).or_default()
    }
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `slot` gets the value, if there is one.
fn put<T>(slot: &mut T, value: Option<T>) -> Option<()> {
    *slot = value?;
    Some(())
}

fn path(text: &str) -> Option<Option<PathBuf>> {
    (!text.is_empty() && !text.contains('\0')).then(|| Some(PathBuf::from(text)))
}

fn variable_name(text: &str) -> Option<Option<String>> {
    let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_name = !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(good);
    is_name.then(|| Some(text.to_owned()))
}

fn loopback(text: &str) -> Option<SocketAddr> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback())
}

fn project_paths(list: Vec<String>) -> Option<Vec<String>> {
    let is_path = |path: &String| {
        path.contains('/')
            && path.split('/').all(|part| !part.is_empty())
            && !path.contains(char::is_whitespace)
            && !path.contains("://")
    };
    list.iter().all(is_path).then_some(list)
}

fn model(text: &str) -> Option<Option<String>> {
    let good = !text.trim().is_empty() && text.chars().count() <= 200 && !text.chars().any(char::is_control);
    good.then(|| Some(text.trim().to_owned()))
}

fn hosts(list: Vec<String>) -> Option<Vec<String>> {
    let folded: Vec<String> = list.iter().map(|host| host.to_ascii_lowercase()).collect();
    folded.iter().all(|host| is_host(host)).then_some(folded)
}

const fn key(name: &'static str, default: DefaultValue, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        default,
        doc,
        kind,
    }
}

use self::DefaultValue::{Is, Required, Unset};
use self::Kind::{Choice, Flag, Integer, List, Private, Text};

const RUNTIMES: &[&str] = RuntimeName::NAMES;
const AN_ADDRESS: &str = "an http or https address without credentials, query or fragment";
const A_VARIABLE: &str = "the name of an environment variable in capitals, not a token";

/// Every key there is, in the order of the reference.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("runtime.default", Unset("tokio where it is built in, else asupersync"), Choice(RUNTIMES, |d, v| put(&mut d.config.runtime.default, RuntimeName::read(v).map(Some))), "The runtime of everything that is not a slice of its own."),
    key("runtime.workers", Is("0"), Integer(0, 1024, |d, n| d.config.runtime.workers = size(n)), "Worker threads per runtime; 0 is one per core."),
    key("runtime.max_blocking", Is("32"), Integer(1, 512, |d, n| d.config.runtime.max_blocking = size(n)), "Threads per runtime for blocking work, at most."),
    key("runtime.max_tasks", Is("100000"), Integer(100, 10_000_000, |d, n| d.config.runtime.max_tasks = size(n)), "Tasks alive per runtime, at most."),
    key("runtime.slices.server", Unset("`runtime.default`"), Choice(RUNTIMES, |d, v| put(&mut d.config.runtime.slices.server, RuntimeName::read(v).map(Some))), "The runtime of the listeners and the requests on them."),
    key("runtime.slices.ingest", Unset("`runtime.default`"), Choice(RUNTIMES, |d, v| put(&mut d.config.runtime.slices.ingest, RuntimeName::read(v).map(Some))), "The runtime of sync runs and of the documents they change."),
    key("runtime.slices.slack", Unset("`runtime.default`"), Choice(RUNTIMES, |d, v| put(&mut d.config.runtime.slices.slack, RuntimeName::read(v).map(Some))), "The runtime of chat connections."),
    key("runtime.slices.queue", Unset("`runtime.default`"), Choice(RUNTIMES, |d, v| put(&mut d.config.runtime.slices.queue, RuntimeName::read(v).map(Some))), "The runtime of queue workers."),
    key("runtime.shutdown.grace_ms", Is("10000"), Integer(0, 600_000, |d, n| d.config.runtime.shutdown.grace = ms(n)), "How long work in flight may take to end by itself after the first signal."),
    key("runtime.shutdown.cancel_ms", Is("3000"), Integer(0, 600_000, |d, n| d.config.runtime.shutdown.cancel = ms(n)), "How long cancelled work may take to clean up."),
    key("runtime.shutdown.hard_ms", Is("2000"), Integer(0, 600_000, |d, n| d.config.runtime.shutdown.hard = ms(n)), "How long after that the process ends, whatever still runs."),

    key("db.path", Unset("`annals.db` in the user data directory"), Text("the path of a file", |d, v| put(&mut d.config.db.path, path(v))), "The file that holds the mirror."),
    key("db.auto_migrate", Is("true"), Flag(|d, v| d.config.db.auto_migrate = v), "Whether a command that writes brings an older file up to date by itself."),
    key("db.backups", Is("3"), Integer(1, 100, |d, n| d.config.db.backups = size(n)), "How many copies made before migrations are kept."),
    key("db.readers", Is("4"), Integer(1, 64, |d, n| d.config.db.readers = size(n)), "Connections that read at the same time."),

    key("forges.*.kind", Required, Choice(ForgeKind::NAMES, |d, v| put(&mut d.forge().kind, ForgeKind::read(v).map(Some))), "What the forge is."),
    key("forges.*.base_url", Required, Private(AN_ADDRESS, |d, v| put(&mut d.forge().base_url, v.parse().ok().map(Some))), "Its address, with the path under which it is installed, if any."),
    key("forges.*.token_env", Unset("`ANNALS_TOKEN_<NAME>`"), Private(A_VARIABLE, |d, v| put(&mut d.forge().token_env, variable_name(v))), "The environment variable that holds its access token."),
    key("forges.*.projects", Is("[]"), List("a list of project paths such as `group/project`", |d, v| put(&mut d.forge().projects, project_paths(v))), "The projects that `annals sync` mirrors when none is named."),
    key("forges.*.concurrency", Is("4"), Integer(1, 64, |d, n| d.forge().concurrency = Some(size(n))), "Requests to this host at the same time, at most."),
    key("forges.*.window", Is("600/60s"), Text("a rate such as `600/60s` or `50/s+100`", |d, v| put(&mut d.forge().window, v.parse().ok().map(Some))), "Requests to this host in a sliding window, at most."),
    key("forges.*.ca_file", Unset("the system's roots alone"), Text("the path of a PEM file", |d, v| put(&mut d.forge().ca_file, path(v))), "Certificates to trust besides the system's."),
    key("forges.*.enabled", Is("true"), Flag(|d, v| d.forge().enabled = Some(v)), "Whether the forge is asked at all; what was mirrored stays readable."),

    key("sync.rewind_s", Is("2"), Integer(0, 3_600, |d, n| d.config.sync.rewind = secs(n)), "How far before its cursor a stream starts to read again."),
    key("sync.jobs", Is("4"), Integer(1, 64, |d, n| d.config.sync.jobs = size(n)), "Projects mirrored at the same time."),
    key("sync.sweep_every_d", Is("7"), Integer(0, 3_650, |d, n| d.config.sync.sweep_every = secs(n * 86_400)), "How often everything at the forge is compared with the mirror, to find what is gone or was missed; 0 only when asked."),
    key("sync.max_wait_s", Is("60"), Integer(0, 86_400, |d, n| d.config.sync.max_wait = secs(n)), "How long one wait that a forge asks for may be before the stream ends for this run."),
    key("sync.events", Is("true"), Flag(|d, v| d.config.sync.events = v), "Whether state, label and milestone events are fetched."),
    key("sync.page_size", Is("100"), Integer(1, 100, |d, n| d.config.sync.page_size = size(n)), "Rows asked for per page."),

    key("search.mode", Is("auto"), Choice(SearchMode::NAMES, |d, v| put(&mut d.config.search.mode, SearchMode::read(v))), "How documents are searched."),

    key("embed.provider", Is("hashing"), Choice(EmbedProvider::NAMES, |d, v| put(&mut d.config.embed.provider, EmbedProvider::read(v))), "Who makes vectors of documents: `hashing` is offline and compares spelling, the servers compare meaning; `none` leaves vectors out."),
    key("embed.base_url", Unset("`https://api.openai.com/v1` or `http://127.0.0.1:11434`"), Private(AN_ADDRESS, |d, v| put(&mut d.config.embed.base_url, v.parse().ok().map(Some))), "The address of the server, up to `/embeddings` or `/api/embed`."),
    key("embed.model", Unset("required where the provider is a server"), Text("the name of a model", |d, v| put(&mut d.config.embed.model, model(v))), "The model that makes the vectors. Another one means that all are made anew."),
    key("embed.dims", Unset("as many as the model gives"), Integer(1, 8_192, |d, n| d.config.embed.dims = Some(size(n))), "Numbers per vector; `openai` is asked for as many, `hashing` has 256."),
    key("embed.batch", Is("16"), Integer(1, 512, |d, n| d.config.embed.batch = size(n)), "Texts sent in one request, at most."),
    key("embed.timeout_s", Is("30"), Integer(1, 600, |d, n| d.config.embed.timeout = secs(n)), "How long one request may take."),
    key("embed.concurrency", Is("2"), Integer(1, 16, |d, n| d.config.embed.concurrency = size(n)), "Requests to the server at the same time, at most."),
    key("embed.token_env", Unset("`ANNALS_TOKEN_EMBED`"), Private(A_VARIABLE, |d, v| put(&mut d.config.embed.token_env, variable_name(v))), "The environment variable that holds the key of the server."),

    key("server.listen", Is("127.0.0.1:8080"), Text("a loopback address with a port, such as `127.0.0.1:8080`", |d, v| put(&mut d.config.server.listen, loopback(v))), "Where the pages and the API are served; port 0 takes a free one."),
    key("server.allowed_hosts", Is("[]"), List("a list of host names without port", |d, v| put(&mut d.config.server.allowed_hosts, hosts(v))), "Values of the `Host` header that are answered besides loopback names."),
    key("server.drain_notice_ms", Is("0"), Integer(0, 60_000, |d, n| d.config.server.drain_notice = ms(n)), "How long a stopping server says it is not ready before it stops accepting."),
    key("server.graceful_shutdown_ms", Is("15000"), Integer(1_000, 300_000, |d, n| d.config.server.graceful_shutdown = ms(n)), "How long requests in flight may take to end."),

    key("cli.time", Is("relative"), Choice(TimeStyle::NAMES, |d, v| put(&mut d.config.cli.time, TimeStyle::read(v))), "How times are shown to people."),
    key("cli.tz", Is("UTC"), Text("a time zone such as `UTC`, `+02:00` or `Europe/Berlin`", |d, v| put(&mut d.config.cli.tz, v.parse().ok())), "The zone in which days begin and local times are shown."),
    key("cli.color", Is("auto"), Choice(ColorChoice::NAMES, |d, v| put(&mut d.config.cli.color, ColorChoice::read(v))), "When output is coloured."),
    key("cli.autocorrect", Is("true"), Flag(|d, v| d.config.cli.autocorrect = v), "Whether slips in commands and flags are corrected, and said."),
];
