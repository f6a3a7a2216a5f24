//! Who has the file open for writing, so that no commit number is ever issued twice.
//!
//! A commit may be lost to a power cut, and a backup has never seen the commits after it; both would
//! let the next writer issue numbers that somebody has already seen. So a writer leaves a row, safely
//! on disk, before it issues any number, and takes it away when it closes cleanly. A row whose process
//! is gone means numbers may be lost: a million are skipped.

use annals_core::UnixMs;
use rusqlite::{Connection, params};

use crate::Error;
use crate::control::{Alive, ProcessId};
use crate::tx::{Patience, begin_immediate};

/// How many numbers an unclean end skips: more than can be issued between two syncs to disk.
pub(crate) const SKIP: i64 = 1_000_000;

/// Announces a writer.
pub(crate) fn enter(conn: &Connection, token: &str, alive: &Alive, now: UnixMs) -> Result<(), Error> {
    conn.execute_batch("PRAGMA synchronous = FULL")?;
    let entered = announce(conn, token, alive, now);
    conn.execute_batch("PRAGMA synchronous = NORMAL")?;
    entered
}

fn announce(conn: &Connection, token: &str, alive: &Alive, now: UnixMs) -> Result<(), Error> {
    let open = begin_immediate(conn, || Patience::Wait)?;
    let others = conn
        .prepare("SELECT token, host, pid, process_start FROM store_openers")?
        .query_map([], |row| Ok((row.get::<_, String>(0)?, ProcessId::at(row, 1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut unclean = false;
    for (token, _) in others.iter().filter(|(_, process)| !alive.is_alive(process)) {
        conn.execute("DELETE FROM store_openers WHERE token = ?1", params![token])?;
        unclean = true;
    }
    if unclean {
        conn.execute("UPDATE store SET content_seq = content_seq + ?1", params![SKIP])?;
    }
    conn.execute(
        "INSERT INTO store_openers (token, host, pid, process_start, opened_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![token, alive.me.host, alive.me.pid, alive.me.process_start, now.0],
    )?;
    open.commit()
}

/// Takes a writer's row away: everything it wrote is safely in the file.
pub(crate) fn leave(conn: &Connection, token: &str) -> Result<(), Error> {
    let open = begin_immediate(conn, || Patience::Wait)?;
    conn.execute("DELETE FROM store_openers WHERE token = ?1", params![token])?;
    open.commit()
}

/// Marks a copy, so that the first writer after a restore skips.
pub(crate) fn mark_unclean(copy: &Connection) -> Result<(), Error> {
    copy.execute(
        "INSERT OR REPLACE INTO store_openers (token, host, pid, process_start, opened_at) VALUES ('copy', '', 0, 0, 0)",
        [],
    )?;
    Ok(())
}
