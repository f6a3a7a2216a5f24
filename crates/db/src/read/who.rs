//! Who knows about something: people ranked by what they did to it, and how long ago.

use std::collections::BTreeMap;

use annals_core::files::ChainBounds;
use annals_core::{EntityKind, ProjectId, UnixMs};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::clause::json_list;
use super::file_history::{Scope, chain, touched};
use super::moment::{Moment, holds};
use super::{Certainty, Part, Visibility, as_of, json};
use crate::Error;
use crate::content::blob::Unpack;
use crate::ids::{EntityId, SubjectKind, kind_at};
use crate::text::fold;

/// After so long what somebody did counts half.
const HALF_LIFE_DAYS: f64 = 180.0;

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Merged a merge request.
    Merged,
    /// Reviewed one.
    Reviewed,
    /// Wrote on a line of a diff.
    DiffNote,
    /// Wrote an issue or merge request.
    Authored,
    /// Wrote a remark.
    Comment,
}

impl Deed {
    const ALL: [Self; 5] = [
        Self::Merged,
        Self::Reviewed,
        Self::DiffNote,
        Self::Authored,
        Self::Comment,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Reviewed => "reviewed",
            Self::DiffNote => "diff_note",
            Self::Authored => "authored",
            Self::Comment => "comment",
        }
    }

    /// What it counts when it is new.
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::Merged => 3.0,
            Self::Reviewed | Self::DiffNote | Self::Authored => 2.0,
            Self::Comment => 1.0,
        }
    }

    fn at(row: &Row<'_>, index: usize) -> rusqlite::Result<Self> {
        let word: String = row.get(index)?;
        Self::ALL
            .into_iter()
            .find(|deed| deed.as_str() == word)
            .ok_or(rusqlite::Error::InvalidQuery)
    }
}

impl Serialize for Deed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What people may know about.
#[derive(Debug, Clone)]
pub enum Matter {
    /// A file, across its renames: the merge requests that touch it and the notes on its lines.
    File {
        /// Its project.
        project: ProjectId,
        /// Its path.
        path: String,
    },
    /// Issues and merge requests.
    Entities(Vec<EntityId>),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct WhoQuery {
    /// About what.
    pub matter: Matter,
    /// Only what was done at or after.
    pub after: Option<UnixMs>,
    /// How many people.
    pub limit: usize,
    /// Whether every single thing they did is wanted.
    pub evidence: Part,
    /// What ages are counted back from.
    pub now: UnixMs,
    /// When, if not now.
    pub as_of: Option<UnixMs>,
}

/// People, the likeliest to know first.
#[derive(Debug, Clone, PartialEq)]
pub struct Who {
    /// As many as were asked for.
    pub people: Vec<Person>,
    /// How many there are in all.
    pub total: u64,
    /// How many of the issues and merge requests nobody had seen yet at the time that is asked about; none of now.
    pub derived: u64,
}

/// Somebody who knows about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Person {
    /// The name of the account.
    pub user: String,
    /// The name of its forge.
    pub forge: String,
    /// How much they did and how lately.
    pub score: f64,
    /// Of what that is made.
    pub reasons: Vec<Reason>,
    /// Every single thing, the weightiest first, if it was wanted.
    pub evidence: Option<Vec<Evidence>>,
}

/// All that somebody did of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// What.
    pub reason: Deed,
    /// How often.
    pub count: u64,
    /// What that adds to the score.
    pub score: f64,
    /// When last.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub last_at: Option<UnixMs>,
}

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// What.
    pub reason: Deed,
    /// To what: `group/project!7`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// When.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub at: Option<UnixMs>,
    /// What it adds to the score.
    pub score: f64,
    /// The project of `reference`.
    #[serde(skip)]
    pub project_id: ProjectId,
}

/// Ranks people. Bots and deleted accounts are left out.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn who(conn: &Connection, visibility: &Visibility, query: &WhoQuery) -> Result<Who, Error> {
    let at = Moment::of(query.as_of);
    let highest = visibility.highest_flag();
    let (mut mrs, mut issues, lines) = match &query.matter {
        Matter::File { project, .. } if !visibility.shows(*project) => return Ok(NOBODY),
        Matter::File { project, path } => {
            let scope = Scope {
                project: *project,
                at,
                highest,
            };
            let names = json_list(&chain(conn, &scope, path, ChainBounds::default())?.paths);
            let mrs = ids(
                conn,
                &touched("c.mr_id", "mr_file_changes", &holds("c", "?3")),
                &scope,
                &names,
            )?;
            let notes = ids(
                conn,
                &touched("c.note_id", "diff_note_positions", "?3 IS NOT NULL"),
                &scope,
                &names,
            )?;
            (mrs, Vec::new(), Some(notes))
        }
        Matter::Entities(entities) => {
            let of = |kind| {
                let of_kind = entities.iter().filter(|entity| entity.kind == kind);
                of_kind.map(|entity| entity.row).collect::<Vec<_>>()
            };
            (of(EntityKind::MergeRequest), of(EntityKind::Issue), None)
        }
    };
    let then = match query.as_of {
        None => None,
        Some(at) => Some(Then::of(conn, highest, at, &mut mrs, &mut issues)?),
    };
    let looked_at = (mrs.as_slice(), issues.as_slice(), lines.as_deref());
    let facts = facts(conn, visibility, at, looked_at, then.as_ref(), query.after)?;
    Ok(Who {
        derived: then.map_or(0, |then| then.derived),
        ..rank(facts, query)
    })
}

/// What no column remembers of issues and merge requests.
#[derive(Default)]
struct Then {
    derived: u64,
    reviews: Vec<Review>,
}

/// The row of a merge request, the folded name of its reviewer, what they had said, and when it had last changed.
type Review = (i64, String, Option<String>, Option<i64>);

impl Then {
    /// Asks what they were, and leaves out those that were not there or not for this caller.
    fn of(
        conn: &Connection,
        highest: i64,
        at: UnixMs,
        mrs: &mut Vec<i64>,
        issues: &mut Vec<i64>,
    ) -> Result<Self, Error> {
        let (mut then, mut unpack) = (Self::default(), Unpack::default());
        for (kind, rows) in [(EntityKind::MergeRequest, mrs), (EntityKind::Issue, issues)] {
            let mut there = Vec::new();
            for row in rows.iter().copied() {
                let Some(was) = as_of::by_row(conn, EntityId { kind, row }, at, highest, &mut unpack)? else {
                    continue;
                };
                there.push(row);
                then.derived += u64::from(was.item.certainty == Some(Certainty::Derived));
                let changed = was.item.updated_at.map(|at| at.0);
                let reviewers = was.merge_request.into_iter().flat_map(|part| part.reviewers);
                then.reviews
                    .extend(reviewers.map(|reviewer| (row, fold(&reviewer.user), reviewer.state, changed)));
            }
            *rows = there;
        }
        Ok(then)
    }
}

const NOBODY: Who = Who {
    people: Vec::new(),
    total: 0,
    derived: 0,
};

fn ids(conn: &Connection, sql: &str, scope: &Scope, names: &Value) -> Result<Vec<i64>, Error> {
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map(params![scope.project.0, names, scope.at], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One thing that somebody did, as it is read.
struct Fact {
    /// The row of the account, its name and its forge.
    user: (i64, String, String),
    deed: Deed,
    at: Option<UnixMs>,
    kind: EntityKind,
    path: String,
    project: ProjectId,
    iid: i64,
}

/// What was done to the merge requests `?1` and issues `?2`, at the moment `?3`, by accounts of people. Where the
/// notes on lines are named, in `?6`, no other such notes count.
fn facts(
    conn: &Connection,
    visibility: &Visibility,
    at: Moment,
    (mrs, issues, lines): (&[i64], &[i64], Option<&[i64]>),
    then: Option<&Then>,
    after: Option<UnixMs>,
) -> Result<Vec<Fact>, Error> {
    let mr = |what: &str, from: &str, condition: &str| {
        format!(
            "SELECT {what}, 'merge_request' AS kind, m.iid, m.project_id
               FROM json_each(?1) t CROSS JOIN merge_requests m ON m.id = t.value {from}
              WHERE m.confidential <= ?4 AND {} AND {condition}",
            at.there(SubjectKind::MergeRequest, "m", "?3")
        )
    };
    let issue = |what: &str, from: &str, condition: &str| {
        format!(
            "SELECT {what}, 'issue', i.iid, i.project_id
               FROM json_each(?2) t CROSS JOIN issues i ON i.id = t.value {from}
              WHERE i.confidential <= ?4 AND {} AND {condition}",
            at.there(SubjectKind::Issue, "i", "?3")
        )
    };
    let noted = "n.author_id, iif(n.kind = 'diff_note', 'diff_note', 'comment'), n.created_at";
    let said = format!(
        "n.system = 0 AND n.internal <= ?4 AND {} AND {}",
        at.there(SubjectKind::Note, "n", "?3"),
        at.there(SubjectKind::Discussion, "d", "?3")
    );
    let note = format!("{said} AND (?6 IS NULL OR n.kind <> 'diff_note' OR n.id IN (SELECT value FROM json_each(?6)))");
    // To be asked for a review is not to have done one.
    let reviewed = format!(
        "l.user_id <> m.author_id AND (l.state IN ('approved', 'reviewed', 'requested_changes')
         OR EXISTS (SELECT 1 FROM discussions d JOIN notes n ON n.discussion_id = d.id
                     WHERE d.mr_id = m.id AND n.author_id = l.user_id AND {said}))"
    );
    // Who reviewed at a time that has passed is in no row: the names of then are those of accounts.
    let reviewers = match then {
        None => "SELECT mr_id, user_id, state, NULL AS at FROM mr_reviewers WHERE ?8 IS NULL",
        Some(_) => {
            "SELECT m.id AS mr_id, u.id AS user_id, t.value ->> 2 AS state, t.value ->> 3 AS at
               FROM json_each(?8) t JOIN merge_requests m ON m.id = t.value ->> 0
               JOIN projects p ON p.id = m.project_id
               JOIN users u ON u.forge_id = p.forge_id AND u.username_folded = t.value ->> 1"
        }
    };
    let parts = [
        mr(
            "m.merged_by_id AS user_id, 'merged' AS deed, m.merged_at AS at",
            "",
            "m.merged_by_id IS NOT NULL",
        ),
        mr(
            "l.user_id, 'reviewed', coalesce(iif(m.merged_at <= ?3, m.merged_at, NULL), l.at, min(m.updated_at, ?3))",
            "JOIN reviewers l ON l.mr_id = m.id",
            &reviewed,
        ),
        mr("m.author_id, 'authored', m.created_at", "", "1"),
        mr(
            noted,
            "JOIN discussions d ON d.mr_id = m.id JOIN notes n ON n.discussion_id = d.id",
            &note,
        ),
        issue("i.author_id, 'authored', i.created_at", "", "1"),
        issue(
            noted,
            "JOIN discussions d ON d.issue_id = i.id JOIN notes n ON n.discussion_id = d.id",
            &note,
        ),
    ];
    let sql = format!(
        "WITH reviewers AS ({reviewers})
         SELECT v.user_id, u.username, f.name, v.deed, v.at, v.kind, p.path, v.project_id, v.iid
           FROM ({}) v JOIN users u ON u.id = v.user_id JOIN forges f ON f.id = u.forge_id
           JOIN projects p ON p.id = v.project_id
          WHERE u.kind NOT IN ('bot', 'ghost') AND coalesce(v.at, 0) <= ?3 AND (?5 IS NULL OR v.at >= ?5)
            AND (?7 IS NULL OR v.project_id IN (SELECT value FROM json_each(?7)))
          ORDER BY v.at DESC, v.kind, v.project_id, v.iid, v.deed",
        parts.join(" UNION ALL ")
    );
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(
        params![
            json_list(mrs),
            json_list(issues),
            at,
            visibility.highest_flag(),
            after.map(|after| after.0),
            lines.map(json_list),
            visibility.project_ids(),
            then.map(|then| json_list(&then.reviews)),
        ],
        |row| {
            Ok(Fact {
                user: (row.get(0)?, row.get(1)?, row.get(2)?),
                deed: Deed::at(row, 3)?,
                at: json::time(row, 4)?,
                kind: kind_at(row, 5)?,
                path: row.get(6)?,
                project: ProjectId(row.get(7)?),
                iid: row.get(8)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// From what was done to who did most of it.
fn rank(facts: Vec<Fact>, query: &WhoQuery) -> Who {
    let now = query.as_of.unwrap_or(query.now);
    let mut people: BTreeMap<i64, Person> = BTreeMap::new();
    for fact in facts {
        let score = worth(fact.deed, fact.at, now);
        let (row, user, forge) = fact.user;
        let person = people.entry(row).or_insert_with(|| Person {
            user,
            forge,
            score: 0.0,
            reasons: Vec::new(),
            evidence: (query.evidence == Part::Included).then(Vec::new),
        });
        person.score += score;
        let known = person.reasons.iter_mut().find(|reason| reason.reason == fact.deed);
        match known {
            Some(reason) => {
                reason.count += 1;
                reason.score += score;
                reason.last_at = reason.last_at.max(fact.at);
            }
            None => person.reasons.push(Reason {
                reason: fact.deed,
                count: 1,
                score,
                last_at: fact.at,
            }),
        }
        if let Some(evidence) = &mut person.evidence {
            evidence.push(Evidence {
                reason: fact.deed,
                reference: format!("{}{}{}", fact.path, fact.kind.sigil(), fact.iid),
                at: fact.at,
                score: rounded(score),
                project_id: fact.project,
            });
        }
    }
    let total = people.len() as u64;
    let mut people: Vec<Person> = people.into_values().map(tidy).collect();
    people.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| (&a.user, &a.forge).cmp(&(&b.user, &b.forge)))
    });
    people.truncate(query.limit);
    Who {
        people,
        total,
        derived: 0,
    }
}

/// What a deed of that time is worth now. One without a time is older than all others.
fn worth(deed: Deed, at: Option<UnixMs>, now: UnixMs) -> f64 {
    let age = now.since(at.unwrap_or(UnixMs(0)));
    let days = age.as_secs_f64() / 86_400.0;
    deed.weight() * (-days / HALF_LIFE_DAYS).exp2()
}

fn tidy(mut person: Person) -> Person {
    person.score = rounded(person.score);
    person
        .reasons
        .sort_by(|a, b| b.score.total_cmp(&a.score).then(a.reason.cmp(&b.reason)));
    for reason in &mut person.reasons {
        reason.score = rounded(reason.score);
    }
    if let Some(evidence) = &mut person.evidence {
        evidence.sort_by(|a, b| b.score.total_cmp(&a.score));
    }
    person
}

/// To thousandths: what lies behind them says nothing about a person.
fn rounded(score: f64) -> f64 {
    (score * 1000.0).round() / 1000.0
}

#[cfg(test)]
#[path = "who_tests.rs"]
mod tests;
