//! Evidence. Each kind is a list of entities, the best first and without one twice, with the reason in words. References
//! have a file of their own.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::EntityKind;
use annals_db::ids::{EntityId, SourceKind};
use annals_db::read::Visibility;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Found, Key, Subject, key};
use crate::index::Scope;
use crate::query::Query;
use crate::vector::{Ask, EmbeddingSet, VectorIndex, of_document};

/// How many entities one kind of evidence may name.
pub(super) const MOST: usize = 50;

/// A file that more merge requests change than this, or a label that more wear, says nothing about any two of them.
const RARE: usize = 50;

/// How many of a merge request's files are looked at.
const PATHS: usize = 500;

/// How many paths and labels a reason names.
const NAMED: usize = 3;

/// Merge requests that change the same files, those with the most and the rarest first.
pub(super) fn paths(conn: &Connection, subject: Subject) -> Result<Vec<Found>, annals_db::Error> {
    if subject.id.kind != EntityKind::MergeRequest {
        return Ok(Vec::new());
    }
    let mut own = conn.prepare_cached(
        "SELECT new_path FROM mr_file_changes WHERE mr_id = ?1 AND to_at IS NULL
         UNION SELECT old_path FROM mr_file_changes WHERE mr_id = ?1 AND to_at IS NULL ORDER BY 1 LIMIT ?2",
    )?;
    let own: Vec<String> = own
        .query_map(params![subject.id.row, PATHS], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut others = conn.prepare_cached(
        "SELECT mr_id FROM mr_file_changes WHERE project_id = ?1 AND new_path = ?2 AND to_at IS NULL AND mr_id <> ?3
         UNION SELECT mr_id FROM mr_file_changes
                WHERE project_id = ?1 AND old_path = ?2 AND to_at IS NULL AND mr_id <> ?3 LIMIT ?4",
    )?;
    let mut shared = Shared::default();
    for path in own {
        let found: Vec<i64> = others
            .query_map(params![subject.project.0, path, subject.id.row, RARE + 1], |row| {
                row.get(0)
            })?
            .collect::<Result<_, _>>()?;
        if found.len() <= RARE {
            let ids: Vec<Key> = found.into_iter().map(|mr| (EntityKind::MergeRequest, mr)).collect();
            shared.add(&path, &ids);
        }
    }
    Ok(shared.list("changes ", "file"))
}

/// Entities with the same labels, those with the rarest first.
pub(super) fn labels(conn: &Connection, subject: Subject) -> Result<Vec<Found>, annals_db::Error> {
    let sql = match subject.id.kind {
        EntityKind::Issue => {
            "SELECT l.id, l.name FROM issue_labels k JOIN labels l ON l.id = k.label_id WHERE k.issue_id = ?1 ORDER BY l.name, l.id"
        }
        EntityKind::MergeRequest => {
            "SELECT l.id, l.name FROM mr_labels k JOIN labels l ON l.id = k.label_id WHERE k.mr_id = ?1 ORDER BY l.name, l.id"
        }
    };
    let own: Vec<(i64, String)> = conn
        .prepare_cached(sql)?
        .query_map(params![subject.id.row], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut wearers = conn.prepare_cached(
        "SELECT 'issue', issue_id FROM issue_labels WHERE label_id = ?1
         UNION ALL SELECT 'merge_request', mr_id FROM mr_labels WHERE label_id = ?1 LIMIT ?2",
    )?;
    let mut shared = Shared::default();
    for (label, name) in own {
        let found: Vec<Key> = wearers
            .query_map(params![label, RARE + 2], |row| {
                let kind: String = row.get(0)?;
                let kind = if kind == "issue" {
                    EntityKind::Issue
                } else {
                    EntityKind::MergeRequest
                };
                Ok((kind, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        // One of them is the subject.
        if found.len() <= RARE + 1 {
            let others: Vec<Key> = found.into_iter().filter(|id| *id != key(subject.id)).collect();
            shared.add(&name, &others);
        }
    }
    Ok(shared.list("has the rare label ", "label"))
}

/// What others share with the subject: each thing counts the more the fewer share it.
#[derive(Default)]
struct Shared {
    /// Weight, and the things with how many share them.
    by_entity: BTreeMap<Key, (f64, Vec<(usize, String)>)>,
}

impl Shared {
    fn add(&mut self, name: &str, sharers: &[Key]) {
        let count = sharers.len();
        let weight = 1.0 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX));
        for id in sharers.iter().collect::<BTreeSet<_>>() {
            let (sum, names) = self.by_entity.entry(*id).or_default();
            *sum += weight;
            names.push((count, name.to_owned()));
        }
    }

    fn list(self, words: &str, noun: &str) -> Vec<Found> {
        let mut list: Vec<_> = self.by_entity.into_iter().collect();
        list.sort_by(|(a, (weight_a, _)), (b, (weight_b, _))| weight_b.total_cmp(weight_a).then_with(|| b.cmp(a)));
        list.truncate(MOST);
        let told = list.into_iter().map(|(id, (_, mut names))| {
            names.sort();
            let shown: Vec<&str> = names.iter().take(NAMED).map(|(_, name)| name.as_str()).collect();
            let more = match names.len().saturating_sub(NAMED) {
                0 => String::new(),
                1 => format!(" and 1 more {noun}"),
                more => format!(" and {more} more {noun}s"),
            };
            (entity(id), format!("{words}{}{more}", shown.join(", ")))
        });
        told.collect()
    }
}

/// Entities whose text, or a discussion of which, is like the subject's.
pub(super) fn texts(
    conn: &Connection,
    vectors: &dyn VectorIndex,
    visibility: &Visibility,
    subject: Subject,
) -> Result<Vec<Found>, annals_db::Error> {
    /// Discussions take places of their parents.
    const LOOKED_AT: usize = 4 * MOST;
    let Some(set) = EmbeddingSet::active(conn)? else {
        return Ok(Vec::new());
    };
    let kind = match subject.id.kind {
        EntityKind::Issue => SourceKind::Issue,
        EntityKind::MergeRequest => SourceKind::MergeRequest,
    };
    let document: Option<i64> = conn
        .prepare_cached("SELECT id FROM documents WHERE kind = ?1 AND source_id = ?2")?
        .query_row(params![kind.as_str(), subject.id.row], |row| row.get(0))
        .optional()?;
    let Some(document) = document else {
        return Ok(Vec::new());
    };
    let Some(vector) = of_document(conn, &set, document)? else {
        return Ok(Vec::new());
    };
    let scope = Scope::new(conn, &Query::default(), visibility)?;
    let except = own_documents(conn, document, subject)?;
    let near = vectors.nearest(
        conn,
        &Ask {
            set: &set,
            vector: &vector,
            scope: &scope,
            except: &except,
            wanted: LOOKED_AT,
        },
    )?;
    let mut parent = conn.prepare_cached(
        "SELECT d.kind, d.source_id, x.issue_id, x.mr_id FROM documents d
           LEFT JOIN discussions x ON d.kind = 'discussion' AND x.id = d.source_id WHERE d.id = ?1",
    )?;
    let (mut list, mut known) = (Vec::new(), BTreeSet::new());
    for near in near {
        let read = |row: &Row<'_>| {
            let kind: SourceKind = row.get(0)?;
            Ok(match kind {
                SourceKind::Issue => Some((EntityKind::Issue, row.get(1)?)),
                SourceKind::MergeRequest => Some((EntityKind::MergeRequest, row.get(1)?)),
                SourceKind::Discussion => match row.get::<_, Option<i64>>(2)? {
                    Some(issue) => Some((EntityKind::Issue, issue)),
                    None => row.get::<_, Option<i64>>(3)?.map(|mr| (EntityKind::MergeRequest, mr)),
                },
                SourceKind::Commit => None,
            })
        };
        if let Some(id) = parent.query_row(params![near.id], read)?
            && known.insert(id)
        {
            list.push((entity(id), format!("a similar text ({:.2})", near.score)));
        }
        if list.len() == MOST {
            break;
        }
    }
    Ok(list)
}

/// The documents of the subject and of its discussions.
fn own_documents(conn: &Connection, document: i64, subject: Subject) -> Result<BTreeSet<i64>, annals_db::Error> {
    let sql = match subject.id.kind {
        EntityKind::Issue => {
            "SELECT d.id FROM discussions x JOIN documents d ON d.kind = 'discussion' AND d.source_id = x.id WHERE x.issue_id = ?1"
        }
        EntityKind::MergeRequest => {
            "SELECT d.id FROM discussions x JOIN documents d ON d.kind = 'discussion' AND d.source_id = x.id WHERE x.mr_id = ?1"
        }
    };
    let mut own: BTreeSet<i64> = conn
        .prepare_cached(sql)?
        .query_map(params![subject.id.row], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    own.insert(document);
    Ok(own)
}

pub(super) const fn entity((kind, row): Key) -> EntityId {
    EntityId { kind, row }
}
