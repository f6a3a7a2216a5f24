//! Labels, by the forge's id where it tells one and by name where it does not.

use std::collections::BTreeSet;

use annals_core::{EntityKind, NativeId, ProjectId};
use rusqlite::{OptionalExtension, Row, params};

use super::revision::{self, Newest, Subject};
use super::state::{LabelState, State};
use super::{Change, SetChange, SetShape};
use crate::ids::{LabelId, RevisionOp, SubjectKind, entity_table};
use crate::text::{clean, clean_opt, fold};
use crate::{Error, WriteTx};

/// A label as a payload tells it: whole with its native id, or by name alone, which is how entities
/// often put it. What is known about a label stays when it is only named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelIn {
    /// The forge's own id; `None` means that nothing but the name is known.
    pub native_id: Option<NativeId>,
    /// Its name.
    pub name: String,
    /// Its colour, as the forge writes it.
    pub color: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

impl LabelIn {
    /// A label of which only the name is known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            native_id: None,
            name: name.into(),
            color: None,
            description: None,
        }
    }
}

/// Writes a label. A new name raises `changed_seq` of what wears it and dirties its documents.
///
/// # Errors
/// A failure of the file.
pub fn upsert_label(tx: &WriteTx<'_>, project: ProjectId, label: &LabelIn) -> Result<(LabelId, Change), Error> {
    let key = (project, label.name.clone());
    if let Some((known, id)) = tx.seen.borrow().labels.get(&key)
        && known == label
    {
        return Ok((*id, Change::Unchanged));
    }
    let (id, change) = write(tx, project, label)?;
    let mut seen = tx.seen.borrow_mut();
    if change.is_written() {
        seen.labels.clear();
    }
    seen.labels.insert(key, (label.clone(), id));
    Ok((id, change))
}

fn write(tx: &WriteTx<'_>, project: ProjectId, label: &LabelIn) -> Result<(LabelId, Change), Error> {
    let Some(known) = find(tx, project, label)? else {
        return insert(tx, project, label);
    };
    let twin = twin(tx, project, label, known.id)?;
    let change = update(tx, label, &known)?;
    match twin {
        None => Ok((known.id, change)),
        Some(twin) => {
            absorb(tx, &twin, known.id)?;
            Ok((known.id, if change.is_written() { change } else { Change::Touched }))
        }
    }
}

fn update(tx: &WriteTx<'_>, label: &LabelIn, known: &Known) -> Result<Change, Error> {
    let next = Columns::of(label, &known.columns);
    let state = next.state()?;
    let same_state = known
        .newest
        .as_ref()
        .is_some_and(|newest| newest.state_hash == state.hash);
    if same_state && !known.gone && !known.missing && known.columns == next {
        return Ok(Change::Unchanged);
    }
    let seq = tx.content_seq()?;
    let mut newest = known.newest.as_ref().map(|newest| newest.id);
    if !same_state || known.gone {
        let op = if known.gone {
            RevisionOp::Back
        } else {
            RevisionOp::Changed
        };
        newest = Some(revision::write(
            tx,
            subject(known.id),
            op,
            known.newest.as_ref(),
            &state,
            None,
            None,
        )?);
    }
    tx.prepare_cached(
        "UPDATE labels SET native_id = ?2, name = ?3, name_folded = ?4, color = ?5, description = ?6, gone_at = NULL,
             missing_since = NULL, revision_id = ?7, changed_seq = ?8
         WHERE id = ?1",
    )?
    .execute(params![
        known.id,
        next.native_id,
        next.name,
        fold(&next.name),
        next.color,
        next.description,
        newest,
        seq
    ])?;
    if next.name != known.columns.name {
        renamed(tx, known.id, seq)?;
    }
    Ok(if same_state && !known.gone {
        Change::Touched
    } else {
        Change::Changed
    })
}

/// The row that stands for the same label because an entity named it before the list told its new
/// name.
fn twin(tx: &WriteTx<'_>, project: ProjectId, label: &LabelIn, told: LabelId) -> Result<Option<Known>, Error> {
    if label.native_id.is_none() {
        return Ok(None);
    }
    let named = tx
        .prepare_cached(&format!("{} AND l.native_id = ?2", select()))?
        .query_row(params![project.0, provisional(&label.name)], Known::read)
        .optional()?;
    let Some(named) = named.filter(|named| named.id != told) else {
        return Ok(None);
    };
    let is_worn = tx
        .prepare_cached(
            "SELECT 1 FROM issue_labels WHERE label_id = ?1 UNION ALL SELECT 1 FROM mr_labels WHERE label_id = ?1",
        )?
        .exists(params![named.id])?;
    Ok((is_worn || !named.gone).then_some(named))
}

/// Hands what wears a twin to the label that the forge told, and ends the twin.
fn absorb(tx: &WriteTx<'_>, twin: &Known, told: LabelId) -> Result<(), Error> {
    let seq = tx.content_seq()?;
    tx.seen.borrow_mut().labels.clear();
    renamed(tx, twin.id, seq)?;
    for (table, parent) in [("issue_labels", "issue_id"), ("mr_labels", "mr_id")] {
        let link = format!(
            "INSERT OR IGNORE INTO {table} ({parent}, label_id) SELECT {parent}, ?2 FROM {table} WHERE label_id = ?1"
        );
        tx.prepare_cached(&link)?.execute(params![twin.id, told])?;
        let unlink = format!("DELETE FROM {table} WHERE label_id = ?1");
        tx.prepare_cached(&unlink)?.execute(params![twin.id])?;
    }
    if twin.gone {
        Ok(())
    } else {
        end(tx, twin.id, twin.newest.as_ref(), seq)
    }
}

/// Writes that a label is gone.
fn end(tx: &WriteTx<'_>, id: LabelId, newest: Option<&Newest>, seq: i64) -> Result<(), Error> {
    let newest = revision::write_gone(tx, subject(id), newest)?;
    tx.prepare_cached("UPDATE labels SET gone_at = ?2, revision_id = ?3, changed_seq = ?4 WHERE id = ?1")?
        .execute(params![id, tx.now().0, newest, seq])?;
    Ok(())
}

/// Writes the complete list of a project's labels. One that is absent is gone, if one page held the
/// list; of several pages it is missing first, and gone if the next list lacks it too.
///
/// # Errors
/// A failure of the file.
pub fn replace_labels(
    tx: &WriteTx<'_>,
    project: ProjectId,
    labels: &[LabelIn],
    shape: SetShape,
) -> Result<SetChange, Error> {
    let mut counts = SetChange::default();
    let mut seen = BTreeSet::new();
    for label in labels {
        let (id, change) = upsert_label(tx, project, label)?;
        counts.count(change);
        seen.insert(id);
    }
    if shape == SetShape::Unproven {
        return Ok(counts);
    }
    let absent = tx
        .prepare_cached(&format!(
            "SELECT l.id, l.missing_since IS NOT NULL, {} FROM labels l LEFT JOIN revisions r ON r.id = l.revision_id
             WHERE l.project_id = ?1 AND l.gone_at IS NULL ORDER BY l.id",
            Newest::COLUMNS
        ))?
        .query_map(params![project.0], |row| {
            Ok((row.get::<_, LabelId>(0)?, row.get::<_, bool>(1)?, Newest::at(row, 2)?))
        })?
        .filter(|row| row.as_ref().map_or(true, |(id, ..)| !seen.contains(id)))
        .collect::<Result<Vec<_>, _>>()?;
    tx.seen.borrow_mut().labels.clear();
    for (id, was_missing, newest) in absent {
        let seq = tx.content_seq()?;
        if shape == SetShape::ManyPages && !was_missing {
            tx.prepare_cached("UPDATE labels SET missing_since = ?2, changed_seq = ?3 WHERE id = ?1")?
                .execute(params![id, tx.now().0, seq])?;
            counts.missing += 1;
            continue;
        }
        end(tx, id, newest.as_ref(), seq)?;
        counts.gone += 1;
    }
    Ok(counts)
}

const fn subject(id: LabelId) -> Subject {
    Subject {
        kind: SubjectKind::Label,
        row: id.0,
    }
}

#[derive(PartialEq, Clone)]
struct Columns {
    native_id: String,
    name: String,
    color: Option<String>,
    description: Option<String>,
}

impl Columns {
    fn of(label: &LabelIn, known: &Self) -> Self {
        let name = clean(&label.name).into_owned();
        match &label.native_id {
            None => Self { name, ..known.clone() },
            Some(native_id) => Self {
                native_id: clean(native_id.as_str()).into_owned(),
                name,
                color: clean_opt(label.color.as_deref()),
                description: clean_opt(label.description.as_deref()),
            },
        }
    }

    fn state(&self) -> Result<State, Error> {
        State::of(&LabelState {
            color: self.color.as_deref(),
            description: self.description.as_deref(),
            name: &self.name,
        })
    }
}

struct Known {
    id: LabelId,
    gone: bool,
    missing: bool,
    columns: Columns,
    newest: Option<Newest>,
}

impl Known {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            gone: row.get(1)?,
            missing: row.get(6)?,
            columns: Columns {
                native_id: row.get(2)?,
                name: row.get(3)?,
                color: row.get(4)?,
                description: row.get(5)?,
            },
            newest: Newest::at(row, 7)?,
        })
    }
}

/// The id under which a label is kept until the forge tells its own.
fn provisional(name: &str) -> String {
    format!("name:{}", clean(name))
}

/// Every column of a label of project `?1`.
fn select() -> String {
    format!(
        "SELECT l.id, l.gone_at IS NOT NULL, l.native_id, l.name, l.color, l.description, l.missing_since IS NOT NULL, {}
         FROM labels l LEFT JOIN revisions r ON r.id = l.revision_id WHERE l.project_id = ?1",
        Newest::COLUMNS
    )
}

fn find(tx: &WriteTx<'_>, project: ProjectId, label: &LabelIn) -> Result<Option<Known>, Error> {
    let select = select();
    let Some(native_id) = &label.native_id else {
        let sql =
            format!("{select} AND l.name_folded = ?2 AND l.name = ?3 ORDER BY l.gone_at IS NOT NULL, l.id LIMIT 1");
        return Ok(tx
            .prepare_cached(&sql)?
            .query_row(params![project.0, fold(&label.name), clean(&label.name)], Known::read)
            .optional()?);
    };
    let sql = format!("{select} AND l.native_id = ?2");
    let mut by_id = tx.prepare_cached(&sql)?;
    let known = by_id
        .query_row(params![project.0, clean(native_id.as_str())], Known::read)
        .optional()?;
    if known.is_some() {
        return Ok(known);
    }
    Ok(by_id
        .query_row(params![project.0, provisional(&label.name)], Known::read)
        .optional()?)
}

fn insert(tx: &WriteTx<'_>, project: ProjectId, label: &LabelIn) -> Result<(LabelId, Change), Error> {
    let blank = Columns {
        native_id: provisional(&label.name),
        name: String::new(),
        color: None,
        description: None,
    };
    let columns = Columns::of(label, &blank);
    let seq = tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO labels (project_id, native_id, name, name_folded, color, description, changed_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        project.0,
        columns.native_id,
        columns.name,
        fold(&columns.name),
        columns.color,
        columns.description,
        seq
    ])?;
    let id = LabelId(tx.last_insert_rowid());
    let newest = revision::write(tx, subject(id), RevisionOp::First, None, &columns.state()?, None, None)?;
    tx.prepare_cached("UPDATE labels SET revision_id = ?2 WHERE id = ?1")?
        .execute(params![id, newest])?;
    Ok((id, Change::New))
}

fn renamed(tx: &WriteTx<'_>, label: LabelId, seq: i64) -> Result<(), Error> {
    for (kind, links) in [
        (
            EntityKind::Issue,
            "SELECT issue_id FROM issue_labels WHERE label_id = ?1",
        ),
        (
            EntityKind::MergeRequest,
            "SELECT mr_id FROM mr_labels WHERE label_id = ?1",
        ),
    ] {
        let table = entity_table(kind);
        let sql = format!("UPDATE {table} SET changed_seq = ?2 WHERE id IN ({links})");
        tx.prepare_cached(&sql)?.execute(params![label, seq])?;
        let sql = format!(
            "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at)
             SELECT '{kind}', id, 'label_renamed', ?2 FROM {table} WHERE id IN ({links}) ORDER BY id"
        );
        tx.prepare_cached(&sql)?.execute(params![label, tx.now().0])?;
    }
    Ok(())
}
