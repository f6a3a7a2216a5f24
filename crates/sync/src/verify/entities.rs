//! Entities of a sample, fetched and compared field by field; with their sets if asked.

use std::num::NonZeroUsize;
use std::sync::Arc;

use annals_core::{Iid, Outcome, UnixMs};
use annals_db::ids::{EntityId, Finding, JobType};
use annals_db::work::job;
use annals_net_adapter::{Cx, map_bounded};

use super::finding::{Level, LevelResult, Named, Unknown};
use super::options::Depth;
use super::rehearsal::{self, Compared};
use super::sample::Shown;
use super::side::Side;
use crate::engine::writer;
use crate::error::Error;
use crate::forge::{Answer, SetKey, Via};

/// Entities fetched at once; the host's own limits are below.
const AT_ONCE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// What comparing came to.
pub struct Comparison {
    pub sample: LevelResult,
    pub deep: LevelResult,
    pub findings: Vec<Named>,
    /// What could not be compared.
    pub unknown: Vec<Unknown>,
    /// Whether the forge does not show something that is here.
    seems_gone: bool,
    /// What stood in the way of the rest: the forge, the file, or a request to stop.
    pub ended_by: Option<Error>,
}

impl Comparison {
    fn new() -> Self {
        Self {
            sample: LevelResult::new(Level::Sample),
            deep: LevelResult::new(Level::Deep),
            findings: Vec::new(),
            unknown: Vec::new(),
            seems_gone: false,
            ended_by: None,
        }
    }
}

/// Fetches and compares entities. What one of them cannot be fetched or read for is no word about the others, and no
/// finding: it is left out.
///
/// # Cancel safety
/// Nothing is written; a drain lets what is being fetched finish and starts no other.
pub async fn compare(cx: &Cx, side: &Arc<Side>, chosen: Vec<Shown>, depth: Depth) -> Comparison {
    let mut all = Comparison::new();
    let shared = side.clone();
    let outcomes = map_bounded(cx, AT_ONCE, chosen, move |cx, shown| {
        let side = shared.clone();
        async move { Box::pin(one(&cx, &side, shown, depth)).await }
    });
    for outcome in outcomes.await {
        let error = match outcome {
            Outcome::Ok(one) => {
                all.sample.add(&one.sample);
                all.deep.add(&one.deep);
                all.findings.extend(one.findings);
                all.unknown.extend(one.unknown);
                all.seems_gone |= one.seems_gone;
                continue;
            }
            Outcome::Err(error) => error,
            Outcome::Cancelled(reason) => annals_core::Cancelled(reason).into(),
            Outcome::Panicked(message) => message.into(),
        };
        all.ended_by.get_or_insert(error);
    }
    if all.seems_gone
        && let Err(error) = side.confirm(cx).await
    {
        let told = all.findings.len();
        all.findings.retain(|finding| finding.finding != Finding::MissingThere);
        all.sample.findings -= (told - all.findings.len()) as u64;
        all.ended_by.get_or_insert(error);
    }
    all
}

async fn one(cx: &Cx, side: &Side, shown: Shown, depth: Depth) -> Result<Comparison, Error> {
    let _started = cx.may_start()?;
    let mut result = Comparison::new();
    let named =
        |finding, detail: String| Named::of_entity((side.id, &side.path), (shown.kind, shown.iid), finding, detail);
    let unknown = |set| Unknown {
        project: side.id,
        entity: (shown.kind, shown.iid),
        set,
    };
    result.sample.checked = 1;
    let flight = side.budget.flight();
    let via = Via {
        flight: &flight,
        meter: &side.meter,
    };
    let answer = match side.forge.one(cx, via, &side.native, shown.kind, shown.iid).await {
        Ok(answer) => answer,
        Err(error) if side.is_of_one((shown.kind, shown.iid), &error) => {
            result.sample.left_out = 1;
            result.unknown.push(unknown(None));
            return Ok(result);
        }
        Err(error) => return Err(error.into()),
    };
    result.seems_gone = matches!(answer, Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden);
    let row = match answer {
        Answer::New(Ok(row)) => row,
        Answer::New(Err(bad)) => {
            let detail = format!("the forge shows what cannot be read: {}", bad.message);
            result.findings.push(named(Finding::Differs, detail));
            result.sample.findings = 1;
            return Ok(result);
        }
        Answer::Gone(reason) => {
            let detail = format!("the forge answers that it is {reason}");
            result.findings.push(named(Finding::MissingThere, detail));
            result.sample.findings = 1;
            return Ok(result);
        }
        Answer::Moved(to) => {
            let detail = format!("the forge answers that it is {to} now");
            result.findings.push(named(Finding::MissingThere, detail));
            result.sample.findings = 1;
            return Ok(result);
        }
        // What is hidden from this token is not gone, and nothing can be said about it.
        Answer::Hidden | Answer::NotModified => {
            result.sample.left_out = 1;
            result.unknown.push(unknown(None));
            return Ok(result);
        }
    };
    if row.at.is_none_or(|at| at >= side.began) {
        result.sample.left_out = 1;
        return Ok(result);
    }
    let (project, at) = (side.id, row.at);
    let rehearsed = side.db.rehearse(cx, move |tx| rehearsal::entity(tx, project, &row));
    let compared = match rehearsed.await {
        Ok(compared) => compared,
        // The file's own level has named what is damaged.
        Err(annals_db::Error::Corrupt { .. }) => Compared::Owed,
        Err(error) => return Err(error.into()),
    };
    drop(flight);
    match compared {
        Compared::Same => {}
        Compared::Owed => {
            result.sample.left_out = 1;
            result.unknown.push(unknown(None));
        }
        Compared::Missing => result
            .findings
            .push(named(Finding::MissingHere, "the file does not show it".to_owned())),
        Compared::Stale { here, there } => {
            let detail = format!("updated {} there, {} here", there.rfc3339(), here.rfc3339());
            result.findings.push(named(Finding::StaleHere, detail));
        }
        Compared::Differs { fields, here, there } => {
            let detail = if fields.is_empty() {
                "of the same age, but not the same".to_owned()
            } else {
                format!("of the same age, but for {}", fields.join(", "))
            };
            let finding = named(Finding::Differs, detail);
            result.findings.push(Named {
                fields,
                local: here,
                remote: there,
                ..finding
            });
        }
    }
    result.sample.findings = result.findings.len() as u64;
    if depth == Depth::Sets && result.findings.is_empty() {
        Box::pin(sets(cx, side, shown, &mut result)).await?;
        // They were fetched one after another: what was written in between at the forge is no finding.
        if !result.findings.is_empty() && !is_still(cx, side, shown, at).await? {
            result.deep.left_out += result.deep.findings;
            result.deep.findings = 0;
            result.findings.clear();
            result.unknown.push(unknown(None));
        }
    }
    Ok(result)
}

/// Whether an entity is at the forge as old as it was.
async fn is_still(cx: &Cx, side: &Side, shown: Shown, at: Option<UnixMs>) -> Result<bool, Error> {
    let _started = cx.may_start()?;
    let flight = side.budget.flight();
    let via = Via {
        flight: &flight,
        meter: &side.meter,
    };
    match side.forge.one(cx, via, &side.native, shown.kind, shown.iid).await {
        Ok(Answer::New(Ok(row))) => Ok(row.at == at),
        Ok(_) => Ok(false),
        Err(error) if side.is_of_one((shown.kind, shown.iid), &error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn sets(cx: &Cx, side: &Side, shown: Shown, result: &mut Comparison) -> Result<(), Error> {
    for kind in JobType::ALL {
        if *kind == JobType::Detail || !job::applies(*kind, shown.kind) {
            continue;
        }
        let _started = cx.may_start()?;
        let Some((entity, key)) = key_of(cx, side, shown, *kind).await? else {
            return Ok(());
        };
        let unknown = Unknown {
            project: side.id,
            entity: (shown.kind, shown.iid),
            set: Some(*kind),
        };
        result.deep.checked += 1;
        let flight = side.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &side.meter,
        };
        let answer = match side.forge.set(cx, via, &side.native, &key, None).await {
            Ok(Answer::New(answer)) => answer,
            // A set over the limit, say, which a sync does not store either.
            Err(error) if !side.is_of_one((shown.kind, shown.iid), &error) => return Err(error.into()),
            Ok(_) | Err(_) => {
                result.deep.left_out += 1;
                result.unknown.push(unknown);
                continue;
            }
        };
        let (project, job) = (side.id, *kind);
        let rehearsed = side
            .db
            .rehearse(cx, move |tx| rehearsal::set(tx, project, entity, &answer, job));
        let written = match rehearsed.await {
            Ok(written) => written,
            Err(annals_db::Error::Corrupt { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        drop(flight);
        match written {
            Some(0) => {}
            None => {
                result.deep.left_out += 1;
                result.unknown.push(unknown);
            }
            Some(rows) => {
                let detail = format!("{rows} rows of its {kind} are others at the forge");
                let identity = (shown.kind, shown.iid);
                let finding = Named::of_entity((side.id, &side.path), identity, Finding::SetDiffers, detail);
                result.findings.push(Named {
                    fields: vec![kind.to_string()],
                    ..finding
                });
                result.deep.findings += 1;
            }
        }
    }
    Ok(())
}

async fn key_of(cx: &Cx, side: &Side, shown: Shown, kind: JobType) -> Result<Option<(EntityId, SetKey)>, Error> {
    let (project, iid) = (side.id, Iid(shown.iid.0));
    let found = side
        .db
        .rehearse(cx, move |tx| {
            let Some((entity, at)) = writer::entity_at(tx, project, shown.kind, iid)? else {
                return Ok(None);
            };
            let key = SetKey {
                kind: shown.kind,
                iid,
                job: kind,
                head_oid: writer::head_of(tx, entity)?,
                cause_at: at,
            };
            Ok(Some((entity, key)))
        })
        .await?;
    Ok(found)
}
