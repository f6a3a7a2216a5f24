//! Forges: the servers that this file mirrors.

use rusqlite::{OptionalExtension, params};

use super::Change;
use crate::ids::{ForgeId, ForgeKind};
use crate::{Error, WriteTx};

/// A forge as the configuration or a URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeIn {
    /// Its name in the configuration; its host where it was given as a URL.
    pub name: String,
    /// Its software.
    pub kind: ForgeKind,
    /// Where it is: scheme and host in lower case, path kept, no final slash.
    pub base_url: String,
    /// Where its API is.
    pub api_url: String,
}

/// Writes a forge; its base URL is what it is known by.
///
/// # Errors
/// [`Error::ForgeNameTaken`] if another forge of the file has this name.
pub fn upsert_forge(tx: &WriteTx<'_>, forge: &ForgeIn) -> Result<(ForgeId, Change), Error> {
    let named: Option<String> = tx
        .prepare_cached("SELECT base_url FROM forges WHERE name = ?1")?
        .query_row(params![forge.name], |row| row.get(0))
        .optional()?;
    if let Some(base_url) = named.filter(|base_url| *base_url != forge.base_url) {
        return Err(Error::ForgeNameTaken {
            name: forge.name.clone(),
            base_url,
        });
    }
    let known = tx
        .prepare_cached("SELECT id, name, kind, api_url FROM forges WHERE base_url = ?1")?
        .query_row(params![forge.base_url], |row| {
            let known: (String, ForgeKind, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok((row.get::<_, ForgeId>(0)?, known))
        })
        .optional()?;
    match known {
        None => {
            tx.content_seq()?;
            tx.prepare_cached("INSERT INTO forges (name, kind, base_url, api_url) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![forge.name, forge.kind, forge.base_url, forge.api_url])?;
            Ok((ForgeId(tx.last_insert_rowid()), Change::New))
        }
        Some((id, (name, kind, api_url))) if (&name, kind, &api_url) == (&forge.name, forge.kind, &forge.api_url) => {
            Ok((id, Change::Unchanged))
        }
        Some((id, _)) => {
            tx.content_seq()?;
            tx.prepare_cached("UPDATE forges SET name = ?2, kind = ?3, api_url = ?4 WHERE id = ?1")?
                .execute(params![id, forge.name, forge.kind, forge.api_url])?;
            Ok((id, Change::Touched))
        }
    }
}

/// Writes what a forge said about itself.
///
/// # Errors
/// A failure of the file.
pub fn set_forge_facts(
    tx: &WriteTx<'_>,
    forge: ForgeId,
    server_version: Option<&str>,
    capabilities: &serde_json::Value,
) -> Result<Change, Error> {
    let capabilities = capabilities.to_string();
    let known: (Option<String>, String) = tx
        .prepare_cached("SELECT server_version, capabilities FROM forges WHERE id = ?1")?
        .query_row(params![forge], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| Error::missing(format!("forge {forge}")))?;
    if (known.0.as_deref(), &known.1) == (server_version, &capabilities) {
        return Ok(Change::Unchanged);
    }
    tx.content_seq()?;
    tx.prepare_cached("UPDATE forges SET server_version = ?2, capabilities = ?3 WHERE id = ?1")?
        .execute(params![forge, server_version, capabilities])?;
    Ok(Change::Touched)
}
