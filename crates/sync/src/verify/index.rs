//! The level of ids: everything at the forge by number and update time, against everything here.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use annals_core::{EntityKind, Iid, Outcome};
use annals_db::control::sweep::{self, SweepOf};
use annals_db::ids::{Finding, Pass};
use annals_db::work::{cursor, quarantine};
use annals_net_adapter::{Cx, map_bounded};

use super::finding::{Level, LevelResult, Named, Unknown};
use super::sample;
use super::side::Side;
use crate::error::Error;
use crate::forge::paging::{LoopGuard, Window};
use crate::forge::{Answer, ForgeError, IndexAt, IndexEntry, IndexPosition, Stream, Via};

/// Absent entities asked for at once; the host's own limits are below.
const AT_ONCE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// What the level came to for one kind.
pub struct Compared {
    pub level: LevelResult,
    pub findings: Vec<Named>,
    /// What could not be compared.
    pub unknown: Vec<Unknown>,
    /// What stood in the way of the rest.
    pub ended_by: Option<Error>,
}

/// Reads the index of a kind and compares.
///
/// # Errors
/// The forge's, also where it does not show the project; a failure of the file.
///
/// # Cancel safety
/// It only reads; a drain ends it before the next page.
pub async fn compare(cx: &Cx, side: &Arc<Side>, kind: EntityKind) -> Result<Compared, Error> {
    let mut level = LevelResult::new(Level::Index);
    let mut findings = Vec::new();
    let mut unknown = Vec::new();
    let Some(there) = read(cx, side, kind).await? else {
        side.confirm(cx).await?;
        return Ok(Compared {
            level,
            findings,
            unknown,
            ended_by: None,
        });
    };
    level.checked = there.len() as u64;
    let named = |iid, finding, detail: &str| Named::of_entity((side.id, &side.path), (kind, iid), finding, detail);
    let left_out = |iid| Unknown {
        project: side.id,
        entity: (kind, iid),
        set: None,
    };
    let here = here(cx, side, kind, there.values().cloned().collect()).await?;
    for (entry, standing) in here.entries {
        if standing != Standing::Same && entry.updated_at.is_none_or(|at| at >= side.began) {
            level.left_out += 1;
            continue;
        }
        match standing {
            Standing::Same => {}
            Standing::LeftOut => {
                level.left_out += 1;
                unknown.push(left_out(entry.iid));
            }
            Standing::Missing => findings.push(named(entry.iid, Finding::MissingHere, "the index of the forge has it")),
            Standing::Stale => findings.push(named(entry.iid, Finding::StaleHere, "newer in the index of the forge")),
        }
    }
    // The index may have been read while something moved in it: only the entity's own page proves that it is gone.
    let absent = here.shown.into_iter().filter(|iid| !there.contains_key(iid));
    let shared = side.clone();
    let asked = map_bounded(cx, AT_ONCE, absent.collect::<Vec<_>>(), move |cx, iid| {
        let side = shared.clone();
        async move { Ok::<_, Error>((iid, ask(&cx, &side, kind, iid).await?)) }
    });
    let (mut ended_by, mut seems_gone) = (None, false);
    for outcome in asked.await {
        let error = match outcome {
            Outcome::Ok((iid, Asked::Gone(why))) => {
                findings.push(named(iid, Finding::MissingThere, &why));
                seems_gone = true;
                continue;
            }
            Outcome::Ok((iid, Asked::LeftOut)) => {
                level.left_out += 1;
                unknown.push(left_out(iid));
                seems_gone = true;
                continue;
            }
            Outcome::Ok((_, Asked::There)) => continue,
            Outcome::Err(error) => error,
            Outcome::Cancelled(reason) => annals_core::Cancelled(reason).into(),
            Outcome::Panicked(message) => message.into(),
        };
        ended_by.get_or_insert(error);
    }
    if seems_gone && let Err(error) = side.confirm(cx).await {
        findings.retain(|finding| finding.finding != Finding::MissingThere);
        ended_by.get_or_insert(error);
    }
    level.findings = findings.len() as u64;
    Ok(Compared {
        level,
        findings,
        unknown,
        ended_by,
    })
}

/// Everything the index names; none if the forge does not show one.
async fn read(cx: &Cx, side: &Side, kind: EntityKind) -> Result<Option<BTreeMap<Iid, IndexEntry>>, Error> {
    let mut guard = LoopGuard::default();
    let mut at = IndexPosition::Start;
    let mut there = BTreeMap::new();
    loop {
        let _started = cx.may_start()?;
        let flight = side.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &side.meter,
        };
        let place = IndexAt {
            project: &side.native,
            path: &side.path,
            kind,
            at: &at,
        };
        let page = match side.forge.index(cx, via, place, &mut guard).await {
            Ok(Answer::New(page)) => page,
            Ok(Answer::NotModified | Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden) => return Ok(None),
            // A query that is declined half way is declined for good, as in a sweep, so the lists are read.
            Err(ForgeError::Refused { .. }) if matches!(at, IndexPosition::Cursor(_)) => {
                there.clear();
                guard = LoopGuard::default();
                at = IndexPosition::Window(Window { start: None, page: 1 });
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        there.extend(page.entries.into_iter().map(|entry| (entry.iid, entry)));
        match page.next {
            Some(next) => at = next,
            None => return Ok(Some(there)),
        }
    }
}

/// How an entry of the index stands to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Same,
    Missing,
    Stale,
    /// Before the floor of a first sync, or put aside because it cannot be read.
    LeftOut,
}

struct Here {
    entries: Vec<(IndexEntry, Standing)>,
    /// Everything the file shows.
    shown: Vec<Iid>,
}

async fn here(cx: &Cx, side: &Side, kind: EntityKind, entries: Vec<IndexEntry>) -> Result<Here, Error> {
    let project = side.id;
    let found = side.db.read(cx, move |conn| {
        let stream = Stream::of(kind).as_str();
        let of = SweepOf { project, kind };
        let floor = cursor::get(conn, project, stream, Pass::Incremental)?.and_then(|cursor| cursor.floor_at);
        let aside = quarantine::open(conn, project, stream)?;
        let shown: Vec<Iid> = sample::shown(conn, project, kind)?
            .iter()
            .map(|shown| shown.iid)
            .collect();
        let known: std::collections::BTreeSet<Iid> = shown.iter().copied().collect();
        let judge = |entry: IndexEntry| {
            let is_aside = entry.native_id.as_ref().is_some_and(|id| aside.contains(id.as_str()));
            let standing = if is_aside || (floor.is_some() && entry.updated_at < floor) {
                Standing::LeftOut
            } else if !sweep::is_news(conn, of, entry.iid, entry.updated_at)? {
                Standing::Same
            } else if known.contains(&entry.iid) {
                Standing::Stale
            } else {
                Standing::Missing
            };
            Ok((entry, standing))
        };
        let entries = entries
            .into_iter()
            .map(judge)
            .collect::<Result<_, annals_db::Error>>()?;
        Ok(Here { entries, shown })
    });
    Ok(found.await?)
}

/// What the forge says of an entity that its index does not name.
enum Asked {
    /// It can be read after all.
    There,
    /// It is gone, and why.
    Gone(String),
    /// It is hidden from this token, or cannot be had just now: nothing can be said.
    LeftOut,
}

async fn ask(cx: &Cx, side: &Side, kind: EntityKind, iid: Iid) -> Result<Asked, Error> {
    let _started = cx.may_start()?;
    let flight = side.budget.flight();
    let via = Via {
        flight: &flight,
        meter: &side.meter,
    };
    Ok(match side.forge.one(cx, via, &side.native, kind, iid).await {
        Ok(Answer::New(_) | Answer::NotModified) => Asked::There,
        Ok(Answer::Gone(reason)) => Asked::Gone(format!("the forge answers that it is {reason}")),
        Ok(Answer::Moved(to)) => Asked::Gone(format!("the forge answers that it is {to} now")),
        Ok(Answer::Hidden) => Asked::LeftOut,
        Err(error) if side.is_of_one((kind, iid), &error) => Asked::LeftOut,
        Err(error) => return Err(error.into()),
    })
}
