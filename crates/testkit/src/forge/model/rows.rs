//! The rows of a whole mirror, one at a time.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::project::{Key, Project, UserIx};
use super::super::state::{Entity, State, Viewer};
use super::fields;

/// One table of the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The project itself.
    Projects,
    /// Everybody whom a row names.
    Users,
    /// Labels of the project.
    Labels,
    /// Milestones of the project.
    Milestones,
    /// Issues with their labels and assignees.
    Issues,
    /// Merge requests with labels, assignees and reviewers.
    MergeRequests,
    /// Discussions.
    Discussions,
    /// Notes.
    Notes,
    /// Where diff notes stand.
    Positions,
    /// State, label and milestone events.
    Events,
    /// Which issues a merge request closes.
    References,
    /// The newest pushed state of each merge request.
    Versions,
    /// Commits of that state.
    Commits,
    /// File changes of that state.
    Files,
}

impl Section {
    /// All, in the order of the dump.
    pub const ALL: [Self; 14] = [
        Self::Projects,
        Self::Users,
        Self::Labels,
        Self::Milestones,
        Self::Issues,
        Self::MergeRequests,
        Self::Discussions,
        Self::Notes,
        Self::Positions,
        Self::Events,
        Self::References,
        Self::Versions,
        Self::Commits,
        Self::Files,
    ];

    /// The heading in the dump.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::Users => "users",
            Self::Labels => "labels",
            Self::Milestones => "milestones",
            Self::Issues => "issues",
            Self::MergeRequests => "merge_requests",
            Self::Discussions => "discussions",
            Self::Notes => "notes",
            Self::Positions => "diff_note_positions",
            Self::Events => "resource_events",
            Self::References => "entity_references",
            Self::Versions => "mr_versions",
            Self::Commits => "mr_commits",
            Self::Files => "mr_file_changes",
        }
    }
}

/// One row: named values in the order of the dump.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The table it belongs to.
    pub section: Section,
    /// Its columns.
    pub fields: Vec<(&'static str, Value)>,
}

impl Row {
    /// The value of a column.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// The row as a line of the dump.
    #[must_use]
    pub fn line(&self) -> String {
        Value::Array(self.fields.iter().map(|(_, value)| value.clone()).collect()).to_string()
    }
}

/// Gives every row of the mirror to `sink`; entity by entity, so that a project of any size fits.
pub fn rows(state: &State, viewer: Viewer, sink: &mut dyn FnMut(Row)) {
    let project = state.project();
    sink(fields::project(project));
    project.labels.iter().for_each(|label| sink(fields::label(label)));
    project
        .milestones
        .iter()
        .for_each(|milestone| sink(fields::milestone(milestone)));
    let mut named = BTreeSet::new();
    for key in state.keys() {
        named.extend(rows_of(state, viewer, key, sink));
    }
    for user in named.into_iter().filter_map(|user| project.users.get(user as usize)) {
        sink(fields::user(project, user));
    }
}

/// Gives every row of one entity to `sink`. Returns whom they name.
pub fn rows_of(state: &State, viewer: Viewer, key: Key, sink: &mut dyn FnMut(Row)) -> BTreeSet<UserIx> {
    let Some(entity) = state.entity(key).filter(|entity| viewer.sees(entity.head.secrecy)) else {
        return BTreeSet::new();
    };
    let project = state.project();
    sink(match entity.head.merge {
        None => fields::issue(project, &entity.head),
        Some(_) => fields::merge_request(project, &entity),
    });
    talk(project, viewer, &entity, sink);
    events(project, &entity, sink);
    if let Some(version) = entity.thread.versions.last() {
        sink(fields::version(key, version));
        version
            .commits
            .iter()
            .enumerate()
            .for_each(|(rank, commit)| sink(fields::commit(key, rank, commit)));
        version.files.iter().for_each(|file| sink(fields::file(key, file)));
    }
    for iid in &entity.thread.closes {
        if state
            .head(Key::issue(*iid))
            .is_some_and(|head| viewer.sees(head.secrecy))
        {
            sink(fields::closes(project, key, *iid));
        }
    }
    named(viewer, &entity)
}

fn talk(project: &Project, viewer: Viewer, entity: &Entity, sink: &mut dyn FnMut(Row)) {
    let key = entity.head.key;
    for discussion in &entity.thread.discussions {
        let notes: Vec<_> = discussion
            .notes
            .iter()
            .filter(|note| viewer.sees(note.secrecy))
            .collect();
        if notes.is_empty() {
            continue;
        }
        sink(fields::discussion(project, key, discussion, &notes));
        for (rank, note) in notes.into_iter().enumerate() {
            sink(fields::note(project, discussion, rank, note));
            if let Some(position) = &note.position {
                sink(fields::position(note, position));
            }
        }
    }
}

fn events(project: &Project, entity: &Entity, sink: &mut dyn FnMut(Row)) {
    let key = entity.head.key;
    let mut event = |kind, id, action: &str, subject: Value, user, at| {
        sink(fields::event(project, key, kind, id, action, subject, user, at));
    };
    for one in &entity.thread.states {
        event("state", one.id, one.state, Value::Null, one.user, one.at);
    }
    for one in &entity.thread.labels {
        let name = project.labels.get(one.label as usize).map(|label| label.name.clone());
        event("label", one.id, one.action.as_str(), name.into(), one.user, one.at);
    }
    for one in &entity.thread.milestones {
        let title = project
            .milestones
            .get(one.milestone as usize)
            .map(|milestone| milestone.title.clone());
        event("milestone", one.id, one.action.as_str(), title.into(), one.user, one.at);
    }
}

fn named(viewer: Viewer, entity: &Entity) -> BTreeSet<UserIx> {
    use super::super::project::Resolution;
    let (head, thread) = (&entity.head, &entity.thread);
    let mut named: BTreeSet<UserIx> = head.assignees.iter().copied().collect();
    named.insert(head.author);
    named.extend(head.closed_by);
    if let Some(merge) = &head.merge {
        named.extend(merge.reviewers.iter().copied().chain(merge.merged_by));
    }
    for note in thread
        .discussions
        .iter()
        .flat_map(|d| &d.notes)
        .filter(|note| viewer.sees(note.secrecy))
    {
        named.insert(note.author);
        if let Resolution::Resolved { by, .. } = note.resolution {
            named.insert(by);
        }
    }
    named.extend(thread.states.iter().map(|event| event.user));
    named.extend(thread.labels.iter().map(|event| event.user));
    named.extend(thread.milestones.iter().map(|event| event.user));
    named
}
