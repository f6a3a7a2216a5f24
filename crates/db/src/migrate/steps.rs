//! The steps, and the rules for applying them.

use std::path::{Path, PathBuf};

use annals_core::UnixMs;
use rusqlite::{Connection, params};

use super::backup::{self, Keep};
use crate::Error;
use crate::content::blob;
use crate::control::{Alive, lock};
use crate::tx::{Patience, begin_immediate};

/// Marks a file as ours: "ANNL".
pub const APPLICATION_ID: i32 = 0x414E_4E4C;

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The schema number after it.
    pub version: u32,
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

impl Migration {
    fn checksum(&self) -> String {
        blob::hex(&blob::hash(self.sql.as_bytes()))
    }
}

/// The steps of this Annals, in order and without a gap.
#[must_use]
pub fn embedded() -> &'static [Migration] {
    &[
        Migration {
            version: 1,
            name: "foundation",
            sql: include_str!("../../migrations/0001_foundation.sql"),
        },
        Migration {
            version: 2,
            name: "absent_twice",
            sql: include_str!("../../migrations/0002_absent_twice.sql"),
        },
        Migration {
            version: 3,
            name: "sweep_seen",
            sql: include_str!("../../migrations/0003_sweep_seen.sql"),
        },
        Migration {
            version: 4,
            name: "verify_findings",
            sql: include_str!("../../migrations/0004_verify_findings.sql"),
        },
        Migration {
            version: 5,
            name: "embeddings",
            sql: include_str!("../../migrations/0005_embeddings.sql"),
        },
    ]
}

/// How a file stands to the steps known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The schema of the file; 0 if it is empty.
    pub found: u32,
    /// The newest schema known here.
    pub known: u32,
}

impl Status {
    /// Whether steps are pending.
    #[must_use]
    pub const fn is_behind(self) -> bool {
        self.found < self.known
    }
}

/// What a run of the steps did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The schema before.
    pub from: u32,
    /// The schema after.
    pub to: u32,
    /// The steps applied, by name.
    pub applied: Vec<String>,
    /// The copy made before the first of them.
    pub backup: Option<PathBuf>,
}

/// Says how a file stands, and refuses it if this Annals must not touch it. Reads only.
///
/// # Errors
/// [`Error::SchemaTooNew`]; [`Error::Migration`] for a foreign file, a gap or a changed step;
/// [`Error::Corrupt`] for a file that is no database.
pub fn inspect(conn: &Connection, steps: &[Migration]) -> Result<Status, Error> {
    let number = |pragma: &str| conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0));
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application, version) = (number("application_id")?, number("user_version")?);
    let known = steps.last().map_or(0, |step| step.version);
    if tables == 0 && application == 0 && version == 0 {
        return Ok(Status { found: 0, known });
    }
    if application != APPLICATION_ID {
        return Err(refused(format!(
            "application id {application:#x} is not that of Annals"
        )));
    }
    let found = u32::try_from(version).map_err(|_| refused(format!("{version} is no schema number")))?;
    if found > known {
        return Err(Error::SchemaTooNew { found, known });
    }
    let mut select = conn.prepare("SELECT version, name, sha256 FROM schema_migrations ORDER BY version")?;
    let applied = select
        .query_map([], |row| {
            Ok((
                row.get::<_, u32>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    if applied.len() != usize::try_from(found).unwrap_or(usize::MAX) {
        return Err(refused(format!("schema {found} with {} recorded steps", applied.len())));
    }
    for (step, (version, name, checksum)) in steps.iter().zip(&applied) {
        if step.version != *version || step.checksum() != *checksum {
            return Err(refused(format!(
                "step {version} ({name}) is not the one this Annals knows"
            )));
        }
    }
    Ok(Status { found, known })
}

/// Applies every pending step to the file behind `conn`, after a backup if it has content.
///
/// # Errors
/// [`Error::MigrationBlocked`] while somebody syncs; [`Error::Migration`] if a step failed, with the
/// backup. The file is then at the last step that went through.
pub fn run(
    conn: &Connection,
    path: &Path,
    steps: &[Migration],
    now: UnixMs,
    alive: &Alive,
    keep: Keep,
) -> Result<Report, Error> {
    let status = inspect(conn, steps)?;
    let mut report = Report {
        from: status.found,
        to: status.found,
        ..Report::default()
    };
    if !status.is_behind() {
        return Ok(report);
    }
    if status.found > 0 {
        if let Some(holder) = lock::any_live(conn, now, alive)? {
            return Err(Error::MigrationBlocked {
                holder: Box::new(holder),
            });
        }
        report.backup = Some(backup::before_migration(conn, path, status.found, now, keep)?);
    }
    for step in steps.iter().filter(|step| step.version > status.found) {
        match apply(conn, step, now) {
            Ok(Applied::Yes) => report.applied.push(step.name.to_owned()),
            Ok(Applied::Already) => {}
            Err(source) => {
                return Err(Error::Migration {
                    why: format!("step {} ({}) failed", step.version, step.name),
                    backup: report.backup,
                    source: Some(Box::new(source)),
                });
            }
        }
        report.to = step.version;
    }
    Ok(report)
}

enum Applied {
    Yes,
    Already,
}

fn apply(conn: &Connection, step: &Migration, now: UnixMs) -> Result<Applied, Error> {
    let open = begin_immediate(conn, || Patience::Wait)?;
    let version: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version >= step.version {
        // Another process was faster between the look and the lock.
        return Ok(Applied::Already);
    }
    if version + 1 != step.version {
        return Err(refused(format!(
            "no step leads from schema {version} to {}",
            step.version
        )));
    }
    conn.execute_batch(
        "PRAGMA defer_foreign_keys = ON;
         CREATE TABLE IF NOT EXISTS schema_migrations (
             version        INTEGER PRIMARY KEY,
             name           TEXT NOT NULL,
             sha256         TEXT NOT NULL,
             applied_at     INTEGER NOT NULL,
             annals_version TEXT NOT NULL
         ) STRICT;",
    )?;
    conn.execute_batch(step.sql)?;
    conn.execute(
        "INSERT INTO schema_migrations (version, name, sha256, applied_at, annals_version) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            step.version,
            step.name,
            step.checksum(),
            now.0,
            env!("CARGO_PKG_VERSION")
        ],
    )?;
    conn.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
        step.version
    ))?;
    let broken: i64 = conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if broken > 0 {
        return Err(refused(format!("{broken} rows refer to rows that are not there")));
    }
    open.commit()?;
    Ok(Applied::Yes)
}

fn refused(why: String) -> Error {
    Error::Migration {
        why,
        backup: None,
        source: None,
    }
}
