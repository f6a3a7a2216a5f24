//! A verification from its row in the ledger to its result.

use std::sync::Arc;
use std::time::Duration;

use annals_core::{CancelReason, Code, Outcome, RunId};
use annals_db::Db;
use annals_db::control::{self, HEARTBEAT_MS, NewRun, RunEnd};
use annals_db::ids::{RunMode, RunStatus};
use annals_net_adapter::{CancelKind, Cx, RegionSpec};
use serde_json::json;

use super::entities::{self, Side};
use super::finding::{Level, LevelResult, Named, VerifyResult, bound};
use super::local;
use super::options::{Depth, Reach, Repair, VerifyOptions};
use super::sample::{self, Shown};
use crate::engine::Target;
use crate::engine::ending::{finishing, spawn_failed, stop_of};
use crate::engine::resolve::{self, KnownProject, Resolved};
use crate::error::Error;
use crate::forge::budget::ByteBudget;
use crate::forge::meter::Meter;
use crate::progress::{Event, Progress};

/// Compares the mirror with itself and with its forges. No targets means every project that is tracked.
///
/// # Errors
/// [`Error::Findings`] when something is wrong and was not mended, with everything that was found;
/// [`Error::Cancelled`]; before it begins, [`Error::Target`], [`Error::UnknownProject`] or
/// [`Error::AmbiguousProject`]; a failure of a forge or of the file.
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
    let _started = cx.may_start()?;
    let known = known(resolve::resolve(cx, db, &options.sync, &targets).await?)?;
    let alive = db.alive().cloned().ok_or(annals_db::Error::Closed)?;
    let mut random = [0; 10];
    cx.rng().fill(&mut random);
    let run = Arc::new(Verification {
        db: db.clone(),
        run_id: RunId::new(cx.unix_ms(), random),
        meter: Meter::new(progress.clone()),
        budget: ByteBudget::new(options.sync.max_bytes),
        progress,
        options,
    });
    let row = NewRun {
        run_id: run.run_id.clone(),
        parent: None,
        mode: RunMode::Verify,
        origin: run.options.sync.origin,
        project: match known.as_slice() {
            [one] => Some(one.id),
            _ => None,
        },
        requested: run.requested(&known),
    };
    let begun = db.write(cx, move |tx| {
        control::heal(tx, &alive)?;
        control::begin_run(tx, &row, &alive)
    });
    begun.await?;
    run.progress.tell(Event::RunStarted {
        run_id: run.run_id.clone(),
        projects: known.len(),
    });
    let region = cx.region(RegionSpec::collect_all("verify.run"), |cx| {
        let run = run.clone();
        async move { Box::pin(body(&cx, &run, known)).await }
    });
    let outcome = match region.await.body {
        Outcome::Ok(result) => Ok(result),
        Outcome::Err(error) => Err(error),
        Outcome::Cancelled(reason) => Err(annals_core::Cancelled(reason).into()),
        Outcome::Panicked(message) => Err(message.into()),
    };
    finish(cx, &run, outcome).await
}

/// What every part of a verification shares.
struct Verification {
    db: Db,
    run_id: RunId,
    options: VerifyOptions,
    meter: Meter,
    progress: Progress,
    budget: ByteBudget,
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
        self.progress.tell(Event::PhaseStarted {
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

async fn body(cx: &Cx, run: &Arc<Verification>, known: Vec<KnownProject>) -> Result<VerifyResult, Error> {
    let heartbeat = {
        let (db, run_id) = (run.db.clone(), run.run_id.clone());
        cx.spawn("verify.run.heartbeat", move |cx| async move {
            loop {
                cx.sleep(Duration::from_millis(HEARTBEAT_MS.unsigned_abs())).await?;
                let run_id = run_id.clone();
                if let Err(error) = db.write(&cx, move |tx| control::run::beat_run(tx, &run_id)).await {
                    tracing::warn!(%error, "the heartbeat of a verification failed");
                }
            }
            #[expect(unreachable_code, reason = "names the type of an endless task")]
            Ok::<(), Error>(())
        })
        .map_err(spawn_failed)?
    };
    let compared = Box::pin(levels(cx, run, known)).await;
    heartbeat.cancel(CancelReason::new(CancelKind::User, "verify.run", cx.now()));
    compared
}

async fn levels(cx: &Cx, run: &Arc<Verification>, known: Vec<KnownProject>) -> Result<VerifyResult, Error> {
    let began = cx.unix_ms();
    run.phase(None, "local");
    let local = local::look(cx, &run.db).await?;
    let mut levels = vec![local.level];
    let mut findings = local.findings;
    if run.options.reach == Reach::Forge {
        let mut sampled = LevelResult::new(Level::Sample);
        let mut deep = LevelResult::new(Level::Deep);
        for project in known {
            run.phase(Some(&project.path), "sample");
            let side = Arc::new(Side {
                db: run.db.clone(),
                forge: resolve::client_of(cx, &run.options.sync, &project)?,
                meter: run.meter.clone(),
                budget: run.budget.clone(),
                id: project.id,
                path: project.path,
                native: project.native,
                began,
            });
            let chosen = chosen(cx, run, &side).await?;
            let compared = Box::pin(entities::compare(cx, &side, chosen, run.options.depth)).await?;
            sampled.add(&compared.sample);
            deep.add(&compared.deep);
            findings.extend(compared.findings);
        }
        levels.push(sampled);
        if run.options.depth == Depth::Sets {
            levels.push(deep);
        }
    }
    Ok(result(run, levels, findings))
}

async fn chosen(cx: &Cx, run: &Arc<Verification>, side: &Side) -> Result<Vec<Shown>, Error> {
    let (id, kinds): (_, Vec<_>) = (side.id, run.options.kinds().collect());
    let shown = run.db.read(cx, move |conn| {
        let shown = kinds.iter().map(|kind| sample::shown(conn, id, *kind));
        shown.collect::<Result<Vec<_>, _>>()
    });
    Ok(sample::choose(&shown.await?, run.options.sample, run.options.seed))
}

fn result(run: &Verification, levels: Vec<LevelResult>, findings: Vec<Named>) -> VerifyResult {
    let sample = levels.iter().find(|level| level.level == Level::Sample);
    VerifyResult {
        run_id: run.run_id.clone(),
        bound: sample
            .filter(|sample| sample.findings == 0)
            .and_then(|sample| bound(sample.checked - sample.left_out)),
        repaired: findings.iter().map(|finding| u64::from(finding.repaired)).sum(),
        requests: run.meter.requests(),
        levels,
        findings,
    }
}

/// Closes the run, however it went.
async fn finish(cx: &Cx, run: &Arc<Verification>, outcome: Result<VerifyResult, Error>) -> Result<VerifyResult, Error> {
    let (status, code) = match &outcome {
        Ok(result) if result.left() == 0 => (RunStatus::Done, None),
        Ok(_) => (RunStatus::Done, Some(Code::CheckFailed)),
        Err(error) => match stop_of(error) {
            Some(stop) => (RunStatus::Cancelled, Some(stop.reason().code())),
            None => (RunStatus::Failed, Some(error.code())),
        },
    };
    let (rows, counters) = match &outcome {
        Ok(result) => (
            result.findings.iter().map(Named::row).collect(),
            json!({
                "requests": result.requests,
                "findings": result.findings.len(),
                "repaired": result.repaired,
            }),
        ),
        Err(_) => (Vec::new(), json!({ "requests": run.meter.requests() })),
    };
    let end = RunEnd {
        status,
        counters,
        error_code: code,
        error: None,
    };
    let closed = finishing(cx, |cx| {
        let (db, run_id) = (run.db.clone(), run.run_id.clone());
        async move {
            let write = db.write(&cx, move |tx| {
                control::put_findings(tx, &run_id, &rows)?;
                control::finish_run(tx, &run_id, &end)
            });
            Ok(write.await?)
        }
    });
    let closed = closed.await;
    run.progress.tell(Event::RunFinished {
        run_id: run.run_id.clone(),
        status: status.as_str(),
    });
    let result = outcome?;
    closed?;
    if result.left() == 0 {
        Ok(result)
    } else {
        Err(Error::Findings(Box::new(result)))
    }
}
