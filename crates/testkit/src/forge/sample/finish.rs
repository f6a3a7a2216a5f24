//! What a story does not say: who settled a thread, what GitLab writes by itself, when it all ended.

use annals_core::UnixMs;

use super::super::calendar::MINUTE;
use super::super::project::{Discussion, DiscussionShape, Note, NoteOrigin, Resolution, Secrecy, UserIx};
use super::super::rng::{fingerprint, oid};
use super::super::state::Entity;
use super::parse::Story;
use super::words::trim;

impl Story<'_> {
    /// Closes the discussion whose last note said `resolved`.
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.resolved) {
            return;
        }
        let Some(talk) = self.thread.discussions.last_mut() else {
            return;
        };
        let Some(by) = talk.notes.last().map(|note| note.author) else {
            return;
        };
        let at = UnixMs(self.clock.0 + MINUTE);
        talk.notes
            .iter_mut()
            .for_each(|note| note.resolution = Resolution::Resolved { by, at });
    }

    pub(super) fn finish(mut self) -> Entity {
        self.settle();
        self.narrate();
        trim(self.head.body.as_mut());
        for note in self.thread.discussions.iter_mut().flat_map(|d| &mut d.notes) {
            trim(Some(&mut note.body));
        }
        if let (Some(merge), Some(last)) = (&mut self.head.merge, self.thread.versions.last()) {
            merge.refs = last.refs.clone();
            if merge.draft {
                self.head.title = format!("Draft: {}", self.head.title);
            }
        }
        self.head.updated_at = self.last_change();
        Entity {
            head: self.head,
            thread: self.thread,
        }
    }

    /// Adds the lines that GitLab writes by itself, and numbers all notes in the order of time.
    fn narrate(&mut self) {
        let names = |users: &[UserIx]| {
            let found = users.iter().filter_map(|user| self.project.users.get(*user as usize));
            found
                .map(|user| format!("@{}", user.username))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let soon = self.soon();
        let mut lines = Vec::new();
        if !self.head.assignees.is_empty() {
            lines.push((soon, format!("assigned to {}", names(&self.head.assignees))));
        }
        if let Some(merge) = self.head.merge.as_ref().filter(|merge| !merge.reviewers.is_empty()) {
            lines.push((soon, format!("requested review from {}", names(&merge.reviewers))));
        }
        for pair in self.thread.versions.windows(2) {
            if let [before, after] = pair {
                let added = after.commits.len() - before.commits.len();
                let plural = if added == 1 { "" } else { "s" };
                lines.push((after.created_at, format!("added {added} commit{plural}")));
            }
        }
        for (at, body) in lines {
            let note = Note {
                id: 0,
                author: self.head.author,
                body,
                origin: NoteOrigin::System,
                secrecy: Secrecy::Public,
                created_at: at,
                updated_at: at,
                position: None,
                resolution: Resolution::Impossible,
            };
            let id = oid(fingerprint(b"narration"), &[u64::try_from(self.id()).unwrap_or(0)]);
            self.thread.discussions.push(Discussion {
                id,
                shape: DiscussionShape::Single,
                notes: vec![note],
            });
        }
        let begun = |talk: &Discussion| talk.notes.first().map(|note| note.created_at);
        self.thread.discussions.sort_by_key(begun);
        let mut notes: Vec<&mut Note> = self
            .thread
            .discussions
            .iter_mut()
            .flat_map(|talk| &mut talk.notes)
            .collect();
        notes.sort_by_key(|note| note.created_at);
        for (note, number) in notes.into_iter().zip(1..) {
            note.id = self.ids + number;
        }
    }

    fn last_change(&self) -> UnixMs {
        let resolved = |note: &Note| match note.resolution {
            Resolution::Resolved { at, .. } => at,
            _ => note.updated_at,
        };
        let notes = self.thread.discussions.iter().flat_map(|d| &d.notes).map(resolved);
        let states = self.thread.states.iter().map(|event| event.at);
        let pushes = self.thread.versions.iter().map(|version| version.created_at);
        let rest = if self.head.labels.is_empty() {
            self.head.created_at
        } else {
            self.soon()
        };
        notes
            .chain(states)
            .chain(pushes)
            .chain([rest])
            .max()
            .unwrap_or(self.head.created_at)
    }
}
