//! A plausible project of any size from a seed.
//!
//! Nothing is stored: the head and the thread of any entity are functions of the seed and its
//! key, so a project of 100,000 entities costs a few numbers each. What only the list needs
//! ([`Frame`]) is cheaper still.
//!
//! [`GenSpec`] says what to make; [`project`] draws the people, labels and milestones, [`frame`]
//! the dates and state of one entity, [`head::head`] its row, [`thread::thread`] what hangs under it.

mod head;
mod pushes;
mod thread;
mod words;

pub use head::head;
pub(in crate::forge) use pushes::cut_by_the_forge;
pub use thread::thread;
pub(in crate::forge) use thread::{IDS_PER_ENTITY, reply};
pub(in crate::forge) use words::code_line;

use annals_core::{EntityKind, UnixMs};

use super::calendar::{DAY, HOUR, MINUTE, date};
use super::project::{ItemState, Key, Label, Milestone, MilestoneState, Project, Secrecy, User, UserKind};
use super::rng::Rng;

/// What to generate. Two equal specifications give the same project, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenSpec {
    /// Where every draw begins.
    pub seed: u64,
    /// How many issues.
    pub issues: u32,
    /// How many merge requests.
    pub merge_requests: u32,
    /// `group/project`.
    pub path: String,
    /// The forge's id of the project.
    pub project_id: i64,
    /// What links in payloads begin with.
    pub external_url: String,
    /// The project's first day.
    pub start: UnixMs,
    /// How long it has been going; nothing is dated later.
    pub span_ms: i64,
}

impl GenSpec {
    /// A project of 60 issues and 40 merge requests; change the fields for another.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            issues: 60,
            merge_requests: 40,
            path: "annals-sample/generated".to_owned(),
            project_id: 4_200_017,
            external_url: "https://forge.example".to_owned(),
            start: date(2020, 1, 6),
            span_ms: 3 * 365 * DAY,
        }
    }

    /// The same with that many issues and merge requests.
    #[must_use]
    pub fn sized(mut self, issues: u32, merge_requests: u32) -> Self {
        self.issues = issues;
        self.merge_requests = merge_requests;
        self
    }

    /// How many entities of a kind there are.
    #[must_use]
    pub const fn count(&self, kind: EntityKind) -> u32 {
        match kind {
            EntityKind::Issue => self.issues,
            EntityKind::MergeRequest => self.merge_requests,
        }
    }

    /// The last instant anything is dated.
    #[must_use]
    pub const fn end(&self) -> UnixMs {
        UnixMs(self.start.0 + self.span_ms)
    }

    fn stream(&self, key: Key, purpose: u64) -> Rng {
        Rng::keyed(self.seed, &[u64::try_from(key.number()).unwrap_or(0), purpose])
    }

    fn entities(&self) -> u64 {
        u64::from(self.issues) + u64::from(self.merge_requests)
    }
}

/// What a list needs to place an entity: dates, state, and who may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// When it was created; grows with the number.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
    /// Its state.
    pub state: ItemState,
    /// Who may see it.
    pub secrecy: Secrecy,
}

/// The frame of one entity.
#[must_use]
pub fn frame(spec: &GenSpec, key: Key) -> Frame {
    let mut rng = spec.stream(key, 1);
    let step = (spec.span_ms / 10 * 9 / i64::from(spec.count(key.kind).max(1))).max(1);
    let created = spec.start.0 + (key.iid - 1) * step + rng.within(0, step - 1);
    let last = (spec.end().0 - 1).max(created);
    let life = if rng.permille(80) {
        0
    } else {
        // Lives double in length from ten minutes to about two months.
        ((10 * MINUTE) << rng.below(13)) * rng.within(500, 1500) / 1000
    };
    let mut updated = (created + life).min(last);
    if rng.permille(30) {
        // The weekly triage touches many entities in one statement: equal times, to the millisecond.
        let week = 7 * DAY;
        let triage = (updated - spec.start.0).div_euclid(week) * week + week + spec.start.0 + 7 * HOUR;
        if triage <= last {
            updated = triage;
        }
    }
    let state = match (key.kind, rng.below(100)) {
        (EntityKind::Issue, 0..=59) | (EntityKind::MergeRequest, 0..=11) => ItemState::Closed,
        (EntityKind::MergeRequest, 12..=79) => ItemState::Merged,
        (EntityKind::MergeRequest, 80) => ItemState::Locked,
        _ => ItemState::Opened,
    };
    let hidden = key.kind == EntityKind::Issue && rng.permille(20);
    let secrecy = if hidden { Secrecy::Members } else { Secrecy::Public };
    Frame {
        created_at: UnixMs(created),
        updated_at: UnixMs(updated),
        state,
        secrecy,
    }
}

/// The project itself with its people, labels and milestones.
#[must_use]
pub fn project(spec: &GenSpec) -> Project {
    let mut rng = Rng::keyed(spec.seed, &[u64::MAX]);
    Project {
        id: spec.project_id,
        path: spec.path.clone(),
        name: words::upper_first(spec.path.rsplit('/').next().unwrap_or("project")),
        description: format!("A generated project. {}", words::sentence(&mut rng)),
        default_branch: "main".to_owned(),
        created_at: UnixMs(spec.start.0 - DAY),
        external_url: spec.external_url.clone(),
        users: users(spec),
        labels: labels(spec, &mut rng),
        milestones: milestones(spec),
        old_paths: Vec::new(),
    }
}

fn users(spec: &GenSpec) -> Vec<User> {
    const ROLES: [&str; 4] = ["Developer", "Reviewer", "Operator", "Writer"];
    let count = i64::try_from((12 + spec.entities() / 200).min(1500)).unwrap_or(12);
    (0..count)
        .map(|number| {
            // The first two are not people: what used to be one, and a token's account.
            let (username, name, kind) = match number {
                0 => ("ghost".to_owned(), "Ghost User".to_owned(), UserKind::Ghost),
                1 => (
                    format!("project_{}_bot_6f1d", spec.project_id),
                    "Release Bot".to_owned(),
                    UserKind::Bot,
                ),
                _ => {
                    let role = ROLES[usize::try_from(number).unwrap_or(0) % ROLES.len()];
                    let accent = if number % 11 == 5 { " É" } else { "" };
                    (
                        format!("{}-{number}", role.to_lowercase()),
                        format!("{role} {number}{accent}"),
                        UserKind::Human,
                    )
                }
            };
            User {
                id: 700 + number * 3,
                username,
                name,
                kind,
            }
        })
        .collect()
}

fn labels(spec: &GenSpec, rng: &mut Rng) -> Vec<Label> {
    const NAMES: [&str; 14] = [
        "bug",
        "feature",
        "documentation",
        "performance",
        "security",
        "regression",
        "good first issue",
        "priority::high",
        "priority::low",
        "workflow::ready",
        "workflow::in review",
        "größe",
        "検索",
        "needs info",
    ];
    let count = NAMES.len() + usize::try_from(spec.entities() / 4000).unwrap_or(0).min(60);
    (0..count)
        .map(|number| Label {
            id: 5_000 + number as i64,
            name: NAMES
                .get(number)
                .map_or_else(|| format!("area::{number}"), |name| (*name).to_owned()),
            color: format!("#{:06x}", rng.below(0x100_0000)),
            description: (number % 3 != 0).then(|| words::sentence(rng).to_owned()),
        })
        .collect()
}

fn milestones(spec: &GenSpec) -> Vec<Milestone> {
    let count = i64::try_from(4 + (spec.entities() / 2000).min(40)).unwrap_or(4);
    let length = spec.span_ms / count;
    (0..count)
        .map(|number| {
            let first = spec.start.0 + number * length;
            Milestone {
                id: 300 + number * 2,
                iid: number + 1,
                title: format!("0.{}", number + 1),
                description: if number % 2 == 0 {
                    String::new()
                } else {
                    format!("Release 0.{}.", number + 1)
                },
                state: if number + 1 < count {
                    MilestoneState::Closed
                } else {
                    MilestoneState::Active
                },
                start: (number % 3 != 1).then_some(UnixMs(first.div_euclid(DAY) * DAY)),
                due: Some(UnixMs((first + length).div_euclid(DAY) * DAY)),
                created_at: UnixMs(first),
                updated_at: UnixMs(first + HOUR),
            }
        })
        .collect()
}
