//! The small words of a story: durations, files, names of commits.

use annals_core::UnixMs;

use super::super::calendar::{DAY, HOUR, MINUTE};
use super::super::project::{DiffRefs, DiffText, FileChange, FileChangeKind, Key, Version};
use super::super::rng::{fingerprint, oid};

/// What could be read, or why not.
pub(super) type Parsed<T> = Result<T, &'static str>;

pub(super) fn append(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

pub(super) fn trim(text: Option<&mut String>) {
    if let Some(text) = text {
        text.truncate(text.trim_end().len());
    }
}

pub(super) fn refs(key: Key, push: u64) -> DiffRefs {
    let base = oid(fingerprint(b"base"), &[u64::try_from(key.iid).unwrap_or(0)]);
    DiffRefs {
        head: commit_oid(key, push, 0),
        start: base.clone(),
        base,
    }
}

pub(super) fn first_version(key: Key) -> Version {
    Version {
        id: key.iid * 16,
        refs: refs(key, 0),
        created_at: UnixMs(0),
        commits: Vec::new(),
        files: Vec::new(),
    }
}

pub(super) fn commit_oid(key: Key, push: u64, number: u64) -> String {
    oid(
        fingerprint(b"commit"),
        &[u64::try_from(key.iid).unwrap_or(0), push, number],
    )
}

pub(super) fn duration(text: &str) -> Parsed<i64> {
    let text = text.strip_prefix('+').ok_or("a duration begins with +")?;
    let unit = match text.chars().last() {
        Some('m') => MINUTE,
        Some('h') => HOUR,
        Some('d') => DAY,
        _ => return Err("a duration ends in m, h or d"),
    };
    let number: i64 = text
        .get(..text.len() - 1)
        .and_then(|n| n.parse().ok())
        .ok_or("not a duration")?;
    Ok(number * unit)
}

pub(super) fn file(text: &str) -> Parsed<FileChange> {
    let (kind, rest) = text.split_once(' ').ok_or("file KIND PATH")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let count = |sign: char| {
        words
            .iter()
            .find_map(|word| word.strip_prefix(sign)?.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let old_path = (*words.first().ok_or("no path")?).to_owned();
    let new_path = match words.get(1..3) {
        Some(["->", new]) => (*new).to_owned(),
        _ => old_path.clone(),
    };
    let lines = DiffText::Lines {
        added: count('+'),
        removed: count('-'),
    };
    let (kind, text) = match kind {
        "A" => (FileChangeKind::Added, lines),
        "M" => (FileChangeKind::Modified, lines),
        "D" => (FileChangeKind::Deleted, lines),
        "R" => (FileChangeKind::Renamed, lines),
        "X" => (FileChangeKind::Mode, lines),
        "B" => (FileChangeKind::Modified, DiffText::Binary),
        _ => return Err("unknown kind of change"),
    };
    let seed = fingerprint(new_path.as_bytes());
    Ok(FileChange {
        old_path,
        new_path,
        kind,
        text,
        seed,
    })
}
