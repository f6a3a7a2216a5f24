//! People and programs that act on a forge.

use annals_core::{EntityKind, NativeId};
use rusqlite::{OptionalExtension, params};

use super::Change;
use crate::ids::{ForgeId, UserId, UserKind, entity_table};
use crate::text::{clean, clean_opt, fold};
use crate::{Error, WriteTx};

/// A user as a payload names one. What the payload does not say is `None` and stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIn {
    /// The forge's own id.
    pub native_id: NativeId,
    /// The name in mentions and URLs.
    pub username: String,
    /// The name people read.
    pub display_name: Option<String>,
    /// What sort of account it is.
    pub kind: UserKind,
    /// Its page.
    pub web_url: Option<String>,
}

impl UserIn {
    /// The one user per forge that stands for every account it no longer names.
    #[must_use]
    pub fn ghost() -> Self {
        Self {
            native_id: NativeId("ghost".to_owned()),
            username: "ghost".to_owned(),
            display_name: None,
            kind: UserKind::Ghost,
            web_url: None,
        }
    }
}

/// Writes a user. A new name raises `changed_seq` of everything that shows it and dirties the
/// documents it is part of; `Changed` means just that.
///
/// # Errors
/// A failure of the file.
pub fn upsert_user(tx: &WriteTx<'_>, forge: ForgeId, user: &UserIn) -> Result<(UserId, Change), Error> {
    let key = (forge, user.native_id.clone());
    if let Some((known, id)) = tx.seen.borrow().users.get(&key)
        && known == user
    {
        return Ok((*id, Change::Unchanged));
    }
    let written = write(tx, forge, user)?;
    tx.seen.borrow_mut().users.insert(key, (user.clone(), written.0));
    Ok(written)
}

/// The user of a forge, or its ghost.
pub(super) fn user_or_ghost(tx: &WriteTx<'_>, forge: ForgeId, user: Option<&UserIn>) -> Result<UserId, Error> {
    match user {
        Some(user) => upsert_user(tx, forge, user),
        None => upsert_user(tx, forge, &UserIn::ghost()),
    }
    .map(|(id, _)| id)
}

/// The user of a forge, if there is one.
pub(super) fn user_opt(tx: &WriteTx<'_>, forge: ForgeId, user: Option<&UserIn>) -> Result<Option<UserId>, Error> {
    user.map(|user| upsert_user(tx, forge, user).map(|(id, _)| id))
        .transpose()
}

/// The name a state records for a user.
pub(super) fn name_or_ghost(user: Option<&UserIn>) -> &str {
    user.map_or("ghost", |user| &user.username)
}

#[derive(PartialEq)]
struct Columns {
    username: String,
    display_name: Option<String>,
    kind: UserKind,
    web_url: Option<String>,
}

fn write(tx: &WriteTx<'_>, forge: ForgeId, user: &UserIn) -> Result<(UserId, Change), Error> {
    let mut next = Columns {
        username: clean(&user.username).into_owned(),
        display_name: clean_opt(user.display_name.as_deref()),
        kind: user.kind,
        web_url: clean_opt(user.web_url.as_deref()),
    };
    let known = tx
        .prepare_cached(
            "SELECT id, username, display_name, kind, web_url FROM users WHERE forge_id = ?1 AND native_id = ?2",
        )?
        .query_row(params![forge, clean(user.native_id.as_str())], |row| {
            let id: UserId = row.get(0)?;
            let columns = Columns {
                username: row.get(1)?,
                display_name: row.get(2)?,
                kind: row.get(3)?,
                web_url: row.get(4)?,
            };
            Ok((id, columns))
        })
        .optional()?;
    let Some((id, known)) = known else {
        tx.content_seq()?;
        tx.prepare_cached(
            "INSERT INTO users (forge_id, native_id, username, username_folded, display_name, kind, web_url)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            forge,
            clean(user.native_id.as_str()),
            next.username,
            fold(&next.username),
            next.display_name,
            next.kind,
            next.web_url
        ])?;
        return Ok((UserId(tx.last_insert_rowid()), Change::New));
    };
    next.display_name = next.display_name.or_else(|| known.display_name.clone());
    next.web_url = next.web_url.or_else(|| known.web_url.clone());
    if next.kind == UserKind::Unknown {
        next.kind = known.kind;
    }
    if next == known {
        return Ok((id, Change::Unchanged));
    }
    let seq = tx.content_seq()?;
    tx.prepare_cached(
        "UPDATE users SET username = ?2, username_folded = ?3, display_name = ?4, kind = ?5, web_url = ?6 WHERE id = ?1",
    )?
    .execute(params![id, next.username, fold(&next.username), next.display_name, next.kind, next.web_url])?;
    if (&next.username, &next.display_name) == (&known.username, &known.display_name) {
        return Ok((id, Change::Touched));
    }
    renamed(tx, id, seq)?;
    Ok((id, Change::Changed))
}

/// Everything that shows the name of a user is as new as the name.
fn renamed(tx: &WriteTx<'_>, user: UserId, seq: i64) -> Result<(), Error> {
    for (kind, roles, links) in [
        (
            EntityKind::Issue,
            "closed_by_id = ?1",
            "id IN (SELECT issue_id FROM issue_assignees WHERE user_id = ?1)",
        ),
        (
            EntityKind::MergeRequest,
            "closed_by_id = ?1 OR merged_by_id = ?1",
            "id IN (SELECT mr_id FROM mr_assignees WHERE user_id = ?1)
             OR id IN (SELECT mr_id FROM mr_reviewers WHERE user_id = ?1)",
        ),
    ] {
        let table = entity_table(kind);
        let sql = format!("UPDATE {table} SET changed_seq = ?2 WHERE author_id = ?1 OR {roles} OR {links}");
        tx.prepare_cached(&sql)?.execute(params![user, seq])?;
        let sql = format!(
            "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at)
             SELECT '{kind}', id, 'user_renamed', ?2 FROM {table} WHERE author_id = ?1 ORDER BY id"
        );
        tx.prepare_cached(&sql)?.execute(params![user, tx.now().0])?;
    }
    for sql in [
        "UPDATE notes SET changed_seq = ?2 WHERE author_id = ?1",
        "UPDATE discussions SET changed_seq = ?2 WHERE resolved_by_id = ?1",
        "UPDATE resource_events SET changed_seq = ?2 WHERE actor_id = ?1",
    ] {
        tx.prepare_cached(sql)?.execute(params![user, seq])?;
    }
    tx.prepare_cached(
        "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at)
         SELECT DISTINCT 'discussion', discussion_id, 'user_renamed', ?2 FROM notes WHERE author_id = ?1 AND system = 0
         ORDER BY discussion_id",
    )?
    .execute(params![user, tx.now().0])?;
    Ok(())
}
