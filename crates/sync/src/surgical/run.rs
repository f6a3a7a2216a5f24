//! The stages of a surgical run, from its row in the ledger to its result.

use std::collections::BTreeSet;
use std::sync::Arc;

use annals_core::{CancelKind, CancelReason, Code, Outcome, Report, RunId};
use annals_db::Db;
use annals_db::control::ledger::put_entity;
use annals_db::control::{EntityRow, NewRun};
use annals_db::ids::{EntityStage, EntityStatus, RunMode};
use annals_net_adapter::{Cx, RegionSpec, Started};
use annals_search::embed::Embedded;

use super::ending::{self, Ends};
use super::failure::TargetFailure;
use super::ingest::{self, Ingested, Planned};
use super::preflight::{self, Preflight};
use super::request::{Extent, Kept, Request, SurgicalOptions};
use super::{dependents, documents};
use crate::engine::ending::{finishing, stop_of};
use crate::engine::resolve::{self, KnownProject, Resolved};
use crate::engine::run::{self, Run};
use crate::engine::writer::{self, Events, Place, Wrote};
use crate::engine::{self, Documents, Embedding, EntityRef, SyncOptions, SyncResult, Target, project};
use crate::error::Error;
use crate::forge::Forge;
use crate::progress::{Event, Progress};

/// Brings the entities of a request up to date: all of them, or none.
///
/// # Errors
/// [`Error::Preflight`] when a target could not be fetched, and nothing was changed;
/// [`Error::Incomplete`] when something failed after that, with the result so far;
/// [`Error::Cancelled`] when the run was asked to stop; before it begins, [`Error::Target`],
/// [`Error::UnknownProject`], [`Error::AmbiguousProject`] or a failure of the file.
///
/// # Cancel safety
/// Before the one transaction of all targets nothing is written but the ledger. After it, sets and
/// documents that are not in yet are owed as to every sync. Either way the run is recorded as
/// cancelled and its lock given back. A dropped call is healed by the next run.
pub async fn surgical(
    cx: &Cx,
    db: &Db,
    request: Request,
    options: SurgicalOptions,
    progress: Progress,
) -> Result<SyncResult, Error> {
    let started = cx.may_start()?;
    let known = known(cx, db, &options.sync, request.project.clone()).await?;
    let task = Task {
        known: Some(known),
        targets: request.targets,
        extent: request.extent,
        undocumented: Vec::new(),
        unembedded: Vec::new(),
        parent: None,
    };
    drive(cx, started, db, task, options, progress).await
}

/// The one project of a request: it has to be here already, because a preflight changes no content.
pub(super) async fn known(cx: &Cx, db: &Db, options: &SyncOptions, target: Target) -> Result<KnownProject, Error> {
    match resolve::resolve(cx, db, options, &[target]).await?.pop() {
        Some(Resolved::Known { known, .. }) => Ok(known),
        Some(Resolved::New(url)) => Err(Error::UnknownProject { path: url.path }),
        None => Err(Error::UnknownProject { path: String::new() }),
    }
}

/// What a run is to do.
pub(super) struct Task {
    /// The project; only a retry of nothing may have none.
    pub known: Option<KnownProject>,
    pub targets: Vec<EntityRef>,
    pub extent: Extent,
    /// Targets whose documents another run could not make.
    pub undocumented: Vec<EntityRef>,
    /// Targets whose documents another run has made and could not embed.
    pub unembedded: Vec<EntityRef>,
    pub parent: Option<RunId>,
}

/// What the stages share.
pub struct Surgery {
    pub run: Arc<Run>,
    pub forge: Arc<dyn Forge>,
    pub known: KnownProject,
    pub targets: Vec<EntityRef>,
    pub extent: Extent,
    /// Targets whose documents are made also of what an earlier run has left.
    pub undocumented: Vec<EntityRef>,
    /// Targets whose documents get their vectors also where nothing is new.
    pub unembedded: Vec<EntityRef>,
    pub events: Events,
    pub preflight_bytes: u64,
}

/// Runs a task and closes its run.
///
/// # Errors
/// As [`surgical`].
///
/// # Cancel safety
/// As [`surgical`].
pub(super) async fn drive(
    cx: &Cx,
    started: Started,
    db: &Db,
    task: Task,
    options: SurgicalOptions,
    progress: Progress,
) -> Result<SyncResult, Error> {
    let SurgicalOptions { sync, preflight_bytes } = options;
    let kept = Kept {
        extent: task.extent,
        documents: sync.documents,
        embeds: sync.embedding != Embedding::Leave,
        events: sync.settings.events,
    };
    let run = Run::new(cx, db, sync, progress, 1)?;
    let row = NewRun {
        run_id: run.run_id.clone(),
        parent: task.parent,
        mode: RunMode::Surgical,
        origin: run.options.origin,
        project: task.known.as_ref().map(|known| known.id),
        requested: kept.write(task.known.as_ref().map(|known| known.path.as_str()), &task.targets),
    };
    run::begin(cx, started, &run, row).await?;
    let before = Ends::of(&task.targets, task.known.as_ref());
    let Some(known) = task.known.filter(|_| !task.targets.is_empty()) else {
        return ending::finish(cx, &run, before).await;
    };
    let events = if kept.events { Events::Mirror } else { Events::Leave };
    let region = cx.region(RegionSpec::collect_all("sync.surgical"), |cx| {
        let (run, mut ends) = (run.clone(), before.clone());
        async move {
            let forge = resolve::client_of(&cx, &run.options, &known);
            let surgery = forge.map(|forge| Surgery {
                run,
                forge,
                known,
                targets: task.targets,
                extent: task.extent,
                undocumented: task.undocumented,
                unembedded: task.unembedded,
                events,
                preflight_bytes,
            });
            match surgery {
                Ok(surgery) => Box::pin(body(&cx, &Arc::new(surgery), &mut ends)).await,
                Err(error) => ends.note(&error),
            }
            Ok::<_, Error>(ends)
        }
    });
    let ends = match region.await.body {
        Outcome::Ok(ends) => ends,
        Outcome::Err(error) => before.with(&error),
        Outcome::Cancelled(reason) => before.with(&Error::Cancelled { reason, result: None }),
        Outcome::Panicked(message) => before.with(&Error::from(message)),
    };
    ending::finish(cx, &run, ends).await
}

async fn body(cx: &Cx, surgery: &Arc<Surgery>, ends: &mut Ends) {
    let heartbeat = match run::heartbeat(cx, &surgery.run) {
        Ok(heartbeat) => heartbeat,
        Err(error) => return ends.note(&error),
    };
    if let Err(error) = stages(cx, surgery, ends).await {
        ends.note(&error);
    }
    heartbeat.cancel(CancelReason::new(CancelKind::User, "sync.surgical", cx.now()));
}

/// # Errors
/// What ended the run early; `ends` has what was done before.
async fn stages(cx: &Cx, surgery: &Arc<Surgery>, ends: &mut Ends) -> Result<(), Error> {
    surgery.phase(cx, "preflight").await?;
    let Preflight { targets, failures } = preflight::run(cx, surgery).await?;
    surgery.record_preflight(cx, &targets, &failures).await?;
    if !failures.is_empty() {
        ends.preflight = failures;
        return Ok(());
    }
    if surgery.extent == Extent::PreflightOnly {
        ends.is_complete = true;
        return Ok(());
    }
    surgery.phase(cx, "ingest").await?;
    let lock = match project::acquire(cx, &surgery.run, &surgery.known).await {
        Ok(lock) => lock,
        Err(error) => {
            surgery.record_not_ingested(cx, &error, ends).await?;
            return Err(error);
        }
    };
    let heartbeat = project::heartbeat(cx, &surgery.run, &lock)?;
    let place = Place {
        project: surgery.known.id,
        lock,
        events: surgery.events,
    };
    let held = Box::pin(with_lock(cx, surgery, &place, targets, ends)).await;
    heartbeat.cancel(CancelReason::new(CancelKind::User, "sync.surgical", cx.now()));
    let released = finishing(cx, |cx| {
        let (db, place) = (surgery.run.db.clone(), place.clone());
        async move { Ok(db.write(&cx, move |tx| writer::let_go(tx, &place)).await?) }
    });
    let released = released.await;
    held.and(released)?;
    embed(cx, surgery, ends).await?;
    ends.is_complete = true;
    Ok(())
}

/// Vectors for exactly the documents that were made here, and in a retry for those that the run before could not embed.
/// Nothing of content hangs on them, so a failure is listed, and what was not embedded stays owed.
async fn embed(cx: &Cx, surgery: &Arc<Surgery>, ends: &mut Ends) -> Result<(), Error> {
    let mut ids = ends.made.regenerated.clone();
    if !surgery.unembedded.is_empty() {
        let (project, of) = (surgery.known.id, surgery.unembedded.clone());
        ids.extend(
            surgery
                .run
                .db
                .read(cx, move |conn| documents::of_entities(conn, project, &of))
                .await?,
        );
    }
    if ids.is_empty() {
        return Ok(());
    }
    let _started = cx.may_start()?;
    let mut total = Embedded::default();
    let done = match engine::embed::embedder_of(cx, &surgery.run).await {
        Ok(None) => return Ok(()),
        Ok(Some(embedder)) => {
            surgery.phase(cx, "embed").await?;
            engine::embed::exactly(cx, &surgery.run, &embedder, &ids, &mut total).await
        }
        Err(error) => Err(error),
    };
    ends.embedded = total.embedded;
    let report = match done {
        Ok(()) => total.failure.as_ref().map(annals_core::Coded::report),
        Err(error) if stop_of(&error).is_some() => return Err(error),
        Err(error) => Some(error.report()),
    };
    let of: BTreeSet<EntityRef> = ends.not_stale().chain(surgery.unembedded.iter().copied()).collect();
    surgery.record_embedded(cx, &of, report.as_ref()).await?;
    if let Some(report) = report {
        ends.fail(engine::embed::PART, report);
    }
    Ok(())
}

/// Everything that writes content.
async fn with_lock(
    cx: &Cx,
    surgery: &Arc<Surgery>,
    place: &Place,
    targets: Vec<preflight::Target>,
    ends: &mut Ends,
) -> Result<(), Error> {
    let mut sets = dependents::Sets::new();
    let mut planned = Vec::with_capacity(targets.len());
    for target in targets {
        planned.push(Planned {
            of: target.of,
            row: target.row,
            jobs: target.sets.keys().copied().collect(),
        });
        sets.extend(target.sets.into_iter().map(|(job, set)| ((target.of, job), set)));
    }
    let started = cx.may_start()?;
    let (wrote, ingested) = match ingest::run(cx, started, surgery, place, planned).await {
        Ok(done) => done,
        Err(rolled_back) => {
            ends.culprit = rolled_back.culprit;
            surgery.record_not_ingested(cx, &rolled_back.error, ends).await?;
            return Err(rolled_back.error);
        }
    };
    ends.ingested(&wrote, &ingested);
    surgery.record_ingested(cx, &ingested).await?;
    let written: Vec<EntityRef> = ingested
        .iter()
        .filter(|(_, what)| *what != Ingested::Stale)
        .map(|(of, _)| *of)
        .collect();
    sets.retain(|(of, _), _| written.contains(of));

    surgery.phase(cx, "dependents").await?;
    let end = dependents::run(cx, surgery, place, sets).await;
    surgery.record_dependents(cx, &written, &end).await?;
    if let Some(error) = ends.dependents(end) {
        return Err(error);
    }
    if surgery.run.options.documents == Documents::Make && !ends.dirty.is_empty() {
        surgery.phase(cx, "documents").await?;
        let rows = ends.dirty.clone();
        let made = documents::run(cx, surgery, &rows, &mut ends.made).await;
        surgery.record_documents(cx, &written, made.as_ref().err()).await?;
        made?;
    }
    Ok(())
}

impl Surgery {
    async fn phase(&self, cx: &Cx, phase: &'static str) -> Result<(), Error> {
        self.run.progress.tell(Event::PhaseStarted {
            project: Some(self.known.path.clone()),
            phase,
        });
        self.run.set_phase(cx, phase).await
    }

    /// Names the items that were put aside just now.
    pub fn tell_quarantined(&self, wrote: &Wrote) {
        for (name, code) in &wrote.news {
            self.run.progress.tell(Event::Warning {
                project: Some(self.known.path.clone()),
                code: *code,
                message: format!("{name} could not be read and was put aside"),
            });
        }
    }

    async fn record_preflight(
        &self,
        cx: &Cx,
        targets: &[preflight::Target],
        failures: &[TargetFailure],
    ) -> Result<(), Error> {
        let fine = targets
            .iter()
            .map(|target| line(target.of, EntityStage::Preflight, EntityStatus::Ok));
        let failed = failures
            .iter()
            .map(|failure| failed(failure.target, EntityStage::Preflight, &failure.report));
        self.record(cx, fine.chain(failed).collect()).await
    }

    /// The culprit has the code of the failure; the others are innocent, and undone all the same. A
    /// failure that is nobody's, such as a held lock, is everybody's; a request to stop is no failure.
    async fn record_not_ingested(&self, cx: &Cx, error: &Error, ends: &mut Ends) -> Result<(), Error> {
        if stop_of(error).is_some() {
            return Ok(());
        }
        let innocent = Report::new(
            Code::RolledBack,
            "it was undone because all targets are written together or not at all",
        );
        ends.failed.extend(self.targets.iter().copied());
        let rows = self.targets.iter().map(|of| {
            let is_innocent = ends.culprit.is_some_and(|culprit| culprit != *of);
            let report = if is_innocent { innocent.clone() } else { error.report() };
            failed(*of, EntityStage::Ingest, &report)
        });
        self.record(cx, rows.collect()).await
    }

    async fn record_ingested(&self, cx: &Cx, ingested: &[(EntityRef, Ingested)]) -> Result<(), Error> {
        let rows = ingested.iter().map(|(of, what)| {
            let status = match what {
                Ingested::Stale => EntityStatus::SkippedStale,
                Ingested::Written { .. } => EntityStatus::Ok,
            };
            line(*of, EntityStage::Ingest, status)
        });
        self.record(cx, rows.collect()).await
    }

    /// A target whose sets were still waiting when the run was asked to stop has no row: they are owed
    /// to the next sync, and nothing has failed.
    async fn record_dependents(
        &self,
        cx: &Cx,
        written: &[EntityRef],
        end: &dependents::DependentsEnd,
    ) -> Result<(), Error> {
        let ended_by = end.ended_by.as_ref().filter(|error| stop_of(error).is_none());
        let rows = written.iter().filter_map(|of| {
            if let Some(report) = end.failed.get(of) {
                return Some(failed(*of, EntityStage::Dependents, report));
            }
            match (end.waiting.contains(of), ended_by) {
                (false, _) => Some(line(*of, EntityStage::Dependents, EntityStatus::Ok)),
                (true, Some(error)) => Some(failed(*of, EntityStage::Dependents, &error.report())),
                (true, None) => None,
            }
        });
        self.record(cx, rows.collect()).await
    }

    async fn record_documents(&self, cx: &Cx, written: &[EntityRef], error: Option<&Error>) -> Result<(), Error> {
        let report = match error {
            Some(error) if stop_of(error).is_some() => return Ok(()),
            Some(error) => Some(error.report()),
            None => None,
        };
        let rows = written.iter().map(|of| match &report {
            Some(report) => failed(*of, EntityStage::Documents, report),
            None => line(*of, EntityStage::Documents, EntityStatus::Ok),
        });
        self.record(cx, rows.collect()).await
    }

    async fn record_embedded(&self, cx: &Cx, of: &BTreeSet<EntityRef>, report: Option<&Report>) -> Result<(), Error> {
        let rows = of.iter().map(|of| match report {
            Some(report) => failed(*of, EntityStage::Embed, report),
            None => line(*of, EntityStage::Embed, EntityStatus::Ok),
        });
        self.record(cx, rows.collect()).await
    }

    /// Writes rows of the ledger, in a transaction of their own, also while the run is being stopped.
    async fn record(&self, cx: &Cx, rows: Vec<EntityRow>) -> Result<(), Error> {
        let recorded = finishing(cx, |cx| {
            let (db, run_id) = (self.run.db.clone(), self.run.run_id.clone());
            async move {
                let write = db.write(&cx, move |tx| {
                    rows.iter().try_for_each(|row| put_entity(tx, &run_id, row))
                });
                Ok(write.await?)
            }
        });
        recorded.await
    }
}

fn line(of: EntityRef, stage: EntityStage, status: EntityStatus) -> EntityRow {
    EntityRow {
        kind: of.entity_type,
        iid: of.iid,
        stage,
        status,
        error: None,
    }
}

fn failed(of: EntityRef, stage: EntityStage, report: &Report) -> EntityRow {
    EntityRow {
        error: Some((report.code, report.message.clone())),
        ..line(of, stage, EntityStatus::Failed)
    }
}
