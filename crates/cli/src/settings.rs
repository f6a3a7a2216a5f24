//! From files, variables and flags to the configuration.

use std::io;
use std::path::{Path, PathBuf};

use annals_core::config::{Config, Layers, RuntimeName, ShutdownSettings};
use annals_core::{Code, Coded, Report};
use annals_net_adapter::{BackendKind, Environment, RuntimeSection, ShutdownBudget, Slice};

use crate::cli::Global;
use crate::places;

/// The configuration and where it came from.
#[derive(Debug, Default)]
pub struct Settings {
    pub config: Config,
    pub file: Option<PathBuf>,
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
    let config = find(file, env).ok().and_then(|file| {
        let layers = Layers {
            file,
            env: variables(env),
            overrides: Vec::new(),
        };
        Config::load(&layers).ok()
    });
    config.unwrap_or_default().cli.autocorrect
}

/// What the flags say, over the defaults: for a command that goes on where the rest is broken.
///
/// # Errors
/// `config_invalid` for a flag that is wrong itself.
pub fn flags(global: &Global, overrides: Vec<(String, String)>) -> Result<Settings, Report> {
    layered(None, global, overrides, &Environment::new([]))
}

fn layered(
    file: Option<(PathBuf, String)>,
    global: &Global,
    overrides: Vec<(String, String)>,
    env: &Environment,
) -> Result<Settings, Report> {
    let layers = Layers {
        file: file.clone(),
        env: variables(env),
        overrides: [overrides, global.overrides()].concat(),
    };
    let config = Config::load(&layers).map_err(|errors| errors.report())?;
    Ok(Settings {
        config,
        file: file.map(|(path, _)| path),
    })
}

fn variables(env: &Environment) -> Vec<(String, String)> {
    let variables = env.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    variables.collect()
}

fn find(named: Option<&Path>, env: &Environment) -> Result<Option<(PathBuf, String)>, Report> {
    if let Some(path) = named {
        let missing = || {
            let message = format!("there is no configuration file {}", path.display());
            Report::new(Code::ConfigNotFound, message).with_detail("path", path.display().to_string())
        };
        return read(path)?.ok_or_else(missing).map(Some);
    }
    for path in [Some(PathBuf::from(places::LOCAL_CONFIG)), places::user_config(env)]
        .into_iter()
        .flatten()
    {
        if let Some(found) = read(&path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<(PathBuf, String)>, Report> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
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
