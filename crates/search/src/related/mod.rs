//! What an issue or merge request has to do with others, and why.
//!
//! Four kinds of evidence are gathered, each a ranked list of entities: texts that are alike, files that both change,
//! references from one to the other, labels that hardly anything else wears. The lists are put together by rank, so that
//! none of them needs to be comparable with another; an entity that several speak for comes first, and each says why it is
//! there. `references` and `evidence` gather, [`related`] puts together and shows.

mod evidence;
mod references;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use annals_core::fusion::reciprocal_ranks;
use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use annals_db::ids::EntityId;
use annals_db::read::{self, Visibility};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::index::round;
use crate::reference::qualify;
use crate::vector::VectorIndex;

/// An entity that has to do with another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Related {
    /// What to `show`: `group/app#12`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its title.
    pub title: String,
    /// How much speaks for it.
    pub score: f64,
    /// What does, the strongest first.
    pub why: Vec<Why>,
    /// When it last changed.
    #[serde(skip)]
    pub updated_at: Option<UnixMs>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Its kind.
    pub kind: Evidence,
    /// In words.
    pub detail: String,
}

/// Kinds of reasons, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// One of them names the other.
    Reference,
    /// Both change the same files.
    Paths,
    /// Their texts are alike.
    Text,
    /// Both have a label that few have.
    Label,
}

/// The entity that others are related to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its row.
    pub id: EntityId,
    /// The row of its project.
    pub project: ProjectId,
    /// Its number.
    pub iid: Iid,
}

/// A candidate with the reason of one kind of evidence.
type Found = (EntityId, String);

/// At most `limit` entities that have to do with `subject`, those with the most reasons first. It is not among them itself,
/// and neither is what the reader may not see or the forge no longer has.
///
/// # Errors
/// A failure of the file.
pub fn related(
    conn: &Connection,
    vectors: &dyn VectorIndex,
    visibility: &Visibility,
    subject: Subject,
    limit: usize,
) -> Result<Vec<Related>, annals_db::Error> {
    let lists = [
        (Evidence::Reference, references::references(conn, visibility, subject)?),
        (Evidence::Paths, evidence::paths(conn, subject)?),
        (Evidence::Text, evidence::texts(conn, vectors, visibility, subject)?),
        (Evidence::Label, evidence::labels(conn, subject)?),
    ];
    let mut candidates = Candidates {
        conn,
        visibility,
        known: BTreeMap::new(),
    };
    let mut seen: Vec<(Evidence, Vec<Found>)> = Vec::new();
    for (kind, list) in lists {
        let mut kept = Vec::new();
        for found in list {
            // What is not shown takes no rank either: otherwise ranks would tell of it.
            if found.0 != subject.id && candidates.show(found.0)? {
                kept.push(found);
            }
        }
        seen.push((kind, kept));
    }
    let ids = seen
        .iter()
        .map(|(_, list)| list.iter().map(|(id, _)| key(*id)).collect::<Vec<_>>());
    let scores = reciprocal_ranks(ids);
    let mut why: BTreeMap<Key, Vec<Why>> = BTreeMap::new();
    for (kind, list) in seen {
        for (id, detail) in list {
            why.entry(key(id)).or_default().push(Why { kind, detail });
        }
    }
    let mut items: Vec<Related> = Vec::new();
    for (id, item) in candidates.known {
        let (Some(item), Some(score)) = (item, scores.get(&id)) else {
            continue;
        };
        items.push(Related {
            score: round(*score),
            why: why.remove(&id).unwrap_or_default(),
            ..item
        });
    }
    items.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| Reverse(a.updated_at).cmp(&Reverse(b.updated_at)))
            .then_with(|| a.reference.cmp(&b.reference))
    });
    items.truncate(limit);
    Ok(items)
}

type Key = (EntityKind, i64);

const fn key(id: EntityId) -> Key {
    (id.kind, id.row)
}

/// What is shown of candidates, each looked at once.
struct Candidates<'c> {
    conn: &'c Connection,
    visibility: &'c Visibility,
    known: BTreeMap<Key, Option<Related>>,
}

impl Candidates<'_> {
    fn show(&mut self, id: EntityId) -> Result<bool, annals_db::Error> {
        if let Some(known) = self.known.get(&key(id)) {
            return Ok(known.is_some());
        }
        let item = self.look(id)?;
        let shown = item.is_some();
        self.known.insert(key(id), item);
        Ok(shown)
    }

    fn look(&self, id: EntityId) -> Result<Option<Related>, annals_db::Error> {
        let sql = match id.kind {
            EntityKind::Issue => "SELECT project_id, iid FROM issues WHERE id = ?1 AND gone_at IS NULL",
            EntityKind::MergeRequest => "SELECT project_id, iid FROM merge_requests WHERE id = ?1 AND gone_at IS NULL",
        };
        let place: Option<(i64, i64)> = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![id.row], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((project, iid)) = place else { return Ok(None) };
        let found = read::entity(self.conn, self.visibility, id.kind, ProjectId(project), Iid(iid))?;
        let Some(mut entity) = found else { return Ok(None) };
        qualify(self.conn, std::slice::from_mut(&mut entity.item))?;
        Ok(Some(Related {
            reference: entity.item.reference,
            title: entity.item.title,
            score: 0.0,
            why: Vec::new(),
            updated_at: entity.item.updated_at,
        }))
    }
}
