//! What `annals doctor` looks at. None of it shows a secret or changes anything.

use std::path::Path;

use annals_core::Code;
use annals_core::config::{BaseUrl, Credentials};
use annals_db::control::{Alive, Holder, lock};
use annals_db::ids::RunStatus;
use annals_db::read::{self, Depth, Visibility};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::{BackendKind, Cx};

use super::doctor::{Check, Status};
use super::version;
use crate::credentials;
use crate::given::quoted;
use crate::output::page::counted;
use crate::process;
use crate::session::Session;
use crate::tokens;

/// Configuration and runtimes.
pub fn setting(session: &Session) -> Vec<Check> {
    let (runtimes, config): (Vec<_>, Vec<_>) = session
        .faults
        .iter()
        .partition(|fault| fault.code == Code::RuntimeNotBuilt);
    let mut checks: Vec<Check> = config
        .iter()
        .flat_map(|fault| fault.message.lines())
        .filter(|line| !line.trim().is_empty())
        .map(|line| Check::new("config", Status::Fail, line.trim()).hint("edit the named key"))
        .collect();
    if checks.is_empty() {
        let file = session.settings.file.as_ref();
        let detail = file.map_or_else(
            || "no file: the defaults".to_owned(),
            |file| file.path.display().to_string(),
        );
        checks.push(Check::new("config", Status::Ok, detail));
    }
    let left_out = session.settings.warnings.iter();
    checks.extend(left_out.map(|warning| Check::new("config", Status::Info, warning.clone())));
    let compiled: Vec<&str> = BackendKind::compiled().iter().map(|kind| kind.as_str()).collect();
    let slices = version::slices(session)
        .into_iter()
        .map(|(slice, kind)| format!("{slice}={kind}"));
    let slices: Vec<String> = slices.collect();
    checks.push(match runtimes.first() {
        Some(fault) => {
            Check::new("runtimes", Status::Fail, fault.message.clone()).hint("change [runtime] in the configuration")
        }
        None => Check::new(
            "runtimes",
            Status::Ok,
            format!("built in: {}; {}", compiled.join(", "), slices.join(" ")),
        ),
    });
    checks
}

/// The file: that it is there, whose it is, whether it is sound, and what is owed. Then the forges it knows.
pub async fn mirror(cx: &Cx, session: &Session) -> (Vec<Check>, Vec<BaseUrl>) {
    let path = match session.db_path() {
        Ok(path) => path,
        Err(report) => return (vec![Check::new("mirror", Status::Fail, report.message)], Vec::new()),
    };
    if !path.exists() {
        let detail = format!("none yet at {}", path.display());
        let none = Check::new("mirror", Status::Info, detail).hint("annals sync URL, or annals demo");
        return (vec![none], Vec::new());
    }
    let (mut checks, mut forges) = (file(&path), Vec::new());
    match Db::open(cx, &path, OpenOptions::read()).await {
        Ok(db) => {
            checks.push(Check::new("schema", Status::Ok, version::newest_schema().to_string()));
            let read = db.read(cx, |conn| Ok((integrity(conn)?, owed(conn, &process::alive())?)));
            match read.await {
                Ok((integrity, owed)) => {
                    checks.push(integrity);
                    checks.extend(owed);
                }
                Err(error) => checks.push(unreadable(&error)),
            }
            // A file that cannot be read has said so by now.
            forges = db.read(cx, mirrored_forges).await.unwrap_or_default();
        }
        Err(annals_db::Error::MigrationNeeded { found, needed }) => {
            let detail = format!("{found}; this version needs {needed}");
            checks.push(Check::new("schema", Status::Fail, detail).action("annals migrate"));
        }
        Err(error) => checks.push(unreadable(&error)),
    }
    (checks, forges)
}

/// The forges of the mirrored projects, each once.
pub fn mirrored_forges(conn: &annals_db::ReadConn<'_>) -> Result<Vec<BaseUrl>, annals_db::Error> {
    let mut bases = Vec::new();
    for row in read::projects(conn, &Visibility::all())? {
        if let Ok(base) = row.name.forge_url.parse::<BaseUrl>()
            && !bases.contains(&base)
        {
            bases.push(base);
        }
    }
    Ok(bases)
}

fn unreadable(error: &annals_db::Error) -> Check {
    let code = error.code();
    Check::new("integrity", Status::Fail, error.to_string()).hint(code.next().replace('`', ""))
}

fn file(path: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    let size = std::fs::metadata(path)
        .map(|metadata| metadata.len())
        .unwrap_or_default();
    let shown = path.display().to_string();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path)
            .map(|metadata| metadata.permissions().mode() & 0o777)
            .unwrap_or_default();
        let detail = format!("{shown}, {} KiB, mode {mode:03o}", size / 1024);
        checks.push(if mode & 0o077 == 0 {
            Check::new("mirror", Status::Ok, detail)
        } else {
            let detail = format!("{detail}: others on this machine may read it");
            Check::new("mirror", Status::Fail, detail).action(format!("chmod 600 {}", quoted(&shown)))
        });
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if let Ok(disk) = rustix::fs::statvfs(folder) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // What a migration's backup needs, and some room to work.
        let needed = size.saturating_add(size / 5).max(64 << 20);
        let detail = format!("{} MiB free", free >> 20);
        checks.push(if free >= needed {
            Check::new("disk", Status::Ok, detail)
        } else {
            Check::new("disk", Status::Fail, format!("{detail}, {} MiB wanted", needed >> 20)).hint("free space")
        });
    }
    checks
}

fn integrity(conn: &annals_db::ReadConn<'_>) -> Result<Check, annals_db::Error> {
    let found = read::check(conn, Depth::Quick)?;
    Ok(match found.split_first() {
        None => Check::new("integrity", Status::Ok, "sound"),
        Some((first, rest)) => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(" and {} more", rest.len())
            };
            Check::new("integrity", Status::Fail, format!("{first}{more}")).hint("restore a backup")
        }
    })
}

fn owed(conn: &annals_db::ReadConn<'_>, alive: &Alive) -> Result<Vec<Check>, annals_db::Error> {
    let mut checks = Vec::new();
    for holder in lock::all_held(conn, conn.now())? {
        checks.push(lock_of(conn, &holder, alive)?);
    }
    let stats = read::stats(conn)?;
    if stats.dirty > 0 {
        let detail = format!("{} not searchable yet", counted(stats.dirty, "change"));
        checks.push(Check::new("documents", Status::Info, detail).action("annals sync"));
    }
    if stats.quarantine.open > 0 {
        let detail = format!(
            "{} could not be read and {} kept as sent",
            counted(stats.quarantine.open, "item"),
            if stats.quarantine.open == 1 { "is" } else { "are" }
        );
        checks.push(Check::new("quarantine", Status::Info, detail).action("annals sync"));
    }
    if let Some(run) = read::runs(conn, &Visibility::all(), None, 1)?.first() {
        let detail = match &run.error_code {
            Some(code) if *code != run.status.as_str() => {
                format!("{}: {code}, {}", run.status, run.started_at.utc_text())
            }
            Some(_) | None => format!("{}, {}", run.status, run.started_at.utc_text()),
        };
        let check = Check::new(
            "last run",
            if run.status == RunStatus::Done {
                Status::Ok
            } else {
                Status::Info
            },
            detail,
        );
        checks.push(match run.status {
            RunStatus::Done | RunStatus::Queued | RunStatus::Running => check,
            RunStatus::Partial | RunStatus::Failed | RunStatus::Cancelled => {
                check.action(format!("annals sync-runs --run-id {}", run.run_id))
            }
        });
    }
    Ok(checks)
}

/// Who syncs what, or did until its process ended.
fn lock_of(conn: &annals_db::ReadConn<'_>, holder: &Holder, alive: &Alive) -> Result<Check, annals_db::Error> {
    let projects = read::projects(conn, &Visibility::all())?;
    let project = projects
        .iter()
        .find(|row| lock::scope(row.name.id) == holder.scope)
        .map_or(holder.scope.as_str(), |row| row.name.path.as_str());
    let (pid, host) = (holder.process.pid, &holder.process.host);
    Ok(if alive.is_dead(&holder.process) {
        let detail = format!("{project} was being synced; process {pid} is gone; the next sync continues");
        Check::new("lock", Status::Info, detail).action(format!("annals sync {}", quoted(project)))
    } else {
        let detail = format!(
            "{project} is being synced: {} (process {pid} on {host}) since {} s",
            holder.holder,
            holder.age_ms / 1000
        );
        Check::new("lock", Status::Info, detail)
    })
}

/// Whether each forge has a token, those included that only the mirror knows; never what it is.
pub fn forges(session: &Session, mirrored: &[BaseUrl]) -> Vec<Check> {
    let config = session.config();
    let (kept, unreadable) = match credentials::load(&session.env) {
        Ok(kept) => (kept, None),
        Err(report) => {
            let check = Check::new("credentials", Status::Fail, report.message);
            let (action, hint) = (report.actions.into_iter().next(), report.suggestion);
            (Credentials::default(), Some(Check { action, hint, ..check }))
        }
    };
    let checks = tokens::forges(config, mirrored).into_iter().map(|forge| {
        let mut host = forge.settings.base_url.authority().to_owned();
        if !config.forges.contains_key(&forge.name) {
            host.push_str(", not in the configuration");
        }
        let in_use = forge.variable_in_use(&session.env).filter(|_| forge.settings.enabled);
        let is_kept = forge.settings.enabled && kept.at(&forge.settings.base_url).is_some();
        let detail = match &in_use {
            _ if !forge.settings.enabled => format!("{host}: switched off"),
            Some(variable) => format!("{host}: token from {variable}"),
            None if is_kept => format!("{host}: token from credentials.toml"),
            None => {
                let (variables, address) = (forge.variables().join(" or "), &forge.settings.base_url);
                let help = match variables.as_str() {
                    "" => format!("annals auth login {address} would keep one"),
                    variables => format!("{variables} would hold one"),
                };
                format!("{host}: no token, public access only; {help}")
            }
        };
        let status = if in_use.is_some() || is_kept {
            Status::Ok
        } else {
            Status::Info
        };
        Check::new(format!("forge {}", forge.name), status, detail)
    });
    unreadable.into_iter().chain(checks).collect()
}

/// Git is not needed yet; whether it is there.
pub fn git(session: &Session) -> Check {
    let paths = session.env.get("PATH").unwrap_or_default();
    let found = std::env::split_paths(paths)
        .map(|folder| folder.join("git"))
        .find(|path| path.is_file());
    match found {
        Some(path) => Check::new("git", Status::Ok, path.display().to_string()),
        None => Check::new("git", Status::Info, "not found; nothing here needs it yet"),
    }
}
