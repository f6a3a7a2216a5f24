//! What goes with rows: items put aside, and the validators of whole answers.

use std::collections::BTreeSet;

use annals_core::ProjectId;
use annals_db::content::{Change, Payload};
use annals_db::work::quarantine::{self, QuarantineIn};
use annals_db::work::validator::{self, StoredValidators};
use annals_db::{Error, WriteTx};

use super::place::Wrote;
use crate::forge::{Bad, Kept, Numberless};

/// The items of a stream that are aside now; usually none.
pub struct Aside<'a> {
    project: ProjectId,
    stream: &'a str,
    names: BTreeSet<String>,
}

impl<'a> Aside<'a> {
    /// Reads those of a stream.
    pub fn read(tx: &WriteTx<'_>, project: ProjectId, stream: &'a str) -> Result<Self, Error> {
        Ok(Self {
            project,
            stream,
            names: quarantine::open(tx, project, stream)?,
        })
    }

    /// Takes out what an entity that can be read was put aside as, with a number or without.
    pub fn resolve(&self, tx: &WriteTx<'_>, native_id: &str) -> Result<(), Error> {
        for name in &self.names {
            let id = Numberless::read(name).map_or(Some(name.as_str()), |name| name.id);
            if id == Some(native_id) {
                quarantine::resolve(tx, self.project, self.stream, name)?;
            }
        }
        Ok(())
    }

    /// Puts an item of a page aside. One without a number keeps the name it has as long as its bytes
    /// are the same, whatever row comes before it now; other bytes of the same id take its place, and
    /// are looked for where they are.
    pub(super) fn put(&self, tx: &WriteTx<'_>, bad: &Bad, wrote: &mut Wrote) -> Result<(), Error> {
        let Some(next) = Numberless::read(&bad.native_ref) else {
            return put_aside(tx, self.project, self.stream, bad, wrote);
        };
        let numberless = || {
            self.names
                .iter()
                .filter_map(|name| Some((name, Numberless::read(name)?)))
        };
        if let Some((name, _)) = numberless().find(|(_, known)| known.hash == next.hash) {
            let bad = Bad {
                native_ref: name.clone(),
                ..bad.clone()
            };
            return put_aside(tx, self.project, self.stream, &bad, wrote);
        }
        put_aside(tx, self.project, self.stream, bad, wrote)?;
        for (name, known) in numberless() {
            if known.id.is_some() && known.id == next.id {
                quarantine::resolve(tx, self.project, self.stream, name)?;
            }
        }
        Ok(())
    }
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
    let mut open = Aside::read(tx, project, scope)?.names;
    for one in bad {
        put_aside(tx, project, scope, one, wrote)?;
        // It was fetched again, and that did not help.
        if open.remove(&one.native_ref) {
            quarantine::count_attempt(tx, project, scope, &one.native_ref)?;
        }
    }
    for native_ref in open {
        quarantine::resolve(tx, project, scope, &native_ref)?;
    }
    Ok(())
}
