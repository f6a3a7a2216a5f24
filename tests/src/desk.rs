//! A folder in which a test works as a user does.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ended::Ended;
use crate::forge::Forge;
use crate::mirror::Mirror;
use crate::program::annals;
use crate::running::Running;

/// A folder of its own, gone when the test ends, with one mirror in it.
pub struct Desk(TempDir);

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("annals-").tempdir().unwrap())
    }

    /// One at which `forge` is configured.
    #[must_use]
    pub fn at(forge: &Forge) -> Self {
        let desk = Self::new();
        desk.configure(&forge.config());
        desk
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The mirror that [`Self::annals`] works on.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.file("annals.db")
    }

    /// Writes `annals.toml`.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.file("annals.toml"), text).unwrap();
    }

    /// `annals` with these arguments, in this folder, and nothing else.
    #[must_use]
    pub fn bare(&self, args: &[&str]) -> Command {
        let mut command = annals();
        command.current_dir(self.path()).args(args);
        command
    }

    /// `annals` with these arguments, on the mirror in this folder.
    #[must_use]
    pub fn annals(&self, args: &[&str]) -> Command {
        let mut command = self.bare(&[]);
        command.arg("--db").arg(self.db()).args(args);
        command
    }

    /// Runs [`Self::annals`] to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Ended {
        Running::start(&mut self.annals(args)).wait()
    }

    /// Starts [`Self::annals`].
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(&mut self.annals(args))
    }

    /// Looks into the mirror.
    #[must_use]
    pub fn mirror(&self) -> Mirror {
        Mirror::open(&self.db())
    }

    /// Takes the mirror away, as if nothing had ever been mirrored here.
    pub fn forget(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let file = self.file(&format!("annals.db{suffix}"));
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    panic!("{} stays: {error}", file.display())
                }
                _ => {}
            }
        }
    }
}
