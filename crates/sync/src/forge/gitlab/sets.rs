//! From the lists under an entity to the sets that the store takes.
//!
//! A child that cannot be read is put aside alone; the set is whole without it.

use annals_core::{EntityKind, Iid, NativeId, UnixMs};
use annals_db::content::{DiffPositionIn, DiscussionIn, FileChangeIn, NoteIn, Payload, ResourceEventIn, flag};
use annals_db::ids::{DiscussionKind, EventOrigin, FileChange, NoteKind, Side};

use super::payload::{WireCommit, WireDiff, WireDiscussion, WireEvent, WireNote, WirePosition, WireReference};
use super::project::{Projection, decode, native, oid, user};
use super::url::EventList;
use crate::forge::raw::RawItem;
use crate::forge::{Bad, CommitIn, ReferenceIn};

/// A discussion with its notes; notes that cannot be read go to `bad`.
pub fn discussion(item: &RawItem, projection: &mut Projection, bad: &mut Vec<Bad>) -> Result<DiscussionIn, Bad> {
    let text = item.text();
    let wire: WireDiscussion<'_> = decode(item, &text)?;
    if wire.id.is_empty() {
        return Err(Bad::transform(item, &text, "the id is empty"));
    }
    let mut notes = Vec::new();
    let mut resolvable = false;
    let mut open = false;
    let mut settled: Option<(Option<UnixMs>, annals_db::content::UserIn)> = None;
    for raw in wire.notes.unwrap_or_default() {
        let raw = RawItem::nested(raw.get());
        match note(&raw, projection) {
            Ok((note, resolution)) => {
                notes.push(note);
                let Some(resolution) = resolution else { continue };
                resolvable = true;
                match resolution {
                    Resolution::Open => open = true,
                    Resolution::Resolved { by: Some(by), at } => {
                        if settled.as_ref().is_none_or(|(known, _)| *known <= at) {
                            settled = Some((at, by));
                        }
                    }
                    Resolution::Resolved { by: None, .. } => {}
                }
            }
            Err(one) => bad.push(one),
        }
    }
    let resolved = resolvable && !open;
    let settled = settled.filter(|_| resolved);
    Ok(DiscussionIn {
        native_id: NativeId(wire.id),
        kind: if wire.individual_note == Some(true) {
            DiscussionKind::Comment
        } else {
            DiscussionKind::Thread
        },
        resolvable,
        resolved,
        resolved_at: settled.as_ref().and_then(|(at, _)| *at),
        resolved_by: settled.map(|(_, by)| by),
        notes,
        // The notes keep their own payloads; what is left of a discussion is in its columns.
        payload: None,
    })
}

enum Resolution {
    Open,
    Resolved {
        by: Option<annals_db::content::UserIn>,
        at: Option<UnixMs>,
    },
}

fn note(item: &RawItem, projection: &mut Projection) -> Result<(NoteIn, Option<Resolution>), Bad> {
    let text = item.text();
    let wire: WireNote = decode(item, &text)?;
    if wire.id <= 0 {
        return Err(Bad::transform(item, &text, "id is not positive"));
    }
    let (created_at, updated_at) = (projection.time(&wire.created_at), projection.time(&wire.updated_at));
    let flags = if projection.take_suspect() {
        flag::TIME_SUSPECT
    } else {
        0
    };
    let position = wire.position.map(position);
    let resolution = wire.resolvable.unwrap_or(false).then(|| match wire.resolved {
        Some(true) => Resolution::Resolved {
            by: wire.resolved_by.map(user),
            at: projection.time(&wire.resolved_at),
        },
        _ => Resolution::Open,
    });
    let kind = match (&position, wire.kind.as_deref()) {
        (Some(_), _) | (None, Some("DiffNote")) => NoteKind::DiffNote,
        (None, _) => NoteKind::Note,
    };
    let note = NoteIn {
        native_id: native(wire.id),
        author: wire.author.map(user),
        body: wire.body.unwrap_or_default(),
        kind,
        system: wire.system.unwrap_or(false),
        internal: wire.internal.or(wire.confidential).unwrap_or(false),
        created_at,
        updated_at,
        flags,
        position,
        payload: Some(Payload::from_parts([("note", item.bytes().as_ref())])),
    };
    Ok((note, resolution))
}

fn position(wire: WirePosition) -> DiffPositionIn {
    let side = match (wire.old_line, wire.new_line) {
        (Some(_), Some(_)) => Some(Side::Both),
        (Some(_), None) => Some(Side::Old),
        (None, Some(_)) => Some(Side::New),
        (None, None) => None,
    };
    let start = wire.line_range.and_then(|range| range.start);
    DiffPositionIn {
        old_path: wire.old_path,
        new_path: wire.new_path,
        old_line: wire.old_line,
        new_line: wire.new_line,
        start_line: start.and_then(|end| end.new_line.or(end.old_line)),
        side,
        base_oid: wire.base_sha,
        start_oid: wire.start_sha,
        head_oid: wire.head_sha,
        outdated: false,
        hunk: None,
    }
}

/// A resource event of one list.
pub fn event(item: &RawItem, list: EventList, projection: &mut Projection) -> Result<ResourceEventIn, Bad> {
    let text = item.text();
    let wire: WireEvent = decode(item, &text)?;
    if wire.id <= 0 {
        return Err(Bad::transform(item, &text, "id is not positive"));
    }
    let (action, subject) = match list {
        EventList::State => (wire.state, None),
        EventList::Label => (wire.action, wire.label.and_then(|label| label.name)),
        EventList::Milestone => (wire.action, wire.milestone.and_then(|milestone| milestone.title)),
    };
    Ok(ResourceEventIn {
        native_id: native(wire.id),
        kind: list.kind(),
        action: action.unwrap_or_default(),
        subject,
        actor: wire.user.map(user),
        created_at: projection.time(&wire.created_at),
        origin: EventOrigin::Forge,
    })
}

/// A changed file.
pub fn file(item: &RawItem) -> Result<FileChangeIn, Bad> {
    let text = item.text();
    let wire: WireDiff = decode(item, &text)?;
    let (Some(old_path), Some(new_path)) = (
        wire.old_path
            .clone()
            .or_else(|| wire.new_path.clone())
            .filter(|p| !p.is_empty()),
        wire.new_path.or(wire.old_path).filter(|p| !p.is_empty()),
    ) else {
        return Err(Bad::transform(item, &text, "the path is empty"));
    };
    let patch = wire.diff.unwrap_or_default();
    let yes = |flag: Option<bool>| flag == Some(true);
    // A collapsed diff is one that the forge holds back for its size.
    let too_large = yes(wire.too_large) || (yes(wire.collapsed) && patch.is_empty());
    let binary = patch.starts_with("Binary files ");
    let mode_changed = wire.a_mode != wire.b_mode;
    let change = if yes(wire.new_file) {
        FileChange::Added
    } else if yes(wire.deleted_file) {
        FileChange::Deleted
    } else if yes(wire.renamed_file) || old_path != new_path {
        FileChange::Renamed
    } else if mode_changed && patch.is_empty() && !too_large {
        FileChange::Mode
    } else {
        FileChange::Modified
    };
    let counts = (!too_large && !binary).then(|| count_lines(&patch));
    Ok(FileChangeIn {
        old_path,
        new_path,
        change,
        additions: counts.map(|(added, _)| added),
        deletions: counts.map(|(_, deleted)| deleted),
        binary,
        too_large,
        patch_hash: None,
    })
}

/// Added and deleted lines of a patch that begins with its first hunk or with file headers.
fn count_lines(patch: &str) -> (i64, i64) {
    let mut in_hunk = false;
    let (mut added, mut deleted) = (0, 0);
    for line in patch.split('\n') {
        if line.starts_with("@@") {
            in_hunk = true;
        } else if in_hunk {
            match line.as_bytes().first() {
                Some(b'+') => added += 1,
                Some(b'-') => deleted += 1,
                _ => {}
            }
        }
    }
    (added, deleted)
}

/// A commit.
pub fn commit(item: &RawItem, projection: &mut Projection) -> Result<CommitIn, Bad> {
    let text = item.text();
    let wire: WireCommit = decode(item, &text)?;
    let Some(id) = oid(Some(wire.id)) else {
        return Err(Bad::transform(item, &text, "id is no object id"));
    };
    Ok(CommitIn {
        oid: id,
        title: wire.title.unwrap_or_default(),
        message: wire.message.unwrap_or_default(),
        author_name: wire.author_name,
        author_email: wire.author_email,
        author_at: projection.time(&wire.authored_date),
        committer_at: projection.time(&wire.committed_date),
        parents: wire
            .parent_ids
            .unwrap_or_default()
            .into_iter()
            .filter_map(|id| oid(Some(id)))
            .collect(),
    })
}

/// An issue that a merge closes. Its full reference names the project, `group/project#12`.
pub fn closes(item: &RawItem) -> Result<ReferenceIn, Bad> {
    let text = item.text();
    let wire: WireReference = decode(item, &text)?;
    let path = wire.references.and_then(|r| r.full).and_then(|full| {
        let (path, number) = full.rsplit_once('#')?;
        (number.parse() == Ok(wire.iid)).then(|| path.to_owned())
    });
    match path {
        Some(path) if !path.is_empty() && wire.iid > 0 => Ok(ReferenceIn {
            path,
            kind: EntityKind::Issue,
            iid: Iid(wire.iid),
        }),
        _ => Err(Bad::transform(item, &text, "the reference has no project")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_lines_are_counted() {
        assert_eq!(count_lines(""), (0, 0));
        assert_eq!(count_lines("@@ -1,2 +1,3 @@\n a\n-b\n+c\n+d\n"), (2, 1));
        assert_eq!(
            count_lines("--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- b\n+++ c\n\\ No newline at end of file"),
            (1, 1)
        );
    }
}
