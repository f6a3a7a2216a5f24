//! `annals sync --issue … --mr …`: a few entities of one project, all of them or none.

use annals_core::{Code, EntityKind, Report};
use annals_db::Db;
use annals_net_adapter::Cx;
use annals_sync::surgical::{self, Extent, Plan, PlannedTarget, Request, SurgicalOptions};
use annals_sync::{EntityRef, SyncOptions, SyncResult, Target};
use serde_json::Value;

use super::sync::{named, watched};
use crate::error::Error;
use crate::given::quoted;
use crate::output::page::{counted, one_line};
use crate::output::table::{Column, Table};
use crate::output::{Page, Shape, Show, Style};
use crate::session::Session;

// The flags that name entities, and those that only go with them. A doc comment would become the help of the command.
#[derive(Debug, Default, clap::Args)]
pub struct Flags {
    /// Only these issues of the project: all that is named, or nothing
    #[arg(long = "issue", value_name = "IID", num_args = 1.., value_delimiter = ',')]
    pub issues: Vec<i64>,
    /// Only these merge requests
    #[arg(long = "mr", value_name = "IID", num_args = 1.., value_delimiter = ',')]
    pub merge_requests: Vec<i64>,
    /// Fetch what is named and say whether all of it can be had; change nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub preflight_only: bool,
    /// Say what would be done; ask no forge and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not make vectors of documents; the next sync or `annals embed` does
    #[arg(long)]
    pub no_embed: bool,
}

/// Whether documents are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDocs {
    Given,
    NotGiven,
}

#[rustfmt::skip]
pub const PLAN: Shape = Shape {
    fields: &[
        "project", "targets.entity_type", "targets.iid", "targets.known", "targets.updated_at", "targets.sets",
        "requests", "documents",
    ],
    list: None,
    minimal: &["project", "requests"],
};

impl Flags {
    /// Whether entities are named.
    pub fn names_any(&self) -> bool {
        !self.issues.is_empty() || !self.merge_requests.is_empty()
    }

    /// The rules between flags, before anything is read. `others` are flags of a whole sync that were given.
    pub fn check(&self, no_docs: NoDocs, others: &[&str]) -> Result<(), Report> {
        let usage = |message: String| Err(Report::new(Code::Usage, message));
        if !self.names_any() {
            return if self.preflight_only {
                usage("--preflight-only needs --issue or --mr".to_owned())
            } else {
                Ok(())
            };
        }
        if let Some(other) = others.first() {
            return usage(format!(
                "{other} is about all of a project; --issue and --mr name what to sync"
            ));
        }
        if no_docs == NoDocs::Given && !self.no_embed {
            return usage("--no-docs leaves nothing new to embed: give --no-embed too".to_owned());
        }
        Ok(())
    }

    /// What the flags name in `project`.
    pub fn request(&self, project: Target) -> Result<Request, Report> {
        let issues = self.issues.iter().copied().map(EntityRef::issue);
        let merge_requests = self.merge_requests.iter().copied().map(EntityRef::merge_request);
        let extent = if self.preflight_only {
            Extent::PreflightOnly
        } else {
            Extent::Whole
        };
        Request::new(project, issues.chain(merge_requests), extent)
            .map_err(|error| Report::new(Code::Usage, error.to_string()))
    }
}

/// Runs a request, with progress; the warnings beside its result.
pub async fn run(
    cx: &Cx,
    session: &Session,
    db: &Db,
    request: Request,
    options: SurgicalOptions,
    again: &Again,
) -> Result<(SyncResult, Vec<String>), Error> {
    let targets = request.targets().to_vec();
    let ran = watched(cx, session, db, &[], async |cx: &Cx, progress| {
        surgical::surgical(cx, db, request, options, progress).await
    });
    ran.await.map_err(|error| match named(error, &again.line(&targets)) {
        Error::Told(report) => again.without_failed(*report, &targets).into(),
        ended => ended,
    })
}

/// What `--dry-run` answers.
///
/// # Errors
/// The project is not mirrored, or the file cannot be read.
///
/// # Cancel safety
/// It only reads.
pub async fn plan(
    cx: &Cx,
    session: &Session,
    db: &Db,
    request: &Request,
    options: &SyncOptions,
) -> Result<Planned, Error> {
    match surgical::plan(cx, db, request, options).await {
        Ok(plan) => Ok(Planned(plan)),
        Err(annals_sync::Error::Db(error)) => Err(session.about_mirror(&error)),
        Err(error) => Err(Error::of(&error)),
    }
}

/// How the command line can be said again for other targets: the project, and the flags that hold for all.
#[derive(Debug)]
pub struct Again {
    pub project: String,
    pub flags: Vec<&'static str>,
}

impl Again {
    /// How to say again what the row of a run keeps of its request, and what it was about.
    pub fn of_kept(requested: &Value) -> Option<(Self, Vec<EntityRef>)> {
        let project = requested.get("project")?.as_str()?.to_owned();
        let targets = requested.get("targets")?.as_array()?.iter().filter_map(read).collect();
        let says = |name: &str, default| requested.get(name).and_then(Value::as_bool).unwrap_or(default);
        let docs = says("docs", true);
        let flags = [
            ("--preflight-only", says("preflight_only", false)),
            ("--no-docs", !docs),
            // Without documents there is nothing to embed, and the flags go together.
            ("--no-embed", !docs || !says("embed", true)),
            ("--no-events", !says("events", true)),
        ];
        let flags = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag);
        let again = Self {
            project,
            flags: flags.collect(),
        };
        Some((again, targets))
    }

    /// A failed preflight, with the command for those of its targets that could be had.
    pub fn without_failed(&self, mut report: Report, targets: &[EntityRef]) -> Report {
        let failures = report.details.get("failures").and_then(Value::as_array);
        let failed: Vec<EntityRef> = failures.into_iter().flatten().filter_map(read).collect();
        let left = targets.iter().copied().filter(|target| !failed.contains(target));
        let left: Vec<EntityRef> = left.collect();
        let is_preflight = report.details.get("total").is_some();
        if is_preflight && !failed.is_empty() && !left.is_empty() {
            report.actions.push(self.line(&left));
        }
        report
    }

    /// The command line that names these.
    fn line(&self, targets: &[EntityRef]) -> String {
        let named = targets.iter().map(|target| match target.entity_type {
            EntityKind::Issue => format!(" --issue {}", target.iid),
            EntityKind::MergeRequest => format!(" --mr {}", target.iid),
        });
        let flags = self.flags.iter().map(|flag| format!(" {flag}"));
        let words: String = named.chain(flags).collect();
        format!("annals sync -p {}{words}", quoted(&self.project))
    }
}

/// The target that a failure is about.
fn read(failure: &Value) -> Option<EntityRef> {
    let iid = failure.get("iid")?.as_i64()?;
    match failure.get("entity_type")?.as_str()? {
        "issue" => Some(EntityRef::issue(iid)),
        "merge_request" => Some(EntityRef::merge_request(iid)),
        _ => None,
    }
}

/// The plan of a dry run.
#[derive(Debug, serde::Serialize)]
#[serde(transparent)]
pub struct Planned(Plan);

impl Show for Planned {
    fn show(&self, page: &mut Page) {
        let plan = &self.0;
        let mut table = Table::new(&[
            ("TARGET", Column::Left),
            ("IN THE MIRROR", Column::Left),
            ("UPDATED", Column::Left),
            ("LISTS", Column::Right),
        ]);
        for target in &plan.targets {
            let PlannedTarget {
                entity_type,
                iid,
                known,
                updated_at,
                sets,
            } = target;
            table.row([
                format!("{}{iid}", entity_type.sigil()).into(),
                if *known { "yes" } else { "not yet" }.into(),
                page.time(*updated_at).into(),
                sets.to_string().into(),
            ]);
        }
        page.table(&table);
        let line = format!(
            "{}: {} or more would be sent; nothing was done",
            one_line(&plan.project),
            counted(plan.requests, "request")
        );
        page.line(page.paint(Style::Faint, &line));
    }
}

/// The lines of a result that are only those of a surgical run.
pub fn show_left(result: &SyncResult, page: &mut Page) {
    for target in &result.skipped_stale_iids {
        page.line(format!("{target} was left as it is: the mirror has a newer state"));
    }
    for target in &result.failed_iids {
        page.line(page.paint(Style::Bad, &format!("{target} failed")));
    }
}
