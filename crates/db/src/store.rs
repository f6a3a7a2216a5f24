//! The store as the rest of Annals holds it: one writer on a thread of its own, a few readers, and
//! closures that cannot wait in the middle of a transaction.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use annals_core::{Outcome, UnixMs};
use annals_net_adapter::sync::Semaphore;
use annals_net_adapter::{BlockingCx, Cx, Serial};
use rusqlite::Connection;

use crate::control::Alive;
use crate::file::{self, Existing, Presence, Role};
use crate::migrate::{self, Keep, Report};
use crate::tx::Patience;
use crate::{Error, ReadConn, WriteTx, openers};

/// Write closures that may wait for the writer.
const WRITE_QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// How long closing may take, cancelled or not.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What to open a store for.
#[derive(Debug, Clone)]
pub enum Access {
    /// Reading: not a byte of the file changes, and an older schema is an error.
    Read,
    /// Writing: the file is made if there is none, and migrated if allowed.
    Write {
        /// Who this process is and which others of its machine run.
        alive: Alive,
        /// What to do about an older schema.
        migrate: AutoMigrate,
    },
}

/// What opening for writing does about an older schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoMigrate {
    /// Brings it up to date, after a backup.
    On(Keep),
    /// Refuses with [`Error::MigrationNeeded`]. A new file still gets its schema.
    Off,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// For what.
    pub access: Access,
    /// How many connections read at once.
    pub readers: NonZeroUsize,
}

impl OpenOptions {
    /// For reading.
    #[must_use]
    pub fn read() -> Self {
        Self {
            access: Access::Read,
            readers: DEFAULT_READERS,
        }
    }

    /// For writing, with migration and the usual number of backups.
    #[must_use]
    pub fn write(alive: Alive) -> Self {
        Self {
            access: Access::Write {
                alive,
                migrate: AutoMigrate::On(Keep::default()),
            },
            readers: DEFAULT_READERS,
        }
    }
}

const DEFAULT_READERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// The content store. Clones share it.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    path: PathBuf,
    writer: Option<Writer>,
    readers: Readers,
}

struct Writer {
    serial: Serial,
    /// Locked by closures on the writer's thread only, so nobody ever waits for it.
    conn: Arc<Mutex<Option<Connection>>>,
    token: String,
    alive: Alive,
    report: Report,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("path", &self.0.path)
            .field("writes", &self.0.writer.is_some())
            .finish()
    }
}

impl Db {
    /// Opens the store at `path`. Its writer lives in the region of `cx`.
    ///
    /// # Errors
    /// [`Error::NoFile`] when reading what is not there; [`Error::MigrationNeeded`],
    /// [`Error::SchemaTooNew`], [`Error::Migration`] and [`Error::MigrationBlocked`] for a schema that
    /// cannot be used as it is; a failure of the file.
    ///
    /// # Cancel safety
    /// Cancelled before it began it has done nothing; after that it runs to its end, and what was
    /// opened is closed again.
    pub async fn open(cx: &Cx, path: &Path, options: OpenOptions) -> Result<Self, Error> {
        let readers = Readers::new(path, options.readers);
        let writer = match options.access {
            Access::Read => {
                let at = path.to_owned();
                flatten(cx, cx.blocking("db open", move |_| open_to_read(&at)).await)?;
                None
            }
            Access::Write { alive, migrate } => {
                let serial = cx.serial("annals-db-writer", WRITE_QUEUE).map_err(|_| Error::Closed)?;
                let conn = Arc::new(Mutex::new(None));
                let token = format!("{:016x}", cx.rng().u64(..));
                let (slot, at, clock) = (conn.clone(), path.to_owned(), cx.clone());
                let (me, mine) = (alive.clone(), token.clone());
                let opened = serial
                    .run(cx, move |_| {
                        let (opened, report) = open_to_write(&at, &me, migrate, &mine, clock.unix_ms())?;
                        *locked(&slot) = Some(opened);
                        Ok(report)
                    })
                    .await;
                let report = flatten(cx, opened)?;
                Some(Writer {
                    serial,
                    conn,
                    token,
                    alive,
                    report,
                })
            }
        };
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            writer,
            readers,
        })))
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What opening did to the schema, if it was opened for writing.
    #[must_use]
    pub fn migrated(&self) -> Option<&Report> {
        self.0.writer.as_ref().map(|writer| &writer.report)
    }

    /// Who this process is and which others run, if the store was opened for writing.
    #[must_use]
    pub fn alive(&self) -> Option<&Alive> {
        self.0.writer.as_ref().map(|writer| &writer.alive)
    }

    /// Runs `f` in one transaction, `BEGIN IMMEDIATE` to `COMMIT`, after those queued before it. It
    /// is undone if `f` returns an error or panics.
    ///
    /// # Errors
    /// What `f` returned; [`Error::Locked`], [`Error::DiskFull`] and other failures of the file;
    /// [`Error::Cancelled`] before it began. Nothing was written in any of these cases.
    ///
    /// # Cancel safety
    /// Cancelled or dropped while it queues or waits for another process, it never begins. Once `f`
    /// has begun it is committed or undone as `f` says, and an undropped caller gets its result.
    pub async fn write<F, T>(&self, cx: &Cx, f: F) -> Result<T, Error>
    where
        F: FnOnce(&WriteTx<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let clock = cx.clone();
        self.on_writer(cx, move |conn, blocking| {
            WriteTx::run_patiently(conn, clock.unix_ms(), || patience_of(blocking), f)
        })
        .await
    }

    /// Runs `f` as [`Self::write`] does and undoes all of it: what writing something would change, found out by
    /// the code that would write it.
    ///
    /// # Errors
    /// As [`Self::write`].
    ///
    /// # Cancel safety
    /// As [`Self::write`]; nothing is ever written.
    pub async fn rehearse<F, T>(&self, cx: &Cx, f: F) -> Result<T, Error>
    where
        F: FnOnce(&WriteTx<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let clock = cx.clone();
        self.on_writer(cx, move |conn, blocking| {
            WriteTx::rehearse_patiently(conn, clock.unix_ms(), || patience_of(blocking), f)
        })
        .await
    }

    /// Runs `f` on a snapshot of the file.
    ///
    /// # Errors
    /// What `f` returned; [`Error::Locked`] and other failures of the file; [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Cancelled, the statement that runs is interrupted within 50 ms; the connection comes back clean.
    pub async fn read<F, T>(&self, cx: &Cx, f: F) -> Result<T, Error>
    where
        F: FnOnce(&ReadConn<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let slot = self.0.readers.room.acquire(cx, 1).await?;
        let (readers, clock) = (self.0.readers.clone(), cx.clone());
        let outcome = cx
            .blocking("db read", move |blocking| {
                let result = readers.with(blocking, clock.unix_ms(), f);
                drop(slot);
                result
            })
            .await;
        flatten(cx, outcome)
    }

    /// Moves the log into the file and empties it. Readers that are at it keep a part of it.
    ///
    /// # Errors
    /// A failure of the file.
    ///
    /// # Cancel safety
    /// As [`Self::write`].
    pub async fn checkpoint(&self, cx: &Cx) -> Result<(), Error> {
        self.on_writer(cx, |conn, _| checkpoint(conn)).await
    }

    /// Closes the writer cleanly: what it wrote is in the file, and the next one to open it need not
    /// skip numbers. Later writes fail with [`Error::Closed`]. Runs even if `cx` is cancelled.
    ///
    /// # Errors
    /// A failure of the file; the store is closed all the same.
    ///
    /// # Cancel safety
    /// Not cancelled; bounded by two seconds.
    pub async fn close(&self, cx: &Cx) -> Result<(), Error> {
        let Some(writer) = &self.0.writer else {
            self.0.readers.clear();
            return Ok(());
        };
        let token = writer.token.clone();
        let slot = writer.conn.clone();
        let readers = self.0.readers.clone();
        let closed = cx.masked(CLOSE_WITHIN, |cx| async move {
            let outcome = writer
                .serial
                .run(&cx, move |_| {
                    readers.clear();
                    let Some(conn) = locked(&slot).take() else {
                        return Ok(());
                    };
                    let left = openers::leave(&conn, &token).and_then(|()| checkpoint(&conn));
                    let closed = conn.close().map_err(|(_, error)| Error::from(error));
                    left.and(closed)
                })
                .await;
            flatten(&cx, outcome)
        });
        closed.await.unwrap_or(Err(Error::Closed))
    }

    async fn on_writer<F, T>(&self, cx: &Cx, f: F) -> Result<T, Error>
    where
        F: FnOnce(&Connection, &BlockingCx) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let writer = self.0.writer.as_ref().ok_or(Error::Closed)?;
        let slot = writer.conn.clone();
        let outcome = writer
            .serial
            .run(cx, move |blocking| {
                let conn = locked(&slot);
                f(conn.as_ref().ok_or(Error::Closed)?, blocking)
            })
            .await;
        flatten(cx, outcome)
    }
}

/// A cancelled call does not wait for another process.
fn patience_of(blocking: &BlockingCx) -> Patience {
    if blocking.is_cancelled() {
        Patience::GiveUp
    } else {
        Patience::Wait
    }
}

/// One error type for all the ways a closure can end.
pub(crate) fn flatten<T>(cx: &Cx, outcome: Outcome<T, Error>) -> Result<T, Error> {
    match outcome {
        Outcome::Ok(value) => Ok(value),
        // It was the cancellation that interrupted the statement, or ended the wait for the file.
        Outcome::Err(error) => Err(match cx.cancel_reason() {
            Some(reason) if error.is_interrupt() || matches!(error, Error::Locked) => Error::Cancelled(reason),
            _ => error,
        }),
        Outcome::Cancelled(reason) => Err(Error::Cancelled(reason)),
        Outcome::Panicked(message) => Err(Error::Panicked(message)),
    }
}

/// A poisoned lock is taken all the same: a transaction that panicked was undone on the way.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn checkpoint(conn: &Connection) -> Result<(), Error> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn open_to_read(path: &Path) -> Result<(), Error> {
    if file::presence(path)? == Presence::Absent {
        return Err(Error::NoFile { path: path.into() });
    }
    let status = migrate::inspect(&file::connect(path, Role::Reader)?, migrate::embedded())?;
    if status.found == 0 {
        return Err(Error::NoFile { path: path.into() });
    }
    if status.is_behind() {
        return Err(Error::MigrationNeeded {
            found: status.found,
            needed: status.known,
        });
    }
    Ok(())
}

fn open_to_write(
    path: &Path,
    alive: &Alive,
    auto: AutoMigrate,
    token: &str,
    now: UnixMs,
) -> Result<(Connection, Report), Error> {
    match file::presence(path)? {
        Presence::Absent => file::create_private(path, Existing::Keep)?,
        Presence::Present => {
            file::recover(path)?;
            // Looked at through a connection that cannot write, so that a refused file stays as it is.
            let status = migrate::inspect(&file::connect(path, Role::Reader)?, migrate::embedded())?;
            if auto == AutoMigrate::Off && status.found > 0 && status.is_behind() {
                return Err(Error::MigrationNeeded {
                    found: status.found,
                    needed: status.known,
                });
            }
        }
    }
    let conn = file::connect(path, Role::Writer)?;
    let keep = match auto {
        AutoMigrate::On(keep) => keep,
        AutoMigrate::Off => Keep::default(),
    };
    let report = migrate::run(&conn, path, migrate::embedded(), now, alive, keep)?;
    openers::enter(&conn, token, alive, now)?;
    Ok((conn, report))
}

/// The connections that read, made as they are needed and used again.
#[derive(Clone)]
struct Readers {
    path: PathBuf,
    room: Semaphore,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    fn new(path: &Path, readers: NonZeroUsize) -> Self {
        Self {
            path: path.to_owned(),
            room: Semaphore::new(readers.get()),
            idle: Arc::default(),
        }
    }

    fn with<T>(
        &self,
        blocking: &BlockingCx,
        now: UnixMs,
        f: impl FnOnce(&ReadConn<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let idle = locked(&self.idle).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => file::connect(&self.path, Role::Reader)?,
        };
        let result = read(&conn, blocking, now, f);
        // A connection that failed, or that could not be brought back, is not used again.
        let failed = matches!(result, Err(Error::Storage(_) | Error::Corrupt { .. }));
        if !failed && is_clean(&conn) {
            locked(&self.idle).push(conn);
        }
        result
    }

    fn clear(&self) {
        locked(&self.idle).clear();
    }
}

/// Reads until `blocking` is cancelled: then the statement that runs is interrupted.
fn read<T>(
    conn: &Connection,
    blocking: &BlockingCx,
    now: UnixMs,
    f: impl FnOnce(&ReadConn<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let interrupt = conn.get_interrupt_handle();
    let _hook = blocking.on_cancel(move || interrupt.interrupt());
    ReadConn::run_patiently(
        conn,
        now,
        || patience_of(blocking),
        |read| {
            // An interrupt that came before there was anything to interrupt is seen here.
            if blocking.is_cancelled() {
                return Err(Error::interrupted());
            }
            f(read)
        },
    )
}

/// Whether no transaction is open. One is if the interrupt came just as it was being ended.
fn is_clean(conn: &Connection) -> bool {
    conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok()
}
