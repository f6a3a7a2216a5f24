//! Documents of discussions: what people wrote in them, in order, each note under its author's name.

use annals_core::text::{DOCUMENT_LIMIT, searchable};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::render::{Flags, Rendered, Source, Text, key, line};

const DISCUSSION: &str = "
    SELECT f.name, p.native_id, x.native_id, x.project_id, x.resolvable, x.resolved, x.first_note_at, x.last_note_at,
           x.gone_at IS NOT NULL OR coalesce(i.gone_at, m.gone_at) IS NOT NULL,
           coalesce(i.state, m.state), coalesce(i.confidential, m.confidential)
      FROM discussions x JOIN projects p ON p.id = x.project_id JOIN forges f ON f.id = p.forge_id
      LEFT JOIN issues i ON i.id = x.issue_id LEFT JOIN merge_requests m ON m.id = x.mr_id
     WHERE x.id = ?1";

const NOTES: &str = "
    SELECT n.body, n.author_id, u.display_name, u.username, n.internal, n.created_at, n.updated_at
      FROM notes n JOIN users u ON u.id = n.author_id
     WHERE n.discussion_id = ?1 AND NOT n.system AND (n.gone_at IS NULL OR ?2)
     ORDER BY n.position, n.id";

pub(super) fn render(conn: &Connection, source: Source) -> Result<Option<Rendered>, annals_db::Error> {
    let mut statement = conn.prepare_cached(DISCUSSION)?;
    let Some(mut rendered) = statement
        .query_row(params![source.id], |row| frame(row, source))
        .optional()?
    else {
        return Ok(None);
    };
    let mut thread = Thread::read(conn, source.id, Notes::Live)?;
    if thread.opener.is_none() {
        // Every note is gone: what they said stays, as that of any other gone source does.
        thread = Thread::read(conn, source.id, Notes::All)?;
        rendered.flags = rendered.flags.with(Flags::GONE, true);
    }
    // Nobody said anything: a thread of the forge's own remarks ("changed the description") is no document.
    let Some(opener) = thread.opener else { return Ok(None) };
    rendered.text = Text {
        title: String::new(),
        body: searchable(&thread.body).into_owned(),
        meta: line(&thread.people.join(" ")),
    };
    rendered.author_id = Some(opener);
    rendered.created_at = rendered.created_at.or(thread.first_at);
    rendered.updated_at = rendered.updated_at.max(thread.last_at);
    rendered.flags = rendered.flags.with(Flags::CONFIDENTIAL, thread.internal);
    Ok(Some(rendered))
}

fn frame(row: &Row<'_>, source: Source) -> rusqlite::Result<Rendered> {
    let (resolvable, resolved): (bool, bool) = (row.get(4)?, row.get(5)?);
    Ok(Rendered {
        doc_key: key(row, source.kind)?,
        project_id: row.get(3)?,
        source,
        text: Text::default(),
        author_id: None,
        state: row.get(9)?,
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
        flags: Flags::default()
            .with(Flags::GONE, row.get(8)?)
            .with(Flags::CONFIDENTIAL, row.get(10)?)
            .with(Flags::RESOLVED, resolved)
            .with(Flags::UNRESOLVED, resolvable && !resolved),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Notes {
    Live,
    All,
}

#[derive(Default)]
struct Thread {
    body: String,
    people: Vec<String>,
    opener: Option<i64>,
    internal: bool,
    first_at: Option<i64>,
    last_at: Option<i64>,
}

impl Thread {
    fn read(conn: &Connection, discussion: i64, which: Notes) -> Result<Self, annals_db::Error> {
        let mut statement = conn.prepare_cached(NOTES)?;
        let mut rows = statement.query(params![discussion, which == Notes::All])?;
        let mut thread = Self::default();
        while let Some(row) = rows.next()? {
            thread.add(row)?;
        }
        Ok(thread)
    }

    fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let (name, username) = (row.get_ref(2)?.as_str_or_null()?, row.get_ref(3)?.as_str()?);
        let created_at: Option<i64> = row.get(5)?;
        if self.opener.is_none() {
            self.opener = Some(row.get(1)?);
            self.first_at = created_at;
        }
        // A thread of 100,000 notes is read to its end for its flags and times, but not kept.
        if self.body.len() <= DOCUMENT_LIMIT {
            if !self.body.is_empty() {
                self.body.push_str("\n\n");
            }
            let shown = name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(username);
            self.body.push_str(if shown.is_empty() { "ghost" } else { shown });
            self.body.push_str(": ");
            self.body.push_str(row.get_ref(0)?.as_str()?);
            let handle = format!("@{username}");
            if !username.is_empty() && !self.people.contains(&handle) {
                self.people.push(handle);
            }
        }
        self.internal |= row.get::<_, bool>(4)?;
        self.last_at = self.last_at.max(row.get(6)?).max(created_at);
        Ok(())
    }
}
