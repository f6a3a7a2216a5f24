//! This repository as cargo sees it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The checkout that this tool was started in.
pub struct Workspace {
    /// Where the top `Cargo.toml` is.
    pub root: PathBuf,
}

/// Whether cargo may ask the registry for what is not on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Offline,
    Network,
}

/// The part of `cargo metadata` that is used here.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub target_directory: PathBuf,
    pub workspace_members: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub manifest_path: PathBuf,
    pub targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub struct Target {
    pub name: String,
    pub kind: Vec<String>,
}

impl Workspace {
    /// Finds the checkout from the place of this package, which cargo names when it starts the tool.
    pub fn find() -> anyhow::Result<Self> {
        let here =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = here.parent().context("xtask has no parent folder")?.to_path_buf();
        ensure!(
            root.join("Cargo.lock").is_file(),
            "{} is not the top of the repository",
            root.display()
        );
        Ok(Self { root })
    }

    /// Cargo, in the top folder, without a terminal to wait at.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).stdin(Stdio::null());
        // What cargo told this tool about its own package is not for the next cargo: build scripts that look at it, such as
        // ring's, would run again, and everything after them.
        let told = std::env::vars_os().map(|(name, _)| name);
        let own = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_"];
        for name in told.filter(|name| own.iter().any(|own| name.to_string_lossy().starts_with(own))) {
            command.env_remove(name);
        }
        command
    }

    /// What a cargo command prints, with `--locked`.
    pub fn cargo_output(&self, args: &[&str], reach: Reach) -> anyhow::Result<String> {
        let mut command = self.cargo();
        command.args(args).arg("--locked");
        if reach == Reach::Offline {
            command.arg("--offline");
        }
        let output = command.output().context("cargo does not start")?;
        ensure!(
            output.status.success(),
            "`cargo {}` failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// As [`Self::cargo_output`], asking the registry only if this machine lacks something.
    pub fn cargo_output_fetching(&self, args: &[&str]) -> anyhow::Result<String> {
        self.cargo_output(args, Reach::Offline)
            .or_else(|_| self.cargo_output(args, Reach::Network))
    }

    /// The packages of the default build.
    pub fn metadata(&self) -> anyhow::Result<Metadata> {
        let text = self.cargo_output_fetching(&["metadata", "--format-version", "1"])?;
        Metadata::parse(&text)
    }

    /// A path as findings print it: from the top, with `/`.
    pub fn relative(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        let parts: Vec<_> = path
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        parts.join("/")
    }
}

impl Metadata {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("`cargo metadata` printed something else")
    }

    /// The packages of this repository.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The test files of a package, by the names that cargo gives them.
    pub fn tests_of(&self, package: &str) -> Vec<String> {
        let packages = self.members().filter(|member| member.name == package);
        let targets = packages.flat_map(|package| &package.targets);
        let tests = targets.filter(|target| target.kind.iter().any(|kind| kind == "test"));
        tests.map(|target| target.name.clone()).collect()
    }

    /// Whether a package of this repository builds a program of this name.
    pub fn has_bin(&self, name: &str) -> bool {
        let is_bin = |target: &Target| target.name == name && target.kind.iter().any(|kind| kind == "bin");
        self.members().any(|package| package.targets.iter().any(is_bin))
    }
}

/// Removes a file that may not be there.
pub fn remove(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
