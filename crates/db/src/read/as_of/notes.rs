//! Lists of notes as they were.

use std::collections::BTreeMap;

use annals_core::{EntityKind, UnixMs};
use rusqlite::{Connection, params_from_iter};

use super::item;
use super::list::{Filters, Names};
use super::page::Page;
use super::thread::{self, MORE};
use crate::Error;
use crate::content::blob::Unpack;
use crate::ids::{EntityId, ForgeKind};
use crate::read::clause::{Clause, json_list};
use crate::read::notes::page_of;
use crate::read::{
    Discussion, ListItem, Listed, Note, NoteList, NoteOrigin, NotesQuery, Place, Resolved, Sort, Visibility,
};

/// Lists notes as they were at `at`, under what was there then.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn notes(conn: &Connection, visibility: &Visibility, query: &NotesQuery, at: UnixMs) -> Result<NoteList, Error> {
    let mut clause = Clause::default();
    clause.visible(visibility, "n.project_id", Some("n.internal"));
    if !query.projects.is_empty() {
        let ids: Vec<_> = query.projects.iter().map(|project| project.0).collect();
        clause.with("n.project_id IN (SELECT value FROM json_each(?))", [json_list(&ids)]);
    }
    match query.under {
        None => {}
        Some((EntityKind::Issue, iid)) => {
            clause.with("d.issue_id IN (SELECT id FROM issues WHERE iid = ?)", [iid.0.into()]);
        }
        Some((EntityKind::MergeRequest, iid)) => {
            let ids = "d.mr_id IN (SELECT id FROM merge_requests WHERE iid = ?)";
            clause.with(ids, [iid.0.into()]);
        }
    }
    let more = "d.issue_id, d.mr_id, n.id, n.position,
                (SELECT f.kind FROM projects o JOIN forges f ON f.id = o.forge_id WHERE o.id = n.project_id)";
    let sql = format!("{} WHERE {}", thread::select(more), clause.sql());
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(clause.values_after(at.0.into())))?;
    let mut unpack = Unpack::default();
    let mut parents = Parents::of(conn, visibility, query, at);
    let author = query.author.as_ref().map(Names::of);
    let mut page = Page::of(query.direction, query.offset, query.limit, None);
    while let Some(row) = rows.next()? {
        let note = thread::note(row, at, &mut unpack)?;
        let hidden = note.internal && !visibility.shows_confidential();
        if hidden || !fits(query, &note) || !author.as_ref().is_none_or(|names| names.fit_author(&note.author)) {
            continue;
        }
        let discussion = thread::discussion(row, at, &mut unpack)?;
        let is_wanted = query.resolved.is_none_or(|resolved| match resolved {
            Resolved::Yes => discussion.resolved,
            Resolved::No => discussion.resolvable && !discussion.resolved,
        });
        let id = match row.get(MORE)? {
            Some(issue) => EntityId::issue(issue),
            None => EntityId::merge_request(row.get(MORE + 1)?),
        };
        if !is_wanted {
            continue;
        }
        let Some(parent) = parents.get(id, &mut unpack)? else {
            continue;
        };
        let key = match query.sort {
            Sort::Updated => note.updated_at.or(note.created_at).map(|at| at.0),
            Sort::Created => note.created_at.map(|at| at.0),
            Sort::Iid => Some(parent.iid.0),
        };
        let place = Place {
            key,
            row: row.get(MORE + 2)?,
        };
        page.offer(
            place,
            listed(note, discussion, parent, row.get(MORE + 3)?, row.get(MORE + 4)?),
        );
    }
    let (total, page) = page.in_order();
    Ok(NoteList {
        notes: page.into_iter().map(|(_, note)| note).collect(),
        total,
    })
}

/// Whether a note by itself is one of those asked for.
fn fits(query: &NotesQuery, note: &Note) -> bool {
    let changed = note.updated_at.or(note.created_at);
    let on_path = query.path.as_ref().is_none_or(|pattern| {
        let paths = note
            .position
            .iter()
            .flat_map(|place| [&place.old_path, &place.new_path]);
        paths.flatten().any(|path| pattern.fits(path))
    });
    (query.origin == NoteOrigin::Anybody || !note.system)
        && on_path
        && query.after.is_none_or(|after| changed.is_some_and(|at| at >= after))
        && query.before.is_none_or(|before| changed.is_some_and(|at| at < before))
}

fn listed(note: Note, discussion: Discussion, parent: &ListItem, place: i64, forge: ForgeKind) -> Listed {
    Listed {
        reference: parent.reference.clone(),
        project: parent.project.clone(),
        project_id: parent.project_id,
        title: parent.title.clone(),
        discussion: discussion.id,
        resolvable: discussion.resolvable,
        resolved: discussion.resolved,
        url: page_of(forge, parent.url.clone(), &note.id),
        discussion_row: discussion.row,
        place,
        note,
    }
}

/// What notes are under, each read once.
struct Parents<'a> {
    conn: &'a Connection,
    visibility: &'a Visibility,
    query: &'a NotesQuery,
    at: UnixMs,
    /// `None` for one that was not there, or does not fit.
    known: BTreeMap<EntityId, Option<ListItem>>,
}

impl<'a> Parents<'a> {
    const fn of(conn: &'a Connection, visibility: &'a Visibility, query: &'a NotesQuery, at: UnixMs) -> Self {
        Self {
            conn,
            visibility,
            query,
            at,
            known: BTreeMap::new(),
        }
    }

    fn get(&mut self, id: EntityId, unpack: &mut Unpack) -> Result<Option<&ListItem>, Error> {
        if !self.known.contains_key(&id) {
            let highest = self.visibility.highest_flag();
            let was = item::by_row(self.conn, id, self.at, highest, unpack)?;
            let query = self.query.parents(id.kind);
            let parent = was.map(|was| was.item).filter(|parent| Filters::of(&query).fit(parent));
            self.known.insert(id, parent);
        }
        Ok(self.known.get(&id).and_then(Option::as_ref))
    }
}
