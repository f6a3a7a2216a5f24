//! One transaction: all of it is in the file, or none.
//!
//! A [`WriteTx`] begins IMMEDIATE, ends with the closure it was given and knows three things that
//! everything in it shares: the time it began, the number of the commit it will be, and what it has
//! already looked up.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::time::Duration;

use annals_core::{ProjectId, UnixMs};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::Error;
use crate::content::{Seen, blob::Zstd};
use crate::ids::ForgeId;

/// How long SQLite waits for another process before it says that the file is busy.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a busy file is tried.
pub(crate) const BUSY_TRIES: u32 = 3;

/// A write transaction. It dereferences to its connection for reading; rows are written through the
/// functions of [`content`](crate::content), [`work`](crate::work) and [`control`](crate::control).
pub struct WriteTx<'c> {
    conn: &'c Connection,
    now: UnixMs,
    seq: Cell<Option<i64>>,
    forges: RefCell<HashMap<ProjectId, ForgeId>>,
    pub(crate) seen: RefCell<Seen>,
    pub(crate) zstd: RefCell<Zstd>,
}

impl Deref for WriteTx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

/// Whether waiting for a busy file should go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    GiveUp,
}

impl<'c> WriteTx<'c> {
    /// Runs `f` in one transaction on `conn`: committed if it returns `Ok`, undone otherwise, also
    /// if it panics. `now` is the time everything in it is recorded at.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process kept the file busy, what `f` returned, or what the
    /// commit failed with; the file is unchanged in each case.
    pub fn run<T>(
        conn: &Connection,
        now: UnixMs,
        f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        Self::run_patiently(conn, now, || Patience::Wait, f)
    }

    /// The same, asking `patience` now and then while another process holds the file.
    pub(crate) fn run_patiently<T>(
        conn: &Connection,
        now: UnixMs,
        patience: impl Fn() -> Patience,
        f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let open = begin_immediate(conn, patience)?;
        let tx = WriteTx::new(conn, now);
        let value = f(&tx)?;
        open.commit()?;
        Ok(value)
    }

    fn new(conn: &'c Connection, now: UnixMs) -> Self {
        Self {
            conn,
            now,
            seq: Cell::new(None),
            forges: RefCell::default(),
            seen: RefCell::default(),
            zstd: RefCell::default(),
        }
    }

    /// When the transaction began.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.now
    }

    /// The number of the commit this transaction will be. Asking for it is saying that a content row
    /// changes: whoever writes one asks first, and a transaction that never asks issues no number.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn content_seq(&self) -> Result<i64, Error> {
        if let Some(seq) = self.seq.get() {
            return Ok(seq);
        }
        let seq = self
            .prepare_cached("UPDATE store SET content_seq = content_seq + 1 WHERE id = 1 RETURNING content_seq")?
            .query_row([], |row| row.get(0))?;
        self.seq.set(Some(seq));
        Ok(seq)
    }

    /// The forge of a project.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such project.
    pub fn forge_of(&self, project: ProjectId) -> Result<ForgeId, Error> {
        if let Some(forge) = self.forges.borrow().get(&project) {
            return Ok(*forge);
        }
        let forge = self
            .prepare_cached("SELECT forge_id FROM projects WHERE id = ?1")?
            .query_row(params![project.0], |row| row.get(0))
            .optional()?
            .ok_or_else(|| Error::missing(format!("project {project}")))?;
        self.forges.borrow_mut().insert(project, forge);
        Ok(forge)
    }
}

/// A read of the file: everything in it sees one snapshot. It dereferences to its connection.
pub struct ReadConn<'c> {
    conn: &'c Connection,
    now: UnixMs,
}

impl Deref for ReadConn<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl ReadConn<'_> {
    /// Runs `f` on one snapshot of the file.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process kept the file busy, or what `f` returned.
    pub fn run<T>(
        conn: &Connection,
        now: UnixMs,
        f: impl FnOnce(&ReadConn<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        Self::run_patiently(conn, now, || Patience::Wait, f)
    }

    /// The same, asking `patience` now and then while another process holds the file.
    pub(crate) fn run_patiently<T>(
        conn: &Connection,
        now: UnixMs,
        patience: impl Fn() -> Patience,
        f: impl FnOnce(&ReadConn<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // The first read takes the snapshot, so that is done where it may be tried again.
        begin(conn, "BEGIN; SELECT count(*) FROM sqlite_schema", patience)?;
        let _open = Open { conn };
        // While a statement is under way an interrupt holds for every statement that follows, also
        // if it comes between two of them.
        let mut marker = conn.prepare_cached("VALUES (1), (2)")?;
        let mut under_way = marker.query([])?;
        under_way.next()?;
        f(&ReadConn { conn, now })
    }

    /// When the read began.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.now
    }
}

/// Begins a write transaction that is undone unless it is committed.
pub(crate) fn begin_immediate(conn: &Connection, patience: impl Fn() -> Patience) -> Result<Open<'_>, Error> {
    begin(conn, "BEGIN IMMEDIATE", patience)?;
    Ok(Open { conn })
}

/// Begins, in short waits whose sum is [`BUSY_TRIES`] times [`BUSY_TIMEOUT`].
fn begin(conn: &Connection, sql: &str, patience: impl Fn() -> Patience) -> Result<(), Error> {
    const STEP: Duration = Duration::from_millis(100);
    let steps = BUSY_TRIES * u32::try_from(BUSY_TIMEOUT.as_millis() / STEP.as_millis()).unwrap_or(1);
    conn.busy_timeout(STEP)?;
    let mut result = Err(Error::Locked);
    for _ in 0..steps {
        let tried = conn.execute_batch(sql);
        // SQLite has then been turned away a hundred times, with waits of its own between them.
        let has_waited =
            matches!(&tried, Err(error) if error.sqlite_error_code() == Some(ErrorCode::FileLockingProtocolFailed));
        result = tried.map_err(Error::from);
        if !matches!(result, Err(Error::Locked)) {
            break;
        }
        undo(conn);
        if has_waited || patience() == Patience::GiveUp {
            break;
        }
    }
    conn.busy_timeout(BUSY_TIMEOUT)?;
    result
}

/// An open transaction; it is undone when it goes, whichever way that happens.
pub(crate) struct Open<'c> {
    conn: &'c Connection,
}

impl Open<'_> {
    pub(crate) fn commit(self) -> Result<(), Error> {
        Ok(self.conn.execute_batch("COMMIT")?)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        undo(self.conn);
    }
}

fn undo(conn: &Connection) {
    if !conn.is_autocommit()
        && let Err(error) = conn.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

/// A transaction is a synchronous closure, so nothing can wait while it is open:
///
/// ```
/// use annals_db::{Db, Error};
/// async fn store(cx: &annals_net_adapter::Cx, db: &Db) -> Result<(), Error> {
///     db.write(cx, |_| Ok(())).await
/// }
/// ```
///
/// With an `async` block, which could wait, the same does not compile:
///
/// ```compile_fail
/// use annals_db::{Db, Error};
/// async fn store(cx: &annals_net_adapter::Cx, db: &Db) -> Result<(), Error> {
///     db.write(cx, |_| async { Ok(()) }).await
/// }
/// ```
#[cfg(doctest)]
fn inv2_async_block_in_write_does_not_compile() {}
