//! Nothing is copied from asupersync: no file of ours has more than five lines in a row that a file of that package has too.
//!
//! Indentation, remarks behind code, lines of punctuation or of one word and imports are passed over on both sides:
//! everybody's code has them alike. The package is read only where `--fetch` says that its licence was read (docs/licensing.md).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::licence;
use super::tree::{Text, Tree};

/// So many lines in a row are one too many.
const ROW: usize = 6;

pub fn check(tree: &Tree) -> Vec<Finding> {
    if tree.foreign.is_empty() {
        return Vec::new();
    }
    let theirs: HashMap<u64, &str> = tree
        .foreign
        .iter()
        .flat_map(|file| {
            rows(&file.content)
                .into_iter()
                .map(|(row, _)| (row, file.path.as_str()))
        })
        .collect();
    let sources = tree.sources.iter().map(|source| (&source.path, &source.text));
    let texts = tree.texts.iter().map(|text| (&text.path, &text.content));
    let mut findings = Vec::new();
    for (path, text) in sources.chain(texts) {
        let mut inside = false;
        for (row, line) in rows(text) {
            let file = theirs.get(&row);
            // Only where it begins.
            if let (Some(file), false) = (file, inside) {
                let why = "has more than five lines in a row that also stand there; nothing of it is copied";
                findings.push(Finding::new(licence::NAME, path, line, *file, why));
            }
            inside = file.is_some();
        }
    }
    findings
}

/// Every row of lines, hashed, and the line that it begins on.
fn rows(text: &str) -> Vec<(u64, usize)> {
    let lines = text.lines().map(bare).enumerate();
    let telling: Vec<(usize, &str)> = lines.filter(|(_, line)| tells(line)).collect();
    let row = |row: &[(usize, &str)]| {
        let mut hasher = DefaultHasher::new();
        row.iter().for_each(|(_, line)| line.hash(&mut hasher));
        (hasher.finish(), row.first().map_or(0, |(index, _)| index + 1))
    };
    telling.windows(ROW).map(row).collect()
}

fn bare(line: &str) -> &str {
    line.split(" //").next().unwrap_or_default().trim()
}

fn tells(line: &str) -> bool {
    let import = ["use ", "pub use ", "mod ", "pub mod "]
        .iter()
        .any(|word| line.starts_with(word));
    let is_word = line
        .trim_end_matches(',')
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_');
    !import && !is_word && line.contains(char::is_alphanumeric)
}

/// The files of a package that somebody could copy from.
pub fn files(folder: &Path) -> anyhow::Result<Vec<Text>> {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(inner)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let is_text = path
                .extension()
                .is_some_and(|extension| extension == "rs" || extension == "md");
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_text {
                let name = path.strip_prefix(folder.parent().unwrap_or(folder)).unwrap_or(&path);
                files.push(Text {
                    path: name.display().to_string(),
                    content: String::from_utf8_lossy(&std::fs::read(&path)?).into_owned(),
                });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}
