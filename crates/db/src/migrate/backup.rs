//! A copy of the file as it was before the schema moved.

use std::fs::File;
use std::path::{Path, PathBuf};

use annals_core::UnixMs;
use rusqlite::{Connection, InterruptHandle, OptionalExtension, params};

use crate::{Error, file, openers};

/// How many backups to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep(pub usize);

impl Default for Keep {
    fn default() -> Self {
        Self(3)
    }
}

/// Copies the file to `<db>.v<N>-<utc>.bak`, checks and syncs the copy, and deletes copies that are
/// older than the newest few.
pub(super) fn before_migration(
    conn: &Connection,
    path: &Path,
    version: u32,
    now: UnixMs,
    keep: Keep,
) -> Result<PathBuf, Error> {
    check_space(path, folder_of(path))?;
    let utc: String = now.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}-{utc}.bak"));
    let copy = PathBuf::from(name);
    // An empty file is a valid target, and it already has the right mode.
    file::create_private(&copy, file::Existing::Refuse)?;
    let made = make(conn, &copy, |_| Ok(()));
    if made.is_err() && std::fs::remove_file(&copy).is_err() {
        tracing::warn!(path = %copy.display(), "an incomplete backup could not be removed");
    }
    made?;
    prune(path, keep)?;
    Ok(copy)
}

/// Copies the file behind `conn` to `copy`, marks the copy so that its first writer skips numbers, checks it
/// and forces it to disk. What `interruptible` makes of the handle that ends marking and checking lives as long as
/// they do.
pub(crate) fn make<H>(
    conn: &Connection,
    copy: &Path,
    interruptible: impl FnOnce(InterruptHandle) -> Result<H, Error>,
) -> Result<(), Error> {
    let failed = |source| Error::File {
        what: "back up to",
        path: copy.into(),
        source,
    };
    let target = copy
        .to_str()
        .ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
    conn.execute("VACUUM INTO ?1", params![target])?;
    let opened = Connection::open(copy)?;
    let hook = interruptible(opened.get_interrupt_handle())?;
    openers::mark_unclean(&opened)?;
    let verdict: Option<String> = opened
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .optional()?;
    if verdict.as_deref() != Some("ok") {
        return Err(Error::corrupt(format!(
            "quick_check of the backup: {}",
            verdict.unwrap_or_default()
        )));
    }
    drop(hook);
    opened.close().map_err(|(_, error)| error)?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(failed)
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A copy of `path` in `folder` needs room for itself and for what is written then.
pub(crate) fn check_space(path: &Path, folder: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        let failed = |path: &Path, source| Error::File {
            what: "measure",
            path: path.into(),
            source,
        };
        let size = std::fs::metadata(path).map_err(|error| failed(path, error))?.len();
        let disk = rustix::fs::statvfs(folder).map_err(|error| failed(folder, error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < size.saturating_add(size / 5) {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            let why = format!("{free} bytes free, a backup of {size} bytes needs 1.2 times that");
            return Err(Error::DiskFull(rusqlite::Error::SqliteFailure(full, Some(why))));
        }
    }
    Ok(())
}

/// Deletes all but the newest backups of this file.
fn prune(path: &Path, keep: Keep) -> Result<(), Error> {
    let failed = |source| Error::File {
        what: "list backups of",
        path: path.into(),
        source,
    };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let prefix = format!("{name}.v");
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file = entry.file_name();
        let stamp = file
            .to_str()
            .and_then(|file| file.strip_prefix(&prefix)?.strip_suffix(".bak")?.split_once('-'))
            .map(|(_, utc)| utc.to_owned());
        if let Some(stamp) = stamp {
            copies.push((stamp, entry.path()));
        }
    }
    copies.sort();
    for (_, old) in copies.iter().rev().skip(keep.0.max(1)) {
        std::fs::remove_file(old).map_err(|source| Error::File {
            what: "delete",
            path: old.clone(),
            source,
        })?;
    }
    Ok(())
}
