//! The rows. A variant without a row does not compile: both come from the same line.

use std::fmt;
use std::str::FromStr;

use crate::outcome::Signal;

/// Whether the same request, unchanged, can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It cannot.
    No,
    /// It can.
    Yes,
    /// It can if the network failure behind it is a passing one.
    IfTransient,
    /// A person should not, but a task of the execution queue is tried again.
    QueueOnly,
}

impl Retry {
    /// The answer for a caller that knows no more than the code.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Yes => true,
            Self::No | Self::IfTransient | Self::QueueOnly => false,
        }
    }
}

struct Row {
    name: &'static str,
    exit: Option<u8>,
    http: Option<u16>,
    retry: Retry,
    meaning: &'static str,
    next: &'static str,
}

macro_rules! number {
    (-) => {
        None
    };
    ($n:literal) => {
        Some($n)
    };
}

macro_rules! table {
    ($($variant:ident $name:literal $exit:tt $http:tt $retry:ident $meaning:literal => $next:literal;)+) => {
        /// The name of a failure; everything else about it is in its row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            const fn row(self) -> &'static Row {
                match self {
                    $(Self::$variant => &Row {
                        name: $name,
                        exit: number!($exit),
                        http: number!($http),
                        retry: Retry::$retry,
                        meaning: $meaning,
                        next: $next,
                    },)+
                }
            }
        }
    };
}

// variant, name, exit code (`-`: never the result of a command), HTTP status (`-`: never an
// answer), retry, meaning => next step. Codes are only ever added; renaming one or moving its exit
// code breaks users. In a next step, backticks hold what can be typed and capitals what the caller
// fills in; a row whose failure can occur today names only commands that exist today.
table! {
    Internal "internal" 1 500 QueueOnly "a bug or a panic; the causes are in the log" => "`annals doctor`; report the id";
    UncleanShutdown "unclean_shutdown" 1 - No "a server's drain left tasks behind, named on stderr" => "`annals doctor`; the next start heals";
    OperationFailed "operation_failed" 1 - No "a fleet operation or public task ended failed" => "`annals fleet migration status`, `annals fleet task show UID`";

    Usage "usage" 2 400 No "wrong command line, parameter, request line or header" => "the suggestion; `annals help`";
    QueryInvalid "query_invalid" 2 400 No "the search query or a filter value cannot be understood" => "the example";
    CursorInvalid "cursor_invalid" 2 400 No "the page cursor was changed, is foreign or belongs to other filters" => "the list again without `cursor`";
    Validation "validation" 2 422 No "fields of the body are wrong" => "correct the named fields";
    MethodNotAllowed "method_not_allowed" 2 405 No "the route exists, but not for this method" => "`/v1/openapi.json`";
    NotAcceptable "not_acceptable" 2 406 No "the route exists, but not in this representation" => "`/v1/openapi.json`";
    UnsupportedMedia "unsupported_media" 2 415 No "the route exists, but does not take this kind of body" => "`/v1/openapi.json`";
    PayloadTooLarge "payload_too_large" 2 413 No "the body is over the limit" => "send less";
    UriTooLong "uri_too_long" 2 414 No "the request line is over the limit" => "send less";
    HeadersTooLarge "headers_too_large" 2 431 No "the headers are over the limit" => "send less";
    HostUnknown "host_unknown" 2 421 No "the Host header is neither loopback nor allowed" => "`server.allowed_hosts`";
    OptionOff "option_off" 2 - No "the command needs an option that the configuration lacks" => "set the named key";

    ConfigInvalid "config_invalid" 3 - No "the configuration breaks rules, all of them listed" => "edit `annals.toml`; `annals doctor`";
    CredentialsTooOpen "credentials_too_open" 3 - No "a file with secrets can be read by others" => "`chmod 600 FILE`";
    RuntimeNotBuilt "runtime_not_built" 3 - No "the runtime asked for is not compiled in" => "change `[runtime]`, or build with the feature";
    TaskStoreUnfit "task_store_unfit" 3 - No "the task store's version, persistence or eviction policy does not serve" => "the named setting";
    GitUnfit "git_unfit" 3 - No "git is missing or older than 2.39" => "install git";
    AddressInUse "address_in_use" 3 - No "the address to listen on is taken" => "another address for the named key";

    TokenMissing "token_missing" 4 - No "a credential is needed and there is none" => "`annals auth login`";
    Unauthenticated "unauthenticated" 4 401 No "no credential, or a webhook without valid proof" => "`annals token create`";
    AuthRejected "auth_rejected" 5 - No "the credential was refused" => "`annals auth login`, then `annals sync`";
    TokenInvalid "token_invalid" 5 401 No "the Annals token is unknown, expired or revoked" => "`annals token create`";
    Forbidden "forbidden" 5 403 No "known, but not allowed" => "ask for the named role or scope";
    Csrf "csrf" 5 403 No "a form without its session's token" => "reload the page";

    NotFoundRemote "not_found_remote" 6 - No "the forge has no such entity" => "`annals show REF` if it was mirrored before";
    SurgicalPreflightFailed "surgical_preflight_failed" 6 - No "at least one target failed; nothing was changed" => "`annals sync-runs --run-id R --retry-failed`";
    PreflightTooLarge "preflight_too_large" 6 - No "the targets are over 256 MiB together" => "fewer IIDs";
    RateLimited "rate_limited" 7 429 Yes "asked to wait" => "wait `retry_after`; `annals sync --wait 1h`";

    Network "network" 8 - IfTransient "the network failed; the kind is in the details" => "`annals doctor`";
    Protocol "protocol" 8 - No "the forge's answer cannot be trusted; the cursor did not move" => "`annals sync` later; `annals doctor`";
    PageLoop "page_loop" 8 - No "the forge's pages go round in a circle; the cursor did not move" => "`annals sync` later; `annals doctor`";
    PageLinkForeign "page_link_foreign" 8 - No "the forge's next page is on another host; the cursor did not move" => "`annals sync` later; `annals doctor`";
    WindowUnstable "window_unstable" 8 - Yes "a list kept moving while it was read" => "`annals sync`";
    RequestTimeout "request_timeout" 8 408 Yes "head or body came too slowly" => "send it again";
    Unavailable "unavailable" 8 503 Yes "draining, saturated, or a dependency is away" => "wait `retry_after`";
    Deadline "deadline" 8 504 Yes "over its time limit; cancelled and rolled back" => "narrow the request";
    TaskStoreUnavailable "task_store_unavailable" 8 503 Yes "the task store is away or did not confirm" => "`annals doctor`";
    TaskStoreFull "task_store_full" 8 503 Yes "the task store is at its row limit with nothing to prune" => "`annals doctor`; `task_store.max_task_rows`";

    DatabaseLocked "database_locked" 9 503 Yes "the database stayed busy" => "run it again";
    SyncInProgress "sync_in_progress" 9 409 Yes "another run holds the project's lock" => "`annals sync --wait-lock 30s`";
    StoreInUse "store_in_use" 9 - No "another annals-server has this file" => "stop the named process";
    LockLost "lock_lost" 9 - Yes "the run was superseded; it wrote nothing more" => "`annals sync`";
    LeaseLost "lease_lost" - - No "another worker took over" => "nothing: the new holder finishes it";

    Database "database" 10 500 No "the database failed, with its own code in the details" => "`annals doctor`";
    DatabaseCorrupt "database_corrupt" 10 500 No "the integrity check failed, or a stored row cannot be read" => "`annals doctor`, then restore a backup";
    MigrationNeeded "migration_needed" 11 503 No "the file is older than this command needs" => "`annals sync`, which migrates it first";
    MigrationFailed "migration_failed" 11 - No "a step failed, or the file is foreign or was changed; the old version was kept" => "restore the named backup, or name another file with `--db`";
    SchemaTooNew "schema_too_new" 11 503 No "a newer Annals wrote this file; nothing in it was touched" => "upgrade Annals, or restore a backup";

    Io "io" 12 500 No "reading or writing a file failed" => "make the named file readable and writable, or name another";
    DiskFull "disk_full" 12 503 Yes "no room; nothing is half-written and the work is still owed" => "free space, then `annals sync`";
    Transform "transform" 13 - No "payloads of a shape that cannot be projected; kept in quarantine" => "`annals doctor`; upgrade Annals";
    IidConflict "iid_conflict" - - No "two ids claim one number; both are in quarantine" => "`annals doctor`";
    IidCollision "iid_collision" - - No "two events shorten to one number; the later one is in quarantine" => "`annals doctor`";
    SetTooLarge "set_too_large" - - No "one set is over 256 MiB" => "`annals doctor`";

    EmbedderUnavailable "embedder_unavailable" 14 503 Yes "semantic search was asked for and the embedder is away" => "`--mode lexical`";
    ModelMissing "model_missing" 15 503 No "the embedder lacks the model" => "fetch the model, or change `embed.model`";
    EmbeddingFailed "embedding_failed" 16 - No "documents were refused by the embedder; their old vectors stay" => "`annals embed`";

    NotFound "not_found" 17 404 No "not in the mirror or the store" => "`annals sync URL`";
    Ambiguous "ambiguous" 18 409 No "several match; the candidates are in the details" => "repeat with `-p PROJECT`";
    CheckFailed "check_failed" 19 - No "a check left findings" => "the finding's own command";
    SweepSuspicious "sweep_suspicious" 19 - No "a sweep would mark too much as gone; nothing was marked" => "`annals sync --accept-deletions`";
    NotReady "not_ready" 19 503 Yes "the start is not finished, or a needed check fails" => "`/health/ready`";
    ConfigNotFound "config_not_found" 20 - No "the configuration file named does not exist" => "`annals init`";

    Conflict "conflict" 21 409 No "the key exists with other content, or the version moved" => "read it again";
    InProgress "in_progress" 21 409 Yes "the first request with this key still runs" => "wait for its answer";
    IllegalState "illegal_state" 21 409 No "the state machine has no such step" => "`annals queue show ID`";
    RunActive "run_active" 21 409 Yes "the run is not over" => "`annals sync-runs --run-id R`";
    PreconditionFailed "precondition_failed" 21 412 No "If-Match is stale" => "read it again";
    Refused "refused" 21 409 No "a rule forbids it" => "the rule's own way out";

    Partial "partial" 22 - Yes "something was stored and something failed" => "`annals sync`; `annals sync-runs --run-id R`";
    Cancelled "cancelled" 130 499 Yes "asked to end by SIGINT, SIGTERM, SIGHUP or the caller" => "the same command continues";
    Interrupted "interrupted" - - Yes "the run was found dead" => "`annals sync`";
    RolledBack "rolled_back" - - Yes "the target was undone with its transaction" => "`annals sync`";
    Expired "expired" - - No "a queue task past its time" => "`annals queue replay ID`, or `annals queue abandon ID`";
    UnknownKind "unknown_kind" - - No "a queue task that nothing here can execute" => "`annals queue replay ID`, or `annals queue abandon ID`";
    UnknownEffect "unknown_effect" - - No "a queue task whose effect may have happened and cannot be checked" => "`annals queue replay ID`, or `annals queue abandon ID`";
    StaleClaimTimeout "stale_claim_timeout" - - Yes "a queue worker's lease ended" => "nothing";
}

impl Code {
    /// The stable name, as it appears in JSON, tables and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The exit code of a command that ends with this failure; `None` where no command does.
    ///
    /// `cancelled` has one per signal; this is the one of SIGINT and of a cancellation without a
    /// signal. Where the signal is known, ask [`exit_code_for`](Self::exit_code_for).
    #[must_use]
    pub const fn exit_code(self) -> Option<u8> {
        self.row().exit
    }

    /// The exit code, where `signal` is what asked the process to end.
    #[must_use]
    pub const fn exit_code_for(self, signal: Option<Signal>) -> Option<u8> {
        match (self, signal) {
            (Self::Cancelled, Some(signal)) => Some(signal.exit_code()),
            _ => self.exit_code(),
        }
    }

    /// The HTTP status; `None` where it never is an answer. 499 is for the log only.
    #[must_use]
    pub const fn http_status(self) -> Option<u16> {
        self.row().http
    }

    /// Whether trying again helps.
    #[must_use]
    pub const fn retry(self) -> Retry {
        self.row().retry
    }

    /// What it means, as a fragment.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// What to do about it, for people; commands stand in backticks.
    #[must_use]
    pub const fn next(self) -> &'static str {
        self.row().next
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an error code")]
pub struct UnknownCode(pub String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == name)
            .ok_or_else(|| UnknownCode(name.to_owned()))
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
