//! What can go wrong with the file, in the words a caller acts on.

use std::path::PathBuf;

use annals_core::{CancelReason, Cancelled, Code, Coded, Iid, PanicMsg, Report, TaskError};
use rusqlite::ErrorCode;

use crate::control::Holder;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process kept the file busy through every try.
    #[error("the database is locked by another process")]
    Locked,
    /// No room for what had to be written; the transaction is undone.
    #[error("no space left to write the database")]
    DiskFull(#[source] rusqlite::Error),
    /// The file could not be read or written.
    #[error("the database file cannot be read or written")]
    Storage(#[source] rusqlite::Error),
    /// A file beside the database could not be read or written.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not those of a sound database.
    #[error("the database is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: String,
        /// What SQLite said, if it was SQLite.
        source: Option<rusqlite::Error>,
    },
    /// Any other error of SQLite.
    #[error("the database refused a statement")]
    Sqlite(#[source] rusqlite::Error),
    /// There is no such file.
    #[error("there is no database at {}", path.display())]
    NoFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is something already where a new file was to be.
    #[error("there is already a file at {}", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// A newer Annals wrote the file. It was not touched.
    #[error("the database has schema {found}, this Annals knows {known}")]
    SchemaTooNew {
        /// The schema of the file.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// The file is older than this command needs, and this command does not write.
    #[error("the database has schema {found}, this command needs {needed}")]
    MigrationNeeded {
        /// The schema of the file.
        found: u32,
        /// The schema this command reads.
        needed: u32,
    },
    /// The file cannot be migrated; it is still at its old version.
    #[error("cannot migrate the database: {why}")]
    Migration {
        /// The rule that was broken or the step that failed.
        why: String,
        /// The copy made before the first step.
        backup: Option<PathBuf>,
        /// What caused it, if a statement did.
        source: Option<Box<Error>>,
    },
    /// A run holds a lock, so the schema must not move now.
    #[error("cannot migrate while a sync holds {}", holder.scope)]
    MigrationBlocked {
        /// Who.
        holder: Box<Holder>,
    },
    /// The run's fence was superseded: it must write nothing more.
    #[error("lock {scope} was taken over from run {run_id}")]
    LockLost {
        /// The lock.
        scope: String,
        /// The run that no longer holds it.
        run_id: String,
    },
    /// Another item of the same project already has this number. Nothing was written for this one.
    #[error("native ids {known} and {claimed} both claim number {iid}")]
    IidConflict {
        /// The number.
        iid: Iid,
        /// The native id that has it.
        known: String,
        /// The native id that wants it.
        claimed: String,
    },
    /// Another forge of the file has this name.
    #[error("the name {name} already belongs to the forge {base_url}")]
    ForgeNameTaken {
        /// The name.
        name: String,
        /// Who has it.
        base_url: String,
    },
    /// The file has no such row.
    #[error("no such {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// `cx` was cancelled; whatever had begun was undone, or never began.
    #[error("{0}")]
    Cancelled(CancelReason),
    /// The closure panicked; its transaction was undone.
    #[error(transparent)]
    Panicked(#[from] PanicMsg),
    /// The store was closed, or its region is ending.
    #[error("the database is closed")]
    Closed,
}

impl Error {
    /// A row that is not there.
    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// A row that cannot be what it is.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt {
            what: what.into(),
            source: None,
        }
    }

    /// The code of this failure.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Locked => Code::DatabaseLocked,
            Self::DiskFull(_) => Code::DiskFull,
            Self::Storage(_) | Self::File { .. } => Code::Io,
            Self::Corrupt { .. } => Code::DatabaseCorrupt,
            Self::Sqlite(_) => Code::Database,
            Self::NoFile { .. } | Self::NotFound { .. } => Code::NotFound,
            Self::Exists { .. } => Code::Conflict,
            Self::SchemaTooNew { .. } => Code::SchemaTooNew,
            Self::MigrationNeeded { .. } => Code::MigrationNeeded,
            Self::Migration { .. } => Code::MigrationFailed,
            Self::MigrationBlocked { .. } => Code::SyncInProgress,
            Self::LockLost { .. } => Code::LockLost,
            Self::IidConflict { .. } => Code::IidConflict,
            Self::ForgeNameTaken { .. } => Code::ConfigInvalid,
            Self::Cancelled(reason) => reason.code(),
            Self::Panicked(_) => Code::Internal,
            Self::Closed => Code::Unavailable,
        }
    }

    /// A statement that was stopped from outside.
    pub(crate) fn interrupted() -> Self {
        let interrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
        Self::Sqlite(rusqlite::Error::SqliteFailure(interrupt, None))
    }

    /// Whether the statement was stopped from outside.
    pub(crate) fn is_interrupt(&self) -> bool {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = self else {
            return false;
        };
        failure.code == ErrorCode::OperationInterrupted
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        Self::code(self)
    }

    fn report(&self) -> Report {
        let report = Report::new(self.code(), self.to_string());
        match self {
            Self::MigrationBlocked { holder } => holder.describe(report),
            Self::Migration { backup: Some(path), .. } => report.with_detail("backup", path.display().to_string()),
            Self::SchemaTooNew { found, known } => report.with_detail("found", *found).with_detail("known", *known),
            Self::MigrationNeeded { found, needed } => {
                report.with_detail("found", *found).with_detail("needed", *needed)
            }
            Self::LockLost { scope, run_id } => report
                .with_detail("scope", scope.as_str())
                .with_detail("run_id", run_id.as_str()),
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => {
                report.with_detail("sqlite", failure.extended_code)
            }
            Self::Panicked(panic) => panic.report(),
            _ => report,
        }
    }
}

impl TaskError for Error {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Cancelled(reason) => Some(reason),
            _ => None,
        }
    }
}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled.0)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, message) = &error else {
            return match &error {
                rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
                    Self::Corrupt {
                        what: "a row holds what its column cannot".to_owned(),
                        source: Some(error),
                    }
                }
                _ => Self::Sqlite(error),
            };
        };
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => Self::Locked,
            ErrorCode::DiskFull => Self::DiskFull(error),
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                Self::Storage(error)
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                let what = message.clone().unwrap_or_else(|| failure.to_string());
                Self::Corrupt {
                    what,
                    source: Some(error),
                }
            }
            _ => Self::Sqlite(error),
        }
    }
}
