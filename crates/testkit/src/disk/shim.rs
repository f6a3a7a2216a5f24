//! The SQLite VFS in front of the ordinary one.
//!
//! It becomes the default of the process, because the product names none. A file of a watched database is an object of
//! ours with the ordinary one behind it in the same allocation; any other file is the ordinary object alone. What
//! undoes something (closing, unlocking, unmapping) is never counted and never fails, as it never does for a process
//! that ends.

#![expect(
    unsafe_code,
    reason = "a VFS is a table of C functions; nothing but tests builds this module"
)]

use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::plan::{Failure, Operation, Part, Plan, Step};

/// A file of a watched database. The ordinary file object follows it; SQLite aligns both to eight bytes.
#[repr(C)]
struct Watched {
    base: sqlite3_file,
    /// From `Arc::into_raw`; given back by `close`.
    plan: *const Plan,
    part: Part,
}

const BEHIND: usize = size_of::<Watched>();

struct Ordinary(*mut sqlite3_vfs);

// SAFETY: a registered VFS is never changed and may be called from every thread.
unsafe impl Send for Ordinary {}
// SAFETY: as above.
unsafe impl Sync for Ordinary {}

static ORDINARY: OnceLock<Ordinary> = OnceLock::new();

thread_local! {
    /// A lock was refused on purpose: nobody will give it back, so SQLite need not sleep before it asks again.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Makes the shim the default VFS, once.
pub fn install() -> std::io::Result<()> {
    // Kept beside it: whoever asks again hears how it went.
    static RESULT: AtomicI32 = AtomicI32::new(ffi::SQLITE_OK);
    ORDINARY.get_or_init(|| {
        // SAFETY: asking for the default VFS also initialises SQLite.
        let ordinary = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        if ordinary.is_null() {
            RESULT.store(ffi::SQLITE_ERROR, Ordering::Release);
            return Ordinary(ordinary);
        }
        // SAFETY: it is there and stays. What is not replaced here does not look at its first argument beyond the
        // fields that are copied. Version 2 leaves out the system calls, which are not ours to override.
        let shim = sqlite3_vfs {
            iVersion: 2,
            szOsFile: unsafe { (*ordinary).szOsFile } + BEHIND as c_int,
            pNext: std::ptr::null_mut(),
            zName: c"annals-failing-disk".as_ptr(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xSleep: Some(sleep),
            ..unsafe { *ordinary }
        };
        // SAFETY: a registered VFS must live as long as the process, so it is leaked.
        let registered = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(shim)), 1) };
        RESULT.store(registered, Ordering::Release);
        Ordinary(ordinary)
    });
    match RESULT.load(Ordering::Acquire) {
        ffi::SQLITE_OK => Ok(()),
        result => Err(std::io::Error::other(format!("SQLite refuses the shim: {result}"))),
    }
}

fn ordinary() -> *mut sqlite3_vfs {
    ORDINARY.get().map_or(std::ptr::null_mut(), |ordinary| ordinary.0)
}

/// What SQLite is told of a step that fails.
fn told(operation: Operation, failure: Failure) -> c_int {
    match (failure, operation) {
        (Failure::Busy, _) => {
            REFUSED.set(true);
            ffi::SQLITE_BUSY
        }
        (Failure::Full, _) => ffi::SQLITE_FULL,
        (Failure::Io, Operation::Open) => ffi::SQLITE_CANTOPEN,
        (Failure::Io, Operation::Delete) => ffi::SQLITE_IOERR_DELETE,
        (Failure::Io, Operation::Access) => ffi::SQLITE_IOERR_ACCESS,
        (Failure::Io, Operation::Read) => ffi::SQLITE_IOERR_READ,
        (Failure::Io, Operation::Write) => ffi::SQLITE_IOERR_WRITE,
        (Failure::Io, Operation::Truncate) => ffi::SQLITE_IOERR_TRUNCATE,
        (Failure::Io, Operation::Sync) => ffi::SQLITE_IOERR_FSYNC,
        (Failure::Io, Operation::Size) => ffi::SQLITE_IOERR_FSTAT,
        (Failure::Io, Operation::Lock) => ffi::SQLITE_IOERR_LOCK,
        (Failure::Io, Operation::ShareMap) => ffi::SQLITE_IOERR_SHMMAP,
        (Failure::Io, Operation::ShareLock) => ffi::SQLITE_IOERR_SHMLOCK,
    }
}

/// The plan for a file by its name, which may be missing: then it is a temporary file.
unsafe fn planned(name: *const c_char) -> Option<(Arc<Plan>, Part)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite gives a terminated string.
    let name = unsafe { CStr::from_ptr(name) };
    super::plan_of(Path::new(OsStr::from_bytes(name.to_bytes())))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let vfs = ordinary();
    // SAFETY: `file` has room for both objects, because the size of ours was registered; the ordinary VFS is there
    // since this one was registered.
    unsafe {
        let Some(open) = (*vfs).xOpen else {
            return ffi::SQLITE_MISUSE;
        };
        let Some((plan, part)) = planned(name) else {
            return open(vfs, name, file, flags, out_flags);
        };
        (*file).pMethods = std::ptr::null();
        let step = Step {
            operation: Operation::Open,
            part,
        };
        if let Some(failure) = plan.take(step) {
            return told(Operation::Open, failure);
        }
        let code = open(vfs, name, behind(file), flags, out_flags);
        if code == ffi::SQLITE_OK {
            file.cast::<Watched>().write(Watched {
                base: sqlite3_file { pMethods: &METHODS },
                plan: Arc::into_raw(plan),
                part,
            });
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let vfs = ordinary();
    // SAFETY: as in `open`.
    unsafe {
        if let Some(code) = refused(name, Operation::Delete) {
            return code;
        }
        (*vfs).xDelete.map_or(ffi::SQLITE_MISUSE, |f| f(vfs, name, sync))
    }
}

unsafe extern "C" fn access(_: *mut sqlite3_vfs, name: *const c_char, flags: c_int, found: *mut c_int) -> c_int {
    let vfs = ordinary();
    // SAFETY: as in `open`.
    unsafe {
        if let Some(code) = refused(name, Operation::Access) {
            return code;
        }
        (*vfs)
            .xAccess
            .map_or(ffi::SQLITE_MISUSE, |f| f(vfs, name, flags, found))
    }
}

unsafe extern "C" fn sleep(_: *mut sqlite3_vfs, micros: c_int) -> c_int {
    if REFUSED.take() {
        return micros;
    }
    let vfs = ordinary();
    // SAFETY: as in `open`.
    unsafe { (*vfs).xSleep.map_or(0, |f| f(vfs, micros)) }
}

unsafe fn refused(name: *const c_char, operation: Operation) -> Option<c_int> {
    // SAFETY: the caller's.
    let (plan, part) = unsafe { planned(name) }?;
    let failure = plan.take(Step { operation, part })?;
    Some(told(operation, failure))
}

// ---- an open file ----

/// The ordinary object behind ours.
unsafe fn behind(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: the registered size says that it is there.
    unsafe { file.byte_add(BEHIND) }
}

/// Counts a step of an open file. Returns what to tell of it if it fails.
unsafe fn step(file: *mut sqlite3_file, operation: Operation) -> Option<c_int> {
    // SAFETY: methods are called on files that `open` has made, and `close` comes last.
    let watched = unsafe { &*file.cast::<Watched>() };
    // SAFETY: the reference that `open` left there.
    let plan = unsafe { &*watched.plan };
    let part = watched.part;
    plan.take(Step { operation, part })
        .map(|failure| told(operation, failure))
}

/// Calls a method of the ordinary file.
macro_rules! ordinarily {
    ($file:ident . $method:ident ( $($argument:expr),* )) => {{
        let file = behind($file);
        match (*(*file).pMethods).$method {
            Some(method) => method(file $(, $argument)*),
            None => ffi::SQLITE_MISUSE,
        }
    }};
}

/// Methods that are steps, and those that are not.
macro_rules! methods {
    ($($name:ident = $method:ident ( $($argument:ident : $kind:ty),* ) $(as $operation:ident)?;)+) => {
        $(unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $kind)*) -> c_int {
            // SAFETY: SQLite calls it on an open file of ours, with what the ordinary method expects.
            unsafe {
                $(if let Some(code) = step(file, Operation::$operation) {
                    return code;
                })?
                ordinarily!(file.$method($($argument),*))
            }
        })+
    };
}

methods! {
    read = xRead(into: *mut c_void, count: c_int, at: sqlite3_int64) as Read;
    truncate = xTruncate(size: sqlite3_int64) as Truncate;
    sync = xSync(flags: c_int) as Sync;
    file_size = xFileSize(size: *mut sqlite3_int64) as Size;
    lock = xLock(level: c_int) as Lock;
    unlock = xUnlock(level: c_int);
    check_reserved_lock = xCheckReservedLock(found: *mut c_int);
    file_control = xFileControl(op: c_int, argument: *mut c_void);
    sector_size = xSectorSize();
    device_characteristics = xDeviceCharacteristics();
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, into: *mut *mut c_void) as ShareMap;
    shm_unmap = xShmUnmap(delete: c_int);
}

/// Half of a write that fails is done: a disk gives no better promise.
unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, count: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: as above; half of the bytes are there if all are.
    unsafe {
        let Some(code) = step(file, Operation::Write) else {
            return ordinarily!(file.xWrite(from, count, at));
        };
        if code == ffi::SQLITE_IOERR_WRITE && is_first(file) {
            ordinarily!(file.xWrite(from, count / 2, at));
        }
        code
    }
}

/// Whether the step that just failed is the first that did: what fails after it leaves no trace at all.
unsafe fn is_first(file: *mut sqlite3_file) -> bool {
    // SAFETY: as in `step`.
    unsafe { (*(*file.cast::<Watched>()).plan).failed() == 1 }
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: as above.
    unsafe {
        if flags & ffi::SQLITE_SHM_UNLOCK == 0
            && let Some(code) = step(file, Operation::ShareLock)
        {
            return code;
        }
        ordinarily!(file.xShmLock(offset, count, flags))
    }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: as above.
    unsafe {
        let file = behind(file);
        if let Some(barrier) = (*(*file).pMethods).xShmBarrier {
            barrier(file);
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as above; SQLite does not touch the file again, so the reference that `open` left is given back.
    unsafe {
        let code = ordinarily!(file.xClose());
        drop(Arc::from_raw((*file.cast::<Watched>()).plan));
        code
    }
}

/// Version 2: no memory-mapped reading, which would go round the steps.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
