//! What a verification says.

use annals_core::{EntityKind, Iid, ProjectId, Report, RunId};
use annals_db::check::Defect;
use annals_db::content::blob::Hash;
use annals_db::control::FindingRow;
use annals_db::ids::{Finding, JobType};
use serde::Serialize;

/// How closely something was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The file alone.
    Local,
    /// Ids and update times of everything.
    Index,
    /// Entities, field by field.
    Sample,
    /// The sets of these entities.
    Deep,
}

/// What a level came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelResult {
    /// Which.
    pub level: Level,
    /// How many things it looked at.
    pub checked: u64,
    /// How many findings it has.
    pub findings: u64,
    /// What it left out because it moved after the run began, or is owed anyway.
    pub left_out: u64,
}

impl LevelResult {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            checked: 0,
            findings: 0,
            left_out: 0,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.checked += other.checked;
        self.findings += other.findings;
        self.left_out += other.left_out;
    }
}

/// One finding by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The path of its project, where it belongs to one.
    pub project: Option<String>,
    /// Issue or merge request, where it belongs to one.
    pub entity_type: Option<EntityKind>,
    /// Its number.
    pub iid: Option<Iid>,
    /// What kind of finding.
    pub finding: Finding,
    /// The fields or the set that differ.
    pub fields: Vec<String>,
    /// In words.
    pub detail: String,
    /// Whether this run mended it.
    pub repaired: bool,
    #[serde(skip)]
    pub(super) id: Option<ProjectId>,
    #[serde(skip)]
    pub(super) local: Option<Hash>,
    #[serde(skip)]
    pub(super) remote: Option<Hash>,
}

impl Named {
    /// A finding about an entity.
    pub(super) fn of_entity(
        project: (ProjectId, &str),
        entity: (EntityKind, Iid),
        finding: Finding,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            project: Some(project.1.to_owned()),
            entity_type: Some(entity.0),
            iid: Some(entity.1),
            finding,
            fields: Vec::new(),
            detail: detail.into(),
            repaired: false,
            id: Some(project.0),
            local: None,
            remote: None,
        }
    }

    /// A defect of the file; `path` names projects.
    pub(super) fn of_defect(defect: Defect, path: impl Fn(ProjectId) -> Option<String>) -> Self {
        Self {
            project: defect.project.and_then(path),
            entity_type: defect.entity.map(|(kind, _)| kind),
            iid: defect.entity.map(|(_, iid)| iid),
            finding: defect.finding,
            fields: Vec::new(),
            detail: defect.what,
            repaired: false,
            id: defect.project,
            local: None,
            remote: None,
        }
    }

    /// Whether another finding is of the same thing, whatever it says about it.
    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        let place = |one: &Self| (one.id, one.entity_type, one.iid);
        let is_set = |one: &Self| one.finding == Finding::SetDiffers;
        match (self.finding, self.iid) {
            // Two sets of one entity are two things, and so are two defects of the file.
            _ if is_set(self) || is_set(other) => {
                is_set(self) == is_set(other) && place(self) == place(other) && self.fields == other.fields
            }
            (Finding::Corrupt | Finding::Drift, _) | (_, None) => {
                (self.finding, place(self), &self.detail) == (other.finding, place(other), &other.detail)
            }
            _ => place(self) == place(other) && !matches!(other.finding, Finding::Corrupt | Finding::Drift),
        }
    }

    /// As the ledger keeps it.
    pub(super) fn row(&self) -> FindingRow {
        FindingRow {
            project: self.id,
            entity: self.entity_type.zip(self.iid),
            finding: self.finding,
            field: (!self.fields.is_empty()).then(|| self.fields.join(",")),
            detail: self.detail.clone(),
            local: self.local,
            remote: self.remote,
            repaired: self.repaired,
        }
    }
}

/// Something that could not be compared, so that nothing is known about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unknown {
    pub project: ProjectId,
    pub entity: (EntityKind, Iid),
    /// One of its sets; all of it if there is none.
    pub set: Option<JobType>,
}

impl Unknown {
    /// Whether it is what a finding is about.
    pub(super) fn is_of(&self, finding: &Named) -> bool {
        let is_its = finding.id == Some(self.project)
            && finding.entity_type.zip(finding.iid) == Some(self.entity)
            && !matches!(finding.finding, Finding::Corrupt | Finding::Drift);
        let is_the_set = |set: JobType| finding.finding == Finding::SetDiffers && finding.fields == [set.as_str()];
        is_its && self.set.is_none_or(is_the_set)
    }
}

/// What a verification says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyResult {
    /// The run's id.
    pub run_id: RunId,
    /// Each level that was looked at.
    pub levels: Vec<LevelResult>,
    /// What is wrong, mended or not.
    pub findings: Vec<Named>,
    /// How many of them were mended.
    pub repaired: u64,
    /// With 95 % confidence at most this share of the entities differs, where a sample was clean.
    pub bound: Option<f64>,
    /// Requests sent.
    pub requests: u64,
}

impl VerifyResult {
    /// Findings that are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.findings
            .iter()
            .filter(|finding| !finding.repaired)
            .map(|_| 1)
            .sum()
    }

    /// Puts the result into the details of a report.
    #[must_use]
    pub fn describe(&self, report: Report) -> Report {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(members)) => members
                .into_iter()
                .fold(report, |report, (name, value)| report.with_detail(&name, value)),
            _ => report.with_detail("run_id", self.run_id.as_str()),
        }
    }
}

/// The share of a population that a clean sample of `n` leaves possible with 95 % confidence: the rule of three.
/// Source: Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249 (1983).
#[must_use]
pub fn bound(n: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a sample is far below 2^52")]
    let n = n as f64;
    (n > 0.0).then(|| (3.0 / n).min(1.0))
}
