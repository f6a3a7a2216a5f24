//! `annals health`: one line for a monitor, from the file alone; the exit code says it too.

use std::time::Duration;

use annals_core::time::parse_duration;
use annals_core::{Code, Report, UnixMs};
use annals_db::control::Holder;
use annals_db::ids::RunStatus;
use annals_db::read::{self, Backlog, Health, LastRun, ProjectRow};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::Run;
use crate::error::Error;
use crate::given::quoted;
use crate::output::page::{counted, one_line};
use crate::output::{Mode, Page, Reply, Shape, Show, Style};
use crate::process;
use crate::session::Session;

/// Say whether the mirror is fresh, from the file alone
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing leaves this machine. The exit code is 0 for a healthy mirror and 19 for one that is not; \
                        a file that is missing or cannot be read has its own, see `annals explain`."
)]
pub struct Args {
    /// How long ago each project may last have been read to its end
    #[arg(long, default_value = "1d", value_name = "AGE", value_parser = age)]
    max_age: Duration,
}

fn age(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

#[derive(Debug, Serialize)]
pub struct Data {
    status: &'static str,
    schema: u32,
    /// Who syncs now.
    lock: Vec<Lock>,
    /// The newest run of any project.
    last_run: Option<LastRun>,
    backlog: Backlog,
    /// What makes it unhealthy.
    findings: Vec<Finding>,
    #[serde(skip)]
    projects: u64,
}

#[derive(Debug, Serialize)]
pub struct Lock {
    project: String,
    #[serde(flatten)]
    holder: Holder,
    /// Whether the process still runs; a lock of one that does not is taken over by the next run.
    alive: bool,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    project: Option<String>,
    finding: &'static str,
    message: String,
    action: String,
}

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "status", "schema",
        "lock.project", "lock.scope", "lock.holder", "lock.run_id", "lock.host", "lock.pid", "lock.process_start",
        "lock.acquired_at", "lock.heartbeat_at", "lock.age_ms", "lock.alive",
        "last_run.run_id", "last_run.status", "last_run.started_at", "last_run.finished_at", "last_run.error_code",
        "backlog.jobs", "backlog.failed_jobs", "backlog.dirty", "backlog.quarantine",
        "findings.project", "findings.finding", "findings.message", "findings.action",
    ],
    list: None,
    minimal: &["status"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "health";

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let db = session.mirror(cx).await?;
        let now = cx.unix_ms();
        let found = db.read(cx, move |conn| read::health(conn, now));
        let health = found.await.map_err(|error| session.about_mirror(&error))?;
        let mut data = Data::of(health, now, self.max_age);
        for finding in &mut data.findings {
            finding.action = session.given.command(&finding.action);
        }
        if data.findings.is_empty() {
            return Ok(data.into());
        }
        let messages: Vec<&str> = data.findings.iter().map(|finding| finding.message.as_str()).collect();
        let mut report = Report::new(Code::CheckFailed, messages.join("; "));
        report.actions = data.findings.iter().map(|finding| finding.action.clone()).collect();
        report.actions.dedup();
        if session.out.mode == Mode::Robot {
            let health = serde_json::to_value(&data).unwrap_or_default();
            report = report.with_detail("health", health);
        }
        Err(report.into())
    }
}

impl Data {
    fn of(health: Health, now: UnixMs, max_age: Duration) -> Self {
        let alive = process::alive();
        let findings: Vec<Finding> = if health.projects.is_empty() {
            vec![Finding {
                project: None,
                finding: "no_project",
                message: "no project is mirrored".to_owned(),
                action: "annals sync".to_owned(),
            }]
        } else {
            health
                .projects
                .iter()
                .filter_map(|row| stale(row, now, max_age))
                .collect()
        };
        let lock = health.locks.into_iter().map(|holder| Lock {
            project: health
                .projects
                .iter()
                .find(|row| annals_db::control::lock::scope(row.name.id) == holder.scope)
                .map_or_else(|| holder.scope.clone(), |row| row.name.path.clone()),
            alive: !alive.is_dead(&holder.process),
            holder,
        });
        let runs = health.projects.iter().filter_map(|row| row.last_run.as_ref());
        Self {
            status: if findings.is_empty() { "healthy" } else { "unhealthy" },
            schema: health.schema,
            lock: lock.collect(),
            last_run: runs.max_by_key(|run| (run.started_at, run.run_id.clone())).cloned(),
            backlog: health.backlog,
            findings,
            projects: health.projects.len() as u64,
        }
    }
}

/// What is wrong with the age of a project. A run that ended as partial has not read it to its end.
fn stale(row: &ProjectRow, now: UnixMs, max_age: Duration) -> Option<Finding> {
    let path = &row.name.path;
    let (finding, message) = match row.last_synced_at {
        None => ("never_synced", format!("{path} was never read to its end")),
        Some(at) if now.since(at) > max_age => {
            let since = annals_core::time::relative(at, now);
            ("stale", format!("{path} was last read to its end {since}"))
        }
        Some(_) => return None,
    };
    let failed = row.last_run.as_ref().filter(|run| run.status == RunStatus::Failed);
    let action = match failed {
        Some(run) => format!("annals sync-runs --run-id {}", run.run_id),
        None => format!("annals sync {}", quoted(path)),
    };
    Some(Finding {
        project: Some(path.clone()),
        finding,
        message,
        action,
    })
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let mut line = format!("{} · {}", self.status, counted(self.projects, "project"));
        if let Some(run) = &self.last_run {
            line.push_str(&format!(" · last run {}, {}", run.status, page.time(run.started_at)));
        }
        for lock in &self.lock {
            let word = if lock.alive {
                "is being synced"
            } else {
                "was being synced by a process that is gone"
            };
            line.push_str(&format!(" · {} {word}", one_line(&lock.project)));
        }
        let owed = self.backlog.jobs + self.backlog.dirty;
        if owed > 0 {
            line.push_str(&format!(" · {owed} owed"));
        }
        if self.backlog.quarantine > 0 {
            line.push_str(&format!(" · {} set aside", self.backlog.quarantine));
        }
        page.line(page.paint(Style::Good, &line));
    }
}
