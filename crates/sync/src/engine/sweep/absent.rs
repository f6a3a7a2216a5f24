//! What is here and was not in the index: each is asked for, and what is really gone is marked, all or nothing.

use annals_core::{Code, Outcome, Report};
use annals_db::control::sweep::{self, Candidate};
use annals_db::ids::{EntityId, GoneReason};
use annals_net_adapter::{Cx, map_bounded};

use super::due::Stage;
use super::{AT_ONCE, Ended, Sweeper};
use crate::engine::writer::{self, Departed};
use crate::error::Error;
use crate::forge::{self, Answer, EntityRow, ForgeError, Row, Via};

/// A sweep that would mark more than this, and more than a fifth of what is here, needs somebody's word.
const GUARD_FROM: u64 = 20;

/// Of a sweep that needs somebody's word, so many are asked for again in a run: a forge that came to its senses needs
/// nobody's.
const SAMPLE: usize = 25;

/// Names that a warning lists before it only counts.
const NAMED: usize = 20;

/// What the forge says of those that were asked for.
struct Asked {
    /// How each has departed; nothing if it can be read, or if that cannot be known.
    verdicts: Vec<(Candidate, Option<Departed>)>,
    /// Why others have no verdict.
    broken: Option<Error>,
}

impl Sweeper<'_> {
    /// Asks for what the index did not show, and marks what is gone.
    pub(super) async fn judge_absent(&mut self, cx: &Cx) -> Result<Ended, Error> {
        let stage = Stage::of(&self.sweep);
        let is_accepted = self.is_accepted();
        let most = match stage {
            Stage::Suspicious if !is_accepted => SAMPLE,
            _ => usize::MAX,
        };
        let (of, up_to, limit) = (self.of, self.sweep.up_to, self.singles.min(most));
        let read = self.project.run.db.read(cx, move |conn| {
            let (candidates, all) = sweep::candidates(conn, of, up_to, limit)?;
            Ok((candidates, all, sweep::living(conn, of)?))
        });
        let (candidates, all, living) = read.await?;
        self.singles -= candidates.len().min(self.singles);
        let Asked { verdicts, broken } = self.ask(cx, candidates).await?;
        let asked = count(verdicts.len());
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
        let marks = !is_too_much || is_accepted;
        let _started = cx.may_start()?;
        if marks {
            self.mark(cx, &departed).await?;
        }
        let is_over = rest == 0 && marks;
        let next = match (is_accepted, is_too_much) {
            (true, _) => Stage::Accepted,
            (false, true) => Stage::Suspicious,
            (false, false) => Stage::Ask,
        };
        let (lock, position) = (self.project.place.lock.clone(), next.write());
        let closed = self.project.run.db.write(cx, move |tx| {
            if is_over {
                sweep::finish(tx, &lock, of)
            } else {
                sweep::step(tx, &lock, of, &present, &position)
            }
        });
        closed.await?;
        if !marks {
            return Ok(Ended::Suspicious(Box::new(self.suspicious(expected, living))));
        }
        if let Some(error) = broken {
            return Err(error);
        }
        if is_over {
            return Ok(Ended::Over);
        }
        self.project.warn(
            Code::NotFoundRemote,
            format!(
                "{rest} more {} of {} may be gone; the next sync asks about them",
                self.what(),
                self.project.path
            ),
        );
        Ok(Ended::Open)
    }

    /// What became of each. A server that has nothing but errors for too many of them takes no verdict from the others.
    async fn ask(&mut self, cx: &Cx, candidates: Vec<Candidate>) -> Result<Asked, Error> {
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
        let (mut verdicts, mut broken) = (Vec::with_capacity(candidates.len()), None);
        for (outcome, candidate) in asked.await.into_iter().zip(candidates) {
            match outcome {
                Outcome::Ok(verdict) => verdicts.push((candidate, verdict)),
                // Whatever this is, it is no proof that the entity is gone.
                Outcome::Err(Error::Forge(error)) => {
                    let is_broken = matches!(error, ForgeError::Server { .. });
                    match self.missed(candidate.iid, error) {
                        Ok(()) => verdicts.push((candidate, None)),
                        Err(error) if is_broken => broken = broken.or(Some(error)),
                        Err(error) => return Err(error),
                    }
                }
                Outcome::Err(error) => return Err(error),
                Outcome::Cancelled(reason) => return Err(Error::Cancelled { reason, result: None }),
                Outcome::Panicked(message) => return Err(message.into()),
            }
        }
        Ok(Asked { verdicts, broken })
    }

    /// What is gone is gone from a project that is there.
    async fn confirm_project(&self, cx: &Cx) -> Result<(), Error> {
        let project = self.project;
        let flight = project.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &project.run.meter,
        };
        Ok(forge::confirm(cx, &*project.forge, via, (&project.native, &project.path)).await?)
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
        let message = format!(
            "{expected} of {living} {} of {} would be marked as gone; nothing was marked",
            self.what(),
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
