//! Whether the file is what it was written to be: every check looks at the file alone and changes nothing.
//!
//! Two kinds of defects: [`Corrupt`](Finding::Corrupt), bytes that are not what was written, which nothing here can
//! mend; and [`Drift`](Finding::Drift), something derived that no longer follows from what it was derived from.
//!
//! [`mod@file`] asks SQLite; [`blobs`] hashes every payload again; [`revisions`] walks the history of every subject;
//! [`rows`] compares entities with their newest revision; [`owed`] looks at cursors, jobs and intervals; [`vectors`]
//! measures vectors.

pub mod blobs;
pub mod file;
pub mod owed;
pub mod revisions;
pub mod rows;
pub mod vectors;

use annals_core::{EntityKind, Iid, ProjectId};

use crate::Error;
use crate::ids::Finding;

/// How many defects of one kind are named; a file with more is as damaged.
const NAMED: usize = 100;

/// The end of what is said of a kind of which not every defect is named.
pub const MORE: &str = "the others are not named";

/// The first defects of a kind, and a word that there are more.
fn first_of(kind: &str, rows: impl Iterator<Item = rusqlite::Result<Defect>>) -> Result<Vec<Defect>, Error> {
    let mut defects: Vec<Defect> = rows.take(NAMED + 1).collect::<Result<_, _>>()?;
    if let Some(finding) = defects.get(NAMED).map(|one| one.finding) {
        defects.truncate(NAMED);
        defects.push(Defect {
            finding,
            ..Defect::corrupt(format!("there are more than {NAMED} defects of {kind}; {MORE}"))
        });
    }
    Ok(defects)
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Whether bytes are damaged, or something derived is not what it should be.
    pub finding: Finding,
    /// Whose, where it belongs to a project.
    pub project: Option<ProjectId>,
    /// Which entity, where it belongs to one.
    pub entity: Option<(EntityKind, Iid)>,
    /// What, in words.
    pub what: String,
}

impl Defect {
    /// Bytes that are not what was written.
    #[must_use]
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self {
            finding: Finding::Corrupt,
            project: None,
            entity: None,
            what: what.into(),
        }
    }

    /// Something derived that no longer follows from what it was derived from.
    #[must_use]
    pub fn drift(what: impl Into<String>) -> Self {
        Self {
            finding: Finding::Drift,
            ..Self::corrupt(what)
        }
    }

    fn of(self, project: Option<ProjectId>) -> Self {
        Self { project, ..self }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_kind_with_too_many_defects_says_so() {
        let of = |n: usize| {
            let rows = (0..n).map(|at| Ok(Defect::drift(format!("thing {at}"))));
            first_of("things", rows).unwrap()
        };
        assert_eq!(of(0), []);
        let all = of(NAMED);
        assert_eq!(all.len(), NAMED);
        assert!(!all.iter().any(|defect| defect.what.ends_with(MORE)));
        let cut = of(NAMED + 50);
        assert_eq!(cut.len(), NAMED + 1);
        assert_eq!(cut[..NAMED], all[..]);
        assert!(cut[NAMED].what.ends_with(MORE), "{:?}", cut[NAMED]);
        assert_eq!(cut[NAMED].finding, Finding::Drift);
    }
}
