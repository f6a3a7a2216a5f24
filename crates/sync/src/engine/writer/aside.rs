//! What goes with rows: items put aside, and the validators of whole answers.

use std::collections::BTreeSet;

use annals_core::ProjectId;
use annals_db::content::{Change, Payload};
use annals_db::work::quarantine::{self, QuarantineIn};
use annals_db::work::validator::{self, StoredValidators};
use annals_db::{Error, WriteTx};

use super::place::Wrote;
use crate::forge::{Bad, Kept};

/// The items of a stream that are aside now; usually none.
pub(super) fn open_quarantine(tx: &WriteTx<'_>, project: ProjectId, stream: &str) -> Result<BTreeSet<String>, Error> {
    let mut select = tx.prepare_cached(
        "SELECT native_ref FROM quarantine WHERE project_id = ?1 AND stream = ?2 AND resolved_at IS NULL",
    )?;
    let refs = select.query_map((project.0, stream), |row| row.get(0))?;
    Ok(refs.collect::<Result<_, _>>()?)
}

pub(super) fn put_aside(
    tx: &WriteTx<'_>,
    project: ProjectId,
    stream: &str,
    bad: &Bad,
    wrote: &mut Wrote,
) -> Result<(), Error> {
    let item = QuarantineIn {
        project,
        stream: stream.to_owned(),
        native_ref: bad.native_ref.clone(),
        payload: Payload::raw(bad.raw.to_vec()),
        code: bad.code,
        message: bad.message.clone(),
    };
    wrote.quarantined += 1;
    if quarantine::put(tx, &item)? == Change::New {
        wrote.news.push((format!("{stream} {}", bad.native_ref), bad.code));
    }
    Ok(())
}

/// Keeps validators, writing only what is new. An answer without any still replaces the one before,
/// whose validators would call it unchanged should it ever come back.
pub(super) fn keep(tx: &WriteTx<'_>, project: ProjectId, scope: &str, kept: Option<&Kept>) -> Result<(), Error> {
    let Some(kept) = kept else {
        return validator::forget(tx, project, scope);
    };
    let next = StoredValidators {
        etag: kept.validators.etag.clone(),
        last_modified: kept.validators.last_modified.clone(),
    };
    let known = validator::get(tx, project, scope, &kept.request)?.unwrap_or_default();
    if known == next {
        Ok(())
    } else {
        validator::put(tx, project, scope, &kept.request, &next)
    }
}

/// Puts aside what cannot be read in a list that came whole, and takes out what is no longer bad.
pub(super) fn settle(
    tx: &WriteTx<'_>,
    project: ProjectId,
    scope: &str,
    bad: &[Bad],
    wrote: &mut Wrote,
) -> Result<(), Error> {
    let mut open = open_quarantine(tx, project, scope)?;
    for one in bad {
        open.remove(&one.native_ref);
        put_aside(tx, project, scope, one, wrote)?;
    }
    for native_ref in open {
        quarantine::resolve(tx, project, scope, &native_ref)?;
    }
    Ok(())
}
