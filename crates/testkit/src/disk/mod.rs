//! A disk that fails when a test says so.
//!
//! [`Disk::watch`] stands between SQLite and the file of one database: every operation on the file, its log and its
//! journal is a numbered [`Step`], and [`Disk::strike`] makes one of them fail, or it and all that follow. A test
//! counts the steps of an undisturbed run and then repeats the run once for each of them. Other databases of the
//! process are not looked at, so tests run side by side.
//!
//! [`plan`] is the bookkeeping. `shim` is the SQLite VFS that asks it, and the only file of this crate with unsafe
//! code; the module exists behind the feature `disk`, which only tests turn on.

pub mod plan;
mod shim;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use plan::Plan;
pub use plan::{Blow, Failure, Lasting, Operation, Part, Step};

static WATCHED: RwLock<Vec<(PathBuf, Arc<Plan>)>> = RwLock::new(Vec::new());

/// The disk under one database file; it is an ordinary one again when this is dropped.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    plan: Arc<Plan>,
}

impl Disk {
    /// Watches the database at `path`, whose folder must exist. Connections that are open already are not watched.
    ///
    /// # Errors
    /// When the folder is not there, or SQLite refuses the shim.
    pub fn watch(path: &Path) -> std::io::Result<Self> {
        shim::install()?;
        let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let path = folder.unwrap_or(Path::new(".")).canonicalize()?.join(name);
        let plan = Arc::new(Plan::default());
        let mut watched = WATCHED.write().unwrap_or_else(PoisonError::into_inner);
        watched.push((path.clone(), plan.clone()));
        Ok(Self { path, plan })
    }

    /// Plans a failure.
    pub fn strike(&self, blow: Blow) {
        self.plan.strike(blow);
    }

    /// What was done to the file so far, in order; step `n` of a [`Blow`] is the n-th, from one.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.plan.steps()
    }

    /// The step that failed first, if one did.
    #[must_use]
    pub fn struck(&self) -> Option<Step> {
        self.plan.struck()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A connection that is still open keeps its plan; it must not go on failing.
        self.plan.heal();
        let mut watched = WATCHED.write().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(path, _)| *path != self.path);
    }
}

/// The plan of the database that a file belongs to, and which of its files it is.
fn plan_of(file: &Path) -> Option<(Arc<Plan>, Part)> {
    let watched = WATCHED.read().unwrap_or_else(PoisonError::into_inner);
    watched.iter().find_map(|(path, plan)| {
        let rest = file.as_os_str().as_encoded_bytes();
        let rest = rest.strip_prefix(path.as_os_str().as_encoded_bytes())?;
        Some((plan.clone(), Part::of_suffix(rest)?))
    })
}
