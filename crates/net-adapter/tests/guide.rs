//! The guide for developers names everything that this crate offers.
//!
//! The names are read from the sources by a reader that understands the few forms in which this crate publishes something,
//! and fails on any other. The guide's examples are documentation tests: `src/guide.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What one source file publishes, and the modules below it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Published {
    names: BTreeSet<String>,
    modules: Vec<String>,
}

/// Reads the items at the left margin; what is nested is a method, a field or a test.
fn published(source: &str) -> Published {
    let mut found = Published::default();
    let mut lines = source.lines();
    let mut exported = false;
    while let Some(line) = lines.next() {
        if line == "#[macro_export]" {
            exported = true;
        } else if let Some(rest) = line.strip_prefix("macro_rules! ")
            && std::mem::take(&mut exported)
        {
            found.names.insert(first_word(rest));
        }
        let Some(rest) = line.strip_prefix("pub ") else {
            continue;
        };
        let rest = rest.strip_prefix("async ").unwrap_or(rest);
        let (what, rest) = rest.split_once(' ').expect(line);
        match what {
            "use" => {
                let mut list = rest.to_owned();
                while !list.ends_with(';') {
                    list.push_str(lines.next().expect("a `pub use` ends"));
                }
                found.names.extend(used(&list));
            }
            "mod" => found.modules.push(rest.strip_suffix(';').expect(line).to_owned()),
            "struct" | "enum" | "trait" | "type" | "fn" => {
                found.names.insert(first_word(rest));
            }
            other => panic!("this reader does not know `pub {other}`: {line}"),
        }
    }
    found
}

/// The last names of `a::b::{C, D};` or `a::C;`.
fn used(list: &str) -> Vec<String> {
    let list = list.strip_suffix(';').unwrap();
    assert!(!list.contains(" as ") && !list.contains('*'), "{list}");
    let names = match list.split_once('{') {
        Some((_, names)) => names.strip_suffix('}').expect("one pair of braces"),
        None => list.rsplit("::").next().unwrap(),
    };
    assert!(!names.contains("::"), "{list}");
    let names = names.split(',').map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Everything that a module and the modules below it publish.
fn all(folder: &Path, name: &str) -> BTreeSet<String> {
    let files = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
    let file = files.iter().find(|file| file.is_file()).expect(name);
    let below = if name == "lib" {
        folder.to_owned()
    } else {
        folder.join(name)
    };
    let Published { mut names, modules } = published(&fs::read_to_string(file).unwrap());
    for module in modules {
        names.extend(all(&below, &module));
    }
    names
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn guide_names_every_public_item() {
    let guide = fs::read_to_string(here().join("../../docs/contributing/runtime.md")).unwrap();
    let said: BTreeSet<&str> = guide.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let names = all(&here().join("src"), "lib");
    // One of each form: re-exported here and in modules, declared, a function, a macro.
    for known in [
        "Cx",
        "RegionReport",
        "UnixMs",
        "Permit",
        "LabConfig",
        "BodyLength",
        "Refusal",
        "RouteLimits",
        "mpsc",
        "real",
        "on_every_host",
    ] {
        assert!(names.contains(known), "the reader lost {known}");
    }
    let missing: Vec<_> = names.iter().filter(|name| !said.contains(name.as_str())).collect();
    assert!(
        missing.is_empty(),
        "docs/contributing/runtime.md does not name {missing:?}"
    );
}

#[test]
fn the_reader_knows_every_form() {
    let source = "pub mod below;\nmod hidden;\npub use a::{B, c};\npub use d::{\n    E,\n    F,\n};\npub use G;\n\
                  pub(crate) use h::I;\npub struct J<T>(T);\npub async fn k(cx: &Cx) {}\n    pub fn method(&self) {}\n\
                  #[macro_export]\nmacro_rules! l {}\nmacro_rules! hidden {}\npub type M = u8;\n";
    let expected = ["B", "E", "F", "G", "J", "M", "c", "k", "l"].map(str::to_owned);
    assert_eq!(
        published(source),
        Published {
            names: expected.into(),
            modules: vec!["below".to_owned()],
        }
    );
}

#[test]
#[should_panic(expected = "does not know `pub static`")]
fn the_reader_does_not_guess() {
    published("pub static X: u8 = 1;\n");
}
