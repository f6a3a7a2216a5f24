//! What a command works with.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::OnceLock;

use annals_core::config::Config;
use annals_core::time::{BadAsOf, as_of};
use annals_core::{Code, Report, UnixMs};
use annals_db::control::Holder;
use annals_db::migrate::Keep;
use annals_db::{Access, AutoMigrate, Db, OpenOptions};
use annals_net_adapter::{Cx, Environment, Runtimes};
use annals_sync::{Hosts, SyncOptions};

use crate::cli::Global;
use crate::commands::place;
use crate::credentials;
use crate::error::Error;
use crate::given::Given;
use crate::output::{Output, Terminals};
use crate::process;
use crate::settings::{self, Settings};

/// One invocation: its configuration, its runtimes, and how it prints.
#[derive(Debug)]
pub struct Session {
    pub settings: Settings,
    /// What was wrong with the configuration, for a command that goes on without it.
    pub faults: Vec<Report>,
    pub global: Global,
    /// The files that printed commands must name.
    pub given: Given,
    pub env: Environment,
    pub terminals: Terminals,
    pub out: Output,
    pub runtimes: Arc<Runtimes>,
    /// What [`as_of`](Self::as_of) found: an age must not count back from two moments.
    pub moment: OnceLock<Option<UnixMs>>,
}

impl Session {
    pub const fn config(&self) -> &Config {
        &self.settings.config
    }

    /// The moment to answer as of, where `--as-of` says one.
    ///
    /// # Errors
    /// `usage` for a text that is no moment of the past.
    pub fn as_of(&self, cx: &Cx) -> Result<Option<UnixMs>, Report> {
        if let Some(moment) = self.moment.get() {
            return Ok(*moment);
        }
        let read = |text: &String| {
            as_of(text, cx.unix_ms(), &self.config().cli.tz).map_err(|error| {
                let hint = match error {
                    BadAsOf::NoTime(_) => "2024-02-29, 2024-02-29T12:00Z or 30d",
                    BadAsOf::NotYet(_) => "leave --as-of out to see what is, or name a day that is over",
                };
                Report::new(Code::Usage, format!("--as-of: {error}")).with_suggestion(hint)
            })
        };
        let moment = self.global.as_of.as_ref().map(read).transpose()?;
        Ok(*self.moment.get_or_init(|| moment))
    }

    /// What ages in filters count back from: the moment that is asked about, which is now unless `--as-of` says another.
    ///
    /// # Errors
    /// As [`as_of`](Self::as_of).
    pub fn ages_from(&self, cx: &Cx) -> Result<UnixMs, Report> {
        Ok(self.as_of(cx)?.unwrap_or_else(|| cx.unix_ms()))
    }

    /// `--as-of` as it could be typed again.
    pub fn as_of_flag(&self) -> String {
        place::flags(self.global.as_of.clone().map(|when| ("--as-of", when)))
    }

    /// What every command that asks a forge begins with: the configuration and the kept tokens. Whoever made their own
    /// could forget the tokens, and a forge tells a stranger that what is not public is not there.
    ///
    /// # Errors
    /// Those of [`credentials::load`].
    pub fn sync_options(&self) -> Result<SyncOptions, Report> {
        Ok(SyncOptions {
            credentials: credentials::load(&self.env)?.tokens(),
            ..SyncOptions::new(self.config(), Hosts::new())
        })
    }

    /// Where the mirror is.
    ///
    /// # Errors
    /// `config_invalid` if nothing says it.
    pub fn db_path(&self) -> Result<std::path::PathBuf, Report> {
        settings::db_path(self.config(), &self.env)
    }

    /// Opens the mirror for reading: not a byte of it changes.
    ///
    /// # Errors
    /// `not_found` where there is none, `migration_needed` for an older one, and the failures of a file.
    ///
    /// # Cancel safety
    /// It has no effect.
    pub async fn mirror(&self, cx: &Cx) -> Result<Db, Error> {
        let path = self.db_path()?;
        let options = OpenOptions {
            readers: self.readers(),
            ..OpenOptions::read()
        };
        Db::open(cx, &path, options)
            .await
            .map_err(|error| self.about_mirror(&error))
    }

    /// Opens the mirror for writing; it is made if there is none.
    ///
    /// # Errors
    /// The failures of a file, and of the migration of an older one.
    ///
    /// # Cancel safety
    /// As [`Db::open`].
    pub async fn mirror_to_write(&self, cx: &Cx, migrate: AutoMigrate) -> Result<Db, Error> {
        let path = self.db_path()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| {
                let message = format!("cannot make the folder {}: {error}", folder.display());
                Report::new(Code::Io, message).with_detail("path", folder.display().to_string())
            })?;
        }
        let access = Access::Write {
            alive: process::alive(),
            migrate,
        };
        let options = OpenOptions {
            access,
            readers: self.readers(),
        };
        Db::open(cx, &path, options)
            .await
            .map_err(|error| self.about_mirror(&error))
    }

    /// What an opening that may write does about an older file.
    pub fn auto_migrate(&self) -> AutoMigrate {
        if self.config().db.auto_migrate {
            AutoMigrate::On(self.backups())
        } else {
            AutoMigrate::Off
        }
    }

    /// How many copies made before migrations are kept.
    pub fn backups(&self) -> Keep {
        Keep(self.config().db.backups)
    }

    fn readers(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.config().db.readers).unwrap_or(NonZeroUsize::MIN)
    }

    /// A failure to open the mirror, with what to do about it.
    pub fn about_mirror(&self, error: &annals_db::Error) -> Error {
        let Ok(path) = self.db_path() else {
            return Error::of(error);
        };
        let shown = path.display();
        // What is told below names the file; the log has the causes.
        let report = match Error::of(error) {
            Error::Told(report) => report.with_detail("path", shown.to_string()),
            ended => return ended,
        };
        let other = "name another file with --db";
        let message = match error {
            annals_db::Error::NoFile { .. } => return self.about_nothing(report).into(),
            _ if path.is_dir() => format!("{shown} is a folder, not a file"),
            annals_db::Error::File { path, source, what } => format!("cannot {what} {}: {source}", path.display()),
            annals_db::Error::Storage(_) => match std::fs::File::open(&path) {
                Err(why) => format!("cannot read {shown}: {why}"),
                Ok(_) => format!("cannot read or write {shown}"),
            },
            annals_db::Error::Corrupt { what, .. } => format!("{shown} is no sound database: {what}"),
            annals_db::Error::Migration {
                backup: None,
                source: None,
                ..
            } => format!(
                "{shown} is not an Annals file, or was changed by another program: {}",
                report.message
            ),
            annals_db::Error::SchemaTooNew { .. } | annals_db::Error::MigrationNeeded { .. } => {
                return Report {
                    message: format!("{shown}: {}", report.message),
                    ..report
                }
                .into();
            }
            annals_db::Error::MigrationBlocked { holder } => return blocked(&shown.to_string(), holder, report).into(),
            _ => return self.naming_file(report).into(),
        };
        Report { message, ..report }.with_suggestion(other).into()
    }

    /// The end of a search that did not find its answer.
    pub fn about_search(&self, error: &annals_search::Error) -> Error {
        match error {
            annals_search::Error::Db(error) => self.about_mirror(error),
            annals_search::Error::Query(_) | annals_search::Error::TooMany { .. } | annals_search::Error::Embed(_) => {
                Error::of(error)
            }
        }
    }

    /// A failure of the file, which its message then names.
    pub fn naming_file(&self, report: Report) -> Report {
        let always = [
            Code::Database,
            Code::DatabaseCorrupt,
            Code::DatabaseLocked,
            Code::DiskFull,
        ];
        // Other files can fail so too.
        let of_file = always.contains(&report.code) || report.code == Code::Io && report.message.contains("database");
        match self.db_path() {
            Ok(path) if of_file && !report.message.contains(&path.display().to_string()) => {
                let message = format!("{}: {}", path.display(), report.message);
                Report { message, ..report }.with_detail("path", path.display().to_string())
            }
            _ => report,
        }
    }

    /// There is no mirror yet: how there will be one.
    fn about_nothing(&self, report: Report) -> Report {
        let configured = self
            .config()
            .forges
            .values()
            .any(|forge| forge.enabled && !forge.projects.is_empty());
        if configured {
            report.with_action("annals sync")
        } else {
            report.with_suggestion("mirror a project with `annals sync URL`, or have a look around with `annals demo`")
        }
    }
}

/// An older file that cannot be brought up to date now, because somebody fills it.
fn blocked(file: &str, holder: &Holder, report: Report) -> Report {
    let (pid, host) = (holder.process.pid, &holder.process.host);
    let message = format!(
        "{file} is of an older Annals and must be migrated first, which waits for a sync into it: {} (process {pid} on \
         {host}) since {} s",
        holder.holder,
        holder.age_ms / 1000
    );
    let mut report = Report { message, ..report }.with_suggestion(format!(
        "wait until that sync has ended, or end it with `kill -INT {pid}` on {host}: what it has stored stays"
    ));
    report.actions = vec!["annals migrate".to_owned()];
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use annals_core::Coded;
    use annals_db::control::ProcessId;

    #[test]
    fn who_keeps_a_file_from_its_migration_is_said_with_what_to_do() {
        let holder = Holder {
            scope: "project:1".to_owned(),
            holder: "annals sync".to_owned(),
            run_id: None,
            process: ProcessId {
                host: "desk".to_owned(),
                pid: 4242,
                process_start: 7,
            },
            acquired_at: UnixMs(0),
            heartbeat_at: UnixMs(0),
            age_ms: 12_345,
        };
        let error = annals_db::Error::MigrationBlocked {
            holder: Box::new(holder.clone()),
        };
        let report = blocked("m.db", &holder, error.report());
        assert!(!report.message.contains("project:1"), "{}", report.message);
        for part in [
            "m.db is of an older Annals",
            "annals sync (process 4242 on desk) since 12 s",
        ] {
            assert!(report.message.contains(part), "{}", report.message);
        }
        assert!(
            report
                .suggestion
                .is_some_and(|text| text.contains("`kill -INT 4242` on desk"))
        );
        assert_eq!(report.actions, ["annals migrate"]);
        assert_eq!(report.details["pid"], 4242);
    }
}
