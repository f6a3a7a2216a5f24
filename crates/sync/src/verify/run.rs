//! A verification from its row in the ledger to its result.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use annals_core::{CancelReason, Code, Outcome, UnixMs};
use annals_db::Db;
use annals_db::check::MORE;
use annals_db::control::{self, NewRun, RunEnd};
use annals_db::ids::{Finding, RunMode, RunStatus};
use annals_net_adapter::{CancelKind, Cx, RegionSpec};
use serde_json::json;

use super::finding::{Level, LevelResult, Named, Unknown, VerifyResult, bound};
use super::options::{Depth, Reach, Repair, VerifyOptions};
use super::sample::{self, Shown};
use super::side::Side;
use super::{entities, index, local, repair};
use crate::engine::Target;
use crate::engine::ending::{finishing, stop_of};
use crate::engine::resolve::{self, KnownProject, Resolved};
use crate::engine::run::{self, Run};
use crate::error::Error;
use crate::forge::ForgeError;
use crate::progress::{Event, Progress};

/// Compares the mirror with itself and with its forges. No targets means every project that is tracked.
///
/// # Errors
/// [`Error::Findings`] when something is wrong and was not mended, with everything that was found;
/// [`Error::Unverified`] when it could not go on, with what it had found by then; [`Error::Cancelled`]; before it
/// begins, [`Error::Target`], [`Error::UnknownProject`] or [`Error::AmbiguousProject`]; a failure of a forge or of the
/// file.
///
/// # Cancel safety
/// Nothing is written but the run's own row and what a repair mends, each whole or not at all. The run is recorded
/// as cancelled.
pub async fn verify(
    cx: &Cx,
    db: &Db,
    targets: Vec<Target>,
    options: VerifyOptions,
    progress: Progress,
) -> Result<VerifyResult, Error> {
    let started = cx.may_start()?;
    let known = known(resolve::resolve(cx, db, &options.sync, &targets).await?)?;
    let VerifyOptions { sync, .. } = options.clone();
    let run = Arc::new(Verification {
        run: Run::new(cx, db, sync, progress, known.len())?,
        options,
    });
    let row = NewRun {
        run_id: run.run.run_id.clone(),
        parent: None,
        mode: RunMode::Verify,
        origin: run.options.sync.origin,
        project: match known.as_slice() {
            [one] => Some(one.id),
            _ => None,
        },
        requested: run.requested(&known),
    };
    run::begin(cx, started, &run.run, row).await?;
    let region = cx.region(RegionSpec::collect_all("verify.run"), |cx| {
        let run = run.clone();
        async move { Ok::<_, Error>(Box::pin(body(&cx, &run, known)).await) }
    });
    let (found, ended_by) = match region.await.body {
        Outcome::Ok(ended) => ended,
        Outcome::Err(error) => (Found::default(), Some(error)),
        Outcome::Cancelled(reason) => (Found::default(), Some(annals_core::Cancelled(reason).into())),
        Outcome::Panicked(message) => (Found::default(), Some(message.into())),
    };
    finish(cx, &run, found, ended_by).await
}

/// What every part of a verification shares.
struct Verification {
    run: Arc<Run>,
    options: VerifyOptions,
}

impl Verification {
    fn requested(&self, known: &[KnownProject]) -> serde_json::Value {
        json!({
            "projects": known.iter().map(|project| project.path.as_str()).collect::<Vec<_>>(),
            "local": self.options.reach == Reach::Local,
            "deep": self.options.depth == Depth::Sets,
            "seed": self.options.seed,
            "repair": self.options.repair == Repair::Mend,
        })
    }

    fn phase(&self, project: Option<&str>, phase: &'static str) {
        self.run.progress.tell(Event::PhaseStarted {
            project: project.map(str::to_owned),
            phase,
        });
    }
}

/// Only what is in the file can be compared with its forge.
fn known(resolved: Vec<Resolved>) -> Result<Vec<KnownProject>, Error> {
    let known = resolved.into_iter().map(|one| match one {
        Resolved::Known { known, .. } => Ok(known),
        Resolved::New(url) => Err(Error::UnknownProject { path: url.path }),
    });
    known.collect()
}

/// What was found, also where something kept the run from its end.
async fn body(cx: &Cx, run: &Arc<Verification>, known: Vec<KnownProject>) -> (Found, Option<Error>) {
    let mut found = Found::default();
    let heartbeat = match run::heartbeat(cx, &run.run) {
        Ok(heartbeat) => heartbeat,
        Err(error) => return (found, Some(error)),
    };
    let compared = Box::pin(levels(cx, run, known, &mut found)).await;
    heartbeat.cancel(CancelReason::new(CancelKind::User, "verify.run", cx.now()));
    (found, compared.err())
}

async fn levels(cx: &Cx, run: &Arc<Verification>, known: Vec<KnownProject>, found: &mut Found) -> Result<(), Error> {
    let began = cx.unix_ms();
    let mut sides = Vec::new();
    if run.options.reach == Reach::Forge {
        for project in known {
            sides.push(Arc::new(Side {
                db: run.run.db.clone(),
                forge: resolve::client_of(cx, &run.options.sync, &project)?,
                meter: run.run.meter.clone(),
                budget: run.run.budget.clone(),
                id: project.id,
                path: project.path,
                native: project.native,
                began,
                broken: Mutex::default(),
            }));
        }
    }
    run.phase(None, "local");
    let local = local::look(cx, &run.run.db).await?;
    found.add(local.level, local.findings);
    let mut unseen = None;
    for side in &sides {
        let chosen = chosen(cx, run, side).await?;
        match Box::pin(forge(cx, run, side, chosen, found)).await {
            // A project that is not shown keeps no other from being compared.
            Err(Error::Forge(error @ (ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }))) => {
                unseen.get_or_insert(Error::Forge(error));
            }
            compared => compared?,
        }
    }
    if run.options.repair == Repair::Mend && !found.findings.is_empty() {
        run.phase(None, "repair");
        repair::derived(cx, &run.run.db, local.derived).await?;
        for side in &sides {
            Box::pin(repair::entities(
                cx,
                side,
                &run.options,
                &found.findings,
                &run.run.progress,
            ))
            .await?;
        }
        run.phase(None, "verify again");
        let again = Box::pin(look_again(cx, run, &sides, &found.findings)).await?;
        let is_cut = again.findings.iter().any(|left| left.detail.ends_with(MORE));
        for finding in &mut found.findings {
            // Damage that cannot be seen any more was not mended here, but covered.
            // Nor is one mended that is only not among the first any more.
            let is_certain = match finding.finding {
                Finding::Corrupt => false,
                Finding::Drift => !is_cut,
                Finding::MissingHere
                | Finding::MissingThere
                | Finding::StaleHere
                | Finding::Differs
                | Finding::SetDiffers => true,
            };
            // What could not be looked at again is not known to be mended.
            let is_seen = !again.unknown.iter().any(|unknown| unknown.is_of(finding));
            finding.repaired =
                is_certain && is_seen && !again.findings.iter().any(|left| left.is_about_the_same(finding));
        }
    }
    unseen.map_or(Ok(()), Err)
}

/// What was found so far.
#[derive(Default)]
struct Found {
    levels: Vec<LevelResult>,
    findings: Vec<Named>,
    unknown: Vec<Unknown>,
}

impl Found {
    fn add(&mut self, level: LevelResult, findings: Vec<Named>) {
        match self.levels.iter_mut().find(|known| known.level == level.level) {
            Some(known) => known.add(&level),
            None => self.levels.push(level),
        }
        // What the index has found is not news when its entity is fetched.
        let news = findings
            .into_iter()
            .filter(|finding| !self.findings.iter().any(|known| known.is_about_the_same(finding)));
        let news: Vec<_> = news.collect();
        self.findings.extend(news);
    }
}

/// The levels that ask the forge of a project.
async fn forge(
    cx: &Cx,
    run: &Arc<Verification>,
    side: &Arc<Side>,
    chosen: Vec<Shown>,
    found: &mut Found,
) -> Result<(), Error> {
    run.phase(Some(&side.path), "index");
    for kind in run.options.kinds() {
        let compared = Box::pin(index::compare(cx, side, kind)).await?;
        found.add(compared.level, compared.findings);
        found.unknown.extend(compared.unknown);
        if let Some(error) = compared.ended_by {
            return Err(error);
        }
    }
    run.phase(Some(&side.path), "sample");
    let compared = Box::pin(entities::compare(cx, side, chosen, run.options.depth)).await;
    let (deep, rest) = compared
        .findings
        .into_iter()
        .partition(|finding| finding.finding == Finding::SetDiffers);
    found.add(compared.sample, rest);
    found.unknown.extend(compared.unknown);
    if run.options.depth == Depth::Sets {
        found.add(compared.deep, deep);
    }
    compared.ended_by.map_or(Ok(()), Err)
}

/// What is still wrong with what was mended.
async fn look_again(cx: &Cx, run: &Arc<Verification>, sides: &[Arc<Side>], findings: &[Named]) -> Result<Found, Error> {
    let mut found = Found {
        findings: local::look(cx, &run.run.db).await?.findings,
        ..Found::default()
    };
    for side in sides {
        let of = findings.iter().filter(|finding| finding.id == Some(side.id));
        let chosen: BTreeSet<Shown> = of
            .filter_map(|finding| {
                Some(Shown {
                    kind: finding.entity_type?,
                    iid: finding.iid?,
                    at: UnixMs(0),
                })
            })
            .collect();
        if chosen.is_empty() {
            continue;
        }
        // An entity that the file shows no more is compared by the index alone.
        let gone = |shown: &Shown| {
            findings.iter().any(|finding| {
                finding.finding == Finding::MissingThere
                    && (finding.id, finding.entity_type, finding.iid)
                        == (Some(side.id), Some(shown.kind), Some(shown.iid))
            })
        };
        let chosen = chosen.into_iter().filter(|shown| !gone(shown)).collect();
        Box::pin(forge(cx, run, side, chosen, &mut found)).await?;
    }
    Ok(found)
}

async fn chosen(cx: &Cx, run: &Arc<Verification>, side: &Side) -> Result<Vec<Shown>, Error> {
    let (id, kinds): (_, Vec<_>) = (side.id, run.options.kinds().collect());
    let shown = run.run.db.read(cx, move |conn| {
        let shown = kinds.iter().map(|kind| sample::shown(conn, id, *kind));
        shown.collect::<Result<Vec<_>, _>>()
    });
    Ok(sample::choose(&shown.await?, run.options.sample, run.options.seed))
}

fn result(run: &Verification, Found { levels, findings, .. }: Found) -> VerifyResult {
    let sample = levels.iter().find(|level| level.level == Level::Sample);
    VerifyResult {
        run_id: run.run.run_id.clone(),
        bound: sample
            .filter(|sample| sample.findings == 0)
            .and_then(|sample| bound(sample.checked - sample.left_out)),
        repaired: findings.iter().map(|finding| u64::from(finding.repaired)).sum(),
        requests: run.run.meter.requests(),
        levels,
        findings,
    }
}

/// Closes the run, however it went.
async fn finish(
    cx: &Cx,
    run: &Arc<Verification>,
    found: Found,
    ended_by: Option<Error>,
) -> Result<VerifyResult, Error> {
    let mut result = result(run, found);
    if ended_by.is_some() {
        // What is left of a sample after the one that ended it proves nothing.
        result.bound = None;
    }
    let (status, code) = match &ended_by {
        None if result.left() == 0 => (RunStatus::Done, None),
        None => (RunStatus::Done, Some(Code::CheckFailed)),
        Some(error) => match stop_of(error) {
            Some(stop) => (RunStatus::Cancelled, Some(stop.reason().code())),
            None => (RunStatus::Failed, Some(error.code())),
        },
    };
    let rows: Vec<_> = result.findings.iter().map(Named::row).collect();
    let end = RunEnd {
        status,
        counters: json!({
            "requests": result.requests,
            "findings": result.findings.len(),
            "repaired": result.repaired,
        }),
        error_code: code,
        error: None,
    };
    let closed = finishing(cx, |cx| {
        let (db, run_id) = (run.run.db.clone(), run.run.run_id.clone());
        async move {
            let write = db.write(&cx, move |tx| {
                control::put_findings(tx, &run_id, &rows)?;
                control::finish_run(tx, &run_id, &end)
            });
            Ok(write.await?)
        }
    });
    let closed = closed.await;
    run.run.progress.tell(Event::RunFinished {
        run_id: run.run.run_id.clone(),
        status: status.as_str(),
    });
    match ended_by {
        Some(error) if stop_of(&error).is_some() || result.findings.is_empty() => Err(error),
        Some(error) => Err(Error::Unverified {
            cause: Box::new(error),
            result: Box::new(result),
        }),
        None => {
            closed?;
            if result.left() == 0 {
                Ok(result)
            } else {
                Err(Error::Findings(Box::new(result)))
            }
        }
    }
}
