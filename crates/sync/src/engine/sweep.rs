//! The sweep: everything at the forge by number, against everything here.
//!
//! The index is walked page by page; its position and what it showed are rows, so a walk may take several runs. What
//! is there and not here, or newer there, is fetched and stored at once. What is here and was not there is a
//! candidate: each is asked for by itself, the project once more after them, and only then are those that are
//! really gone marked, all in one transaction. If that would be too much of a project, nothing is marked until
//! somebody says so.
//!
//! No more than [`MOST_SINGLES`] entities are asked for in one run; the next one goes on.

use std::num::NonZeroUsize;
use std::sync::Arc;

use annals_core::{Code, Iid, Outcome, Report};
use annals_db::control::sweep::{self, Candidate, Sweep, SweepOf};
use annals_db::ids::{EntityId, GoneReason, Pass};
use annals_db::work::{cursor, quarantine};
use annals_net_adapter::{Cx, Started, Stop, map_bounded};

use super::ending::stop_of;
use super::options::{Deletions, SweepWhen};
use super::project::ProjectRun;
use super::writer::{self, Departed};
use crate::error::{Error, Failure};
use crate::forge::paging::LoopGuard;
use crate::forge::{
    Answer, EntityRow, ForgeError, IndexAt, IndexEntry, IndexPage, IndexPosition, ProjectRef, Row, Stream, Via,
};

/// Entities that are asked for one by one in a run.
const MOST_SINGLES: usize = 200;

/// Asked for at the same time.
const AT_ONCE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// A sweep that would mark more than this, and more than a fifth of what is here, needs somebody's word.
const GUARD_FROM: u64 = 20;

/// Where a walk stands once the index was read to its end.
const WALKED: &str = "end";

/// Names that a warning lists before it only counts.
const NAMED: usize = 20;

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
    let mut singles = MOST_SINGLES;
    let mut is_told = false;
    for stream in streams {
        let Some(sweep) = due(cx, project, *stream).await? else {
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
            singles,
            end: &mut end,
        };
        let swept = sweeper.run(cx).await;
        singles = sweeper.singles;
        let report = match swept {
            Ok(Some(report)) => report,
            Ok(None) => continue,
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

/// What to do about a sweep now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    No,
    /// It goes on where it is.
    GoOn,
    /// It begins.
    Anew,
}

/// Whether a sweep is due; `every_ms` of 0 is only when asked.
pub fn judge(known: Option<&Sweep>, now: i64, every_ms: i64, when: SweepWhen) -> Due {
    let is_old = |since: i64| every_ms > 0 && now.saturating_sub(since) >= every_ms;
    match (known, known.and_then(|sweep| sweep.finished_at)) {
        (None, _) if every_ms > 0 || when == SweepWhen::Now => Due::Anew,
        (None, _) => Due::No,
        (Some(open), None) if is_old(open.started_at.0) => Due::Anew,
        (Some(_), None) => Due::GoOn,
        (Some(_), Some(finished)) if when == SweepWhen::Now || is_old(finished.0) => Due::Anew,
        (Some(_), Some(_)) => Due::No,
    }
}

/// The sweep of a kind, begun or under way; none if the last one is recent enough.
async fn due(cx: &Cx, project: &ProjectRun, stream: Stream) -> Result<Option<Sweep>, Error> {
    let of = of(project, stream);
    let known = project.run.db.read(cx, move |conn| sweep::get(conn, of)).await?;
    let options = &project.run.options;
    let every = i64::try_from(options.settings.sweep_every.as_millis()).unwrap_or(i64::MAX);
    match judge(known.as_ref(), cx.unix_ms().0, every, options.sweep) {
        Due::No => Ok(None),
        Due::GoOn => Ok(known),
        Due::Anew => {
            let _started = cx.may_start()?;
            begin(cx, project, of).await.map(Some)
        }
    }
}

async fn begin(cx: &Cx, project: &ProjectRun, of: SweepOf) -> Result<Sweep, Error> {
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
    end: &'a mut SweepEnd,
}

impl Sweeper<'_> {
    /// Walks, then asks about what was not met. What keeps it from marking is a report.
    async fn run(&mut self, cx: &Cx) -> Result<Option<Report>, Error> {
        if self.walk(cx).await? {
            self.judge_absent(cx).await
        } else {
            Ok(None)
        }
    }

    /// Walks the index to its end. False if that takes another run.
    async fn walk(&mut self, cx: &Cx) -> Result<bool, Error> {
        let mut guard = LoopGuard::default();
        let mut is_new_walk = self.sweep.position.is_none();
        loop {
            let at = match self.sweep.position.as_deref() {
                None => IndexPosition::Start,
                Some(WALKED) => return Ok(true),
                Some(text) => IndexPosition::read(text),
            };
            let started = cx.may_start()?;
            let page = match self.fetch(cx, started, &at, &mut guard).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(false),
                // A position of an earlier run leads nowhere any more: once more from the beginning.
                Err(Error::Forge(ForgeError::Refused { .. })) if !is_new_walk => {
                    self.sweep = begin(cx, self.project, self.of).await?;
                    guard = LoopGuard::default();
                    is_new_walk = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !self.find(cx, &page.entries).await? {
                return Ok(false);
            }
            let position = page.next.map_or_else(|| WALKED.to_owned(), |next| next.write());
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
                if is_wanted && sweep::is_news(conn, of, entry.iid, entry.updated_at)? {
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
            Ok(Answer::New(found)) => found,
            // What the index names and nobody shows is no news after all.
            Ok(Answer::NotModified | Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden) => return Ok(()),
            Err(error) => return self.missed(iid, error),
        };
        let (place, stream) = (project.place.clone(), self.stream);
        let write = project
            .run
            .db
            .write(cx, move |tx| writer::write_found(tx, &place, stream, &found));
        let wrote = write.await?;
        project.tell_quarantined(&wrote);
        self.end.found += u64::from(wrote.written > 0);
        self.end.revisions += wrote.revisions;
        Ok(())
    }

    /// A fetch that failed for one entity only is told, and the next sweep tries again.
    fn missed(&self, iid: Iid, error: ForgeError) -> Result<(), Error> {
        if error.stop().is_some() || error.is_outage() {
            return Err(error.into());
        }
        let sigil = self.of.kind.sigil();
        self.project
            .warn(Code::Transform, format!("{sigil}{iid} could not be fetched: {error}"));
        Ok(())
    }

    /// Asks for what the index did not show, and marks what is gone.
    async fn judge_absent(&mut self, cx: &Cx) -> Result<Option<Report>, Error> {
        let (of, up_to, limit) = (self.of, self.sweep.up_to, self.singles);
        let read = self.project.run.db.read(cx, move |conn| {
            let (candidates, all) = sweep::candidates(conn, of, up_to, limit)?;
            Ok((candidates, all, sweep::living(conn, of)?))
        });
        let (candidates, all, living) = read.await?;
        self.singles -= candidates.len().min(self.singles);
        let asked = count(candidates.len());
        let verdicts = self.ask(cx, candidates).await?;
        let (mut departed, mut present) = (Vec::new(), Vec::new());
        for (candidate, verdict) in verdicts {
            match verdict {
                Some(how) => departed.push((candidate, how)),
                None => present.push(candidate.iid),
            }
        }
        if !departed.is_empty() {
            let _started = cx.may_start()?;
            self.confirm_project(cx).await?;
        }
        let rest = all.saturating_sub(asked);
        let gone = count(departed.len());
        // Those that were not asked about are taken to be like those that were.
        let expected = gone + rest.saturating_mul(gone).div_ceil(asked.max(1));
        let is_too_much = expected > GUARD_FROM && expected.saturating_mul(5) > living;
        let marks = !is_too_much || self.project.run.options.deletions == Deletions::Accepted;
        let _started = cx.may_start()?;
        if marks {
            self.mark(cx, &departed).await?;
        }
        let is_over = rest == 0 && marks;
        let lock = self.project.place.lock.clone();
        let closed = self.project.run.db.write(cx, move |tx| {
            if is_over {
                sweep::finish(tx, &lock, of)
            } else {
                sweep::see(tx, &lock, of, &present).map(|_| ())
            }
        });
        closed.await?;
        if marks && rest > 0 {
            self.project.warn(
                Code::NotFoundRemote,
                format!(
                    "{rest} more {} of {} may be gone; the next sync asks about them",
                    self.stream.as_str().replace('_', " "),
                    self.project.path
                ),
            );
        }
        Ok((!marks).then(|| self.suspicious(expected, living)))
    }

    /// What became of each: nothing if it can be read.
    async fn ask(&self, cx: &Cx, candidates: Vec<Candidate>) -> Result<Vec<(Candidate, Option<Departed>)>, Error> {
        let (project, kind) = (self.project.clone(), self.of.kind);
        let asked = map_bounded(cx, AT_ONCE, candidates.clone(), move |cx, candidate| {
            let project = project.clone();
            async move {
                let _started = cx.may_start()?;
                let flight = project.run.budget.flight();
                let via = Via {
                    flight: &flight,
                    meter: &project.run.meter,
                };
                let answer = project
                    .forge
                    .one(&cx, via, &project.native, kind, candidate.iid)
                    .await?;
                Ok::<_, Error>(match answer {
                    Answer::New(Ok(Row {
                        entity: EntityRow::Issue(issue),
                        ..
                    })) => issue.moved_to.map(Departed::Moved),
                    Answer::New(_) | Answer::NotModified => None,
                    Answer::Gone(reason) => Some(Departed::Gone(reason)),
                    Answer::Moved(to) => Some(Departed::Moved(to)),
                    Answer::Hidden => Some(Departed::Gone(GoneReason::Hidden)),
                })
            }
        });
        let mut verdicts = Vec::with_capacity(candidates.len());
        for (outcome, candidate) in asked.await.into_iter().zip(candidates) {
            match outcome {
                Outcome::Ok(verdict) => verdicts.push((candidate, verdict)),
                // Whatever this is, it is no proof that the entity is gone.
                Outcome::Err(Error::Forge(error)) => {
                    self.missed(candidate.iid, error)?;
                    verdicts.push((candidate, None));
                }
                Outcome::Err(error) => return Err(error),
                Outcome::Cancelled(reason) => return Err(Error::Cancelled { reason, result: None }),
                Outcome::Panicked(message) => return Err(message.into()),
            }
        }
        Ok(verdicts)
    }

    /// A project that was hidden or deleted answers alike for everything in it.
    async fn confirm_project(&self, cx: &Cx) -> Result<(), Error> {
        let project = self.project;
        let flight = project.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &project.run.meter,
        };
        let at = ProjectRef::Id(project.native.clone());
        let (host, what) = (project.forge.host().to_owned(), format!("project {}", project.path));
        match project.forge.project(cx, via, &at, None).await? {
            Answer::New(_) | Answer::NotModified => Ok(()),
            Answer::Hidden => Err(ForgeError::Forbidden { host, what }.into()),
            Answer::Gone(_) | Answer::Moved(_) => Err(ForgeError::NotFound { host, what }.into()),
        }
    }

    async fn mark(&mut self, cx: &Cx, departed: &[(Candidate, Departed)]) -> Result<(), Error> {
        if departed.is_empty() {
            return Ok(());
        }
        let place = self.project.place.clone();
        let rows: Vec<(EntityId, Departed)> = departed
            .iter()
            .map(|(candidate, how)| (candidate.entity, how.clone()))
            .collect();
        let write = self
            .project
            .run
            .db
            .write(cx, move |tx| writer::write_departed(tx, &place, &rows));
        self.end.revisions += write.await?.revisions;
        let sigil = self.of.kind.sigil();
        let named = departed.iter().take(NAMED);
        let named: Vec<_> = named
            .map(|(candidate, how)| format!("{sigil}{} ({})", candidate.iid, how.as_str()))
            .collect();
        let more = match departed.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        self.project.warn(
            Code::NotFoundRemote,
            format!("no longer at {}: {}{more}", self.project.forge.host(), named.join(", ")),
        );
        Ok(())
    }

    fn suspicious(&self, expected: u64, living: u64) -> Report {
        let what = self.stream.as_str().replace('_', " ");
        let message = format!(
            "{expected} of {living} {what} of {} would be marked as gone; nothing was marked",
            self.project.path
        );
        Report::new(Code::SweepSuspicious, message)
            .with_detail("gone", expected)
            .with_detail("of", living)
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use annals_core::UnixMs;

    #[test]
    fn a_sweep_is_due_when_never_done_old_or_asked_for() {
        const WEEK: i64 = 7 * 86_400_000;
        let sweep = |started: i64, finished: Option<i64>| Sweep {
            position: None,
            started_at: UnixMs(started),
            finished_at: finished.map(UnixMs),
            seen: 0,
            up_to: 0,
        };
        let now = 100 * WEEK;
        let (fresh, old) = (now - WEEK + 1, now - WEEK);
        for (known, every, when, want) in [
            (None, WEEK, SweepWhen::Due, Due::Anew),
            (None, 0, SweepWhen::Due, Due::No),
            (None, 0, SweepWhen::Now, Due::Anew),
            (Some(sweep(fresh, Some(fresh))), WEEK, SweepWhen::Due, Due::No),
            (Some(sweep(old, Some(fresh))), WEEK, SweepWhen::Due, Due::No),
            (Some(sweep(old, Some(old))), WEEK, SweepWhen::Due, Due::Anew),
            (Some(sweep(old, Some(old))), 0, SweepWhen::Due, Due::No),
            (Some(sweep(fresh, Some(fresh))), WEEK, SweepWhen::Now, Due::Anew),
            (Some(sweep(fresh, None)), WEEK, SweepWhen::Due, Due::GoOn),
            (Some(sweep(fresh, None)), WEEK, SweepWhen::Now, Due::GoOn),
            (Some(sweep(old, None)), 0, SweepWhen::Due, Due::GoOn),
            (Some(sweep(old, None)), WEEK, SweepWhen::Due, Due::Anew),
        ] {
            assert_eq!(
                judge(known.as_ref(), now, every, when),
                want,
                "{known:?} {every} {when:?}"
            );
        }
    }
}
