//! The one line that a program gets.

use annals_core::report::RobotError;
use annals_core::{Report, Signal, UnixMs};
use serde::Serialize;

use super::budget::Truncated;
use crate::autocorrect::Correction;

/// The version of the envelope.
const SCHEMA: u32 = 1;

/// What a command says beside its data.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Meta {
    pub warnings: Vec<String>,
    /// How many there are in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Where the next ones begin, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<usize>,
    /// The moment the answer is as of, if not now.
    #[serde(with = "annals_core::time::rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub as_of: Option<UnixMs>,
    /// How a search was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<serde_json::Value>,
    /// What a search does not know yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<serde_json::Value>,
    /// What only this command says.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
    /// What `--max-bytes` left out, and how to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
}

/// Which command it was, what was taken for it, and how long it took.
#[derive(Debug, Clone, Copy)]
pub struct Ran<'a> {
    pub command: &'static str,
    pub corrections: &'a [Correction],
    pub elapsed_ms: u64,
}

#[derive(Serialize)]
struct FullMeta<'a> {
    schema: u32,
    command: &'a str,
    version: &'static str,
    elapsed_ms: u64,
    corrections: &'a [Correction],
    #[serde(flatten)]
    meta: &'a Meta,
}

#[derive(Serialize)]
struct Success<'a, D> {
    ok: bool,
    data: &'a D,
    meta: FullMeta<'a>,
}

#[derive(Serialize)]
struct Failure<'a> {
    ok: bool,
    error: RobotError<'a>,
    meta: FullMeta<'a>,
}

fn full<'a>(ran: &Ran<'a>, meta: &'a Meta) -> FullMeta<'a> {
    FullMeta {
        schema: SCHEMA,
        command: ran.command,
        version: env!("CARGO_PKG_VERSION"),
        elapsed_ms: ran.elapsed_ms,
        corrections: ran.corrections,
        meta,
    }
}

/// The line for standard output.
///
/// # Errors
/// `serde_json`'s, for data that JSON cannot hold.
pub fn success<D: Serialize>(data: &D, meta: &Meta, ran: &Ran<'_>) -> serde_json::Result<String> {
    let line = serde_json::to_string(&Success {
        ok: true,
        data,
        meta: full(ran, meta),
    })?;
    Ok(line + "\n")
}

/// The last line on standard error.
pub fn failure(report: &Report, warnings: &[String], signal: Option<Signal>, ran: &Ran<'_>) -> String {
    let meta = Meta {
        warnings: warnings.to_vec(),
        ..Meta::default()
    };
    let failure = Failure {
        ok: false,
        error: report.robot_error(signal),
        meta: full(ran, &meta),
    };
    // A report holds strings and JSON only.
    serde_json::to_string(&failure).unwrap_or_else(|error| {
        format!(r#"{{"ok":false,"error":{{"code":"internal","exit_code":1,"message":"{error}","retryable":false}}}}"#)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use annals_core::Code;

    const RAN: Ran<'_> = Ran {
        command: "show",
        corrections: &[],
        elapsed_ms: 7,
    };

    #[test]
    fn the_envelope_has_its_members_in_order() {
        let meta = Meta {
            total: Some(3),
            next_offset: Some(2),
            ..Meta::default()
        };
        let line = success(&serde_json::json!({"a": 1}), &meta, &RAN).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            line,
            format!(
                r#"{{"ok":true,"data":{{"a":1}},"meta":{{"schema":1,"command":"show","version":"{version}","elapsed_ms":7,"corrections":[],"warnings":[],"total":3,"next_offset":2}}}}"#
            ) + "\n"
        );
        let report = Report::new(Code::Cancelled, "cancelled by SIGTERM");
        let line = failure(&report, &[], Some(Signal::Term), &RAN);
        assert!(
            line.starts_with(r#"{"ok":false,"error":{"code":"cancelled","exit_code":143,"#),
            "{line}"
        );
    }
}
