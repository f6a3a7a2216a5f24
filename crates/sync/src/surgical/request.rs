//! What a surgical run is asked for, and the rules that hold before anything is read.

use std::collections::BTreeSet;
use std::time::Duration;

use annals_core::{EntityKind, Iid};
use serde_json::{Value, json};

use crate::engine::{Documents, EntityRef, SyncOptions, Target};

/// The most targets of one request.
pub const MAX_TARGETS: usize = 100;

/// How long a surgical run waits for its project's lock.
pub const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The most decoded bytes that a preflight may hold: 256 MiB.
pub const PREFLIGHT_BYTES: u64 = 256 * 1024 * 1024;

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// To the end.
    Whole,
    /// It fetches everything, says whether that went well, and changes no content.
    PreflightOnly,
}

/// The entities of one project to bring up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(super) project: Target,
    /// By type, then number, each once.
    pub(super) targets: Vec<EntityRef>,
    pub(super) extent: Extent,
}

/// A request that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It names nothing.
    #[error("name at least one issue or merge request")]
    Empty,
    /// It names too much.
    #[error("{n} issues and merge requests are named; at most {MAX_TARGETS} can be synced together")]
    TooMany {
        /// How many, each counted once.
        n: usize,
    },
    /// A number that nothing has.
    #[error("{iid} is no number of an issue or merge request; numbers begin with 1")]
    NotPositive {
        /// The number.
        iid: Iid,
    },
}

impl Request {
    /// A request for entities of `project`; one that is named twice counts once.
    ///
    /// # Errors
    /// [`RequestError`] if there is none, one that cannot be, or more than [`MAX_TARGETS`].
    pub fn new(
        project: Target,
        targets: impl IntoIterator<Item = EntityRef>,
        extent: Extent,
    ) -> Result<Self, RequestError> {
        let targets: BTreeSet<EntityRef> = targets.into_iter().collect();
        if let Some(target) = targets.iter().find(|target| target.iid.0 <= 0) {
            return Err(RequestError::NotPositive { iid: target.iid });
        }
        match targets.len() {
            0 => Err(RequestError::Empty),
            n if n > MAX_TARGETS => Err(RequestError::TooMany { n }),
            _ => Ok(Self {
                project,
                targets: targets.into_iter().collect(),
                extent,
            }),
        }
    }

    /// What it names, by type, then number.
    #[must_use]
    pub fn targets(&self) -> &[EntityRef] {
        &self.targets
    }
}

/// How a surgical run goes about it.
#[derive(Debug, Clone)]
pub struct SurgicalOptions {
    /// What every sync is given.
    pub sync: SyncOptions,
    /// The most decoded bytes that the preflight may hold.
    pub preflight_bytes: u64,
}

impl SurgicalOptions {
    /// The defaults; the lock is waited for as long as [`LOCK_WAIT`].
    #[must_use]
    pub fn new(sync: SyncOptions) -> Self {
        Self {
            sync: SyncOptions {
                lock_wait: LOCK_WAIT,
                ..sync
            },
            preflight_bytes: PREFLIGHT_BYTES,
        }
    }
}

/// What the row of a run keeps of its request: a retry reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub extent: Extent,
    pub documents: Documents,
    pub events: bool,
}

impl Kept {
    /// The request as the row of its run keeps it.
    pub fn write(self, path: Option<&str>, targets: &[EntityRef]) -> Value {
        json!({
            "project": path,
            "targets": targets,
            "preflight_only": self.extent == Extent::PreflightOnly,
            "docs": self.documents == Documents::Make,
            "events": self.events,
        })
    }

    /// What [`Self::write`] wrote; what is not there is as it is by default.
    pub fn read(requested: &Value) -> Self {
        let says = |name: &str, default| requested.get(name).and_then(Value::as_bool).unwrap_or(default);
        Self {
            extent: if says("preflight_only", false) {
                Extent::PreflightOnly
            } else {
                Extent::Whole
            },
            documents: if says("docs", true) {
                Documents::Make
            } else {
                Documents::Leave
            },
            events: says("events", true),
        }
    }
}

impl EntityRef {
    /// An issue.
    #[must_use]
    pub const fn issue(iid: i64) -> Self {
        Self {
            entity_type: EntityKind::Issue,
            iid: Iid(iid),
        }
    }

    /// A merge request.
    #[must_use]
    pub const fn merge_request(iid: i64) -> Self {
        Self {
            entity_type: EntityKind::MergeRequest,
            iid: Iid(iid),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn of(iids: impl IntoIterator<Item = i64>) -> Result<Request, RequestError> {
        let targets = iids.into_iter().map(EntityRef::issue);
        Request::new(Target::Path("g/p".to_owned()), targets, Extent::Whole)
    }

    #[test]
    fn iids_101_refused() {
        assert_eq!(of(1..=100).unwrap().targets().len(), 100);
        assert_eq!(of(1..=101).unwrap_err(), RequestError::TooMany { n: 101 });
        // Issues and merge requests count together.
        let both = (1..=50)
            .map(EntityRef::issue)
            .chain((1..=51).map(EntityRef::merge_request));
        let both = Request::new(Target::Path("g/p".to_owned()), both, Extent::Whole);
        assert_eq!(both.unwrap_err(), RequestError::TooMany { n: 101 });
        assert_eq!(of([]).unwrap_err(), RequestError::Empty);
    }

    #[test]
    fn iids_zero_refused() {
        for iid in [0, -1, i64::MIN] {
            assert_eq!(of([3, iid]).unwrap_err(), RequestError::NotPositive { iid: Iid(iid) });
        }
    }

    #[test]
    fn iids_duplicates_once() {
        let request = of([7, 3, 7, 3]).unwrap();
        assert_eq!(request.targets(), [EntityRef::issue(3), EntityRef::issue(7)]);
        let twice = (1..=100).chain(1..=100);
        assert_eq!(of(twice).unwrap().targets().len(), 100);
        // The same number is two entities where the kinds differ, issues first.
        let both = [EntityRef::merge_request(3), EntityRef::issue(3)];
        let both = Request::new(Target::Path("g/p".to_owned()), both, Extent::Whole).unwrap();
        assert_eq!(both.targets(), [EntityRef::issue(3), EntityRef::merge_request(3)]);
    }

    #[test]
    fn what_a_row_keeps_is_read_again() {
        for extent in [Extent::Whole, Extent::PreflightOnly] {
            for documents in [Documents::Make, Documents::Leave] {
                for events in [true, false] {
                    let kept = Kept {
                        extent,
                        documents,
                        events,
                    };
                    assert_eq!(Kept::read(&kept.write(Some("g/p"), &[EntityRef::issue(1)])), kept);
                }
            }
        }
        let default = Kept::read(&Value::Null);
        assert_eq!((default.extent, default.documents), (Extent::Whole, Documents::Make));
    }
}
