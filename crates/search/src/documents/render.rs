//! From the rows of a source to its document.

use annals_core::text::searchable;
use annals_db::ids::SourceKind;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{discussion, entity};

/// What a document is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Which table.
    pub kind: SourceKind,
    /// The row in it.
    pub id: i64,
}

/// The searchable text of a document, cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// One line; empty for a discussion, which is shown under its parent's.
    pub title: String,
    /// What was written.
    pub body: String,
    /// Names a reader would search by: labels, milestone, people, branches.
    pub meta: String,
}

/// Facts about a document that filters ask for, as bits of `documents.flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub i64);

impl Flags {
    /// The forge no longer shows it.
    pub const GONE: Self = Self(1);
    /// Its text was removed on purpose; the row only tells other indexes so.
    pub const PURGED: Self = Self(1 << 1);
    /// Hidden from most at the forge.
    pub const CONFIDENTIAL: Self = Self(1 << 2);
    /// A merge request that is not ready.
    pub const DRAFT: Self = Self(1 << 3);
    /// A discussion that was resolved.
    pub const RESOLVED: Self = Self(1 << 4);
    /// A discussion that waits for being resolved.
    pub const UNRESOLVED: Self = Self(1 << 5);

    /// These bits, and `other`'s where `holds`.
    #[must_use]
    pub(crate) const fn with(self, other: Self, holds: bool) -> Self {
        if holds { Self(self.0 | other.0) } else { self }
    }

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A document before it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `<forge>:<project native_id>:<kind>:<native_id>`.
    pub doc_key: String,
    /// The project's row.
    pub project_id: i64,
    /// Where it comes from.
    pub source: Source,
    /// Its text.
    pub text: Text,
    /// Who wrote it, or opened the discussion.
    pub author_id: Option<i64>,
    /// The entity's state, or that of a discussion's parent.
    pub state: Option<String>,
    /// When it was made, in milliseconds.
    pub created_at: Option<i64>,
    /// When it last changed at the forge, in milliseconds.
    pub updated_at: Option<i64>,
    /// What filters ask.
    pub flags: Flags,
}

/// The document of `source` as its rows are now; `None` if there is no such row, or nothing in it that a person wrote.
///
/// # Errors
/// A failure of the file.
pub fn render(conn: &Connection, source: Source) -> Result<Option<Rendered>, annals_db::Error> {
    match source.kind {
        SourceKind::Issue | SourceKind::MergeRequest => entity::render(conn, source),
        SourceKind::Discussion => discussion::render(conn, source),
        SourceKind::Commit => commit(conn, source),
    }
}

fn commit(conn: &Connection, source: Source) -> Result<Option<Rendered>, annals_db::Error> {
    let sql = "SELECT f.name, p.native_id, c.oid, c.project_id, c.title, c.message, c.author_name, c.author_at,
                      c.committer_at
                 FROM commits c JOIN projects p ON p.id = c.project_id JOIN forges f ON f.id = p.forge_id
                WHERE c.id = ?1";
    let read = |row: &Row<'_>| {
        let title: String = row.get(4)?;
        let message: String = row.get(5)?;
        let body = message.strip_prefix(title.as_str()).unwrap_or(&message).trim_start();
        let author: Option<String> = row.get(6)?;
        Ok(Rendered {
            doc_key: key(row, source.kind)?,
            project_id: row.get(3)?,
            source,
            text: Text {
                title: line(&title),
                body: searchable(body).into_owned(),
                meta: line(&author.unwrap_or_default()),
            },
            author_id: None,
            state: None,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
            flags: Flags::default(),
        })
    };
    Ok(conn
        .prepare_cached(sql)?
        .query_row(params![source.id], read)
        .optional()?)
}

/// The key of a row that begins with the forge's name, the project's native id and the source's own.
pub(super) fn key(row: &Row<'_>, kind: SourceKind) -> rusqlite::Result<String> {
    let (forge, project, native): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(format!("{forge}:{project}:{}:{native}", kind.as_str()))
}

/// `Ada Lovelace @ada`, or whichever half there is.
pub(super) fn person(display_name: Option<&str>, username: &str) -> String {
    match display_name.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) if username.is_empty() => name.to_owned(),
        Some(name) => format!("{name} @{username}"),
        None if username.is_empty() => String::new(),
        None => format!("@{username}"),
    }
}

/// A title or a name: its line breaks are blanks.
pub(super) fn line(text: &str) -> String {
    searchable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}
