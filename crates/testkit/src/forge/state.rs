//! The forge's truth at one moment, and every way a test can change it.
//!
//! A generated project is kept as one small slot per entity; what was edited, and the whole of a
//! curated project, is kept as it is. Edits run on the forge's own clock: each is one second
//! later than anything before, so every edit shows in `updated_at`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use annals_core::{EntityKind, UnixMs};

use super::calendar::HOUR;
use super::generate::{self, GenSpec};
use super::project::{
    Discussion, DiscussionShape, Head, ItemState, Key, Note, NoteOrigin, Project, Resolution, Secrecy, Thread, UserIx,
};
use super::rng::{fingerprint, oid};

mod index;
use index::Index;
pub use index::{Order, Slot};

/// Who asks, and what they may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Nobody in particular: no confidential issue, no internal note.
    Anonymous,
    /// A member of the project.
    Member,
}

impl Viewer {
    /// Whether this viewer may see something.
    #[must_use]
    pub fn sees(self, secrecy: Secrecy) -> bool {
        self == Self::Member || secrecy == Secrecy::Public
    }
}

/// How the forge answers for an entity that it lists no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// 410.
    Deleted,
    /// 404.
    Missing,
    /// 403.
    Hidden,
    /// A redirect to an entity of another project.
    Moved {
        /// The forge's id of that project.
        project: i64,
        /// The number there.
        iid: i64,
    },
}

/// How the forge answers for the whole project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// As it is.
    Shown,
    /// 403 to everything.
    Hidden,
    /// 404 to everything.
    Missing,
}

/// One entity with everything under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// The row.
    pub head: Head,
    /// What hangs under it.
    pub thread: Thread,
}

/// A forge with one project.
#[derive(Debug, Clone)]
pub struct State {
    project: Project,
    spec: Option<GenSpec>,
    kept: BTreeMap<Key, Entity>,
    issues: Index,
    merge_requests: Index,
    gone: BTreeSet<Key>,
    absent: BTreeMap<Key, (Absence, Entity)>,
    face: Face,
    now: UnixMs,
    next_id: i64,
}

impl State {
    /// The project that `spec` describes.
    #[must_use]
    pub fn generated(spec: GenSpec) -> Self {
        let index_of = |kind| {
            Index::new((1..=i64::from(spec.count(kind))).map(|iid| {
                let frame = generate::frame(&spec, Key { kind, iid });
                Slot::new(iid, frame.created_at, frame.updated_at, frame.state, frame.secrecy)
            }))
        };
        Self {
            project: generate::project(&spec),
            issues: index_of(EntityKind::Issue),
            merge_requests: index_of(EntityKind::MergeRequest),
            kept: BTreeMap::new(),
            gone: BTreeSet::new(),
            absent: BTreeMap::new(),
            face: Face::Shown,
            now: UnixMs(spec.end().0 + HOUR),
            next_id: FIRST_NEW_ID,
            spec: Some(spec),
        }
    }

    /// A project whose entities are given; `now` must not be before any of their dates.
    #[must_use]
    pub fn curated(project: Project, entities: Vec<Entity>, now: UnixMs) -> Self {
        let index_of = |kind| {
            Index::new(
                entities
                    .iter()
                    .filter(|e| e.head.key.kind == kind)
                    .map(|e| slot_of(&e.head)),
            )
        };
        Self {
            issues: index_of(EntityKind::Issue),
            merge_requests: index_of(EntityKind::MergeRequest),
            project,
            spec: None,
            kept: entities.into_iter().map(|entity| (entity.head.key, entity)).collect(),
            gone: BTreeSet::new(),
            absent: BTreeMap::new(),
            face: Face::Shown,
            now,
            next_id: FIRST_NEW_ID,
        }
    }

    /// The project with its people, labels and milestones.
    #[must_use]
    pub const fn project(&self) -> &Project {
        &self.project
    }

    /// The forge's clock: never before anything that happened.
    #[must_use]
    pub const fn now(&self) -> UnixMs {
        self.now
    }

    /// The list of one kind.
    #[must_use]
    pub const fn list(&self, kind: EntityKind) -> &Index {
        match kind {
            EntityKind::Issue => &self.issues,
            EntityKind::MergeRequest => &self.merge_requests,
        }
    }

    /// How the forge answers for the project.
    #[must_use]
    pub const fn face(&self) -> Face {
        self.face
    }

    /// An entity that the forge lists no more, and how it answers for it.
    #[must_use]
    pub fn absent(&self, key: Key) -> Option<(Absence, &Entity)> {
        self.absent.get(&key).map(|(absence, entity)| (*absence, entity))
    }

    /// The entity that went to this number of this other project.
    #[must_use]
    pub fn arrived(&self, project: i64, kind: EntityKind, iid: i64) -> Option<&Entity> {
        let wanted = Absence::Moved { project, iid };
        self.absent
            .iter()
            .find(|(key, (absence, _))| key.kind == kind && *absence == wanted)
            .map(|(_, (_, entity))| entity)
    }

    /// Every entity, issues first, by number.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        [EntityKind::Issue, EntityKind::MergeRequest]
            .into_iter()
            .flat_map(|kind| {
                self.list(kind)
                    .by_number()
                    .map(move |slot| Key { kind, iid: slot.iid() })
            })
    }

    /// The row of an entity.
    #[must_use]
    pub fn head(&self, key: Key) -> Option<Cow<'_, Head>> {
        if let Some(entity) = self.kept.get(&key) {
            return Some(Cow::Borrowed(&entity.head));
        }
        let spec = self.spec_of(key)?;
        let p = &self.project;
        Some(Cow::Owned(generate::head(
            spec,
            p.users.len(),
            p.labels.len(),
            p.milestones.len(),
            key,
        )))
    }

    /// An entity with everything under it.
    #[must_use]
    pub fn entity(&self, key: Key) -> Option<Cow<'_, Entity>> {
        if let Some(entity) = self.kept.get(&key) {
            return Some(Cow::Borrowed(entity));
        }
        let spec = self.spec_of(key)?;
        let head = self.head(key)?.into_owned();
        let thread = generate::thread(spec, self.project.users.len(), self.project.labels.len(), &head);
        Some(Cow::Owned(Entity { head, thread }))
    }

    fn spec_of(&self, key: Key) -> Option<&GenSpec> {
        let spec = self.spec.as_ref()?;
        let there = (1..=i64::from(spec.count(key.kind))).contains(&key.iid) && !self.gone.contains(&key);
        there.then_some(spec)
    }

    // ---- what a test can do to it ----

    /// Moves the forge's clock on by `ms`.
    pub fn pass(&mut self, ms: i64) {
        self.now = UnixMs(self.now.0 + ms.max(0));
    }

    /// Changes an entity as a user would: `updated_at` is the new now.
    ///
    /// Returns whether there is such an entity.
    pub fn edit(&mut self, key: Key, change: impl FnOnce(&mut Entity, UnixMs)) -> bool {
        self.pass(1000);
        let now = self.now;
        self.edit_quietly(key, |entity| {
            entity.head.updated_at = now;
            change(entity, now);
        })
    }

    /// Changes an entity without moving its `updated_at`, as a rename of a label does.
    pub fn edit_quietly(&mut self, key: Key, change: impl FnOnce(&mut Entity)) -> bool {
        let Some(entity) = self.entity(key) else { return false };
        let mut entity = entity.into_owned();
        change(&mut entity);
        let index = match key.kind {
            EntityKind::Issue => &mut self.issues,
            EntityKind::MergeRequest => &mut self.merge_requests,
        };
        index.put(slot_of(&entity.head));
        self.kept.insert(key, entity);
        true
    }

    /// Moves `updated_at` of one entity and nothing else.
    pub fn touch(&mut self, key: Key) -> bool {
        self.edit(key, |_, _| {})
    }

    /// Moves `updated_at` of many entities to the same instant, as a bulk update does.
    pub fn touch_together(&mut self, keys: &[Key]) {
        self.pass(1000);
        let now = self.now;
        for key in keys {
            self.edit_quietly(*key, |entity| entity.head.updated_at = now);
        }
    }

    /// Writes a new title.
    pub fn retitle(&mut self, key: Key, title: &str) -> bool {
        self.edit(key, |entity, _| title.clone_into(&mut entity.head.title))
    }

    /// Puts a new issue at the end of the list.
    pub fn add_issue(&mut self, author: UserIx, title: &str, body: &str) -> Key {
        self.pass(1000);
        let key = Key::issue(self.issues.last_number() + 1);
        let head = Head {
            key,
            title: title.to_owned(),
            body: Some(body.to_owned()),
            state: ItemState::Opened,
            author,
            assignees: Vec::new(),
            labels: Vec::new(),
            milestone: None,
            secrecy: Secrecy::Public,
            discussion_locked: None,
            created_at: self.now,
            updated_at: self.now,
            closed_at: None,
            closed_by: None,
            due: None,
            issue_type: "issue",
            user_notes: 0,
            moved_to: None,
            merge: None,
        };
        self.issues.put(slot_of(&head));
        self.kept.insert(
            key,
            Entity {
                head,
                thread: Thread::default(),
            },
        );
        key
    }

    /// Says something under an entity, in a discussion of its own. Returns the note's id.
    pub fn add_note(&mut self, key: Key, author: UserIx, body: &str) -> i64 {
        let id = self.fresh_id();
        let discussion = oid(fingerprint(b"discussion"), &[u64::try_from(id).unwrap_or(0)]);
        self.edit(key, |entity, now| {
            let note = Note {
                id,
                author,
                body: body.to_owned(),
                origin: NoteOrigin::User,
                secrecy: Secrecy::Public,
                created_at: now,
                updated_at: now,
                position: None,
                resolution: Resolution::Impossible,
            };
            entity.head.user_notes += 1;
            entity.thread.discussions.push(Discussion {
                id: discussion,
                shape: DiscussionShape::Single,
                notes: vec![note],
            });
        });
        id
    }

    /// Rewrites a note.
    pub fn rewrite_note(&mut self, key: Key, note: i64, body: &str) -> bool {
        let mut found = false;
        self.edit(key, |entity, now| {
            for old in entity
                .thread
                .discussions
                .iter_mut()
                .flat_map(|d| &mut d.notes)
                .filter(|n| n.id == note)
            {
                body.clone_into(&mut old.body);
                old.updated_at = now;
                found = true;
            }
        });
        found
    }

    /// Deletes a note, and its discussion if it was the last in it.
    pub fn delete_note(&mut self, key: Key, note: i64) -> bool {
        let mut found = false;
        self.edit(key, |entity, _| {
            for discussion in &mut entity.thread.discussions {
                let before = discussion.notes.len();
                discussion.notes.retain(|old| old.id != note);
                found |= discussion.notes.len() < before;
            }
            entity
                .thread
                .discussions
                .retain(|discussion| !discussion.notes.is_empty());
            entity.head.user_notes = entity.head.user_notes.saturating_sub(1);
        });
        found
    }

    /// Deletes an entity: the forge says 404 from now on.
    pub fn delete(&mut self, key: Key) -> bool {
        if self.head(key).is_none() {
            return false;
        }
        self.pass(1000);
        match key.kind {
            EntityKind::Issue => self.issues.remove(key.iid),
            EntityKind::MergeRequest => self.merge_requests.remove(key.iid),
        }
        self.kept.remove(&key);
        self.gone.insert(key);
        true
    }

    /// Takes an entity out of every list; from now on the forge answers for it like this.
    ///
    /// Returns whether there is such an entity.
    pub fn vanish(&mut self, key: Key, absence: Absence) -> bool {
        let Some(entity) = self.entity(key).map(std::borrow::Cow::into_owned) else {
            return false;
        };
        self.delete(key);
        self.absent.insert(key, (absence, entity));
        true
    }

    /// Brings an entity back that has vanished, as it was: nothing about it says that it was away.
    pub fn reappear(&mut self, key: Key) -> bool {
        let Some((_, entity)) = self.absent.remove(&key) else {
            return false;
        };
        self.gone.remove(&key);
        let slot = slot_of(&entity.head);
        match key.kind {
            EntityKind::Issue => self.issues.put(slot),
            EntityKind::MergeRequest => self.merge_requests.put(slot),
        }
        self.kept.insert(key, entity);
        true
    }

    /// Moves an issue to another project as a user would: the issue stays, closed, and names the
    /// new one by its id.
    pub fn transfer(&mut self, iid: i64, to: i64) -> bool {
        self.edit(Key::issue(iid), |entity, now| {
            entity.head.state = ItemState::Closed;
            entity.head.closed_at = Some(now);
            entity.head.moved_to = Some(to);
        })
    }

    /// Shows or hides the whole project.
    pub fn show_as(&mut self, face: Face) {
        self.face = face;
    }

    /// Gives a label another name; the entities that carry it keep their dates.
    pub fn rename_label(&mut self, label: u32, name: &str) {
        if let Some(label) = self.project.labels.get_mut(label as usize) {
            name.clone_into(&mut label.name);
        }
    }

    /// Gives the project another path; the old one answers with a redirect.
    pub fn rename_project(&mut self, path: &str) {
        let old = std::mem::replace(&mut self.project.path, path.to_owned());
        self.project.old_paths.push(old);
    }

    /// Pushes a new state of a merge request: one commit more, the same files. Returns its tip.
    pub fn push(&mut self, iid: i64) -> Option<String> {
        let id = self.fresh_id();
        let tip = oid(fingerprint(b"push"), &[u64::try_from(id).unwrap_or(0)]);
        let mut pushed = None;
        self.edit(Key::mr(iid), |entity, now| {
            let (Some(merge), Some(last)) = (entity.head.merge.as_mut(), entity.thread.versions.last()) else {
                return;
            };
            let mut version = last.clone();
            version.id = id;
            version.created_at = now;
            version.refs.head.clone_from(&tip);
            if let Some(newest) = version.commits.first().cloned() {
                let mut commit = newest.clone();
                commit.oid.clone_from(&tip);
                commit.parents = vec![newest.oid];
                commit.committed_at = UnixMs(now.0 / 1000 * 1000);
                version.commits.insert(0, commit);
            }
            merge.refs = version.refs.clone();
            entity.thread.versions.push(version);
            pushed = Some(tip);
        });
        pushed
    }

    fn fresh_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Ids given out for what a test adds lie above every generated one.
const FIRST_NEW_ID: i64 = 1 << 40;

fn slot_of(head: &Head) -> Slot {
    Slot::new(head.key.iid, head.created_at, head.updated_at, head.state, head.secrecy)
}
