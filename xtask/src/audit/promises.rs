//! What docs/licensing.md promises, tested where it can be without building the second runtime.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use super::builds::packages;
use super::licence;
use super::rules::AUDITS;
use super::tree::Tree;
use crate::Workspace;

#[test]
fn default_tree_has_no_asupersync() {
    let workspace = Workspace::find().unwrap();
    let args = [
        "tree",
        "--workspace",
        "-e",
        "all",
        "--target",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
    ];
    let packages = packages(&workspace.cargo_output_fetching(&args).unwrap());
    let has = |name: &str| packages.iter().any(|package| package.name == name);
    assert!(
        has("annals-net-adapter") && has("tokio"),
        "the list is not the tree of this workspace"
    );
    assert!(!has("asupersync"));
}

#[test]
fn feature_build_prints_the_licence_warning() {
    let workspace = Workspace::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("build-script");
    let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "-o"])
        .arg(&program)
        .arg(workspace.root.join("crates/net-adapter/build.rs"))
        .output()
        .unwrap();
    assert!(rustc.status.success(), "{}", String::from_utf8_lossy(&rustc.stderr));
    let warnings = |feature: Option<&str>| -> Vec<String> {
        let mut run = Command::new(&program);
        run.env_remove("CARGO_FEATURE_ASUPERSYNC")
            .envs(feature.map(|on| ("CARGO_FEATURE_ASUPERSYNC", on)));
        let output = String::from_utf8(run.output().unwrap().stdout).unwrap();
        output
            .lines()
            .filter(|line| line.starts_with("cargo:warning="))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(warnings(None), [""; 0]);
    let with = warnings(Some("1"));
    assert_eq!(with.len(), 1, "{with:?}");
    assert!(
        with.iter()
            .all(|line| line.contains("licence") && line.contains("docs/licensing.md")),
        "{with:?}"
    );
}

/// The README is held to it from the day it exists.
#[test]
fn readme_and_licensing_state_the_rider() {
    let tree = Tree::read(&Workspace::find().unwrap()).unwrap();
    assert!(
        tree.texts.iter().any(|text| text.path == licence::GUIDE),
        "{} is missing",
        licence::GUIDE
    );
    let audit = AUDITS.iter().find(|audit| audit.name == licence::NAME).unwrap();
    assert_eq!((audit.check)(&tree), []);
}
