//! What one generated merge request changes: pushed states with commits and files, and the issues it closes.

use annals_core::UnixMs;

use super::super::calendar::MINUTE;
use super::super::project::{Commit, DiffRefs, DiffText, FileChange, FileChangeKind, Head, Key, Version};
use super::super::rng::{Rng, oid};
use super::head::{refs, versions};
use super::{GenSpec, words};

pub(super) fn closes(spec: &GenSpec, key: Key) -> Vec<i64> {
    let mut rng = spec.stream(key, 6);
    if spec.issues == 0 || rng.permille(650) {
        return Vec::new();
    }
    let count = if rng.permille(200) { 2 } else { 1 };
    let mut chosen: Vec<i64> = rng
        .some_of(spec.issues as usize, count)
        .into_iter()
        .map(|index| i64::from(index) + 1)
        .collect();
    chosen.sort_unstable();
    chosen
}

pub(super) fn pushes(spec: &GenSpec, head: &Head) -> Vec<Version> {
    let count = versions(spec, head.key);
    let era = u64::try_from(head.key.iid).unwrap_or(0) * 4 / u64::from(spec.merge_requests.max(1));
    let mut pushed: Vec<Version> = Vec::new();
    for number in 0..count {
        let mut rng = spec.stream(head.key, 100 + number);
        let life = head.updated_at.0 - head.created_at.0;
        let part = i64::try_from(number * 500 / count).unwrap_or(0);
        let refs = refs(spec, head.key, number);
        let at = UnixMs(head.created_at.0 + life * part / 1000);
        // A push adds commits, a force-push replaces them.
        let kept = pushed
            .last()
            .filter(|_| rng.permille(600))
            .map_or_else(Vec::new, |last| last.commits.clone());
        let mut files = files(spec, &mut rng, era);
        if let Some(last) = pushed.last() {
            files = last.files.iter().cloned().chain(files).collect();
        }
        pushed.push(Version {
            id: head.key.iid * 16 + i64::try_from(number).unwrap_or(0),
            commits: commits(spec, &mut rng, head.key, &refs, at, kept),
            files: one_per_path(files),
            refs,
            created_at: at,
        });
    }
    pushed
}

fn commits(spec: &GenSpec, rng: &mut Rng, key: Key, refs: &DiffRefs, at: UnixMs, kept: Vec<Commit>) -> Vec<Commit> {
    let added = rng.within(1, 3);
    let mut newest_first = kept;
    let mut parent = newest_first
        .first()
        .map_or_else(|| refs.base.clone(), |last| last.oid.clone());
    for number in 0..added {
        let last = number + 1 == added;
        let salt = u64::try_from(key.iid * 64 + number).unwrap_or(0);
        let oid = if last {
            refs.head.clone()
        } else {
            oid(spec.seed, &[30, salt, rng.bits()])
        };
        let title = words::commit_title(rng);
        let message = match rng.below(3) {
            0 => title.clone(),
            1 => format!("{title}\n"),
            _ => format!("{title}\n\n{}\n", words::sentence(rng)),
        };
        let writer = rng.below(9);
        newest_first.insert(
            0,
            Commit {
                oid: oid.clone(),
                title,
                message,
                author_name: format!("Developer {writer}"),
                author_email: format!("developer-{writer}@example.org"),
                authored_at: UnixMs((at.0 - (added - number) * 20 * MINUTE) / 1000 * 1000),
                committed_at: UnixMs((at.0 - (added - number) * 10 * MINUTE) / 1000 * 1000),
                offset_minutes: [0, 60, 120, -330, 540][rng.index(5)],
                parents: vec![parent],
            },
        );
        parent = oid;
    }
    newest_first
}

fn files(spec: &GenSpec, rng: &mut Rng, era: u64) -> Vec<FileChange> {
    let pool = 60 + spec.entities() / 50;
    if rng.permille(8) {
        // More files than a page of the list holds, such as a vendored tree.
        let last = pool + 105 + rng.below(140);
        return (pool..last).map(|number| file(rng, number, era)).collect();
    }
    let count = rng.within(1, 6);
    let mut some = || {
        let number = rng.below(pool);
        file(rng, number, era)
    };
    (0..count).map(|_| some()).collect()
}

fn file(rng: &mut Rng, number: u64, era: u64) -> FileChange {
    let path = words::path(number, era);
    let (added, removed) = (
        u32::try_from(rng.below(40)).unwrap_or(0),
        u32::try_from(rng.below(25)).unwrap_or(0),
    );
    let mut change = FileChange {
        old_path: path.clone(),
        new_path: path,
        kind: FileChangeKind::Modified,
        text: DiffText::Lines {
            added: added + 1,
            removed,
        },
        seed: rng.bits(),
    };
    match rng.below(200) {
        0..=19 => {
            change.kind = FileChangeKind::Added;
            change.text = DiffText::Lines {
                added: added + 1,
                removed: 0,
            };
        }
        20..=29 => {
            change.kind = FileChangeKind::Deleted;
            change.text = DiffText::Lines {
                added: 0,
                removed: removed + 1,
            };
        }
        30..=49 => {
            change.new_path = words::path(number, era + 1);
            if change.new_path == change.old_path {
                change.new_path = format!("archive/{}", change.old_path);
            }
            change.kind = FileChangeKind::Renamed;
            change.text = if rng.permille(500) {
                DiffText::Lines { added: 0, removed: 0 }
            } else {
                change.text
            };
        }
        50..=52 => {
            change.kind = FileChangeKind::Mode;
            change.text = DiffText::Lines { added: 0, removed: 0 };
        }
        53..=56 => {
            change.old_path = format!("web/assets/picture_{number}.png");
            change.new_path.clone_from(&change.old_path);
            change.text = DiffText::Binary;
        }
        57 => change.text = DiffText::TooLarge,
        _ => {}
    }
    change
}

/// A list of changes names each path once on either side, as git's own do.
fn one_per_path(files: Vec<FileChange>) -> Vec<FileChange> {
    let mut seen = std::collections::BTreeSet::new();
    files
        .into_iter()
        .filter(|file| {
            let fresh = !seen.contains(&file.old_path) && !seen.contains(&file.new_path);
            seen.insert(file.old_path.clone());
            seen.insert(file.new_path.clone());
            fresh
        })
        .collect()
}

/// Whether a merge request's file list is cut by the forge.
#[must_use]
pub(in crate::forge) fn cut_by_the_forge(version: &Version) -> bool {
    version.files.iter().any(|file| file.text == DiffText::TooLarge)
}
