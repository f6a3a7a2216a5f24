//! `annals sync`: what is new at the forges comes into the mirror.

use std::time::Duration;

use annals_core::time::{When, parse_duration};
use annals_core::{Code, Coded, Report, TaskError};
use annals_db::read::{self, Visibility};
use annals_db::{Db, ReadConn};
use annals_net_adapter::{Cx, Slice};
use annals_sync::error::Failure;
use annals_sync::{
    Deletions, Documents, Embedding, Plan, Progress, Reading, SurgicalOptions, SweepWhen, SyncOptions, SyncResult,
    Target,
};
use serde::Serialize;

use super::either::Either;
use super::sync_surgical::{self, NoDocs};
use super::{Conduct, Run, checks, place, sync_plan};
use crate::credentials;
use crate::error::Error;
use crate::given::quoted;
use crate::output::page::{counted, one_line};
use crate::output::table::{Column, Table};
use crate::output::{Meta, Mode, Page, Reply, Shape, Show, Style, progress};
use crate::session::Session;
use crate::tokens::{self, Forge};

/// Mirror what is new; an address adds its project
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Without a project: every mirrored one, and those that the configuration names. A token, where \
                        one is needed, comes from the environment variable ANNALS_TOKEN_<FORGE>, or the one that \
                        `token_env` of the forge names; never from the command line."
)]
pub struct Args {
    /// Addresses of projects, or paths of mirrored ones
    #[arg(value_name = "URL|PROJECT")]
    targets: Vec<String>,
    /// Projects at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// How long one wait that a forge asks for may be, such as 1h
    #[arg(long, value_name = "TIME", value_parser = wait)]
    wait: Option<Duration>,
    /// How long to wait while another sync holds a project, such as 30s
    #[arg(long, value_name = "TIME", value_parser = wait)]
    wait_lock: Option<Duration>,
    /// Read everything again, without asking whether it has changed, and sweep
    #[arg(long, conflicts_with = "since")]
    full: bool,
    /// Begin a first sync here, such as 90d; a later one reads again from here
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Find what is gone at the forge, and what was missed here, now
    #[arg(long)]
    sweep: bool,
    /// Let a sweep mark a large part of a project as gone
    #[arg(long)]
    accept_deletions: bool,
    /// Do not make documents; the next sync does
    #[arg(long)]
    no_docs: bool,
    /// Do not fetch state, label and milestone events
    #[arg(long)]
    no_events: bool,
    #[command(flatten)]
    surgical: sync_surgical::Flags,
}

fn wait(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration > Duration::from_secs(86_400) {
        return Err("at most 24h".to_owned());
    }
    Ok(duration)
}

/// What a run did.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Data(pub SyncResult);

/// What a run would do.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Planned(Plan);

impl Show for Planned {
    fn show(&self, page: &mut Page) {
        sync_plan::show(&self.0, page);
    }
}

#[rustfmt::skip]
pub const SHAPE: Shape = Shape {
    fields: &[
        "run_id", "mode", "status", "projects.path", "projects.streams.stream", "projects.streams.pages",
        "projects.streams.rows", "projects.streams.written", "projects.streams.unchanged",
        "projects.streams.quarantined", "projects.streams.cursor", "projects.jobs.done", "projects.jobs.pending",
        "projects.jobs.failed", "projects.jobs.aborted", "revisions", "documents_regenerated", "documents_embedded",
        "skipped_stale", "failed_iids.entity_type", "failed_iids.iid", "skipped_stale_iids.entity_type",
        "skipped_stale_iids.iid", "dirty_source_ids", "requests", "not_modified", "waited_ms", "error_code",
    ],
    list: None,
    minimal: &["run_id", "status"],
};

impl Run for Args {
    type Data = Either<Data, Either<Planned, sync_surgical::Planned>>;
    const NAME: &'static str = "sync";
    const EXAMPLES: &'static [&'static str] = &[
        "annals sync https://gitlab.com/group/project",
        "annals sync",
        "annals sync group/project --jobs 2 --wait 1h --wait-lock 30s",
    ];
    const ALIASES: &'static [&'static str] = &["fetch", "pull", "update"];
    const SLICE: Option<Slice> = Some(Slice::Ingest);
    const CONDUCT: Conduct = Conduct::Works;

    fn shape(&self) -> Shape {
        match (self.surgical.dry_run, self.surgical.names_any()) {
            (true, true) => sync_surgical::PLAN,
            (true, false) => sync_plan::SHAPE,
            (false, _) => SHAPE,
        }
    }

    fn overrides(&self) -> Vec<(String, String)> {
        let jobs = self.jobs.map(|jobs| ("sync.jobs", jobs.to_string()));
        let wait = self
            .wait
            .map(|wait| ("sync.max_wait_s", wait.as_millis().div_ceil(1000).to_string()));
        let events = self.no_events.then(|| ("sync.events", "false".to_owned()));
        let set = [jobs, wait, events].into_iter().flatten();
        set.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Self::Data>, Error> {
        let no_docs = if self.no_docs { NoDocs::Given } else { NoDocs::NotGiven };
        // Flags that make a sync one of whole projects are named here, for the rule that keeps them apart.
        self.surgical.check(no_docs, &self.of_whole_projects())?;
        if self.surgical.names_any() {
            return self.run_surgical(cx, session).await;
        }
        let targets = self.targets(cx, session).await?;
        let again = self.again(session);
        let options = self.options(cx, session)?;
        if self.surgical.dry_run {
            let plan = sync_plan::plan(cx, session, targets, &options).await?;
            return Ok(Reply::from(Either::Right(Either::Left(Planned(plan)))));
        }
        let db = session.mirror_to_write(cx, session.auto_migrate()).await?;
        let ended = run(cx, session, &db, targets, options).await;
        let closed = db.close(cx).await;
        let (result, warnings) = ended.map_err(|error| named(error, &again))?;
        closed.map_err(|error| session.about_mirror(&error))?;
        Ok(answer(session, result, warnings).map(Either::Left))
    }
}

/// The answer of a sync that did what it was asked for.
pub fn answer(session: &Session, result: SyncResult, warnings: Vec<String>) -> Reply<Data> {
    // A person has seen them go by.
    let warnings = if session.out.mode == Mode::Robot {
        warnings
    } else {
        Vec::new()
    };
    Reply::Data(
        Data(result),
        Meta {
            warnings,
            ..Meta::default()
        },
    )
}

/// The names of the flags that were given.
fn given(flags: &[(&'static str, bool)]) -> Vec<&'static str> {
    flags
        .iter()
        .filter(|(_, given)| *given)
        .map(|(flag, _)| *flag)
        .collect()
}

impl Args {
    /// How a sync of whole projects goes about it.
    fn options(&self, cx: &Cx, session: &Session) -> Result<SyncOptions, Report> {
        let zone = &session.config().cli.tz;
        let now = cx.unix_ms();
        let wrong = |what: String| {
            Report::new(Code::Usage, format!("--since: {what}")).with_suggestion("2024-02-29, 2024-02-29T12:00Z or 7d")
        };
        let since = |text: &String| match When::parse(text, now, zone).map(When::first) {
            Ok(at) if at > now => Err(wrong(format!("{} has not come yet", at.rfc3339()))),
            Ok(at) => Ok(at),
            Err(error) => Err(wrong(error.to_string())),
        };
        let sweeps = self.sweep || self.full || self.accept_deletions;
        Ok(SyncOptions {
            lock_wait: self.wait_lock.unwrap_or_default(),
            reading: if self.full { Reading::Full } else { Reading::New },
            since: self.since.as_ref().map(since).transpose()?,
            sweep: if sweeps { SweepWhen::Now } else { SweepWhen::Due },
            deletions: if self.accept_deletions {
                Deletions::Accepted
            } else {
                Deletions::Guarded
            },
            ..self.kept_options(session)?
        })
    }

    /// What holds for any targets.
    fn kept_options(&self, session: &Session) -> Result<SyncOptions, Report> {
        Ok(SyncOptions {
            documents: if self.no_docs {
                Documents::Leave
            } else {
                Documents::Make
            },
            embedding: if self.surgical.no_embed {
                Embedding::Leave
            } else {
                Embedding::of(&session.config().embed)
            },
            ..session.sync_options()?
        })
    }

    /// The flags that make a sync one of whole projects, as they were given.
    fn of_whole_projects(&self) -> Vec<&'static str> {
        let flags = [
            ("--full", self.full),
            ("--since", self.since.is_some()),
            ("--sweep", self.sweep),
            ("--accept-deletions", self.accept_deletions),
        ];
        given(&flags)
    }

    /// Only what is named of one project.
    async fn run_surgical(self, cx: &Cx, session: &Session) -> Result<Reply<<Self as Run>::Data>, Error> {
        let named: Vec<&String> = self.targets.iter().chain(&session.global.project).collect();
        let [project] = named.as_slice() else {
            let message = "--issue and --mr are about one project: name it with -p PROJECT";
            return Err(Report::new(Code::Usage, message).into());
        };
        // The numbers are looked at before the file is.
        self.surgical.request(Target::read(project))?;
        let again = sync_surgical::Again {
            project: (*project).clone(),
            flags: self.kept_flags(),
        };
        match session.mirror(cx).await {
            Ok(_) => {}
            // It is brought up to date when it is opened for writing.
            Err(Error::Told(report)) if report.code == Code::MigrationNeeded && !self.surgical.dry_run => {}
            // Nothing that is named can be here, so no file is made for it.
            Err(error) => return Err(error),
        }
        let mut targets = self.targets(cx, session).await?;
        let request = self.surgical.request(targets.swap_remove(0))?;
        let mut options = SurgicalOptions::new(self.kept_options(session)?);
        if self.surgical.dry_run {
            let db = session.mirror(cx).await?;
            let plan = sync_surgical::plan(cx, session, &db, &request, &options.sync).await?;
            return Ok(Reply::from(Either::Right(Either::Right(plan))));
        }
        options.sync.lock_wait = self.wait_lock.unwrap_or(options.sync.lock_wait);
        let db = session.mirror_to_write(cx, session.auto_migrate()).await?;
        let ended = sync_surgical::run(cx, session, &db, request, options, &again).await;
        let closed = db.close(cx).await;
        let (result, warnings) = ended?;
        closed.map_err(|error| session.about_mirror(&error))?;
        Ok(answer(session, result, warnings).map(Either::Left))
    }

    /// The flags that hold for any targets.
    fn kept_flags(&self) -> Vec<&'static str> {
        given(&[
            ("--preflight-only", self.surgical.preflight_only),
            ("--no-docs", self.no_docs),
            ("--no-embed", self.surgical.no_embed),
            ("--no-events", self.no_events),
        ])
    }

    /// The command line with the projects that were named, and with what else was asked for.
    fn again(&self, session: &Session) -> String {
        let flag = session.global.project.iter().flat_map(|name| ["-p", name]);
        let words = self.targets.iter().map(String::as_str).chain(flag);
        let mut line = words.fold("annals sync".to_owned(), |line, word| {
            format!("{line} {}", quoted(word))
        });
        for flag in self.of_whole_projects().into_iter().chain(self.kept_flags()) {
            line = match &self.since {
                Some(since) if flag == "--since" => format!("{line} --since {}", quoted(since)),
                _ => format!("{line} {flag}"),
            };
        }
        if let Some(jobs) = self.jobs {
            line = format!("{line} --jobs {jobs}");
        }
        if let Some(wait) = self.wait {
            line = format!("{line} --wait {}s", wait.as_millis().div_ceil(1000));
        }
        line
    }

    /// What is to be mirrored; nothing means every project that is mirrored already.
    async fn targets(&self, cx: &Cx, session: &Session) -> Result<Vec<Target>, Error> {
        let flag = session.global.project.iter();
        let named: Vec<&String> = match (self.targets.is_empty(), session.global.project.is_some()) {
            (false, true) => {
                let report = Report::new(Code::Usage, "projects are named once: as arguments, or with -p");
                return Err(report.into());
            }
            (true, _) => flag.collect(),
            (false, false) => self.targets.iter().collect(),
        };
        let given: Vec<Target> = match named.is_empty() {
            false => named.into_iter().map(|text| Target::read(text)).collect(),
            true => configured(session),
        };
        let db = match session.mirror(cx).await {
            Ok(db) => db,
            // A file that is not there is made when there is an address to fill it from, and an older one is migrated.
            Err(_) if given.iter().any(|target| matches!(target, Target::Url(_))) => return Ok(given),
            Err(Error::Told(report)) if report.code == Code::MigrationNeeded => return Ok(given),
            Err(error) => return Err(error),
        };
        let everything = self.targets.is_empty() && session.global.project.is_none();
        let found = db.read(cx, move |conn| {
            let mut targets = match known(conn, given)? {
                Ok(targets) => targets,
                Err(report) => return Ok(Err(report)),
            };
            if everything {
                let rows = read::projects(conn, &Visibility::all())?
                    .into_iter()
                    .filter(|row| row.tracked);
                targets.extend(rows.map(|row| Target::Id(row.name.id)));
            }
            Ok(Ok(targets))
        });
        let targets = found.await.map_err(|error| session.about_mirror(&error))??;
        if targets.is_empty() {
            let report = Report::new(
                Code::NotFound,
                "no project is mirrored yet, and the configuration names none",
            );
            return Err(report.with_suggestion("annals sync https://HOST/GROUP/PROJECT").into());
        }
        Ok(targets)
    }
}

/// Names of mirrored projects as every command understands them; what the mirror does not know stays as it was typed.
fn known(conn: &ReadConn<'_>, given: Vec<Target>) -> Result<Result<Vec<Target>, Report>, annals_db::Error> {
    let mut targets = Vec::new();
    for target in given {
        let found = match &target {
            Target::Path(path) => place::project(conn, Some(path))?,
            Target::Url(_) | Target::Id(_) => {
                targets.push(target);
                continue;
            }
        };
        match found {
            Ok(project) => targets.push(Target::Id(project.id)),
            Err(report) => return Ok(Err(report)),
        }
    }
    Ok(Ok(targets))
}

/// A failure because of another sync, whose next step names the projects again: the mirror may not know them yet.
pub fn named(error: Error, again: &str) -> Error {
    let Error::Told(mut report) = error else {
        return error;
    };
    if report.code == Code::SyncInProgress {
        for action in &mut report.actions {
            if let Some(flags) = action.strip_prefix("annals sync --") {
                *action = format!("{again} --{flags}");
            }
        }
    }
    Error::Told(report)
}

/// The projects that the configuration names.
fn configured(session: &Session) -> Vec<Target> {
    let forges = session.config().forges.values().filter(|forge| forge.enabled);
    let projects = forges.flat_map(|forge| {
        forge
            .projects
            .iter()
            .map(|path| Target::Url(format!("{}/{path}", forge.base_url.as_str())))
    });
    projects.collect()
}

/// Runs a sync, with progress; the warnings beside its result.
pub async fn run(
    cx: &Cx,
    session: &Session,
    db: &Db,
    targets: Vec<Target>,
    options: SyncOptions,
) -> Result<(SyncResult, Vec<String>), Error> {
    let urls = targets.iter().filter_map(|target| match target {
        Target::Url(url) => Some(url.clone()),
        Target::Path(_) | Target::Id(_) => None,
    });
    let urls: Vec<String> = urls.collect();
    let work = async |cx: &Cx, progress| annals_sync::sync(cx, db, targets, options, progress).await;
    watched(cx, session, db, &urls, work).await
}

/// Runs a sync of any kind, with progress; `urls` are addresses that the mirror may not know yet.
pub async fn watched(
    cx: &Cx,
    session: &Session,
    db: &Db,
    urls: &[String],
    work: impl AsyncFnOnce(&Cx, Progress) -> Result<SyncResult, annals_sync::Error>,
) -> Result<(SyncResult, Vec<String>), Error> {
    let (progress, watcher) = progress::watch(cx, session)?;
    let result = Box::pin(work(cx, progress)).await;
    let warnings = watcher.end(cx).await;
    match result {
        Ok(result) => Ok((result, warnings)),
        Err(error) => {
            let forges = forges_of(cx, session, db, urls).await;
            Err(failed(cx, session, &forges, &error))
        }
    }
}

/// The forges that a run may have asked: those of the configuration, of the mirror and of these addresses.
pub async fn forges_of(cx: &Cx, session: &Session, db: &Db, urls: &[String]) -> Vec<Forge> {
    // It is about a hint: a file that cannot be read has been told already, or is about to be.
    let mut bases = db.read(cx, checks::mirrored_forges).await.unwrap_or_default();
    bases.extend(urls.iter().filter_map(|url| tokens::base_of(url)));
    tokens::forges(session.config(), &bases)
}

/// The end of a sync that did not do everything: a person sees what it did first.
fn failed(cx: &Cx, session: &Session, forges: &[Forge], error: &annals_sync::Error) -> Error {
    let done = match error {
        annals_sync::Error::Incomplete(incomplete) => Some(&incomplete.result),
        annals_sync::Error::Cancelled {
            result: Some(result), ..
        } => Some(&**result),
        _ => None,
    };
    if let Some(done) = done
        && session.out.mode == Mode::Human
        && let Err(unseen) = session.out.page(cx, |page| show(done, page))
    {
        return unseen;
    }
    if let Some(held) = held(error) {
        return held.into();
    }
    match error.cancel_reason() {
        Some(reason) => Error::Cancelled {
            reason: reason.clone(),
            details: Some(Box::new(Coded::report(error).details)),
        },
        None => told(session, forges, error),
    }
}

/// A failure with what helps against it. A run with several leads with its first, and so do its next steps.
pub fn told(session: &Session, forges: &[Forge], error: &annals_sync::Error) -> Error {
    // A file of tokens that cannot be read has been told already.
    let kept = credentials::load(&session.env).unwrap_or_default();
    let report = match (Error::of(error), error) {
        (Error::Told(_), annals_sync::Error::Db(error)) => return session.about_mirror(error),
        (Error::Told(_), annals_sync::Error::Search(error)) => return session.about_search(error),
        (Error::Told(report), _) => *report,
        (ended, _) => return ended,
    };
    let annals_sync::Error::Incomplete(incomplete) = error else {
        return tokens::advise(report, forges, &session.env, &kept).into();
    };
    let Some(first) = incomplete.failures.first() else {
        return report.into();
    };
    let first = tokens::advise(of_its_project(first), forges, &session.env, &kept);
    let report = leading_with(report, &first);
    // The message is that of the first failure, the code may be that of the whole run.
    let (code, named) = (
        report.code,
        session.naming_file(Report {
            code: first.code,
            ..report
        }),
    );
    Report { code, ..named }.into()
}

/// The next step of every sweep that needs somebody's word.
const ACCEPT_ALL: &str = "annals sync --accept-deletions";

/// A failure whose next step is about its own project: a consent to one sweep is none to those of other projects.
fn of_its_project(failure: &Failure) -> Report {
    let mut report = failure.report.clone();
    if let (Code::SweepSuspicious, Some(project)) = (report.code, &failure.project) {
        for action in report.actions.iter_mut().filter(|action| *action == ACCEPT_ALL) {
            *action = format!("annals sync {} --accept-deletions", quoted(project));
        }
    }
    report
}

fn leading_with(mut report: Report, first: &Report) -> Report {
    report.suggestion = report.suggestion.or_else(|| first.suggestion.clone());
    let known = std::mem::replace(&mut report.actions, first.actions.clone());
    let others = known
        .into_iter()
        .filter(|action| action != ACCEPT_ALL && !first.actions.contains(action));
    report.actions.extend(others);
    report
}

/// What is told when all that kept a run from its work is another run: who that is. Documents of what was there before
/// may have been made all the same.
fn held(error: &annals_sync::Error) -> Option<Report> {
    let annals_sync::Error::Incomplete(incomplete) = error else {
        return None;
    };
    let result = &incomplete.result;
    let read_nothing = result.requests == 0 && result.projects.iter().all(|project| project.jobs.done == 0);
    let only_locks = incomplete
        .failures
        .iter()
        .all(|failure| failure.report.code == Code::SyncInProgress);
    let first = incomplete.failures.first().filter(|_| read_nothing && only_locks)?;
    let failures: Vec<_> = incomplete.failures.iter().map(|failure| failure.to_json()).collect();
    Some(first.report.clone().with_detail("failures", failures))
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        show(&self.0, page);
    }
}

fn show(result: &SyncResult, page: &mut Page) {
    let mut table = Table::new(&[
        ("PROJECT", Column::Flexible),
        ("READ", Column::Right),
        ("WRITTEN", Column::Right),
        ("SET ASIDE", Column::Right),
        ("DETAILS", Column::Right),
        ("OWED", Column::Right),
    ]);
    for project in &result.projects {
        let sum = |count: fn(&annals_sync::engine::StreamResult) -> u64| {
            project.streams.iter().map(count).sum::<u64>().to_string()
        };
        table.row([
            one_line(&project.path).into(),
            sum(|stream| stream.rows).into(),
            sum(|stream| stream.written).into(),
            sum(|stream| stream.quarantined).into(),
            project.jobs.done.to_string().into(),
            // What a surgical run left was aborted for it, and is owed again to whoever comes next.
            (project.jobs.pending + project.jobs.failed + project.jobs.aborted)
                .to_string()
                .into(),
        ]);
    }
    if !result.projects.is_empty() {
        page.table(&table);
    }
    sync_surgical::show_left(result, page);
    let mut parts = vec![result.status.to_string(), requests(result)];
    if result.documents_regenerated > 0 {
        parts.push(format!(
            "{} made searchable",
            counted(result.documents_regenerated, "document")
        ));
    }
    // What is always so need not be said.
    if result.documents_embedded > 0 && result.documents_embedded != result.documents_regenerated {
        parts.push(format!("{} embedded", counted(result.documents_embedded, "document")));
    }
    if result.waited_ms >= 1000 {
        parts.push(format!("waited {} s for hosts", result.waited_ms / 1000));
    }
    parts.push(format!("run {}", result.run_id));
    page.line(page.paint(Style::Faint, &parts.join(" · ")));
}

/// `12 requests, 3 of them answered "not modified"`.
pub fn requests(result: &SyncResult) -> String {
    let sent = counted(result.requests, "request");
    match result.not_modified {
        0 => sent,
        all if all == result.requests => format!("{sent}, all answered \"not modified\""),
        some => format!("{sent}, {some} of them answered \"not modified\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicious_sweep_asks_for_its_own_project_only() {
        let failure = Failure {
            project: Some("group/its app".to_owned()),
            part: Some("sweep".to_owned()),
            report: Report::new(Code::SweepSuspicious, "30 of 40 issues would be marked as gone"),
        };
        assert_eq!(failure.report.actions, [ACCEPT_ALL]);
        let accept = "annals sync 'group/its app' --accept-deletions";
        let first = of_its_project(&failure);
        assert_eq!(first.actions, [accept]);
        assert_eq!(leading_with(failure.report, &first).actions, [accept]);
    }
}
