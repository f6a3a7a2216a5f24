//! Everything the audits look at, as plain values: read once, and just as easily made from a fixture.

use std::path::Path;

use anyhow::Context;

use super::builds::{Build, Licensed};
use super::manifest::Manifest;
use super::source::{self, Source};
use crate::Workspace;

#[derive(Default)]
pub struct Tree {
    /// Rust files: crates, tests and this tool.
    pub sources: Vec<Source>,
    /// Manifests, cargo configuration, `deny.toml`.
    pub manifests: Vec<Manifest>,
    /// Scripts, workflows, images, documents.
    pub texts: Vec<Text>,
    /// What cargo resolves for a build.
    pub builds: Vec<Build>,
    /// Packages with their licences.
    pub licensed: Vec<Licensed>,
    /// Files of asupersync, to compare ours with.
    pub foreign: Vec<Text>,
}

/// A file that is searched, not parsed.
pub struct Text {
    pub path: String,
    pub content: String,
}

impl Tree {
    /// Reads the files of the repository; the builds are asked of cargo elsewhere.
    pub fn read(workspace: &Workspace) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.visit(workspace, &workspace.root)?;
        source::mark_test_modules(&mut tree.sources);
        Ok(tree)
    }

    fn visit(&mut self, workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
        let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let relative = workspace.relative(&path);
            if entry.file_type()?.is_dir() {
                if !is_left_out(&relative) {
                    self.visit(workspace, &path)?;
                }
            } else if entry.file_type()?.is_file() {
                self.take(&relative, &path)
                    .with_context(|| format!("failed to read {relative}"))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, relative: &str, path: &Path) -> anyhow::Result<()> {
        match kind(relative) {
            Kind::Source => self
                .sources
                .push(Source::parse(relative, &std::fs::read_to_string(path)?)?),
            Kind::Manifest => self
                .manifests
                .push(Manifest::parse(relative, &std::fs::read_to_string(path)?)?),
            Kind::Text => self.texts.push(Text {
                path: relative.to_owned(),
                content: std::fs::read_to_string(path)?,
            }),
            Kind::Other => {}
        }
        Ok(())
    }

    /// Whether a file was read.
    pub fn has_file(&self, path: &str) -> bool {
        let mut paths = self.sources.iter().map(|source| &source.path);
        paths.any(|at| at == path) || self.texts.iter().any(|text| text.path == path) || self.manifest(path).is_some()
    }

    /// The manifest at a path.
    pub fn manifest(&self, path: &str) -> Option<&Manifest> {
        self.manifests.iter().find(|manifest| manifest.path == path)
    }
}

enum Kind {
    Source,
    Manifest,
    Text,
    Other,
}

fn is_left_out(folder: &str) -> bool {
    matches!(folder, "target" | ".git" | "xtask/fixtures" | "tests/artifacts")
        || folder.ends_with("/node_modules")
        || folder.ends_with("/target")
}

fn kind(path: &str) -> Kind {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "rs" => Kind::Source,
        "toml" => Kind::Manifest,
        "md" | "sh" | "bash" | "yml" | "yaml" | "service" => Kind::Text,
        _ if path.starts_with(".ci/") => Kind::Text,
        _ if name.starts_with("Dockerfile") || name.starts_with("Containerfile") => Kind::Text,
        _ if matches!(name, "Makefile" | "justfile") => Kind::Text,
        _ => Kind::Other,
    }
}
