//! From what was asked for to rows of the file, and to addresses that are not in it yet.

use std::sync::Arc;

use annals_core::ProjectId;
use annals_core::config::BaseUrl;
use annals_db::ids::{ForgeId, ForgeKind};
use annals_db::{Db, Error as DbError, ReadConn};
use annals_net_adapter::Cx;
use rusqlite::OptionalExtension;

use super::options::{SyncOptions, Target};
use crate::error::Error;
use crate::forge::Forge;
use crate::forge::gitlab::{GitLab, GitLabOptions};
use crate::target::ProjectUrl;

/// A project to sync: known, or by address only.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// It is in the file.
    Known {
        /// Its row.
        known: KnownProject,
        /// Under which address it was asked for, if under one: should its id be gone, whoever has
        /// that address now is meant.
        address: Option<ProjectUrl>,
    },
    /// Its forge has to be asked.
    New(ProjectUrl),
}

/// A project of the file and its forge.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownProject {
    /// Its row.
    pub id: ProjectId,
    /// The forge's id of it.
    pub native: String,
    /// Its path.
    pub path: String,
    /// Its forge's row.
    pub forge: ForgeId,
    /// The forge's name.
    pub forge_name: String,
    /// The forge's software.
    pub forge_kind: ForgeKind,
    /// The forge's address.
    pub base_url: String,
    /// What is known about the installation.
    pub capabilities: serde_json::Value,
}

impl Resolved {
    /// Whether both are one project, as far as can be known without asking its forge.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known { known: a, .. }, Self::Known { known: b, .. }) => a.id == b.id,
            (Self::New(a), Self::New(b)) => a.base_url == b.base_url && a.path.to_lowercase() == b.path.to_lowercase(),
            (Self::Known { .. }, Self::New(_)) | (Self::New(_), Self::Known { .. }) => false,
        }
    }

    /// What to call it before anything else is known.
    pub fn name(&self) -> String {
        match self {
            Self::Known { known, .. } => known.path.clone(),
            Self::New(url) => url.path.clone(),
        }
    }
}

const KNOWN: &str = "SELECT p.id, p.native_id, p.path, f.id, f.name, f.kind, f.base_url, f.capabilities
                     FROM projects p JOIN forges f ON f.id = p.forge_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<KnownProject> {
    let capabilities: String = row.get(7)?;
    Ok(KnownProject {
        id: ProjectId(row.get(0)?),
        native: row.get(1)?,
        path: row.get(2)?,
        forge: row.get(3)?,
        forge_name: row.get(4)?,
        forge_kind: row.get(5)?,
        base_url: row.get(6)?,
        capabilities: serde_json::from_str(&capabilities).unwrap_or_default(),
    })
}

/// The project of a row.
pub fn by_id(conn: &ReadConn<'_>, id: ProjectId) -> Result<Option<KnownProject>, DbError> {
    Ok(conn
        .prepare_cached(&format!("{KNOWN} WHERE p.id = ?1"))?
        .query_row((id.0,), read)
        .optional()?)
}

/// Projects by a path they have or had; those that have it come before those that had it.
fn by_path(conn: &ReadConn<'_>, path: &str, base_url: Option<&str>) -> Result<Vec<KnownProject>, DbError> {
    let folded = path.trim_matches('/').to_lowercase();
    let now = format!(
        "{KNOWN} WHERE p.path_folded = ?1 AND p.state = 'active' AND (?2 IS NULL OR f.base_url = ?2) ORDER BY p.id"
    );
    let found: Vec<_> = conn
        .prepare_cached(&now)?
        .query_map((&folded, base_url), read)?
        .collect::<Result<_, _>>()?;
    if !found.is_empty() {
        return Ok(found);
    }
    let before = format!(
        "{KNOWN} JOIN project_paths o ON o.project_id = p.id
         WHERE o.path_folded = ?1 AND (?2 IS NULL OR f.base_url = ?2) ORDER BY o.until_at DESC, p.id"
    );
    let mut found: Vec<KnownProject> = conn
        .prepare_cached(&before)?
        .query_map((&folded, base_url), read)?
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        // Hidden or missing, but mirrored: a run may bring it back.
        let any = format!("{KNOWN} WHERE p.path_folded = ?1 AND (?2 IS NULL OR f.base_url = ?2) ORDER BY p.id DESC");
        found = conn
            .prepare_cached(&any)?
            .query_map((&folded, base_url), read)?
            .collect::<Result<_, _>>()?;
    }
    Ok(found)
}

fn tracked(conn: &ReadConn<'_>) -> Result<Vec<KnownProject>, DbError> {
    let sql = format!("{KNOWN} WHERE p.tracked = 1 ORDER BY p.id");
    Ok(conn
        .prepare_cached(&sql)?
        .query_map((), read)?
        .collect::<Result<_, _>>()?)
}

/// Finds every target, without the network. No targets means every tracked project.
///
/// # Errors
/// [`Error::Target`], [`Error::UnknownProject`], [`Error::AmbiguousProject`], or a failure of the
/// file.
///
/// # Cancel safety
/// It only reads.
pub async fn resolve(cx: &Cx, db: &Db, options: &SyncOptions, targets: &[Target]) -> Result<Vec<Resolved>, Error> {
    if targets.is_empty() {
        let known = db.read(cx, tracked).await?;
        let unasked = |known| Resolved::Known { known, address: None };
        return Ok(known.into_iter().map(unasked).collect());
    }
    let forges = db.read(cx, |conn| {
        let mut select = conn.prepare_cached("SELECT base_url FROM forges ORDER BY id")?;
        let urls = select.query_map((), |row| row.get::<_, String>(0))?;
        Ok(urls.collect::<Result<Vec<_>, _>>()?)
    });
    let forges = forges.await?;
    let mut resolved: Vec<Resolved> = Vec::new();
    for target in targets {
        let one = match target.clone() {
            Target::Url(text) => {
                let url = options.project_url(&text, &forges)?;
                let (path, base) = (url.path.clone(), url.base_url.as_str().to_owned());
                let found = db.read(cx, move |conn| by_path(conn, &path, Some(&base))).await?;
                match found.into_iter().next() {
                    Some(known) => Resolved::Known {
                        known,
                        address: Some(url),
                    },
                    None => Resolved::New(url),
                }
            }
            Target::Id(id) => {
                let found = db.read(cx, move |conn| by_id(conn, id)).await?;
                let known = found.ok_or_else(|| Error::UnknownProject {
                    path: format!("with row {id}"),
                })?;
                Resolved::Known { known, address: None }
            }
            Target::Path(path) => {
                let wanted = path.clone();
                let mut found = db.read(cx, move |conn| by_path(conn, &wanted, None)).await?;
                match found.len() {
                    0 => return Err(Error::UnknownProject { path }),
                    1 => {
                        let known = found.remove(0);
                        let base_url = known.base_url.parse().ok();
                        let address = base_url.map(|base_url| ProjectUrl { base_url, path });
                        Resolved::Known { known, address }
                    }
                    _ => {
                        let candidates = found.iter().map(|p| format!("{}/{}", p.base_url, p.path)).collect();
                        return Err(Error::AmbiguousProject { path, candidates });
                    }
                }
            }
        };
        // A project asked for twice would take its own lock over.
        if !resolved.iter().any(|other| other.is_same(&one)) {
            resolved.push(one);
        }
    }
    Ok(resolved)
}

/// The client of a known project's forge.
///
/// # Errors
/// A forge that is switched off or of another kind, a token that cannot be sent, TLS settings that
/// cannot be used.
pub fn client(
    cx: &Cx,
    options: &SyncOptions,
    base_url: &BaseUrl,
    capabilities: serde_json::Value,
) -> Result<Arc<dyn Forge>, Error> {
    let (name, settings) = options.forge(base_url);
    if !settings.enabled {
        return Err(Error::ForgeDisabled { name });
    }
    let host = options.hosts.of(cx, &settings, options.settings.max_wait)?;
    let (token, token_variables) = options.token_of(cx, &name, &settings)?;
    let options = GitLabOptions {
        base_url: base_url.as_str().to_owned(),
        token,
        token_variables,
        page_size: u32::try_from(options.settings.page_size).unwrap_or(100),
        capabilities,
    };
    Ok(Arc::new(GitLab::new(host, options)?))
}

/// The client of a project's forge.
///
/// # Errors
/// As [`client`].
pub fn client_of(cx: &Cx, options: &SyncOptions, known: &KnownProject) -> Result<Arc<dyn Forge>, Error> {
    let unsupported = || Error::ForgeUnsupported {
        name: known.forge_name.clone(),
    };
    match known.forge_kind {
        ForgeKind::Gitlab => {}
        ForgeKind::Github | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Nip34 => return Err(unsupported()),
    }
    let base_url: BaseUrl = known.base_url.parse().map_err(|_| unsupported())?;
    client(cx, options, &base_url, known.capabilities.clone())
}
