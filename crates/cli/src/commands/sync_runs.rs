//! `annals sync-runs`: how the mirroring went.

use std::collections::BTreeSet;

use annals_core::{Code, Report, RunId};
use annals_db::Db;
use annals_db::ids::RunStatus;
use annals_db::read::{self, Run as RunRow, RunDetail, Visibility};
use annals_net_adapter::{Cx, Slice};
use annals_sync::SurgicalOptions;
use serde::Serialize;
use serde_json::Value;

use super::either::Either;
use super::sync_surgical::Again;
use super::{Conduct, Run, sync};
use crate::error::Error;
use crate::output::page::{counted, one_line};
use crate::output::table::{Cell, Column, Table};
use crate::output::{Page, Reply, Shape, Show, Style};
use crate::process;
use crate::session::Session;

/// List sync runs, show one, or sync again what failed in one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One run in full, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Sync what failed in that run again, if it named what to sync
    #[arg(long, requires = "run_id", conflicts_with = "status")]
    retry_failed: bool,
    /// Only runs that ended so
    #[arg(long, value_name = "STATUS", value_parser = clap::builder::PossibleValuesParser::new(RunStatus::ALL.iter().map(|status| status.as_str())))]
    status: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
}

#[derive(Debug, Serialize)]
pub struct Runs {
    runs: Vec<RunRow>,
    /// Runs that never ended, of processes that did.
    #[serde(skip)]
    gone: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
pub struct One {
    #[serde(flatten)]
    detail: RunDetail,
    #[serde(skip)]
    is_gone: bool,
}

#[rustfmt::skip]
const RUNS: Shape = Shape {
    fields: &[
        "runs.run_id", "runs.parent_run_id", "runs.mode", "runs.origin", "runs.project", "runs.status", "runs.phase",
        "runs.requested.*", "runs.counters.*", "runs.error_code", "runs.error.*", "runs.host", "runs.pid",
        "runs.process_start", "runs.started_at", "runs.heartbeat_at", "runs.finished_at",
    ],
    list: Some("runs"),
    minimal: &["run_id", "status", "project", "started_at"],
};

#[rustfmt::skip]
const ONE: Shape = Shape {
    fields: &[
        "run.run_id", "run.parent_run_id", "run.mode", "run.origin", "run.project", "run.status", "run.phase",
        "run.requested.*", "run.counters.*", "run.error_code", "run.error.*", "run.host", "run.pid",
        "run.process_start", "run.started_at", "run.heartbeat_at", "run.finished_at",
        "streams.project", "streams.stream", "streams.status", "streams.pages", "streams.rows", "streams.written",
        "streams.unchanged", "streams.quarantined", "streams.cursor_from", "streams.cursor_to", "streams.error_code",
        "entities.entity_type", "entities.iid", "entities.stage", "entities.status", "entities.error_code",
        "entities.error_message", "entities.updated_at",
    ],
    list: None,
    minimal: &["run.run_id", "run.status", "run.project", "run.started_at"],
};

impl Run for Args {
    type Data = Either<Either<Runs, One>, sync::Data>;
    const NAME: &'static str = "sync-runs";
    const EXAMPLES: &'static [&'static str] = &[
        "annals sync-runs --status failed",
        "annals sync-runs --run-id 01a1fdd1",
        "annals sync-runs --run-id 01a1fdd1 --retry-failed",
    ];
    const ALIASES: &'static [&'static str] = &["runs", "sync-run"];
    // With `--retry-failed` it is a sync; to list runs there is as good as anywhere.
    const SLICE: Option<Slice> = Some(Slice::Ingest);
    const CONDUCT: Conduct = Conduct::Works;

    fn shape(&self) -> Shape {
        match (self.retry_failed, &self.run_id) {
            (true, _) => sync::SHAPE,
            (false, Some(_)) => ONE,
            (false, None) => RUNS,
        }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Self::Data>, Error> {
        let status = self.status.as_deref().and_then(RunStatus::parse);
        let db = session.mirror(cx).await?;
        let limit = usize::from(self.limit);
        let Some(asked) = self.run_id else {
            let runs = db.read(cx, move |conn| read::runs(conn, &Visibility::all(), status, limit));
            let runs = runs.await.map_err(|error| session.about_mirror(&error))?;
            let gone = runs.iter().filter(|run| is_gone(run));
            let gone = gone.map(|run| run.run_id.as_str().to_owned()).collect();
            return Ok(Reply::from(Either::Left(Either::Left(Runs { runs, gone }))));
        };
        let found = db.read(cx, move |conn| {
            let id = RunId(asked.trim().to_ascii_lowercase());
            if let Some(run) = read::run(conn, &Visibility::all(), &id)? {
                return Ok(Ok(run));
            }
            // The beginning of an id is enough where it is clear, as with commits.
            let recent = read::runs(conn, &Visibility::all(), None, 500)?;
            let mut ids = recent
                .into_iter()
                .map(|run| run.run_id)
                .filter(|known| known.as_str().starts_with(id.as_str()));
            match (ids.next(), ids.next(), id.as_str().len() >= 4) {
                (Some(one), None, true) => Ok(read::run(conn, &Visibility::all(), &one)?.ok_or_else(|| unknown(&id))),
                _ => Ok(Err(unknown(&id))),
            }
        });
        let detail = found.await.map_err(|error| session.about_mirror(&error))??;
        if self.retry_failed {
            drop(db);
            return retry(cx, session, detail.run.run_id).await;
        }
        let is_gone = is_gone(&detail.run);
        Ok(Reply::from(Either::Left(Either::Right(One { detail, is_gone }))))
    }
}

/// Syncs again what failed in a run.
async fn retry(cx: &Cx, session: &Session, parent: RunId) -> Result<Reply<<Args as Run>::Data>, Error> {
    let options = SurgicalOptions::new(session.sync_options()?);
    let db = session.mirror_to_write(cx, session.auto_migrate()).await?;
    let of = parent.clone();
    let ended = sync::watched(cx, session, &db, &[], async |cx: &Cx, progress| {
        annals_sync::retry_failed(cx, &db, of, options, progress).await
    });
    let ended = match ended.await {
        Err(Error::Told(report)) => Err(next_steps(cx, &db, &parent, *report).await.into()),
        ended => ended,
    };
    let closed = db.close(cx).await;
    let (result, warnings) = ended?;
    closed.map_err(|error| session.about_mirror(&error))?;
    Ok(sync::answer(session, result, warnings).map(Either::Right))
}

/// A failure of a retry because of another sync: the next step is the same retry, and no sync of everything.
fn behind_another(parent: &RunId, mut report: Report) -> Report {
    if report.code == Code::SyncInProgress {
        for action in &mut report.actions {
            if action.starts_with("annals sync --") {
                *action = format!("annals sync-runs --run-id {parent} --retry-failed");
            }
        }
    }
    report
}

/// The failure of a retry, with next steps that are about what it was about.
async fn next_steps(cx: &Cx, db: &Db, parent: &RunId, report: Report) -> Report {
    let report = behind_another(parent, report);
    let run = report.details.get("run_id").and_then(Value::as_str);
    let Some(run) = run.map(|id| RunId(id.to_owned())) else {
        return report;
    };
    // The retry has kept what it was asked for. That it cannot be read now is no news beside the failure.
    let kept = db.read(cx, move |conn| read::run(conn, &Visibility::all(), &run)).await;
    let kept = kept.ok().flatten();
    match kept.and_then(|detail| Again::of_kept(&detail.run.requested)) {
        Some((again, targets)) => again.without_failed(report, &targets),
        None => report,
    }
}

/// Whether a run that has no end has no process either.
fn is_gone(run: &RunRow) -> bool {
    run.finished_at.is_none() && process::alive().is_dead(&run.process)
}

fn unknown(id: &RunId) -> Report {
    let shown: String = id.as_str().chars().take(60).collect();
    Report::new(Code::NotFound, format!("there is no sync run `{shown}`")).with_action("annals sync-runs")
}

fn status(status: RunStatus) -> Cell {
    let style = match status {
        RunStatus::Done => Style::Good,
        RunStatus::Failed => Style::Bad,
        RunStatus::Partial | RunStatus::Cancelled => Style::Attention,
        RunStatus::Queued | RunStatus::Running => Style::Strong,
    };
    Cell::styled(status.to_string(), style)
}

fn took(run: &RunRow) -> String {
    let Some(end) = run.finished_at else {
        return format!("in phase {}", one_line(&run.phase));
    };
    seconds(end.since(run.started_at))
}

/// `12 s`, or `0.4 s` where that says more.
pub fn seconds(duration: std::time::Duration) -> String {
    if duration.as_secs() < 10 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} s", duration.as_secs())
    }
}

impl Runs {
    fn trouble(&self, run: &RunRow) -> String {
        if self.gone.contains(run.run_id.as_str()) {
            return format!("process {} is gone; the next sync continues", run.process.pid);
        }
        one_line(run.error_code.as_deref().unwrap_or_default())
    }
}

impl Show for Runs {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("RUN", Column::Left),
            ("STATUS", Column::Left),
            ("STARTED", Column::Left),
            ("TOOK", Column::Right),
            ("PROJECT", Column::Flexible),
            ("ERROR", Column::Left),
        ]);
        for run in &self.runs {
            table.row([
                Cell::styled(run.run_id.as_str(), Style::Link),
                status(run.status),
                page.time(Some(run.started_at)).into(),
                took(run).into(),
                one_line(run.project.as_deref().unwrap_or("several")).into(),
                self.trouble(run).into(),
            ]);
        }
        if !self.runs.is_empty() {
            page.table(&table);
        }
        page.line(page.paint(Style::Faint, &counted(self.runs.len() as u64, "run")));
    }
}

impl Show for One {
    fn show(&self, page: &mut Page) {
        let run = &self.detail.run;
        page.heading(run.run_id.as_str());
        let project = run
            .project
            .as_deref()
            .map(|path| format!(" of {}", one_line(path)))
            .unwrap_or_default();
        page.line(format!("{}{project}: {}, {}", run.mode, run.status, took(run)));
        page.line(format!(
            "started {} on {} (process {})",
            page.full_time(run.started_at),
            one_line(&run.process.host),
            run.process.pid
        ));
        if self.is_gone {
            let line = format!("process {} is gone; the next sync continues", run.process.pid);
            page.line(page.paint(Style::Attention, &line));
        }
        if let Some(code) = &run.error_code {
            let line = format!("{} {}", one_line(code), text(&run.error, "message"));
            page.line(page.paint(Style::Attention, line.trim_end()));
        }
        let failures = run.error.get("failures").and_then(Value::as_array);
        for failure in failures.into_iter().flatten() {
            page.line(format!("  {}", reason(failure)));
        }
        if !self.detail.streams.is_empty() {
            page.blank();
            page.table(&self.streams());
        }
        if !self.detail.entities.is_empty() {
            page.blank();
            page.table(&self.entities());
        }
    }
}

/// `group/app issues: network: the connection was refused`, as far as it is known.
fn reason(failure: &Value) -> String {
    let place = [text(failure, "project"), text(failure, "part")];
    let place: Vec<String> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let parts = [place.join(" "), text(failure, "code"), text(failure, "message")];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

/// A member that is text, on one line.
fn text(value: &Value, name: &str) -> String {
    one_line(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

impl One {
    fn streams(&self) -> Table {
        let mut table = Table::new(&[
            ("PROJECT", Column::Flexible),
            ("STREAM", Column::Left),
            ("STATUS", Column::Left),
            ("PAGES", Column::Right),
            ("ROWS", Column::Right),
            ("WRITTEN", Column::Right),
            ("SAME", Column::Right),
            ("SET ASIDE", Column::Right),
            ("ERROR", Column::Left),
        ]);
        for stream in &self.detail.streams {
            table.row([
                one_line(&stream.project).into(),
                one_line(&stream.stream).into(),
                stream.status.to_string().into(),
                stream.pages.to_string().into(),
                stream.rows.to_string().into(),
                stream.written.to_string().into(),
                stream.unchanged.to_string().into(),
                stream.quarantined.to_string().into(),
                one_line(stream.error_code.as_deref().unwrap_or_default()).into(),
            ]);
        }
        table
    }

    fn entities(&self) -> Table {
        let mut table = Table::new(&[
            ("ENTITY", Column::Left),
            ("STAGE", Column::Left),
            ("STATUS", Column::Left),
            ("ERROR", Column::Flexible),
        ]);
        for entity in &self.detail.entities {
            let error = [&entity.error_code, &entity.error_message].into_iter().flatten();
            let error: Vec<String> = error.map(|text| one_line(text)).collect();
            table.row([
                format!("{}{}", entity.entity_type.sigil(), entity.iid).into(),
                one_line(&entity.stage).into(),
                one_line(&entity.status).into(),
                error.join(" ").into(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_behind_another_sync_offers_the_retry() {
        let held = Report::new(Code::SyncInProgress, "held");
        assert!(held.actions.iter().any(|action| action.starts_with("annals sync --")));
        let told = behind_another(&RunId("01a1".to_owned()), held);
        let retry = "annals sync-runs --run-id 01a1 --retry-failed".to_owned();
        assert!(told.actions.contains(&retry), "{:?}", told.actions);
        assert!(!told.actions.iter().any(|action| action.starts_with("annals sync --")));
    }
}
