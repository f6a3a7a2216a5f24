//! Resource events: what the forge itself recorded about an entity's state, labels and milestones.

use std::collections::BTreeSet;

use annals_core::{NativeId, ProjectId, UnixMs};
use rusqlite::{OptionalExtension, params};

use super::user::user_or_ghost;
use super::{Change, SetChange, SetShape, UserIn};
use crate::ids::{EntityId, EventKind, EventOrigin, UserId};
use crate::text::{clean, clean_opt};
use crate::{Error, WriteTx};

/// The events of one entity that one fetch covers.
#[derive(Debug, Clone)]
pub struct EventSetIn {
    /// The kinds the fetch asked for; an absent event of another kind means nothing.
    pub kinds: Vec<EventKind>,
    /// The events.
    pub events: Vec<ResourceEventIn>,
    /// In how many pages they came.
    pub shape: SetShape,
}

/// An event as a payload tells it.
#[derive(Debug, Clone)]
pub struct ResourceEventIn {
    /// The forge's own id, unique within its kind.
    pub native_id: NativeId,
    /// What it is about.
    pub kind: EventKind,
    /// What happened, in the forge's word: `add`, `remove`, `closed`.
    pub action: String,
    /// To what: the name of the label, the title of the milestone.
    pub subject: Option<String>,
    /// Who did it; `None` is the ghost.
    pub actor: Option<UserIn>,
    /// When.
    pub created_at: Option<UnixMs>,
    /// Who says so.
    pub origin: EventOrigin,
}

/// Replaces the events of the given kinds. One that is absent is gone if one page held them all; of
/// several pages it is missing first, and gone if the next fetch lacks it too.
///
/// # Errors
/// A failure of the file.
pub fn replace_events(
    tx: &WriteTx<'_>,
    project: ProjectId,
    entity: EntityId,
    set: &EventSetIn,
) -> Result<SetChange, Error> {
    let mut counts = SetChange::default();
    let mut seen = BTreeSet::new();
    for event in &set.events {
        let (id, change) = upsert(tx, project, entity, event)?;
        counts.count(change);
        seen.insert(id);
    }
    if set.shape == SetShape::Unproven {
        return Ok(counts);
    }
    let sql = format!(
        "SELECT id, missing_since IS NOT NULL FROM resource_events
         WHERE {} = ?1 AND kind = ?2 AND gone_at IS NULL AND origin = 'forge' ORDER BY id",
        entity.parent_column()
    );
    for kind in set.kinds.iter().collect::<BTreeSet<_>>() {
        let absent = tx
            .prepare_cached(&sql)?
            .query_map(params![entity.row, kind], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
            })?
            .filter(|row| row.as_ref().map_or(true, |(id, _)| !seen.contains(id)))
            .collect::<Result<Vec<_>, _>>()?;
        for (id, was_missing) in absent {
            let seq = tx.content_seq()?;
            if set.shape == SetShape::ManyPages && !was_missing {
                tx.prepare_cached("UPDATE resource_events SET missing_since = ?2, changed_seq = ?3 WHERE id = ?1")?
                    .execute(params![id, tx.now().0, seq])?;
                counts.missing += 1;
                continue;
            }
            tx.prepare_cached("UPDATE resource_events SET gone_at = ?2, changed_seq = ?3 WHERE id = ?1")?
                .execute(params![id, tx.now().0, seq])?;
            counts.gone += 1;
        }
    }
    Ok(counts)
}

#[derive(PartialEq)]
struct Columns {
    issue_id: Option<i64>,
    mr_id: Option<i64>,
    action: String,
    subject: Option<String>,
    actor_id: UserId,
    created_at: Option<i64>,
    origin: EventOrigin,
    /// Gone, or missing so far.
    absent: bool,
}

fn upsert(
    tx: &WriteTx<'_>,
    project: ProjectId,
    entity: EntityId,
    event: &ResourceEventIn,
) -> Result<(i64, Change), Error> {
    let forge = tx.forge_of(project)?;
    let next = Columns {
        issue_id: entity.issue_row(),
        mr_id: entity.mr_row(),
        action: clean(&event.action).into_owned(),
        subject: clean_opt(event.subject.as_deref()),
        actor_id: user_or_ghost(tx, forge, event.actor.as_ref())?,
        created_at: event.created_at.map(|at| at.0),
        origin: event.origin,
        absent: false,
    };
    let known = tx
        .prepare_cached(
            "SELECT id, issue_id, mr_id, action, subject, actor_id, created_at, origin,
                    gone_at IS NOT NULL OR missing_since IS NOT NULL
             FROM resource_events WHERE project_id = ?1 AND kind = ?2 AND native_id = ?3",
        )?
        .query_row(params![project.0, event.kind, clean(event.native_id.as_str())], |row| {
            let columns = Columns {
                issue_id: row.get(1)?,
                mr_id: row.get(2)?,
                action: row.get(3)?,
                subject: row.get(4)?,
                actor_id: row.get(5)?,
                created_at: row.get(6)?,
                origin: row.get(7)?,
                absent: row.get(8)?,
            };
            Ok((row.get::<_, i64>(0)?, columns))
        })
        .optional()?;
    let (id, change) = match known {
        Some((id, columns)) if columns == next => return Ok((id, Change::Unchanged)),
        Some((id, _)) => (Some(id), Change::Changed),
        None => (None, Change::New),
    };
    let seq = tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO resource_events (id, project_id, kind, native_id, issue_id, mr_id, action, subject, actor_id,
                                      created_at, origin, changed_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET issue_id = excluded.issue_id, mr_id = excluded.mr_id, action = excluded.action,
             subject = excluded.subject, actor_id = excluded.actor_id, created_at = excluded.created_at,
             origin = excluded.origin, gone_at = NULL, missing_since = NULL, changed_seq = excluded.changed_seq",
    )?
    .execute(params![
        id,
        project.0,
        event.kind,
        clean(event.native_id.as_str()),
        next.issue_id,
        next.mr_id,
        next.action,
        next.subject,
        next.actor_id,
        next.created_at,
        next.origin,
        seq
    ])?;
    Ok((id.unwrap_or_else(|| tx.last_insert_rowid()), change))
}
