//! Reads stories: issues and merge requests in a form that is pleasant to write.
//!
//! ```text
//! @ mr 9 The title                          or: @ issue 12 The title
//! at 2024-04-04T14:05 by dev-one            then any of these, one a line:
//! state merged +7d by maintainer-one        closed or merged, counted from the beginning
//! labels bug, search · milestone 0.3 · assign a, b · review a, b · due 2024-12-20
//! branch name · closes 12, 13 · draft · locked · confidential · incident
//! file M src/a.rs +10 -3                    A added, M modified, D deleted, R a -> b renamed, X mode, B binary
//! commit The title of a commit
//! push +2d                                  what follows came with a later push
//!
//! The description, up to the first note.
//! -- dev-two +3h                            a note, counted from the one before; also: on PATH:LINE, internal
//! -> dev-one +40m resolved                  a reply to it; `resolved` settles the discussion
//! ** dev-one +1d changed the title          a line of the forge's own
//! ```

use annals_core::{EntityKind, UnixMs};
use thiserror::Error;

use super::super::calendar::{MINUTE, parse as parse_time};
use super::super::generate::{IDS_PER_ENTITY, reply};
use super::super::project::{
    Action, Commit, Discussion, DiscussionShape, Head, ItemState, Key, LabelEvent, Merge, MilestoneEvent, Note,
    NoteOrigin, Position, Project, Resolution, Secrecy, StateEvent, Thread, UserIx,
};
use super::super::rng::{fingerprint, oid};
use super::super::state::Entity;
use super::words::{Parsed, append, commit_oid, duration, file, first_version, refs};

/// A line of a story that is not in the form above.
#[derive(Debug, Error)]
#[error("read the story at {line:?}: {problem}")]
pub struct BadStory {
    line: String,
    problem: &'static str,
}

pub(super) fn parse(project: &Project, text: &str) -> Result<Vec<Entity>, BadStory> {
    let mut stories: Vec<Story<'_>> = Vec::new();
    for line in text.lines() {
        let taken = match (line.strip_prefix("@ "), stories.last_mut()) {
            (Some(title), _) => Story::begin(project, title).map(|story| stories.push(story)),
            (None, Some(story)) => story.line(line),
            (None, None) => Err("no entity yet"),
        };
        taken.map_err(|problem| BadStory {
            line: line.to_owned(),
            problem,
        })?;
    }
    Ok(stories.into_iter().map(Story::finish).collect())
}

/// Which part of an entity the next line belongs to.
enum Place {
    Facts,
    Body,
    Note,
}

pub(super) struct Story<'a> {
    pub(super) project: &'a Project,
    pub(super) head: Head,
    pub(super) thread: Thread,
    place: Place,
    pub(super) ids: i64,
    /// When the last note was written.
    pub(super) clock: UnixMs,
    pub(super) resolved: bool,
}

impl<'a> Story<'a> {
    fn begin(project: &'a Project, line: &str) -> Parsed<Self> {
        let mut words = line.splitn(3, ' ');
        let kind = words.next();
        let iid: i64 = words.next().and_then(|n| n.parse().ok()).ok_or("no number")?;
        let key = if kind == Some("mr") {
            Key::mr(iid)
        } else {
            Key::issue(iid)
        };
        let head = Head {
            key,
            title: words.next().ok_or("no title")?.to_owned(),
            body: Some(String::new()),
            state: ItemState::Opened,
            author: 0,
            assignees: Vec::new(),
            labels: Vec::new(),
            milestone: None,
            secrecy: Secrecy::Public,
            discussion_locked: None,
            created_at: UnixMs(0),
            updated_at: UnixMs(0),
            closed_at: None,
            closed_by: None,
            due: None,
            issue_type: "issue",
            user_notes: 0,
            moved_to: None,
            merge: (key.kind == EntityKind::MergeRequest).then(|| Merge {
                draft: false,
                source_branch: format!("work-{iid}"),
                target_branch: project.default_branch.clone(),
                source_project: project.id,
                reviewers: Vec::new(),
                merged_at: None,
                merged_by: None,
                merge_commit: None,
                squash_commit: None,
                refs: refs(key, 0),
            }),
        };
        let mut thread = Thread::default();
        if head.merge.is_some() {
            thread.versions.push(first_version(key));
        }
        let ids = key.number() * IDS_PER_ENTITY;
        Ok(Self {
            project,
            head,
            thread,
            place: Place::Facts,
            ids,
            clock: UnixMs(0),
            resolved: false,
        })
    }

    fn line(&mut self, line: &str) -> Parsed<()> {
        let mark = line.split_once(' ');
        match (mark, &self.place) {
            (Some(("--" | "->" | "**", _)), Place::Facts | Place::Body | Place::Note) => {
                self.settle();
                self.place = Place::Note;
                self.note(line)
            }
            (_, Place::Facts) if line.is_empty() => {
                self.place = Place::Body;
                Ok(())
            }
            (_, Place::Facts) => self.fact(line),
            (_, Place::Body) => {
                append(self.head.body.get_or_insert_with(String::new), line);
                Ok(())
            }
            (_, Place::Note) => {
                if let Some(note) = self.thread.discussions.last_mut().and_then(|d| d.notes.last_mut()) {
                    append(&mut note.body, line);
                }
                Ok(())
            }
        }
    }

    fn fact(&mut self, line: &str) -> Parsed<()> {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "at" => {
                let (when, author) = value.split_once(" by ").ok_or("at TIME by USER")?;
                self.head.created_at = parse_time(when).ok_or("not a time")?;
                self.head.author = self.user(author)?;
                self.clock = self.head.created_at;
                if let Some(first) = self.thread.versions.first_mut() {
                    first.created_at = self.head.created_at;
                }
            }
            "state" => return self.state(value),
            "labels" => return self.labels(value),
            "milestone" => return self.milestone(value),
            "assign" => self.head.assignees = self.users(value)?,
            "due" => self.head.due = Some(parse_time(value).ok_or("not a day")?),
            "confidential" => self.head.secrecy = Secrecy::Members,
            "locked" => self.head.discussion_locked = Some(true),
            "incident" => self.head.issue_type = "incident",
            _ => return self.merge_fact(name, value),
        }
        Ok(())
    }

    fn merge_fact(&mut self, name: &str, value: &str) -> Parsed<()> {
        let reviewers = if name == "review" {
            self.users(value)?
        } else {
            Vec::new()
        };
        let (key, created_at, author) = (self.head.key, self.head.created_at, self.head.author);
        let user = self.project.users.get(author as usize).ok_or("no author yet")?;
        let Some(merge) = &mut self.head.merge else {
            return Err("an issue has no such fact");
        };
        let pushes = self.thread.versions.len() as u64;
        let last = self.thread.versions.last_mut().ok_or("no version")?;
        match name {
            "review" => merge.reviewers = reviewers,
            "branch" => value.clone_into(&mut merge.source_branch),
            "draft" => merge.draft = true,
            "closes" => {
                let numbers: Result<Vec<i64>, _> = value.split(", ").map(str::parse).collect();
                self.thread.closes = numbers.map_err(|_| "not a number")?;
            }
            "file" => last.files.push(file(value)?),
            "commit" => {
                let number = last.commits.len() as u64;
                let parent = last
                    .commits
                    .first()
                    .map_or_else(|| last.refs.base.clone(), |c| c.oid.clone());
                let at = UnixMs(last.created_at.0 / 1000 * 1000 - (3 - number.min(2) as i64) * 10 * MINUTE);
                let oid = commit_oid(key, pushes, number);
                last.refs.head.clone_from(&oid);
                last.commits.insert(
                    0,
                    Commit {
                        oid,
                        title: value.to_owned(),
                        message: format!("{value}\n"),
                        author_name: user.name.clone(),
                        author_email: format!("{}@forge.example", user.username),
                        authored_at: at,
                        committed_at: at,
                        offset_minutes: 60,
                        parents: vec![parent],
                    },
                );
            }
            "push" => {
                let mut next = last.clone();
                next.created_at = UnixMs(created_at.0 + duration(value)?);
                next.id += 1;
                self.thread.versions.push(next);
            }
            _ => return Err("unknown fact"),
        }
        Ok(())
    }

    fn state(&mut self, value: &str) -> Parsed<()> {
        let mut words = value.split(' ');
        let word = words.next().unwrap_or_default();
        let at = UnixMs(self.head.created_at.0 + words.next().map(duration).ok_or("no time")??);
        let user = self.user(words.nth(1).ok_or("by nobody")?)?;
        let state = match (word, &mut self.head.merge) {
            ("closed", _) => {
                self.head.state = ItemState::Closed;
                (self.head.closed_at, self.head.closed_by) = (Some(at), Some(user));
                "closed"
            }
            ("merged", Some(merge)) => {
                self.head.state = ItemState::Merged;
                (merge.merged_at, merge.merged_by) = (Some(at), Some(user));
                merge.merge_commit = Some(commit_oid(self.head.key, 99, 0));
                "merged"
            }
            _ => return Err("not a state of this"),
        };
        let id = self.id();
        self.thread.states.push(StateEvent { id, user, at, state });
        Ok(())
    }

    fn labels(&mut self, value: &str) -> Parsed<()> {
        for name in value.split(", ") {
            let found = self
                .project
                .labels
                .iter()
                .position(|label| label.name == name)
                .ok_or("no such label")?;
            let label = u32::try_from(found).map_err(|_| "too many labels")?;
            self.head.labels.push(label);
            let (id, at) = (self.id(), self.soon());
            self.thread.labels.push(LabelEvent {
                id,
                user: self.head.author,
                at,
                label,
                action: Action::Add,
            });
        }
        Ok(())
    }

    fn milestone(&mut self, value: &str) -> Parsed<()> {
        let found = self
            .project
            .milestones
            .iter()
            .position(|m| m.title == value)
            .ok_or("no such milestone")?;
        let milestone = u32::try_from(found).map_err(|_| "too many milestones")?;
        self.head.milestone = Some(milestone);
        let (id, at) = (self.id(), self.soon());
        self.thread.milestones.push(MilestoneEvent {
            id,
            user: self.head.author,
            at,
            milestone,
            action: Action::Add,
        });
        Ok(())
    }

    fn note(&mut self, line: &str) -> Parsed<()> {
        let mut words = line.splitn(4, ' ');
        let (mark, who) = (words.next().unwrap_or_default(), words.next().ok_or("by nobody")?);
        let author = self.user(who)?;
        self.clock = UnixMs(self.clock.0 + duration(words.next().ok_or("no time")?)?);
        let rest = words.next().unwrap_or_default();
        let system = mark == "**";
        let id = self.id();
        let mut note = Note {
            id,
            author,
            body: if system { rest.to_owned() } else { String::new() },
            origin: if system { NoteOrigin::System } else { NoteOrigin::User },
            secrecy: Secrecy::Public,
            created_at: self.clock,
            updated_at: self.clock,
            position: None,
            resolution: Resolution::Impossible,
        };
        self.head.user_notes += u32::from(!system);
        self.resolved = rest == "resolved";
        if mark == "->" {
            let talk = self.thread.discussions.last_mut().ok_or("a reply to nothing")?;
            if self.head.merge.is_some() {
                // Every thread of a merge request can be resolved.
                talk.notes
                    .iter_mut()
                    .for_each(|note| note.resolution = Resolution::Open);
            }
            reply(talk, note);
            return Ok(());
        }
        if rest == "internal" {
            note.secrecy = Secrecy::Members;
        }
        if let Some(place) = rest.strip_prefix("on ") {
            note.position = Some(self.position(place)?);
            note.resolution = Resolution::Open;
        }
        let shape = if note.position.is_some() {
            DiscussionShape::Thread
        } else {
            DiscussionShape::Single
        };
        let id = oid(fingerprint(b"discussion"), &[u64::try_from(id).unwrap_or(0)]);
        self.thread.discussions.push(Discussion {
            id,
            shape,
            notes: vec![note],
        });
        Ok(())
    }

    fn position(&self, place: &str) -> Parsed<Position> {
        let (path, line) = place.rsplit_once(':').ok_or("on PATH:LINE")?;
        let line = line.parse().map_err(|_| "not a line")?;
        // A note stands on the newest push before it.
        let version = self
            .thread
            .versions
            .iter()
            .rev()
            .find(|v| v.created_at <= self.clock)
            .ok_or("nothing pushed")?;
        let file = version
            .files
            .iter()
            .find(|file| file.new_path == path)
            .ok_or("no such file in this push")?;
        Ok(Position {
            refs: version.refs.clone(),
            old_path: file.old_path.clone(),
            new_path: file.new_path.clone(),
            old_line: None,
            new_line: Some(line),
            first_line: None,
        })
    }

    pub(super) fn id(&mut self) -> i64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn soon(&self) -> UnixMs {
        UnixMs(self.head.created_at.0 + MINUTE)
    }

    fn user(&self, name: &str) -> Parsed<UserIx> {
        let matches = |known: &str| known == name || (name == "release-bot" && known.contains("_bot_"));
        let found = self
            .project
            .users
            .iter()
            .position(|user| matches(&user.username))
            .ok_or("no such user")?;
        u32::try_from(found).map_err(|_| "too many users")
    }

    fn users(&self, names: &str) -> Parsed<Vec<UserIx>> {
        names.split(", ").map(|name| self.user(name)).collect()
    }
}
