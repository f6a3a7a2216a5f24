//! The row of one generated entity.

use annals_core::{EntityKind, UnixMs};

use super::super::calendar::DAY;
use super::super::project::{DiffRefs, Head, ItemState, Key, Merge, UserIx};
use super::super::rng::{Rng, oid};
use super::{Frame, GenSpec, frame, words};

/// The accounts that are not people come first in a generated project.
const FIRST_PERSON: u64 = 2;

/// The row of one entity.
#[must_use]
pub fn head(spec: &GenSpec, people: usize, labels: usize, milestones: usize, key: Key) -> Head {
    let frame = frame(spec, key);
    let mut rng = spec.stream(key, 2);
    let author = author(&mut rng, people);
    let title = match key.kind {
        EntityKind::Issue => words::issue_title(&mut rng),
        EntityKind::MergeRequest => words::mr_title(&mut rng),
    };
    let closed = frame.state == ItemState::Closed;
    let ended_at = ended_at(&mut rng, frame);
    let label_count = rng.within(0, 3);
    let mut head = Head {
        key,
        title,
        body: words::body(&mut rng),
        state: frame.state,
        author,
        assignees: several(&mut rng, people, 2),
        labels: rng.some_of(labels, usize::try_from(label_count).unwrap_or(0)),
        milestone: rng
            .permille(400)
            .then(|| u32::try_from(rng.index(milestones)).unwrap_or(0)),
        secrecy: frame.secrecy,
        discussion_locked: rng.permille(10).then_some(true),
        created_at: frame.created_at,
        updated_at: frame.updated_at,
        closed_at: closed.then_some(ended_at),
        closed_by: closed.then(|| person(&mut rng, people)),
        due: rng
            .permille(100)
            .then(|| UnixMs((frame.created_at.0 + 30 * DAY).div_euclid(DAY) * DAY)),
        issue_type: if rng.permille(40) { "incident" } else { "issue" },
        user_notes: user_notes(&mut rng, frame),
        moved_to: None,
        merge: None,
    };
    if key.kind == EntityKind::MergeRequest {
        head.due = None;
        head.issue_type = "issue";
        let merge = merge(spec, &mut rng, people, &head, ended_at);
        if merge.draft {
            head.title = format!("Draft: {}", head.title);
        }
        head.merge = Some(merge);
    }
    head
}

/// How many states of a merge request were pushed.
pub(super) fn versions(spec: &GenSpec, key: Key) -> u64 {
    let mut rng = spec.stream(key, 3);
    if rng.permille(600) { 1 } else { 2 + rng.below(3) }
}

/// The commits a version is compared between.
pub(super) fn refs(spec: &GenSpec, key: Key, version: u64) -> DiffRefs {
    let number = u64::try_from(key.iid).unwrap_or(0);
    // A rebase moves the base; that is every second push.
    let base = oid(spec.seed, &[number, 10, version / 2]);
    DiffRefs {
        head: oid(spec.seed, &[number, 11, version]),
        start: base.clone(),
        base,
    }
}

pub(super) fn person(rng: &mut Rng, people: usize) -> UserIx {
    let human = FIRST_PERSON + rng.below((people as u64).saturating_sub(FIRST_PERSON));
    u32::try_from(human).unwrap_or(0)
}

fn author(rng: &mut Rng, people: usize) -> UserIx {
    match rng.below(100) {
        0 => 0,
        1..=4 => 1,
        _ => person(rng, people),
    }
}

fn several(rng: &mut Rng, people: usize, most: i64) -> Vec<UserIx> {
    let count = rng.within(0, most);
    let mut chosen: Vec<UserIx> = Vec::new();
    for _ in 0..count {
        let one = person(rng, people);
        if !chosen.contains(&one) {
            chosen.push(one);
        }
    }
    chosen
}

fn ended_at(rng: &mut Rng, frame: Frame) -> UnixMs {
    let life = frame.updated_at.0 - frame.created_at.0;
    UnixMs(frame.created_at.0 + life * rng.within(400, 1000) / 1000)
}

fn user_notes(rng: &mut Rng, frame: Frame) -> u32 {
    if frame.created_at == frame.updated_at {
        return 0;
    }
    let count = match rng.below(1000) {
        0..=249 => 0,
        // More than one page of discussions.
        250..=254 => rng.within(110, 230),
        255..=699 => rng.within(1, 3),
        _ => rng.within(3, 12),
    };
    u32::try_from(count).unwrap_or(0)
}

fn merge(spec: &GenSpec, rng: &mut Rng, people: usize, head: &Head, ended_at: UnixMs) -> Merge {
    let merged = head.state == ItemState::Merged;
    let newest = versions(spec, head.key) - 1;
    let number = u64::try_from(head.key.iid).unwrap_or(0);
    let squashed = merged && rng.permille(300);
    Merge {
        draft: head.state == ItemState::Opened && rng.permille(250),
        source_branch: words::branch(rng, head.key.iid),
        target_branch: if rng.permille(50) {
            "stable".to_owned()
        } else {
            "main".to_owned()
        },
        source_project: if rng.permille(150) {
            spec.project_id + 1 + number as i64
        } else {
            spec.project_id
        },
        reviewers: several(rng, people, 2),
        merged_at: merged.then_some(ended_at),
        merged_by: merged.then(|| person(rng, people)),
        merge_commit: merged.then(|| oid(spec.seed, &[number, 12])),
        squash_commit: squashed.then(|| oid(spec.seed, &[number, 13])),
        refs: refs(spec, head.key, newest),
    }
}
