//! A copy of the file while others use it.
//!
//! The copy is made under a name of its own, checked, forced to disk and only then given the name it
//! was asked for: under that name there is a whole copy or nothing. It needs no lock: SQLite copies one
//! snapshot, and whoever writes goes on.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use annals_core::UnixMs;
use annals_net_adapter::Cx;
use sha2::{Digest, Sha256};

use crate::content::blob;
use crate::file::{self, Existing, Presence, Role};
use crate::store::flatten;
use crate::{Error, migrate};

/// Where a copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this path, where nothing is yet.
    File(PathBuf),
    /// Into this folder, under a name with the time in it: `annals.db.backup-20240229T235959.000Z`.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// How many copies with such a name stay, this one included; all if there is no number.
        keep: Option<NonZeroUsize>,
    },
}

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its schema.
    pub schema: u32,
    /// Older copies that were removed for it.
    pub removed: Vec<PathBuf>,
    /// Why older copies are left that should have been removed.
    pub left: Vec<String>,
}

/// Copies the file at `path`, of this schema or an older one. Only its owner can read the copy. A writer
/// that opens it skips numbers, as after an unclean end.
///
/// # Errors
/// [`Error::NoFile`] if there is none; [`Error::Exists`] if there is something at the target;
/// [`Error::DiskFull`] and other failures of a file, which leave nothing behind; the refusals of
/// [`migrate::inspect`].
///
/// # Cancel safety
/// Cancelled or dropped it stops within 50 ms, unless the copy is being forced to disk, and takes away what it had
/// written.
pub async fn backup(cx: &Cx, path: &Path, target: Target) -> Result<Backup, Error> {
    let (source, now, mark) = (path.to_owned(), cx.unix_ms(), cx.rng().u64(..));
    let outcome = cx
        .blocking("db backup", move |blocking| {
            let conn = open(&source)?;
            let interrupt = conn.get_interrupt_handle();
            let _hook = blocking.on_cancel(move || interrupt.interrupt());
            let stopped = || {
                if blocking.is_cancelled() {
                    Err(Error::interrupted())
                } else {
                    Ok(())
                }
            };
            let checked = |handle: rusqlite::InterruptHandle| {
                let hook = blocking.on_cancel(move || handle.interrupt());
                // Interrupting does nothing while no statement runs.
                stopped().map(|()| hook)
            };
            copy(&conn, &source, &target, (now, mark), stopped, checked)
        })
        .await;
    flatten(cx, outcome)
}

fn open(path: &Path) -> Result<rusqlite::Connection, Error> {
    let missing = || Error::NoFile { path: path.into() };
    if file::presence(path)? == Presence::Absent {
        return Err(missing());
    }
    let conn = file::connect(path, Role::Reader)?;
    if migrate::inspect(&conn, migrate::embedded())?.found == 0 {
        return Err(missing());
    }
    // The file itself cannot be written through this connection; the copy is another file.
    conn.execute_batch("PRAGMA query_only = OFF")?;
    Ok(conn)
}

fn copy<H>(
    conn: &rusqlite::Connection,
    source: &Path,
    target: &Target,
    (now, mark): (UnixMs, u64),
    stopped: impl Fn() -> Result<(), Error>,
    checked: impl FnOnce(rusqlite::InterruptHandle) -> Result<H, Error>,
) -> Result<Backup, Error> {
    let (folder, path) = match target {
        Target::File(path) => (folder_of(path), path.clone()),
        Target::Folder { folder, .. } => (folder.as_path(), folder.join(name(source, now)?)),
    };
    // Also what a link leads nowhere from.
    if path.symlink_metadata().is_ok() {
        return Err(Error::Exists { path });
    }
    migrate::backup::check_space(source, folder)?;
    let mut partial = path.clone().into_os_string();
    partial.push(format!(".{mark:016x}.part"));
    let partial = Partial(PathBuf::from(partial));
    file::create_private(&partial.0, Existing::Refuse)?;
    stopped()?;
    migrate::backup::make(conn, &partial.0, checked)?;
    stopped()?;
    let (bytes, sha256) = digest(&partial.0, &stopped)?;
    let schema = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    std::fs::rename(&partial.0, &path).map_err(failed("rename", &path))?;
    sync_folder(folder)?;
    let (removed, left) = match target {
        // The copy is made: what cannot be tidied up does not undo that.
        Target::Folder { keep: Some(keep), .. } => match old(&path, source, *keep) {
            Ok(copies) => remove(copies),
            Err(error) => (Vec::new(), vec![error.to_string()]),
        },
        Target::Folder { keep: None, .. } | Target::File(_) => (Vec::new(), Vec::new()),
    };
    Ok(Backup {
        path,
        bytes,
        sha256,
        schema,
        removed,
        left,
    })
}

/// A copy that is not whole yet. What is left of it is taken away.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %Path::new(&path).display(), %error, "an incomplete backup is left")
                }
            }
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::File {
        what,
        path: path.into(),
        source,
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// What the names of copies of this file begin with.
fn prefix(source: &Path) -> Result<String, Error> {
    let name = source.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| failed("name a copy of", source)(std::io::ErrorKind::InvalidFilename.into()))?;
    Ok(format!("{name}.backup-"))
}

fn name(source: &Path, now: UnixMs) -> Result<String, Error> {
    let utc: String = now.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(prefix(source)? + &utc)
}

/// Whether a text is what [`name`] puts behind the prefix: `20240229T235959.000Z`.
fn is_stamp(text: &str) -> bool {
    text.len() == 20
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'.',
            19 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

fn digest(path: &Path, stopped: impl Fn() -> Result<(), Error>) -> Result<(u64, String), Error> {
    let mut file = File::open(path).map_err(failed("read", path))?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        stopped()?;
        let read = file.read(&mut buffer).map_err(failed("read", path))?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            return Ok((bytes, blob::hex(&hash.finalize())));
        };
        hash.update(part);
        bytes += part.len() as u64;
    }
}

/// Forces a new name to disk; not every system can do that for a folder.
fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("sync", folder))?;
    }
    Ok(())
}

/// All but the newest copies with a name of ours; nothing else is touched, and `made` stays whatever the clock says.
fn old(made: &Path, source: &Path, keep: NonZeroUsize) -> Result<Vec<PathBuf>, Error> {
    let folder = folder_of(made);
    let prefix = prefix(source)?;
    let list = |error| failed("list", folder)(error);
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(list)? {
        let entry = entry.map_err(failed("list", folder))?;
        let name = entry.file_name();
        let ours = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix))
            .is_some_and(is_stamp);
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) && entry.path() != made {
            copies.push(entry.path());
        }
    }
    copies.sort_unstable();
    let surplus = (copies.len() + 1).saturating_sub(keep.get());
    copies.truncate(surplus);
    Ok(copies)
}

/// Removes copies: those that were removed, and why others are left.
fn remove(copies: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<String>) {
    let (mut removed, mut left) = (Vec::new(), Vec::new());
    for path in copies {
        match std::fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            // Another backup at the same time was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => left.push(format!("cannot delete {}: {error}", path.display())),
        }
    }
    (removed, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_cannot_be_removed_is_told_and_the_others_go() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        // A folder is no file to remove, whoever asks.
        std::fs::create_dir(at("1"))?;
        std::fs::write(at("2"), "old")?;
        let (removed, left) = remove(vec![at("1"), at("missing"), at("2")]);
        assert_eq!(removed, [at("2")]);
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(!at("2").exists());
        Ok(())
    }

    #[test]
    fn only_names_of_ours_are_stamps() {
        assert!(is_stamp("20240229T235959.123Z"));
        assert_eq!(
            name(Path::new("/x/annals.db"), UnixMs(1_709_251_199_123))
                .ok()
                .as_deref(),
            Some("annals.db.backup-20240229T235959.123Z")
        );
        for other in [
            "",
            "20240229T235959.123Z.part",
            "20240229T235959.123",
            "2024-02-29T23:59:59Z",
            "before-the-move-1234",
        ] {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
