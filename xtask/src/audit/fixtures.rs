//! The fixtures of the audits: small files that must be rejected at exactly the marked lines, or let pass.
//!
//! The first line says where the file pretends to stand (`path: crates/db/src/x.rs`); a line that must be found ends
//! with `~ERROR` in a comment. `with: NAME` there names another file of the folder that is read too. Rust, TOML and text fixtures are read as what they are; `.tree` is the output of
//! `cargo tree`, `.packages` a list of `name version licence`, `.foreign` a file of
//! another package.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::builds::{self, Build, FeatureSet, Licensed, Scope};
use super::finding::Finding;
use super::manifest::Manifest;
use super::rules::{AUDITS, Audit};
use super::source::Source;
use super::tree::{Text, Tree};

const MARK: &str = "~ERROR";

struct Fixture {
    folder: PathBuf,
    path: String,
    header: String,
    text: String,
    extension: String,
    marked: BTreeSet<usize>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audit")
}

fn read(file: &Path) -> Fixture {
    let text = std::fs::read_to_string(file).unwrap();
    let header = text.lines().next().unwrap_or_default().to_owned();
    let path = word_after(&header, "path:").unwrap_or_else(|| panic!("{} lacks `path:`", file.display()));
    let marked = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains(MARK))
        .map(|(index, _)| index + 1)
        .collect();
    Fixture {
        folder: file.parent().unwrap().to_owned(),
        path: path.to_owned(),
        header,
        text,
        extension: file.extension().unwrap().to_str().unwrap().to_owned(),
        marked,
    }
}

fn word_after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_once(key)?.1.split_whitespace().next()
}

impl Fixture {
    fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        self.add_to(&mut tree);
        if let Some(other) = word_after(&self.header, "with:") {
            read(&self.folder.join(other)).add_to(&mut tree);
        }
        tree
    }

    fn add_to(&self, tree: &mut Tree) {
        match self.extension.as_str() {
            "rs" => tree.sources.push(Source::parse(&self.path, &self.text).unwrap()),
            "toml" => tree.manifests.push(Manifest::parse(&self.path, &self.text).unwrap()),
            "tree" => tree.builds.push(self.build()),
            "packages" => {
                let deny = root().join("../../../deny.toml");
                tree.manifests
                    .push(Manifest::parse("deny.toml", &std::fs::read_to_string(deny).unwrap()).unwrap());
                tree.licensed = self.licensed();
            }
            "foreign" => tree.foreign.push(Text {
                path: self.path.clone(),
                content: self.text.clone(),
            }),
            _ => tree.texts.push(Text {
                path: self.path.clone(),
                content: self.text.clone(),
            }),
        }
    }

    fn features(&self) -> FeatureSet {
        match word_after(&self.header, "features:") {
            Some("asupersync") => FeatureSet::Asupersync,
            Some("both") => FeatureSet::Both,
            _ => FeatureSet::Default,
        }
    }

    /// The text without comments, line for line.
    fn bare(&self) -> String {
        self.text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim_end().to_owned() + "\n")
            .collect()
    }

    fn build(&self) -> Build {
        Build {
            command: self.path.clone(),
            features: self.features(),
            scope: Scope::Program,
            packages: builds::packages(&self.bare()),
            ceiling: word_after(&self.header, "ceiling:").map(|ceiling| ceiling.parse().unwrap()),
        }
    }

    fn licensed(&self) -> Vec<Licensed> {
        let bare = self.bare();
        let mut licensed = Vec::new();
        for (index, line) in bare.lines().enumerate() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(version)) = (words.next(), words.next()) else {
                continue;
            };
            licensed.push(Licensed {
                features: self.features(),
                name: name.to_owned(),
                version: version.to_owned(),
                licence: words.collect::<Vec<_>>().join(" "),
                source: self.path.clone(),
                line: index + 1,
            });
        }
        licensed
    }
}

fn fixtures(audit: &Audit, prefix: &str) -> Vec<PathBuf> {
    let folder = root().join(audit.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with(prefix));
    files.sort();
    assert!(!files.is_empty(), "the audit {} has no fixture {prefix}*", audit.name);
    files
}

#[test]
fn every_audit_has_failing_fixture() {
    for audit in AUDITS {
        for file in fixtures(audit, "bad_") {
            let fixture = read(&file);
            let findings: Vec<Finding> = (audit.check)(&fixture.tree());
            let found: BTreeSet<usize> = findings.iter().map(|finding| finding.line).collect();
            assert!(!fixture.marked.is_empty(), "{} marks no line", file.display());
            assert_eq!(found, fixture.marked, "{}: {findings:#?}", file.display());
            for finding in findings {
                assert_eq!((finding.audit, &finding.path), (audit.name, &fixture.path));
            }
        }
    }
}

#[test]
fn every_audit_lets_good_code_pass() {
    for audit in AUDITS {
        for file in fixtures(audit, "good_") {
            let fixture = read(&file);
            assert!(fixture.marked.is_empty(), "{} is good and marks a line", file.display());
            assert_eq!((audit.check)(&fixture.tree()), [], "{}", file.display());
        }
    }
}

#[test]
fn every_folder_of_fixtures_has_an_audit() {
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            AUDITS.iter().any(|audit| *audit.name == *name),
            "no audit is called {}",
            name.display()
        );
    }
}
