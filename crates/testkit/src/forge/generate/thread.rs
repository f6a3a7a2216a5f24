//! What is said and done under one generated entity: discussions and events.

use annals_core::UnixMs;

use super::super::calendar::MINUTE;
use super::super::project::{
    Action, DiffText, Discussion, DiscussionShape, Head, ItemState, LabelEvent, MilestoneEvent, Note, NoteOrigin,
    Position, Resolution, Secrecy, StateEvent, Thread, UserIx, Version,
};
use super::super::rng::{Rng, oid};
use super::head::person;
use super::pushes::{closes, pushes};
use super::{GenSpec, words};

/// Room for the ids of one entity's notes and events.
pub(in crate::forge) const IDS_PER_ENTITY: i64 = 4096;

/// Everything under the entity that `head` describes.
#[must_use]
pub fn thread(spec: &GenSpec, people: usize, labels: usize, head: &Head) -> Thread {
    let mut thread = Thread::default();
    if head.merge.is_some() {
        thread.versions = pushes(spec, head);
        thread.closes = closes(spec, head.key);
    }
    let mut talk = Talk {
        spec,
        head,
        rng: spec.stream(head.key, 4),
        next: head.key.number() * IDS_PER_ENTITY,
    };
    talk.events(people, labels, &mut thread);
    thread.discussions = talk.discussions(people, &thread.versions);
    thread
}

/// The state of drawing one conversation.
struct Talk<'a> {
    spec: &'a GenSpec,
    head: &'a Head,
    rng: Rng,
    next: i64,
}

impl Talk<'_> {
    fn id(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// A time between the entity's first and last, `part` thousandths of the way.
    fn at(&self, part: i64) -> UnixMs {
        let (first, last) = (self.head.created_at.0, self.head.updated_at.0);
        UnixMs(first + (last - first) * part / 1000)
    }

    fn soon(&self) -> UnixMs {
        UnixMs((self.head.created_at.0 + MINUTE).min(self.head.updated_at.0))
    }

    fn events(&mut self, people: usize, labels: usize, thread: &mut Thread) {
        let (author, soon) = (self.head.author, self.soon());
        for label in self.head.labels.clone() {
            let id = self.id();
            thread.labels.push(LabelEvent {
                id,
                user: author,
                at: soon,
                label,
                action: Action::Add,
            });
        }
        let passing = u32::try_from(self.rng.index(labels)).unwrap_or(0);
        if self.rng.permille(200) && !self.head.labels.contains(&passing) {
            let user = person(&mut self.rng, people);
            for (part, action) in [(200, Action::Add), (700, Action::Remove)] {
                let (id, at) = (self.id(), self.at(part));
                thread.labels.push(LabelEvent {
                    id,
                    user,
                    at: at.max(soon),
                    label: passing,
                    action,
                });
            }
        }
        if let Some(milestone) = self.head.milestone {
            let id = self.id();
            thread.milestones.push(MilestoneEvent {
                id,
                user: author,
                at: soon,
                milestone,
                action: Action::Add,
            });
        }
        self.state_events(people, thread);
    }

    fn state_events(&mut self, people: usize, thread: &mut Thread) {
        let (user, at, state) = match (self.head.state, &self.head.merge) {
            (ItemState::Closed, _) => (self.head.closed_by, self.head.closed_at, "closed"),
            (ItemState::Merged, Some(merge)) => (merge.merged_by, merge.merged_at, "merged"),
            _ => (None, None, ""),
        };
        let (Some(user), Some(at)) = (user, at) else { return };
        if self.rng.permille(60) {
            let other = person(&mut self.rng, people);
            for (part, state) in [(300, "closed"), (350, "reopened")] {
                let (id, early) = (self.id(), self.at(part));
                thread.states.push(StateEvent {
                    id,
                    user: other,
                    at: early,
                    state,
                });
            }
        }
        let id = self.id();
        thread.states.push(StateEvent { id, user, at, state });
    }

    fn discussions(&mut self, people: usize, versions: &[Version]) -> Vec<Discussion> {
        let mut discussions: Vec<Discussion> = Vec::new();
        let count = i64::from(self.head.user_notes);
        for number in 0..count {
            let at = self.at((number + 1) * 950 / (count + 1));
            let author = person(&mut self.rng, people);
            if self.rng.permille(120) {
                let body = self.system_text();
                let note = self.note(author, at, body, NoteOrigin::System);
                discussions.push(self.single(note));
            }
            let text = words::note(&mut self.rng);
            let mut note = self.note(author, at, text, NoteOrigin::User);
            let answers = count < 100 && self.rng.permille(450);
            if let (true, Some(open)) = (answers, discussions.iter_mut().rev().find(|d| speaks(d))) {
                reply(open, note);
                continue;
            }
            note.secrecy = if self.rng.permille(15) {
                Secrecy::Members
            } else {
                Secrecy::Public
            };
            note.position = self.position(versions);
            if note.position.is_some() {
                note.resolution = Resolution::Open;
            }
            discussions.push(self.single(note));
        }
        for discussion in &mut discussions {
            self.settle(discussion, people);
        }
        discussions
    }

    fn single(&self, note: Note) -> Discussion {
        let shape = if note.position.is_some() {
            DiscussionShape::Thread
        } else {
            DiscussionShape::Single
        };
        Discussion {
            id: oid(self.spec.seed, &[20, u64::try_from(note.id).unwrap_or(0)]),
            shape,
            notes: vec![note],
        }
    }

    fn note(&mut self, author: UserIx, at: UnixMs, body: String, origin: NoteOrigin) -> Note {
        let edited = origin == NoteOrigin::User && self.rng.permille(80);
        let updated_at = if edited {
            UnixMs((at.0 + 7 * MINUTE).min(self.head.updated_at.0))
        } else {
            at
        };
        Note {
            id: self.id(),
            author,
            body,
            origin,
            secrecy: Secrecy::Public,
            created_at: at,
            updated_at,
            position: None,
            resolution: Resolution::Impossible,
        }
    }

    fn system_text(&mut self) -> String {
        match self.rng.below(4) {
            0 => "changed the description".to_owned(),
            1 => format!(
                "mentioned in merge request !{}",
                1 + self.rng.below(u64::from(self.spec.merge_requests.max(1)))
            ),
            2 => format!(
                "mentioned in issue #{}",
                1 + self.rng.below(u64::from(self.spec.issues.max(1)))
            ),
            _ => "changed title from **{-draft-}** to **{+ready+}**".to_owned(),
        }
    }

    fn position(&mut self, versions: &[Version]) -> Option<Position> {
        if versions.is_empty() || self.rng.permille(500) {
            return None;
        }
        let version = &versions[self.rng.index(versions.len())];
        let file = version
            .files
            .iter()
            .find(|file| matches!(file.text, DiffText::Lines { added: 1.., .. }))?;
        let line = self.rng.within(1, 400);
        let removed = self.rng.permille(150);
        Some(Position {
            refs: version.refs.clone(),
            old_path: file.old_path.clone(),
            new_path: file.new_path.clone(),
            old_line: removed.then_some(line),
            new_line: (!removed).then_some(line),
            first_line: (!removed && line > 5 && self.rng.permille(100)).then_some(line - 3),
        })
    }

    /// Some threads on a diff are resolved by somebody after their last note.
    fn settle(&mut self, discussion: &mut Discussion, people: usize) {
        if self.head.merge.is_some() && discussion.shape == DiscussionShape::Thread {
            // Every thread of a merge request can be resolved.
            discussion
                .notes
                .iter_mut()
                .for_each(|note| note.resolution = Resolution::Open);
        }
        let open = discussion.notes.iter().any(|note| note.resolution == Resolution::Open);
        if open && self.rng.permille(600) {
            let (by, at) = (person(&mut self.rng, people), self.head.updated_at);
            for note in &mut discussion.notes {
                note.resolution = Resolution::Resolved { by, at };
            }
        }
    }
}

fn speaks(discussion: &Discussion) -> bool {
    discussion
        .notes
        .first()
        .is_some_and(|note| note.origin == NoteOrigin::User)
}

/// Puts a note under a discussion, which is a thread from then on.
pub(in crate::forge) fn reply(discussion: &mut Discussion, mut note: Note) {
    discussion.shape = DiscussionShape::Thread;
    if let Some(first) = discussion.notes.first() {
        note.secrecy = first.secrecy;
        note.position.clone_from(&first.position);
        note.resolution = first.resolution;
    }
    discussion.notes.push(note);
}
