//! The file of tokens: for its owner's eyes only, and written whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use annals_core::config::{BadCredentials, Credentials};
use annals_core::{Code, Report};
use annals_net_adapter::Environment;

use crate::given::quoted;
use crate::places;

/// Reads the file; none is an empty one.
///
/// # Errors
/// `credentials_too_open` if others can read it, `config_invalid` if it is no such file, `io`.
pub fn load(env: &Environment) -> Result<Credentials, Report> {
    let Some(path) = places::credentials(env) else {
        return Ok(Credentials::default());
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Credentials::default());
        }
        Err(error) => return Err(failed("read", &path, &error)),
    };
    // Of the file that is open, so that nobody puts another one in its place in between.
    let mode = file
        .metadata()
        .map_err(|error| failed("read", &path, &error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        let shown = path.display();
        let message = format!(
            "{shown} holds tokens and can be used by others (mode {:o})",
            mode & 0o777
        );
        return Err(Report::new(Code::CredentialsTooOpen, message)
            .with_detail("path", shown.to_string())
            .with_action(format!("chmod 600 {}", quoted(&shown.to_string()))));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)
        .map_err(|error| failed("read", &path, &error))?;
    Credentials::parse(&text).map_err(|error| unreadable(&path, &error))
}

/// What is wrong with the file, and how it is put right: no command can, because all of them read it first.
fn unreadable(path: &Path, error: &BadCredentials) -> Report {
    let shown = path.display().to_string();
    let advice = match error {
        BadCredentials::Syntax { .. } => "correct that line".to_owned(),
        BadCredentials::NoToken { name } => {
            format!("take the table [forges.{name}] out, then run `annals auth login https://HOST`")
        }
        BadCredentials::NoAddress { name } => format!(
            "add base_url = \"https://HOST\", the forge that the token is for, to [forges.{name}]; or take that table out, \
             then run `annals auth login https://HOST`"
        ),
        BadCredentials::Twice { second, .. } => format!("take one of them out, such as [forges.{second}]"),
    };
    let mut report = Report::new(Code::ConfigInvalid, format!("{shown}: {error}"))
        .with_detail("path", shown.clone())
        .with_suggestion(format!("edit {shown}: {advice}"));
    // Those of the code are about the other file.
    report.actions = Vec::new();
    report
}

/// Writes the file: beside it first, then in its place.
///
/// # Errors
/// `config_invalid` without a home directory, `io`.
pub fn store(env: &Environment, credentials: &Credentials) -> Result<PathBuf, Report> {
    let path = places::credentials(env).ok_or_else(|| {
        Report::new(Code::ConfigInvalid, "there is no home directory to keep tokens in")
            .with_suggestion("put the token into the environment variable ANNALS_TOKEN_<FORGE>")
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let kept = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| std::fs::set_permissions(folder, Permissions::from_mode(0o700)));
    kept.map_err(|error| failed("make", folder, &error))?;
    let beside = folder.join(format!(".credentials.{}.tmp", std::process::id()));
    let written = write(&beside, credentials.text().expose()).and_then(|()| std::fs::rename(&beside, &path));
    written.map_err(|error| {
        drop(std::fs::remove_file(&beside));
        failed("write", &path, &error)
    })?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // One that was left behind, or a link that was put there, is nothing to write through.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Report {
    let message = format!("cannot {what} {}: {error}", path.display());
    Report::new(Code::Io, message).with_detail("path", path.display().to_string())
}
