//! The file itself: how connections to it are made.

use std::fs::OpenOptions;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::Error;
use crate::tx::BUSY_TIMEOUT;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that writes.
    Writer,
    /// One of those that read.
    Reader,
}

/// Statements kept prepared: all of a page transaction's.
const STATEMENTS: usize = 256;

/// Opens a connection to a file that exists and sets its pragmas.
pub(crate) fn connect(path: &Path, role: Role) -> Result<Connection, Error> {
    let access = match role {
        Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set_pragmas(&conn, role)?;
    Ok(conn)
}

/// The pragmas of every connection, whatever the build of SQLite defaults to.
pub(crate) fn set_pragmas(conn: &Connection, role: Role) -> Result<(), Error> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans do not depend on bound values: else a kept statement is compiled again for each of them.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch(
        "PRAGMA foreign_keys = ON;
         PRAGMA synchronous = NORMAL;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -16384;
         PRAGMA trusted_schema = OFF;",
    )?;
    match role {
        // A reader cannot change the mode of the file, and need not: it is kept in the file.
        Role::Writer => conn.execute_batch("PRAGMA journal_mode = WAL")?,
        Role::Reader => conn.execute_batch("PRAGMA query_only = ON")?,
    }
    Ok(())
}

/// Whether there is something to read at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// No file, or one without a byte.
    Absent,
    /// A file with content.
    Present,
}

/// Looks at the file without opening it as a database.
pub(crate) fn presence(path: &Path) -> Result<Presence, Error> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > 0 => Ok(Presence::Present),
        Ok(_) => Ok(Presence::Absent),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Presence::Absent),
        Err(source) => Err(Error::File {
            what: "read",
            path: path.into(),
            source,
        }),
    }
}

/// Undoes what a process has left in the journal when it was killed while it made the file. A connection that cannot
/// write cannot do that, and so could not even look. Once the file is made it has a log and never a journal.
///
/// A journal that somebody is still writing is left alone, by SQLite's own rules.
pub(crate) fn recover(path: &Path) -> Result<(), Error> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if presence(Path::new(&journal))? == Presence::Absent {
        return Ok(());
    }
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(())
}

/// What to do where a file is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Leave it as it is.
    Keep,
    /// Fail.
    Refuse,
}

/// Makes an empty file that only its owner can read; SQLite gives its log the same mode.
pub(crate) fn create_private(path: &Path, existing: Existing) -> Result<(), Error> {
    let failed = |source| Error::File {
        what: "create",
        path: path.into(),
        source,
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).truncate(false);
    match existing {
        Existing::Keep => options.create(true),
        Existing::Refuse => options.create_new(true),
    };
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed)?;
    Ok(())
}
