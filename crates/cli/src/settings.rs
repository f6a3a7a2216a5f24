//! From files, variables and flags to the configuration.

use std::io;
use std::path::{Path, PathBuf};

use annals_core::config::{Config, Layers, LeftOut, RuntimeName, ShutdownSettings, Trust};
use annals_core::{Code, Coded, Report};
use annals_net_adapter::{BackendKind, Environment, RuntimeSection, ShutdownBudget, Slice};

use crate::cli::Global;
use crate::places;

/// The configuration and where it came from.
#[derive(Debug, Default)]
pub struct Settings {
    pub config: Config,
    pub file: Option<File>,
    /// What the file says and nobody follows, because it lay in the folder; with what to do about it.
    pub warnings: Vec<String>,
}

/// A configuration file as it was read.
#[derive(Debug, Clone)]
pub struct File {
    pub path: PathBuf,
    text: String,
    trust: Trust,
}

/// Reads all layers; a flag of every command is stronger than what a command sets by itself.
///
/// # Errors
/// `config_not_found` for a file that was named and is not there, `io` for one that cannot be read, `config_invalid`
/// with everything that is wrong.
pub fn load(global: &Global, overrides: Vec<(String, String)>, env: &Environment) -> Result<Settings, Report> {
    let file = find(global.config.as_deref(), env)?;
    layered(file, global, overrides, env)
}

/// Whether slips are to be corrected, asked before there is a command line: a configuration that cannot be read says so
/// later.
pub fn autocorrect(file: Option<&Path>, env: &Environment) -> bool {
    let config = find(file, env)
        .ok()
        .and_then(|file| Config::load(&layers(file, env, Vec::new())).ok());
    config.unwrap_or_default().cli.autocorrect
}

/// What the flags say, over the defaults: for a command that goes on where the rest is broken.
///
/// # Errors
/// `config_invalid` for a flag that is wrong itself.
pub fn flags(global: &Global, overrides: Vec<(String, String)>) -> Result<Settings, Report> {
    layered(None, global, overrides, &Environment::new([]))
}

/// All layers over a file that was read before.
///
/// # Errors
/// `config_invalid` with everything that is wrong.
pub fn layered(
    file: Option<File>,
    global: &Global,
    overrides: Vec<(String, String)>,
    env: &Environment,
) -> Result<Settings, Report> {
    let layers = layers(file.clone(), env, [overrides, global.overrides()].concat());
    let (config, left_out) = Config::read(&layers).map_err(|errors| errors.report())?;
    Ok(Settings {
        config,
        warnings: left_out.iter().map(|left_out| warning(left_out, env)).collect(),
        file,
    })
}

fn layers(file: Option<File>, env: &Environment, overrides: Vec<(String, String)>) -> Layers {
    let trust = file.as_ref().map_or(Trust::Named, |file| file.trust);
    let variables = env.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Layers {
        file: file.map(|File { path, text, .. }| (path, text)),
        trust,
        env: variables.collect(),
        overrides,
    }
}

/// What was left out, and how it counts for whoever knows the file.
fn warning(left_out: &LeftOut, env: &Environment) -> String {
    let of_user = places::user_config(env).map(|path| format!(", or put that into {}", path.display()));
    format!(
        "./{file} lay here and nobody named it, so this of it does not count: {left_out}. If you trust the file, name it: \
         --config ./{file}{}",
        of_user.unwrap_or_default(),
        file = places::LOCAL_CONFIG,
    )
}

fn find(named: Option<&Path>, env: &Environment) -> Result<Option<File>, Report> {
    if let Some(path) = named {
        let missing = || {
            let message = format!("there is no configuration file {}", path.display());
            Report::new(Code::ConfigNotFound, message).with_detail("path", path.display().to_string())
        };
        return read(path, Trust::Named)?.ok_or_else(missing).map(Some);
    }
    let of_user = places::user_config(env);
    let local = Path::new(places::LOCAL_CONFIG);
    // Whoever works in the folder of their own file has found nothing.
    let is_of_user = || {
        let same = |path: &PathBuf| Some(path.canonicalize().ok()? == local.canonicalize().ok()?);
        of_user.as_ref().and_then(same).unwrap_or(false)
    };
    if let Some(found) = read(local, Trust::Found)? {
        let trust = if is_of_user() { Trust::Named } else { Trust::Found };
        return Ok(Some(File { trust, ..found }));
    }
    match &of_user {
        Some(path) => read(path, Trust::Named),
        None => Ok(None),
    }
}

fn read(path: &Path, trust: Trust) -> Result<Option<File>, Report> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(File {
            path: path.to_owned(),
            text,
            trust,
        })),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::InvalidData {
                Code::ConfigInvalid
            } else {
                Code::Io
            };
            let message = format!("cannot read the configuration file {}: {error}", path.display());
            Err(Report::new(code, message).with_detail("path", path.display().to_string()))
        }
    }
}

/// Where the mirror is.
///
/// # Errors
/// `config_invalid` if nothing says it and there is no home directory either.
pub fn db_path(config: &Config, env: &Environment) -> Result<PathBuf, Report> {
    let path = config.db.path.clone().or_else(|| places::user_db(env));
    path.ok_or_else(|| {
        Report::new(
            Code::ConfigInvalid,
            "there is no home directory to keep the mirror in: name a file with --db",
        )
        .with_detail("key", "db.path")
    })
}

/// The `[runtime]` section as net-adapter takes it.
pub fn runtime_section(config: &Config, shutdown: &ShutdownSettings, env: &Environment) -> RuntimeSection {
    let ours = &config.runtime;
    let defaults = RuntimeSection::default();
    let slices = [
        (Slice::Server, ours.slices.server),
        (Slice::Ingest, ours.slices.ingest),
        (Slice::Slack, ours.slices.slack),
        (Slice::Queue, ours.slices.queue),
    ];
    RuntimeSection {
        default: ours.default.map_or(defaults.default, backend),
        slices: slices
            .into_iter()
            .filter_map(|(slice, name)| Some((slice, backend(name?))))
            .collect(),
        workers: ours.workers,
        max_blocking: ours.max_blocking,
        max_tasks: ours.max_tasks,
        shutdown: ShutdownBudget {
            grace: shutdown.grace,
            cancel: shutdown.cancel,
            hard: shutdown.hard,
        },
        env: env.clone(),
    }
}

const fn backend(name: RuntimeName) -> BackendKind {
    match name {
        RuntimeName::Tokio => BackendKind::Tokio,
        RuntimeName::Asupersync => BackendKind::Asupersync,
    }
}
