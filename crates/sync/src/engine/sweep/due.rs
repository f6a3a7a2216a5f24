//! When a sweep is due, and where one that is under way stands.

use annals_db::control::sweep::Sweep;

use crate::engine::options::SweepWhen;
use crate::forge::IndexPosition;

const ACCEPTED: &str = "accepted";

/// Before the position of a walk whose outcome is accepted, whatever it is.
const ACCEPTED_WALK: &str = "accepted ";

/// Where a sweep stands. Kept as text between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// The index is read from here on.
    Walk(IndexPosition),
    /// The index was read; what it did not show is asked for.
    Ask,
    /// So much turned out to be gone that nothing was marked.
    Suspicious,
    /// Somebody has looked: all of it may be marked, in as many runs as that takes.
    Accepted,
}

impl Stage {
    /// Where a sweep of the file stands.
    pub fn of(sweep: &Sweep) -> Self {
        match sweep.position.as_deref() {
            None => Self::Walk(IndexPosition::Start),
            Some("end") => Self::Ask,
            Some("suspicious") => Self::Suspicious,
            Some(ACCEPTED) => Self::Accepted,
            Some(text) => Self::Walk(IndexPosition::read(text.strip_prefix(ACCEPTED_WALK).unwrap_or(text))),
        }
    }

    /// The form that is kept.
    pub fn write(&self) -> String {
        match self {
            Self::Walk(position) => position.write(),
            Self::Ask => "end".to_owned(),
            Self::Suspicious => "suspicious".to_owned(),
            Self::Accepted => ACCEPTED.to_owned(),
        }
    }

    /// The form that is kept once somebody has said that all of it may be marked.
    pub fn write_accepted(&self) -> String {
        match self {
            Self::Walk(position) => format!("{ACCEPTED_WALK}{}", position.write()),
            Self::Ask | Self::Suspicious | Self::Accepted => ACCEPTED.to_owned(),
        }
    }
}

/// Whether somebody has said that all of a sweep may be marked. That holds until it is over, in however many runs.
pub fn is_accepted(sweep: &Sweep) -> bool {
    sweep
        .position
        .as_deref()
        .is_some_and(|position| position.starts_with(ACCEPTED))
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
    /// It goes on where it is, and once it is over another one begins.
    Both,
}

/// Whether a sweep is due; `every_ms` of 0 is only when asked.
pub fn judge(known: Option<&Sweep>, now: i64, every_ms: i64, when: SweepWhen) -> Due {
    let is_old = |since: i64| every_ms > 0 && now.saturating_sub(since) >= every_ms;
    match (known, known.and_then(|sweep| sweep.finished_at)) {
        (None, _) if every_ms > 0 || when == SweepWhen::Now => Due::Anew,
        (None, _) => Due::No,
        // A sweep begun anew would have to be accepted anew.
        (Some(open), None) if is_accepted(open) && when == SweepWhen::Now => Due::Both,
        (Some(open), None) if is_accepted(open) => Due::GoOn,
        (Some(open), None) if is_old(open.started_at.0) => Due::Anew,
        (Some(open), None) if when == SweepWhen::Now => match Stage::of(open) {
            // What happened since the index was read is to be found, too.
            Stage::Walk(IndexPosition::Start) | Stage::Ask | Stage::Suspicious => Due::Anew,
            // What was walked is not walked in vain.
            Stage::Walk(_) | Stage::Accepted => Due::Both,
        },
        (Some(_), None) => Due::GoOn,
        (Some(_), Some(finished)) if when == SweepWhen::Now || is_old(finished.0) => Due::Anew,
        (Some(_), Some(_)) => Due::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use annals_core::UnixMs;

    const WEEK: i64 = 7 * 86_400_000;

    fn sweep(position: Option<&str>, started: i64, finished: Option<i64>) -> Sweep {
        Sweep {
            position: position.map(str::to_owned),
            started_at: UnixMs(started),
            finished_at: finished.map(UnixMs),
            seen: 0,
            up_to: 0,
        }
    }

    #[test]
    fn a_sweep_is_due_when_never_done_old_or_asked_for() {
        let now = 100 * WEEK;
        let (fresh, old) = (now - WEEK + 1, now - WEEK);
        for (known, every, when, want) in [
            (None, WEEK, SweepWhen::Due, Due::Anew),
            (None, 0, SweepWhen::Due, Due::No),
            (None, 0, SweepWhen::Now, Due::Anew),
            (Some(sweep(None, fresh, Some(fresh))), WEEK, SweepWhen::Due, Due::No),
            (Some(sweep(None, old, Some(fresh))), WEEK, SweepWhen::Due, Due::No),
            (Some(sweep(None, old, Some(old))), WEEK, SweepWhen::Due, Due::Anew),
            (Some(sweep(None, old, Some(old))), 0, SweepWhen::Due, Due::No),
            (Some(sweep(None, fresh, Some(fresh))), WEEK, SweepWhen::Now, Due::Anew),
            (Some(sweep(None, fresh, None)), WEEK, SweepWhen::Due, Due::GoOn),
            (Some(sweep(None, fresh, None)), WEEK, SweepWhen::Now, Due::Anew),
            (Some(sweep(None, old, None)), 0, SweepWhen::Due, Due::GoOn),
            (Some(sweep(None, old, None)), WEEK, SweepWhen::Due, Due::Anew),
        ] {
            assert_eq!(
                judge(known.as_ref(), now, every, when),
                want,
                "{known:?} {every} {when:?}"
            );
        }
    }

    #[test]
    fn a_sweep_asked_for_now_does_not_end_with_an_index_of_before() {
        let (now, fresh) = (100 * WEEK, 100 * WEEK - 1);
        for (position, due, asked) in [
            ("after:cursor", Due::GoOn, Due::Both),
            ("created::2", Due::GoOn, Due::Both),
            ("end", Due::GoOn, Due::Anew),
            ("suspicious", Due::GoOn, Due::Anew),
            ("accepted", Due::GoOn, Due::Both),
        ] {
            let open = sweep(Some(position), fresh, None);
            assert_eq!(judge(Some(&open), now, WEEK, SweepWhen::Due), due, "{position}");
            assert_eq!(judge(Some(&open), now, WEEK, SweepWhen::Now), asked, "{position}");
            assert_eq!(Stage::of(&open).write(), position);
        }
    }

    #[test]
    fn a_consent_outlives_the_week_and_the_walk() {
        let now = 100 * WEEK;
        for (position, stage) in [
            ("accepted", Stage::Accepted),
            ("accepted start", Stage::Walk(IndexPosition::Start)),
            (
                "accepted after:cursor",
                Stage::Walk(IndexPosition::Cursor("cursor".to_owned())),
            ),
        ] {
            let open = sweep(Some(position), now - 2 * WEEK, None);
            assert_eq!(judge(Some(&open), now, WEEK, SweepWhen::Due), Due::GoOn, "{position}");
            assert_eq!(judge(Some(&open), now, WEEK, SweepWhen::Now), Due::Both, "{position}");
            assert_eq!((Stage::of(&open), is_accepted(&open)), (stage.clone(), true));
            assert_eq!(stage.write_accepted(), position);
        }
        for position in [None, Some("end"), Some("suspicious"), Some("after:accepted")] {
            assert!(!is_accepted(&sweep(position, now, None)), "{position:?}");
        }
    }
}
