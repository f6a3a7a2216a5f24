//! What a failure looks like from outside: one value that the command line prints for people and
//! programs and that the server answers with.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::code::Code;
use crate::outcome::Signal;

/// An error that has a row in the table of [`Code`].
pub trait Coded: std::error::Error {
    /// Its row.
    fn code(&self) -> Code;

    /// What is said about it. An error that knows more than its code and its message overrides this
    /// and starts from [`Report::new`].
    fn report(&self) -> Report {
        Report::new(self.code(), self.to_string())
    }
}

/// A failure as it is told: to a person, a script, an agent or an HTTP client. It holds no secret
/// and no cause that only the log should have.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The row of the table.
    pub code: Code,
    /// What happened, in one sentence without a final stop.
    pub message: String,
    /// Whether the same request, unchanged, can succeed later.
    pub retryable: bool,
    /// When to try again, where that is known.
    pub retry_after_ms: Option<u64>,
    /// The likely intention, such as the nearest valid name.
    pub suggestion: Option<String>,
    /// Commands that run as they stand.
    pub actions: Vec<String>,
    /// Kind, run id, holder, position, fields; `Null` or an object.
    pub details: Value,
}

/// One wrong field of a body or one wrong key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// What it must be.
    pub message: String,
}

impl Report {
    /// The report that follows from the code alone.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.retry().is_retryable(),
            retry_after_ms: None,
            suggestion: None,
            actions: code.actions(&[]),
            details: Value::Null,
        }
    }

    /// With values for the words in capitals of the code's next step, such as `("R", run_id)`.
    #[must_use]
    pub fn with_values(mut self, values: &[(&str, &str)]) -> Self {
        self.actions = self.code.actions(values);
        self
    }

    /// With one more command, said first because it knows more than the table does.
    #[must_use]
    pub fn with_action(mut self, command: impl Into<String>) -> Self {
        let command = command.into();
        self.actions.retain(|action| *action != command);
        self.actions.insert(0, command);
        self
    }

    /// With the likely intention.
    #[must_use]
    pub fn with_suggestion(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// With the time to wait.
    #[must_use]
    pub fn with_retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// With one more member of the details.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        if !self.details.is_object() {
            self.details = Value::Object(serde_json::Map::new());
        }
        if let Value::Object(members) = &mut self.details {
            members.insert(name.to_owned(), value.into());
        }
        self
    }

    /// With the wrong fields: `details.errors` for programs, `errors` of a problem document.
    #[must_use]
    pub fn with_field_errors(self, errors: &[FieldError]) -> Self {
        let errors = errors
            .iter()
            .map(|error| serde_json::json!({"field": error.field, "message": error.message}))
            .collect::<Vec<_>>();
        self.with_detail("errors", errors)
    }

    /// The exit code of a command that ends with this; `signal` is what asked it to end, if
    /// something did. A code that should never end a command ends it as a bug.
    #[must_use]
    pub fn exit_code(&self, signal: Option<Signal>) -> u8 {
        self.code.exit_code_for(signal).unwrap_or(1)
    }

    /// The `error` member of the robot envelope.
    #[must_use]
    pub fn robot_error(&self, signal: Option<Signal>) -> RobotError<'_> {
        RobotError {
            code: self.code,
            exit_code: self.exit_code(signal),
            message: &self.message,
            retryable: self.retryable,
            suggestion: self.suggestion.as_deref(),
            actions: &self.actions,
            details: match self.retry_after_ms {
                Some(ms) => Cow::Owned(self.clone().with_detail("retry_after_ms", ms).details),
                None => Cow::Borrowed(&self.details),
            },
        }
    }

    /// The body of an HTTP answer; `instance` is the request id.
    ///
    /// A code that is never an HTTP answer becomes `internal`, and its message, which was written
    /// for another reader, stays out.
    #[must_use]
    pub fn problem(&self, instance: impl Into<String>) -> Problem {
        let instance = instance.into();
        let Some(status) = self.code.http_status() else {
            let id = instance.clone();
            return Self::new(Code::Internal, format!("the cause is in the log under {id}")).problem(instance);
        };
        Problem {
            kind: format!("urn:annals:problem:{}", self.code),
            title: self.code.meaning(),
            status,
            detail: self.message.clone(),
            instance,
            code: self.code,
            exit_code: self.code.exit_code(),
            retryable: self.retryable,
            retry_after_ms: self.retry_after_ms,
            suggestion: self.suggestion.clone(),
            actions: self.actions.clone(),
            errors: self.field_errors(),
        }
    }

    fn field_errors(&self) -> Vec<FieldError> {
        let listed = self.details.get("errors").and_then(Value::as_array);
        let read = |error: &Value| serde_json::from_value(error.clone()).ok();
        listed.into_iter().flatten().filter_map(read).collect()
    }
}

/// The `error` member of the robot envelope; its members come in this order.
#[derive(Debug, Clone, Serialize)]
pub struct RobotError<'a> {
    code: Code,
    exit_code: u8,
    message: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    actions: &'a [String],
    #[serde(skip_serializing_if = "is_null")]
    details: Cow<'a, Value>,
}

fn is_null(details: &Value) -> bool {
    details.is_null()
}

/// A problem document of RFC 9457 (`application/problem+json`); its members come in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `urn:annals:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The request id.
    pub instance: String,
    /// The code.
    pub code: Code,
    /// What a command would exit with.
    pub exit_code: Option<u8>,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// When, if known; the answer's `Retry-After` says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The likely intention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Commands that can be run.
    pub actions: Vec<String>,
    /// The wrong fields.
    pub errors: Vec<FieldError>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("project group/x is not mirrored")]
    struct Missing(#[source] std::io::Error);

    impl Coded for Missing {
        fn code(&self) -> Code {
            Code::NotFound
        }
    }

    #[test]
    fn robot_error_has_stable_members_and_leaves_out_the_empty_ones() {
        let report = Missing(std::io::Error::other("secret cause")).report();
        assert_eq!(
            serde_json::to_string(&report.robot_error(None)).unwrap(),
            r#"{"code":"not_found","exit_code":17,"message":"project group/x is not mirrored","retryable":false}"#
        );
        let report = Report::new(Code::SyncInProgress, "held")
            .with_retry_after_ms(1500)
            .with_suggestion("wait")
            .with_action("annals sync-runs")
            .with_detail("run_id", "r1");
        assert_eq!(
            serde_json::to_string(&report.robot_error(None)).unwrap(),
            r#"{"code":"sync_in_progress","exit_code":9,"message":"held","retryable":true,"suggestion":"wait","actions":["annals sync-runs","annals sync --wait-lock 30s"],"details":{"retry_after_ms":1500,"run_id":"r1"}}"#
        );
    }

    #[test]
    fn the_signal_decides_the_exit_code_of_a_cancelled_command() {
        let report = Report::new(Code::Cancelled, "cancelled");
        assert_eq!(report.exit_code(Some(Signal::Term)), 143);
        assert_eq!(report.exit_code(None), 130);
        assert_eq!(Report::new(Code::LeaseLost, "lost").exit_code(None), 1);
    }

    #[test]
    fn problem_golden_per_code() {
        for &code in Code::ALL {
            let problem = Report::new(code, "what happened").problem("r-1");
            match code.http_status() {
                Some(status) => {
                    assert_eq!((problem.status, problem.code), (status, code));
                    assert_eq!(problem.kind, format!("urn:annals:problem:{code}"));
                    assert_eq!(problem.exit_code, code.exit_code());
                    assert_eq!(problem.detail, "what happened");
                }
                None => {
                    assert_eq!((problem.status, problem.code), (500, Code::Internal), "{code}");
                    assert!(!problem.detail.contains("what happened"));
                }
            }
        }
        let report = Report::new(Code::Validation, "the body is wrong").with_field_errors(&[FieldError {
            field: "project".to_owned(),
            message: "must not be empty".to_owned(),
        }]);
        assert_eq!(
            serde_json::to_string(&report.problem("r-7f3k")).unwrap(),
            r#"{"type":"urn:annals:problem:validation","title":"fields of the body are wrong","status":422,"detail":"the body is wrong","instance":"r-7f3k","code":"validation","exit_code":2,"retryable":false,"actions":[],"errors":[{"field":"project","message":"must not be empty"}]}"#
        );
    }

    #[test]
    fn a_cause_is_never_told() {
        let report = Missing(std::io::Error::other("secret cause")).report();
        let told = format!(
            "{}{}",
            serde_json::to_string(&report.robot_error(None)).unwrap(),
            serde_json::to_string(&report.problem("r")).unwrap()
        );
        assert!(!told.contains("secret"));
    }
}
