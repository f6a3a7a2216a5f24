//! The sweep: everything at the forge by number, against everything here.
//!
//! The index is walked page by page; its position and what it showed are rows, so a walk may take several runs. What
//! is there and not here, or newer there, is fetched and stored at once. What is here and was not there is a
//! candidate: each is asked for by itself, the project once more after them, and only then are those that are
//! really gone marked, all in one transaction. If that would be too much of a project, nothing is marked until
//! somebody says so.
//!
//! No more than [`MOST_SINGLES`] entities of a kind are asked for in one run; the next one goes on. What was asked for
//! counts as seen, whatever came of it: an entity that the index names and nobody can read holds nothing up.
//!
//! `due` says when a sweep begins and where it stands, `absent` judges what the index did not show.

mod absent;
mod due;

use std::num::NonZeroUsize;
use std::sync::Arc;

use annals_core::{Code, Iid, Report};
use annals_db::control::sweep::{self, Sweep, SweepOf};
use annals_db::ids::Pass;
use annals_db::work::{cursor, quarantine};
use annals_net_adapter::{Cx, Started, Stop};

use self::due::Stage;
pub use self::due::{Due, judge};
use super::ending::stop_of;
use super::options::Deletions;
use super::project::ProjectRun;
use super::writer;
use crate::error::{Error, Failure};
use crate::forge::paging::{LoopGuard, Window};
use crate::forge::{Answer, ForgeError, IndexAt, IndexEntry, IndexPage, IndexPosition, Stream, Via};

/// Entities of a kind that are asked for one by one in a run: neither kind waits for the other.
const MOST_SINGLES: usize = 200;

/// Entities of a kind for which a server may have nothing but an error: more, and it is the server.
const MOST_BROKEN: usize = 3;

/// Asked for at the same time.
const AT_ONCE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// How the phase ended.
#[derive(Default)]
pub struct SweepEnd {
    /// Entities that were fetched because they were missed, or are back.
    pub found: u64,
    /// Revisions written.
    pub revisions: u64,
    /// Why it ended early, if it did; once for each kind.
    pub failures: Vec<Failure>,
    /// Whether the run was asked to stop.
    pub stopped: Option<Stop>,
}

/// Sweeps the kinds of `streams` that are due.
///
/// # Errors
/// A failure of the file, or a lost lock: nothing more can be written for this project.
///
/// # Cancel safety
/// The walk goes on where it was; what is gone is marked all together or not at all.
pub async fn run(cx: &Cx, project: &Arc<ProjectRun>, streams: &[Stream]) -> Result<SweepEnd, Error> {
    let mut end = SweepEnd::default();
    let mut is_told = false;
    for stream in streams {
        let Some((due, sweep)) = due(cx, project, *stream).await? else {
            continue;
        };
        if !std::mem::replace(&mut is_told, true) {
            project.phase(cx, "sweep").await?;
        }
        let mut sweeper = Sweeper {
            project,
            stream: *stream,
            of: of(project, *stream),
            sweep,
            singles: MOST_SINGLES,
            broken: 0,
            end: &mut end,
        };
        let report = match sweeper.run(cx, due).await {
            Ok(Ended::Suspicious(report)) => *report,
            Ok(Ended::Over | Ended::Open) => continue,
            Err(error) => {
                if let Some(stop) = stop_of(&error) {
                    end.stopped = Some(stop);
                    return Ok(end);
                }
                let Error::Forge(forge) = &error else { return Err(error) };
                let is_lost = forge.blames_host();
                let report = error.report();
                if is_lost {
                    end.failures.push(project.failure("sweep", report));
                    return Ok(end);
                }
                report
            }
        };
        end.failures.push(project.failure("sweep", report));
    }
    Ok(end)
}

fn of(project: &ProjectRun, stream: Stream) -> SweepOf {
    SweepOf {
        project: project.place.project,
        kind: stream.kind(),
    }
}

/// The sweep of a kind, begun or under way, and what is to be done about it; none if the last one is recent enough.
async fn due(cx: &Cx, project: &ProjectRun, stream: Stream) -> Result<Option<(Due, Sweep)>, Error> {
    let of = of(project, stream);
    let known = project.run.db.read(cx, move |conn| sweep::get(conn, of)).await?;
    let options = &project.run.options;
    let every = i64::try_from(options.settings.sweep_every.as_millis()).unwrap_or(i64::MAX);
    let due = judge(known.as_ref(), cx.unix_ms().0, every, options.sweep);
    let sweep = match due {
        Due::No => None,
        Due::GoOn | Due::Both => known,
        Due::Anew => Some(begin(cx, project, of).await?),
    };
    Ok(sweep.map(|sweep| (due, sweep)))
}

async fn begin(cx: &Cx, project: &ProjectRun, of: SweepOf) -> Result<Sweep, Error> {
    let _started = cx.may_start()?;
    let lock = project.place.lock.clone();
    let begun = project.run.db.write(cx, move |tx| sweep::begin(tx, &lock, of));
    Ok(begun.await?)
}

struct Sweeper<'a> {
    project: &'a Arc<ProjectRun>,
    stream: Stream,
    of: SweepOf,
    sweep: Sweep,
    /// Entities that may still be asked for in this run.
    singles: usize,
    /// Entities for which the server had nothing but an error.
    broken: usize,
    end: &'a mut SweepEnd,
}

/// What a sweep came to in this run.
enum Ended {
    /// All was asked about.
    Over,
    /// The next run goes on.
    Open,
    /// Nothing was marked, because of this.
    Suspicious(Box<Report>),
}

impl Sweeper<'_> {
    /// Sweeps; once more if what was under way is over and another sweep was asked for.
    async fn run(&mut self, cx: &Cx, due: Due) -> Result<Ended, Error> {
        let ended = self.once(cx).await?;
        if due == Due::Both && matches!(ended, Ended::Over) {
            self.sweep = begin(cx, self.project, self.of).await?;
            return self.once(cx).await;
        }
        Ok(ended)
    }

    /// Walks, then asks about what was not met.
    async fn once(&mut self, cx: &Cx) -> Result<Ended, Error> {
        if self.walk(cx).await? {
            self.judge_absent(cx).await
        } else {
            Ok(Ended::Open)
        }
    }

    /// Walks the index to its end. False if that takes another run.
    async fn walk(&mut self, cx: &Cx) -> Result<bool, Error> {
        let mut guard = LoopGuard::default();
        let mut is_new_walk = self.sweep.position.is_none();
        let is_accepted = self.is_accepted();
        if is_accepted {
            self.keep_consent(cx).await?;
        }
        loop {
            let at = match Stage::of(&self.sweep) {
                Stage::Walk(at) => at,
                Stage::Ask | Stage::Suspicious | Stage::Accepted => return Ok(true),
            };
            let started = cx.may_start()?;
            let page = match self.fetch(cx, started, &at, &mut guard).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(false),
                // A position of an earlier run leads nowhere any more: once more from the beginning. One of this walk
                // leads nowhere for good, so the lists are read.
                Err(Error::Forge(ForgeError::Refused { .. }))
                    if !is_new_walk || matches!(at, IndexPosition::Cursor(_)) =>
                {
                    self.sweep = begin(cx, self.project, self.of).await?;
                    if is_accepted {
                        self.keep_consent(cx).await?;
                    }
                    if is_new_walk {
                        let lists = IndexPosition::Window(Window { start: None, page: 1 });
                        self.sweep.position = Some(Stage::Walk(lists).write());
                    }
                    guard = LoopGuard::default();
                    is_new_walk = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.project.run.odd(self.project, &page.odd);
            if !self.find(cx, &page.entries).await? {
                self.project.warn(
                    Code::Partial,
                    format!(
                        "{MOST_SINGLES} {} of {} had to be fetched one by one; the next sync goes on with the sweep",
                        self.what(),
                        self.project.path
                    ),
                );
                return Ok(false);
            }
            let next = page.next.map_or(Stage::Ask, Stage::Walk);
            let position = if is_accepted {
                next.write_accepted()
            } else {
                next.write()
            };
            let (lock, of, saved) = (self.project.place.lock.clone(), self.of, position.clone());
            let seen: Vec<Iid> = page.entries.iter().map(|entry| entry.iid).collect();
            let stepped = self
                .project
                .run
                .db
                .write(cx, move |tx| sweep::step(tx, &lock, of, &seen, &saved));
            stepped.await?;
            self.sweep.position = Some(position);
        }
    }

    /// Whether somebody has said, in this run or in one before, that all of this sweep may be marked.
    fn is_accepted(&self) -> bool {
        self.project.run.options.deletions == Deletions::Accepted || due::is_accepted(&self.sweep)
    }

    /// Notes that, before anything else is done: the run may end at any time, and nobody is asked twice.
    async fn keep_consent(&mut self, cx: &Cx) -> Result<(), Error> {
        if due::is_accepted(&self.sweep) {
            return Ok(());
        }
        let _started = cx.may_start()?;
        let position = Stage::of(&self.sweep).write_accepted();
        let (lock, of, saved) = (self.project.place.lock.clone(), self.of, position.clone());
        let noted = self
            .project
            .run
            .db
            .write(cx, move |tx| sweep::step(tx, &lock, of, &[], &saved));
        noted.await?;
        self.sweep.position = Some(position);
        Ok(())
    }

    /// What is swept, for people.
    fn what(&self) -> String {
        self.stream.as_str().replace('_', " ")
    }

    /// A page of the index; none if the project does not show it.
    async fn fetch(
        &self,
        cx: &Cx,
        _started: Started,
        at: &IndexPosition,
        guard: &mut LoopGuard,
    ) -> Result<Option<IndexPage>, Error> {
        let project = self.project;
        let flight = project.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &project.run.meter,
        };
        let place = IndexAt {
            project: &project.native,
            path: &project.path,
            kind: self.of.kind,
            at,
        };
        match project.forge.index(cx, via, place, guard).await? {
            Answer::New(page) => Ok(Some(page)),
            Answer::NotModified | Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden => {
                project.warn(
                    Code::Forbidden,
                    format!("{} does not show what {} it has", project.path, self.stream.as_str()),
                );
                Ok(None)
            }
        }
    }

    /// Fetches what is there and not here, or newer there. False if that takes another run.
    async fn find(&mut self, cx: &Cx, entries: &[IndexEntry]) -> Result<bool, Error> {
        let (of, stream, project) = (self.of, self.stream, self.project.place.project);
        let named = entries.to_vec();
        let news = self.project.run.db.read(cx, move |conn| {
            let floor =
                cursor::get(conn, project, stream.as_str(), Pass::Incremental)?.and_then(|cursor| cursor.floor_at);
            // What could not be read is tried again by itself, at every run.
            let aside = quarantine::open(conn, project, stream.as_str())?;
            let mut news = Vec::new();
            for entry in named {
                if entry.native_id.as_ref().is_some_and(|id| aside.contains(id.as_str())) {
                    continue;
                }
                // What lies before the floor was left out on purpose.
                let is_wanted = floor.is_none() || entry.updated_at >= floor;
                let is_news = is_wanted && sweep::is_news(conn, of, entry.iid, entry.updated_at)?;
                if is_news && !sweep::is_seen(conn, of, entry.iid)? {
                    news.push(entry.iid);
                }
            }
            Ok(news)
        });
        for iid in news.await? {
            let started = cx.may_start()?;
            if self.singles == 0 {
                return Ok(false);
            }
            self.singles -= 1;
            self.store(cx, started, iid).await?;
        }
        Ok(true)
    }

    async fn store(&mut self, cx: &Cx, _started: Started, iid: Iid) -> Result<(), Error> {
        let project = self.project;
        let flight = project.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &project.run.meter,
        };
        let found = match project.forge.one(cx, via, &project.native, self.of.kind, iid).await {
            Ok(Answer::New(found)) => Some(found),
            // What the index names and nobody shows is no news after all.
            Ok(Answer::NotModified | Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden) => None,
            Err(error) => {
                self.missed(iid, error)?;
                None
            }
        };
        let (place, stream, of) = (project.place.clone(), self.stream, self.of);
        let write = project.run.db.write(cx, move |tx| {
            sweep::see(tx, &place.lock, of, &[iid])?;
            match found {
                Some(found) => writer::write_found(tx, &place, stream, &found),
                None => Ok(writer::Wrote::default()),
            }
        });
        let wrote = write.await?;
        project.tell_quarantined(&wrote);
        self.end.found += u64::from(wrote.written > 0);
        self.end.revisions += wrote.revisions;
        Ok(())
    }

    /// A fetch that failed for one entity only is told, and the next sweep tries again.
    fn missed(&mut self, iid: Iid, error: ForgeError) -> Result<(), Error> {
        let is_its_own = matches!(error, ForgeError::Server { .. }) && self.broken < MOST_BROKEN;
        self.broken += usize::from(is_its_own);
        if error.stop().is_some() || (error.is_outage() && !is_its_own) {
            return Err(error.into());
        }
        let sigil = self.of.kind.sigil();
        self.project
            .warn(Code::Transform, format!("{sigil}{iid} could not be fetched: {error}"));
        Ok(())
    }
}
