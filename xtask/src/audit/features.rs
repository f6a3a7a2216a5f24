//! Nobody builds or copies the second runtime unasked, and features for tests stay out of the product.

use syn::visit::Visit;

use super::builds::{Build, FeatureSet, Scope};
use super::finding::Finding;
use super::manifest::Manifest;
use super::source::{Source, flat};
use super::tree::{Text, Tree};

pub const NAME: &str = "features";

const RIDER: &str = "would build or copy asupersync unasked: docs/licensing.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let texts = tree.texts.iter().flat_map(in_text);
    let manifests = tree.manifests.iter().flat_map(in_manifest);
    let builds = tree
        .builds
        .iter()
        .filter(|build| build.features == FeatureSet::Default && build.scope == Scope::Program);
    let scripts = tree
        .sources
        .iter()
        .filter(|source| is_script(&source.path))
        .flat_map(in_script);
    texts
        .chain(manifests)
        .chain(scripts)
        .chain(builds.flat_map(in_build))
        .collect()
}

/// Rust that starts cargo: this tool, but for the audits, which name what they look for; build scripts.
fn is_script(path: &str) -> bool {
    (path.starts_with("xtask/src/") && !path.starts_with("xtask/src/audit/")) || path.ends_with("/build.rs")
}

fn in_script(source: &Source) -> Vec<Finding> {
    struct Arguments<'a>(&'a str, Vec<Finding>);
    impl<'ast> Visit<'ast> for Arguments<'_> {
        fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
            let value = literal.value();
            if value.contains("--all-features") || value == "vendor" {
                let line = literal.span().start().line;
                self.1.push(Finding::new(NAME, self.0, line, value, RIDER));
            }
        }

        // Documentation is an attribute.
        fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

        fn visit_macro(&mut self, mac: &'ast syn::Macro) {
            // `vec!["tree", "--all-features"]`, `format!(…)`.
            for token in flat(mac.tokens.clone()) {
                if let Ok(literal) = syn::parse2::<syn::LitStr>(token.into()) {
                    self.visit_lit_str(&literal);
                }
            }
        }
    }
    let mut arguments = Arguments(&source.path, Vec::new());
    arguments.visit_file(&source.ast);
    arguments.1
}

fn in_text(text: &Text) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.content.lines().enumerate() {
        for unasked in ["--all-features", "cargo vendor"] {
            if line.contains(unasked) {
                findings.push(Finding::new(NAME, &text.path, index + 1, unasked, RIDER));
            }
        }
    }
    findings
}

fn in_manifest(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add =
        |line: usize, what: &str, why: &str| findings.push(Finding::new(NAME, &manifest.path, line, what, why));
    for entry in &manifest.entries {
        let key: Vec<&str> = entry.key.iter().map(String::as_str).collect();
        match key.as_slice() {
            [.., "all-features"] if entry.value == "true" => add(entry.line, "all-features", RIDER),
            // `.cargo/config.toml`: an alias, flags of the compiler, another place for sources.
            ["alias", ..] if entry.value.contains("--all-features") || entry.value.contains("vendor") => {
                add(entry.line, "alias", RIDER);
            }
            [.., "rustflags"] if entry.value.contains("panic=abort") => {
                add(
                    entry.line,
                    "rustflags",
                    "an outcome needs unwinding: a panic is caught and reported",
                );
            }
            ["source", _, "directory" | "local-registry"] => add(entry.line, "source", RIDER),
            ["profile", .., "panic"] if entry.value == "abort" => {
                add(
                    entry.line,
                    "panic",
                    "an outcome needs unwinding: a panic is caught and reported",
                );
            }
            ["patch", _, "asupersync", ..] | ["replace", "asupersync", ..] => {
                add(entry.line, "asupersync", "never patched: docs/licensing.md");
            }
            ["features", "default"] if ["asupersync", "lab", "fault-hooks"].contains(&entry.value.as_str()) => {
                add(entry.line, &entry.value, "is not in a default build");
            }
            _ => {}
        }
    }
    if manifest.is_cargo_manifest() {
        for dependency in manifest.dependencies.iter().filter(|dep| dep.package == "asupersync") {
            if let Some(why) = loose_pin(manifest) {
                add(dependency.line, "asupersync", why);
            }
        }
    }
    findings
}

/// What is wrong with how a manifest asks for asupersync.
fn loose_pin(manifest: &Manifest) -> Option<&'static str> {
    let at = |tail: &[&str]| {
        let found = manifest.entries.iter().find(|entry| {
            let key: Vec<&str> = entry.key.iter().map(String::as_str).collect();
            key.ends_with(tail) && key.iter().any(|part| part.ends_with("dependencies"))
        });
        found.map(|entry| entry.value.as_str())
    };
    if at(&["asupersync", "path"]).is_some() || at(&["asupersync", "git"]).is_some() {
        return Some("comes from the registry only: docs/licensing.md");
    }
    let version = at(&["asupersync", "version"]).or_else(|| at(&["asupersync"]));
    if !version.is_some_and(|version| version.starts_with('=')) {
        return Some("is pinned to one exact version (`=`), whose licence was read");
    }
    (at(&["asupersync", "optional"]) != Some("true")).then_some("is optional")
}

fn in_build(build: &Build) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &build.packages {
        let mut add =
            |what: &str, why: &str| findings.push(Finding::new(NAME, &build.command, package.line, what, why));
        if package.name == "asupersync" {
            add(&package.name, "is not in a default build: docs/licensing.md");
        }
        for feature in &package.features {
            let ours = package.name.starts_with("annals-");
            if ours && ["asupersync", "lab", "fault-hooks"].contains(&feature.as_str()) {
                add(
                    feature,
                    "is a feature of tests or of the second runtime, not of the product",
                );
            }
            if package.name == "axum" && ["tokio", "http1", "http2", "ws"].contains(&feature.as_str()) {
                add(feature, "brings tokio with axum; net-adapter serves the router");
            }
        }
    }
    findings
}
