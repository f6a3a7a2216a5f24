#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use super::*;

/// The exit codes once more, written from the reader's side: a moved one shows as a difference.
const fn expected_exit(code: Code) -> Option<u8> {
    match code {
        Code::Internal | Code::UncleanShutdown | Code::OperationFailed => Some(1),
        Code::Usage
        | Code::QueryInvalid
        | Code::CursorInvalid
        | Code::Validation
        | Code::MethodNotAllowed
        | Code::NotAcceptable
        | Code::UnsupportedMedia
        | Code::PayloadTooLarge
        | Code::UriTooLong
        | Code::HeadersTooLarge
        | Code::HostUnknown
        | Code::OptionOff => Some(2),
        Code::ConfigInvalid
        | Code::CredentialsTooOpen
        | Code::RuntimeNotBuilt
        | Code::TaskStoreUnfit
        | Code::GitUnfit
        | Code::AddressInUse => Some(3),
        Code::TokenMissing | Code::Unauthenticated => Some(4),
        Code::AuthRejected | Code::TokenInvalid | Code::Forbidden | Code::Csrf => Some(5),
        Code::NotFoundRemote | Code::SurgicalPreflightFailed | Code::PreflightTooLarge => Some(6),
        Code::RateLimited => Some(7),
        Code::Network
        | Code::Protocol
        | Code::PageLoop
        | Code::PageLinkForeign
        | Code::WindowUnstable
        | Code::RequestTimeout
        | Code::Unavailable
        | Code::Deadline
        | Code::TaskStoreUnavailable
        | Code::TaskStoreFull => Some(8),
        Code::DatabaseLocked | Code::SyncInProgress | Code::StoreInUse | Code::LockLost => Some(9),
        Code::Database | Code::DatabaseCorrupt => Some(10),
        Code::MigrationNeeded | Code::MigrationFailed | Code::SchemaTooNew => Some(11),
        Code::Io | Code::DiskFull => Some(12),
        Code::Transform => Some(13),
        Code::EmbedderUnavailable => Some(14),
        Code::ModelMissing => Some(15),
        Code::EmbeddingFailed => Some(16),
        Code::NotFound => Some(17),
        Code::Ambiguous => Some(18),
        Code::CheckFailed | Code::SweepSuspicious | Code::NotReady => Some(19),
        Code::ConfigNotFound => Some(20),
        Code::Conflict
        | Code::InProgress
        | Code::IllegalState
        | Code::RunActive
        | Code::PreconditionFailed
        | Code::Refused => Some(21),
        Code::Partial => Some(22),
        Code::Cancelled => Some(130),
        Code::LeaseLost
        | Code::IidConflict
        | Code::IidCollision
        | Code::SetTooLarge
        | Code::Interrupted
        | Code::RolledBack
        | Code::Expired
        | Code::UnknownKind
        | Code::UnknownEffect
        | Code::StaleClaimTimeout => None,
    }
}

#[test]
fn exit_code_for_every_error_variant() {
    for &code in Code::ALL {
        assert_eq!(code.exit_code(), expected_exit(code), "{code}");
    }
    let by_signal = [Signal::Int, Signal::Term, Signal::Hup].map(|s| Code::Cancelled.exit_code_for(Some(s)));
    assert_eq!(by_signal, [Some(130), Some(143), Some(129)]);
    assert_eq!(Code::Cancelled.exit_code_for(None), Some(130));
    assert_eq!(Code::Network.exit_code_for(Some(Signal::Term)), Some(8));
}

#[test]
fn problem_table_is_total() {
    for &code in Code::ALL {
        assert!(
            !code.meaning().is_empty() && !code.next().is_empty(),
            "{code} says nothing"
        );
        assert!(!code.meaning().ends_with('.'), "{code}: a meaning is a fragment");
        assert_eq!(code.next().matches('`').count() % 2, 0, "{code}: unpaired backtick");
        if let Some(status) = code.http_status() {
            assert!((400..600).contains(&status), "{code}: {status}");
            assert!(
                code.exit_code().is_some(),
                "{code} answers over HTTP but is no command's result"
            );
        }
        if let Some(exit) = code.exit_code() {
            assert!((1..=22).contains(&exit) || code == Code::Cancelled, "{code}: {exit}");
        }
    }
    // What asks a client to wait is exactly what may be repeated unchanged.
    for code in [
        Code::RateLimited,
        Code::Unavailable,
        Code::DatabaseLocked,
        Code::NotReady,
    ] {
        assert_eq!(code.retry(), Retry::Yes, "{code}");
    }
}

#[test]
fn names_are_unique_and_read_back() {
    let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for &code in Code::ALL {
        assert!(
            code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{code}"
        );
        assert_eq!(code.as_str().parse(), Ok(code));
        let json = serde_json::to_string(&code).unwrap();
        assert_eq!(json, format!("\"{code}\""));
        assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
    }
    assert_eq!("no_such".parse::<Code>(), Err(UnknownCode("no_such".to_owned())));
}

/// `released.txt` is the list of the last release: a name that left it, or moved its exit code,
/// breaks scripts. New codes are appended when a release is made.
#[test]
fn codes_only_grow() {
    let mut seen = 0;
    for line in include_str!("released.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let (name, exit) = line.split_once(' ').unwrap();
        let code: Code = name
            .parse()
            .unwrap_or_else(|_| panic!("{name} was released and is gone"));
        let now = code.exit_code().map_or_else(|| "-".to_owned(), |exit| exit.to_string());
        assert_eq!(now, exit, "{name} changed its exit code");
        seen += 1;
    }
    assert!(seen >= 80, "the released list lost lines: {seen}");
}
