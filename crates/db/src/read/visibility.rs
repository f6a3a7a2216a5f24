//! What a caller may see. It is part of every query, so that totals, counts and "not found" tell
//! nothing about the rest.

use std::collections::BTreeSet;

use annals_core::ProjectId;

/// The projects a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisibleProjects {
    /// All of them.
    All,
    /// These.
    Only(BTreeSet<ProjectId>),
}

/// Whether a caller may see confidential issues and internal notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidential {
    /// They may.
    Shown,
    /// To them these do not exist.
    Hidden,
}

/// What a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visibility {
    /// Of projects.
    pub projects: VisibleProjects,
    /// Of what is for members only.
    pub confidential: Confidential,
}

impl Visibility {
    /// Everything: what the owner of the file sees on the command line.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            projects: VisibleProjects::All,
            confidential: Confidential::Shown,
        }
    }

    /// Everything that is not confidential: what a caller without a name sees.
    #[must_use]
    pub const fn without_confidential() -> Self {
        Self {
            projects: VisibleProjects::All,
            confidential: Confidential::Hidden,
        }
    }

    /// Whether confidential issues and internal notes are shown.
    #[must_use]
    pub const fn shows_confidential(&self) -> bool {
        matches!(self.confidential, Confidential::Shown)
    }

    /// Whether a project is shown.
    #[must_use]
    pub fn shows(&self, project: ProjectId) -> bool {
        match &self.projects {
            VisibleProjects::All => true,
            VisibleProjects::Only(projects) => projects.contains(&project),
        }
    }

    /// The ids of the projects as a JSON array for `json_each`, or `None` for all.
    #[must_use]
    pub fn project_ids(&self) -> Option<String> {
        match &self.projects {
            VisibleProjects::All => None,
            VisibleProjects::Only(projects) => {
                let ids: Vec<_> = projects.iter().map(|project| project.0.to_string()).collect();
                Some(format!("[{}]", ids.join(",")))
            }
        }
    }

    /// The highest `confidential` or `internal` flag that is shown.
    #[must_use]
    pub const fn highest_flag(&self) -> i64 {
        match self.confidential {
            Confidential::Shown => 1,
            Confidential::Hidden => 0,
        }
    }
}
