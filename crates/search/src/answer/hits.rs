//! What is shown of a document that was found.

use std::ops::Range;

use annals_core::text::{self, Snippet};
use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use annals_db::ids::{ForgeKind, SourceKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::order::Ranked;
use crate::query::{Query, Sign};
use crate::reference::CALLED;

/// A document that matches.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Hit {
    /// Its key, the same in every answer.
    pub doc_key: String,
    /// What it is made from.
    pub kind: SourceKind,
    /// The entity to `show`: `group/app#12`, `group/app!7`, with the host in front where the path alone would not do; a
    /// discussion has its parent's.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The entity's title.
    pub title: String,
    /// The part of the text that answers best, on one line.
    pub snippet: String,
    /// Bytes of the snippet that were asked for, on character borders.
    pub highlights: Vec<Range<usize>>,
    /// How well it fits, where the query has words.
    pub score: Option<f64>,
    /// Its page at the forge.
    pub url: Option<String>,
    /// When it last changed at the forge.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub updated_at: Option<UnixMs>,
    /// The row of its project.
    #[serde(skip)]
    pub project_id: ProjectId,
    /// The entity of `reference`; a commit is none.
    #[serde(skip)]
    pub entity: Option<(EntityKind, Iid)>,
}

/// What is shown of the documents in `ranked`, in that order.
pub(super) fn show(conn: &Connection, ranked: &[Ranked], query: &Query) -> Result<Vec<Hit>, annals_db::Error> {
    let required = query.terms.iter().filter(|term| term.sign == Sign::Require);
    let terms: Vec<text::Term> = required.map(|term| term.text.clone()).collect();
    ranked.iter().map(|ranked| hit(conn, ranked, &terms)).collect()
}

/// A document's row, with the names of its project.
struct Document {
    kind: SourceKind,
    source_id: i64,
    title: String,
    body: String,
    meta: String,
    place: Place,
}

/// Where an entity lives.
struct Place {
    project: ProjectId,
    called: String,
    web_url: Option<String>,
    forge: ForgeKind,
}

fn hit(conn: &Connection, ranked: &Ranked, terms: &[text::Term]) -> Result<Hit, annals_db::Error> {
    let sql = format!(
        "SELECT d.kind, d.source_id, d.title, d.body, d.meta, {CALLED}, p.web_url, f.kind, p.id
           FROM documents d JOIN projects p ON p.id = d.project_id JOIN forges f ON f.id = p.forge_id
          WHERE d.id = ?1"
    );
    let read = |row: &Row<'_>| {
        let place = Place {
            project: ProjectId(row.get(8)?),
            called: row.get(5)?,
            web_url: row.get(6)?,
            forge: row.get(7)?,
        };
        let (kind, source_id) = (row.get(0)?, row.get(1)?);
        Ok(Document {
            kind,
            source_id,
            title: row.get(2)?,
            body: row.get(3)?,
            meta: row.get(4)?,
            place,
        })
    };
    let document = conn.prepare_cached(&sql)?.query_row(params![ranked.id], read)?;
    // A document that lost its source is damage for `docs rebuild`, and no reason to show nothing else either.
    let lost = || Shown {
        reference: document.place.called.clone(),
        title: document.title.clone(),
        url: None,
        entity: None,
    };
    let Shown {
        reference,
        title,
        url,
        entity,
    } = shown(conn, &document).optional()?.unwrap_or_else(lost);
    let Snippet { text, highlights } = snippet(&document, terms);
    Ok(Hit {
        doc_key: ranked.doc_key.clone(),
        kind: document.kind,
        reference,
        title,
        snippet: text,
        highlights,
        score: ranked.score,
        url,
        updated_at: ranked.updated_at.map(UnixMs),
        project_id: document.place.project,
        entity,
    })
}

/// From the body; from the names only if nothing else tells why the document is here.
fn snippet(document: &Document, terms: &[text::Term]) -> Snippet {
    let body = text::snippet(&document.body, terms);
    let explains = |snippet: &Snippet| !snippet.highlights.is_empty();
    if explains(&body) || (!body.text.is_empty() && explains(&text::snippet(&document.title, terms))) {
        return body;
    }
    let names = text::snippet(&document.meta, terms);
    if explains(&names) || body.text.is_empty() {
        names
    } else {
        body
    }
}

/// How a reader finds the document's entity.
struct Shown {
    reference: String,
    title: String,
    url: Option<String>,
    entity: Option<(EntityKind, Iid)>,
}

fn shown(conn: &Connection, document: &Document) -> rusqlite::Result<Shown> {
    let id = document.source_id;
    match document.kind {
        SourceKind::Issue => entity(conn, EntityKind::Issue, id, &document.place),
        SourceKind::MergeRequest => entity(conn, EntityKind::MergeRequest, id, &document.place),
        SourceKind::Discussion => discussion(conn, id, &document.place),
        SourceKind::Commit => commit(conn, document),
    }
}

fn entity(conn: &Connection, kind: EntityKind, id: i64, place: &Place) -> rusqlite::Result<Shown> {
    let (sql, mark) = match kind {
        EntityKind::Issue => ("SELECT iid, title, web_url FROM issues WHERE id = ?1", '#'),
        EntityKind::MergeRequest => ("SELECT iid, title, web_url FROM merge_requests WHERE id = ?1", '!'),
    };
    conn.prepare_cached(sql)?.query_row(params![id], |row| {
        let iid: i64 = row.get(0)?;
        let number = if place.forge == ForgeKind::Nip34 {
            format!("{iid:012x}")
        } else {
            iid.to_string()
        };
        Ok(Shown {
            reference: format!("{}{mark}{number}", place.called),
            title: row.get(1)?,
            url: row.get(2)?,
            entity: Some((kind, Iid(iid))),
        })
    })
}

fn discussion(conn: &Connection, id: i64, place: &Place) -> rusqlite::Result<Shown> {
    let sql = "SELECT issue_id, mr_id, (SELECT n.native_id FROM notes n WHERE n.discussion_id = x.id AND NOT n.system
                                         ORDER BY n.gone_at IS NOT NULL, n.position, n.id LIMIT 1)
                 FROM discussions x WHERE x.id = ?1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (issue, mr, note): (Option<i64>, Option<i64>, Option<String>) =
        conn.prepare_cached(sql)?.query_row(params![id], read)?;
    let (kind, parent) = match (issue, mr) {
        (Some(issue), _) => (EntityKind::Issue, issue),
        (None, mr) => (EntityKind::MergeRequest, mr.unwrap_or_default()),
    };
    let mut shown = entity(conn, kind, parent, place)?;
    if let (ForgeKind::Gitlab, Some(url), Some(note)) = (place.forge, &mut shown.url, note) {
        url.push_str("#note_");
        url.push_str(&note);
    }
    Ok(shown)
}

fn commit(conn: &Connection, document: &Document) -> rusqlite::Result<Shown> {
    let sql = "SELECT oid FROM commits WHERE id = ?1";
    let oid: String = conn
        .prepare_cached(sql)?
        .query_row(params![document.source_id], |row| row.get(0))?;
    let Place {
        called, web_url, forge, ..
    } = &document.place;
    let page = if *forge == ForgeKind::Gitlab {
        "-/commit"
    } else {
        "commit"
    };
    Ok(Shown {
        reference: format!("{called}@{}", text::cut_chars(&oid, 12)),
        title: document.title.clone(),
        url: web_url.as_ref().map(|project| format!("{project}/{page}/{oid}")),
        entity: None,
    })
}
