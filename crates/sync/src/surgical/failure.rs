//! Why a preflight ended its run: every target that could not be fetched, and how.

use annals_core::{Code, Coded, EntityKind, Report, RunId};
use annals_db::ids::GoneReason;
use serde_json::{Value, json};

use crate::engine::EntityRef;
use crate::forge::{Bad, ForgeError};

/// How many targets a message names.
const NAMED: usize = 3;

/// A preflight in which at least one target failed. Nothing was changed.
#[derive(Debug, Clone)]
pub struct PreflightFailed {
    /// The run.
    pub run_id: RunId,
    /// How many targets it had.
    pub total: usize,
    /// Those that failed, by type, then number; never empty.
    pub failures: Vec<TargetFailure>,
}

/// A target that could not be fetched.
#[derive(Debug, Clone)]
pub struct TargetFailure {
    /// Which.
    pub target: EntityRef,
    /// The status of the forge's answer, where that is the reason.
    pub http_status: Option<u16>,
    /// What happened.
    pub report: Report,
}

impl TargetFailure {
    pub(super) fn of(target: EntityRef, error: &ForgeError) -> Self {
        Self {
            target,
            http_status: error.http_status(),
            report: error.report(),
        }
    }

    /// The forge says that there is no such thing.
    pub(super) fn gone(target: EntityRef, error: &ForgeError, reason: GoneReason) -> Self {
        Self {
            http_status: Some(if reason == GoneReason::Deleted { 410 } else { 404 }),
            ..Self::of(target, error)
        }
    }

    /// What came cannot be read.
    pub(super) fn unreadable(target: EntityRef, bad: &Bad) -> Self {
        Self {
            target,
            http_status: None,
            report: Report::new(bad.code, format!("{target} cannot be read: {}", bad.message)),
        }
    }

    /// As a member of `details.failures`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "entity_type": self.target.entity_type,
            "iid": self.target.iid,
            "code": self.report.code.as_str(),
            "http_status": self.http_status,
            "message": self.report.message,
        })
    }
}

impl PreflightFailed {
    /// `preflight_too_large` if that is why; the code of the failures where every one means that the
    /// forge or the way to it will not have us (exit 5, 7 or 8); else `surgical_preflight_failed`.
    #[must_use]
    pub fn code(&self) -> Code {
        let codes = || self.failures.iter().map(|failure| failure.report.code);
        if codes().any(|code| code == Code::PreflightTooLarge) {
            return Code::PreflightTooLarge;
        }
        let Some(first) = codes().next() else {
            return Code::SurgicalPreflightFailed;
        };
        let uniform = codes().all(|code| code.exit_code() == first.exit_code());
        match first.exit_code() {
            Some(5 | 7 | 8) if uniform => first,
            _ => Code::SurgicalPreflightFailed,
        }
    }

    /// What is told about it. The first step is the command that tries the failed ones again.
    #[must_use]
    pub fn report(&self) -> Report {
        let code = self.code();
        let first = self.failures.first().map(|failure| &failure.report);
        let report = match first {
            Some(first) if first.code == code => Report {
                message: self.to_string(),
                ..first.clone()
            },
            _ => Report::new(code, self.to_string()),
        };
        let wait = self
            .failures
            .iter()
            .filter_map(|failure| failure.report.retry_after_ms)
            .max();
        let report = match wait {
            Some(ms) if code == Code::RateLimited => report.with_retry_after_ms(ms),
            _ => report,
        };
        let report = if code == Code::PreflightTooLarge {
            report.with_suggestion("name fewer issues and merge requests at once")
        } else {
            report.with_action(format!("annals sync-runs --run-id {} --retry-failed", self.run_id))
        };
        let failures: Vec<_> = self.failures.iter().map(TargetFailure::to_json).collect();
        report
            .with_detail("run_id", self.run_id.as_str())
            .with_detail("total", self.total)
            .with_detail("failures", failures)
    }
}

impl std::fmt::Display for PreflightFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named: Vec<String> = self
            .failures
            .iter()
            .take(NAMED)
            .map(|failure| format!("{}: {}", failure.target, failure.report.message))
            .collect();
        let more = match self.failures.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        write!(
            f,
            "{} of {} could not be fetched, so nothing was changed: {}{more}",
            self.failures.len(),
            counted(self.total),
            named.join("; ")
        )
    }
}

fn counted(targets: usize) -> String {
    match targets {
        1 => "1 target".to_owned(),
        n => format!("{n} targets"),
    }
}

/// `issue 12`, `merge request 7`.
pub(super) fn name_of(target: EntityRef) -> String {
    let kind = match target.entity_type {
        EntityKind::Issue => "issue",
        EntityKind::MergeRequest => "merge request",
    };
    format!("{kind} {}", target.iid)
}
