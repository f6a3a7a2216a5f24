//! Programs get exactly one line, and the same one every time.

use std::collections::BTreeSet;

use crate::support::Desk;
use serde_json::Value;

/// Every command that answers with data, in a form that succeeds on the sample.
const OK: &[(&str, &[&str])] = &[
    ("sync-runs", &["sync-runs"]),
    ("sync-runs", &["sync-runs", "--run-id", "RUN"]),
    ("search", &["search", "cutover", "--facets", "label,state"]),
    (
        "show",
        &["show", "!4", "--discussions", "--events", "--files", "--revisions"],
    ),
    ("show", &["show", "!4", "--raw", "--diff", "1..2"]),
    ("show", &["show", "12", "--discussions", "--as-of", "2024-06-01"]),
    (
        "show",
        &["show", "12", "--discussions", "--events", "--files", "--revisions"],
    ),
    ("related", &["related", "#12"]),
    ("embed", &["embed"]),
    ("issues", &["issues", "--state", "open"]),
    ("issues", &["issues", "--state", "open", "--as-of", "2024-06-01"]),
    (
        "issues",
        &["issues", "12", "--raw", "--discussions", "--as-of", "2024-06-01"],
    ),
    (
        "issues",
        &["issues", "12", "--discussions", "--events", "--files", "--revisions"],
    ),
    ("mrs", &["mrs", "-n", "3"]),
    ("mrs", &["mrs", "-n", "3", "--as-of", "2024-06-01"]),
    ("mrs", &["mrs", "4", "--raw", "--diff", "1..2"]),
    ("mrs", &["mrs", "4", "--discussions", "--as-of", "1d"]),
    (
        "mrs",
        &["mrs", "4", "--discussions", "--events", "--files", "--revisions"],
    ),
    (
        "file-history",
        &["file-history", "src/cutover.rs", "--discussions", "--commits"],
    ),
    ("timeline", &["timeline"]),
    ("timeline", &["timeline", "12"]),
    ("who", &["who", "src/cutover.rs", "--explain"]),
    ("count", &["count", "--by", "state"]),
    ("stats", &["stats"]),
    ("stats", &["stats", "--check"]),
    ("health", &["health"]),
    ("backup", &["backup"]),
    ("notes", &["notes", "--system"]),
    ("notes", &["notes", "--path", "*", "--as-of", "2024-06-01"]),
    ("projects", &["projects"]),
    ("projects", &["projects", "list"]),
    ("doctor", &["doctor"]),
    ("migrate", &["migrate"]),
    ("migrate", &["migrate", "--check"]),
    ("explain", &["explain", "lock_lost"]),
    ("auth", &["auth", "status", "--config", "forge.toml"]),
    (
        "init",
        &["init", "--config", "new.toml", "--forge", "https://forge.example"],
    ),
    ("robot-docs", &["robot-docs"]),
    ("man", &["man", "--out", "man1"]),
    ("version", &["version"]),
];

/// Commands whose success is no envelope, or is shown in a test of their own: a script, servers, what asks a forge.
const OK_ELSEWHERE: &[&str] = &["sync", "verify", "serve", "mcp", "demo", "completions"];

/// The same commands in a form that fails, and how.
const ERRORS: &[(&str, &[&str], &str)] = &[
    ("sync", &["sync", "no/such"], "not_found"),
    ("sync", &["sync", "ftp://forge.example/a/b"], "usage"),
    ("verify", &["verify", "--db", "no.db"], "not_found"),
    ("sync-runs", &["sync-runs", "--run-id", "0000"], "not_found"),
    ("search", &["search", "after:never"], "query_invalid"),
    ("search", &["search", "x", "--facets", "size"], "usage"),
    ("show", &["show", "9999"], "not_found"),
    ("show", &["show", "nothing"], "usage"),
    ("related", &["related", "9999"], "not_found"),
    ("embed", &["embed", "--db", "no.db"], "not_found"),
    ("issues", &["issues", "--state", "merged"], "usage"),
    ("issues", &["issues", "--after", "yesterday"], "usage"),
    ("issues", &["issues", "--discussions"], "usage"),
    ("mrs", &["mrs", "-p", "no/such"], "not_found"),
    ("file-history", &["file-history", "../x"], "usage"),
    ("timeline", &["timeline", "9999"], "not_found"),
    ("who", &["who", "9999"], "not_found"),
    ("count", &["count", "--sort", "iid"], "usage"),
    ("stats", &["stats", "--db", "no.db"], "not_found"),
    ("health", &["health", "--db", "no.db"], "not_found"),
    ("backup", &["backup", "x.db", "--keep", "2"], "usage"),
    ("notes", &["notes", "--issue", "9999"], "not_found"),
    ("projects", &["projects", "--as-of", "1d"], "usage"),
    ("projects", &["projects", "add", "https://forge.example"], "usage"),
    ("doctor", &["doctor", "--fields", "nothing"], "usage"),
    ("migrate", &["migrate", "--db", "no.db"], "not_found"),
    ("serve", &["serve", "--db", "no.db"], "not_found"),
    ("demo", &["demo", "--exit", "--db", "other.db"], "refused"),
    ("explain", &["explain", "lock_lots"], "usage"),
    ("version", &["version", "--config", "no.toml", "--fields", "x"], "usage"),
    ("auth", &["auth", "logout", "gitlab.com"], "not_found"),
    ("init", &["init"], "refused"),
    ("mcp", &["mcp", "--fields", "x"], "usage"),
    ("robot-docs", &["robot-docs", "serach"], "usage"),
    ("man", &["man", "--out", "annals.db/man1"], "io"),
    ("completions", &["completions", "bash", "--fields", "x"], "usage"),
    // What is wrong before the command is known.
    ("annals", &["issues", "--no-such-flag"], "usage"),
    ("annals", &["completions", "tcsh"], "usage"),
    ("annals", &["serve", "--bind", "0.0.0.0:80"], "usage"),
    ("annals", &[], "usage"),
];

fn words(desk: &Desk, words: &[&str]) -> Vec<String> {
    let run = || {
        desk.run("sync-runs").data()["runs"][0]["run_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    words
        .iter()
        .map(|word| if *word == "RUN" { run() } else { (*word).to_owned() })
        .collect()
}

/// A mirror, and a configuration with a forge.
fn desk() -> Desk {
    let desk = Desk::with_mirror();
    let forge = "[db]\npath = \"annals.db\"\n[forges.main]\nkind = \"gitlab\"\nbase_url = \"https://forge.example\"\n";
    std::fs::write(desk.path("forge.toml"), forge).unwrap();
    desk
}

/// The commands there are.
fn commands(desk: &Desk) -> Vec<String> {
    let docs = desk.run("robot-docs --fields commands.name").data();
    let names = docs["commands"].as_array().unwrap().iter();
    let names = names.map(|command| command["name"].as_str().unwrap().to_owned());
    names.filter(|name| !name.contains(' ')).collect()
}

#[test]
fn envelope_schema_every_command_ok() {
    let desk = desk();
    for command in commands(&desk) {
        let shown = OK.iter().any(|(name, _)| *name == command) || OK_ELSEWHERE.contains(&command.as_str());
        assert!(
            shown,
            "add a line of `annals {command}` that succeeds to `OK` in tests/it/envelope.rs"
        );
    }
    for (command, line) in OK {
        let envelope = desk.run_words(words(&desk, line)).envelope();
        assert_eq!(keys(&envelope), ["data", "meta", "ok"], "{line:?}");
        let meta = &envelope["meta"];
        assert_eq!(
            (&meta["schema"], &meta["command"]),
            (&1.into(), &(*command).into()),
            "{line:?}"
        );
        assert_eq!(meta["version"], env!("CARGO_PKG_VERSION"));
        assert!(
            meta["elapsed_ms"].is_u64() && meta["warnings"].is_array() && meta["corrections"].is_array(),
            "{meta}"
        );
        assert!(envelope["data"].is_object(), "{line:?}");
    }
}

#[test]
fn envelope_schema_every_command_error() {
    let desk = Desk::with_mirror();
    std::fs::copy(desk.path("annals.db"), desk.path("other.db")).unwrap();
    let other = rusqlite::Connection::open(desk.path("other.db")).unwrap();
    other
        .execute_batch("UPDATE projects SET path = 'my/own', path_folded = 'my/own'")
        .unwrap();
    drop(other);
    for command in commands(&desk) {
        let shown = ERRORS.iter().any(|(name, ..)| *name == command);
        assert!(
            shown,
            "add a line of `annals {command}` that fails to `ERRORS` in tests/it/envelope.rs"
        );
    }
    for (command, line, code) in ERRORS {
        let ended = desk.run_words(*line);
        let envelope = ended.failure();
        assert_eq!(keys(&envelope), ["error", "meta", "ok"], "{line:?}");
        let error = &envelope["error"];
        assert_eq!(error["code"], *code, "{line:?}: {error}");
        assert!(
            error["message"].is_string() && error["retryable"].is_boolean(),
            "{error}"
        );
        assert_eq!(envelope["meta"]["command"], *command, "{line:?}");
        let allowed = [
            "actions",
            "code",
            "details",
            "exit_code",
            "message",
            "retryable",
            "suggestion",
        ];
        assert!(keys(error).iter().all(|key| allowed.contains(&key.as_str())), "{error}");
    }
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

/// What `--fields` knows of a command's data is what the command answers: nothing less, nothing more.
#[test]
fn fields_are_those_of_the_answer() {
    // Lists that only entities synced one by one fill, and values that the sample has nowhere: no git data, no lock.
    const UNSEEN: &[&str] = &["entities.", "commits.", "lock.", "findings."];
    // An issue has no review, and changes no files.
    const NO_MR: &[&str] = &[
        "entity.merge_request.",
        "files.",
        "discussions.notes.position.",
        "diff.",
    ];
    let desk = desk();
    for shape in OK.chunk_by(|a, b| a.0 == b.0 && declared(&desk, a.1) == declared(&desk, b.1)) {
        let declared = declared(&desk, shape[0].1);
        let mut seen = BTreeSet::new();
        for (_, line) in shape {
            crate::support::leaves(&desk.run_words(words(&desk, line)).data(), "", &mut seen);
        }
        let open = |name: &str| declared.iter().any(|field| within(name, field) || field == name);
        // An empty list or a part that is not there stands for all that it could hold.
        let undeclared: Vec<_> = seen
            .iter()
            .filter(|name| !open(name) && !declared.iter().any(|field| field.starts_with(&format!("{name}."))))
            .collect();
        assert!(undeclared.is_empty(), "{shape:?}: {undeclared:?}");
        let missing: Vec<_> = declared
            .iter()
            .filter(|field| !seen.iter().any(|name| name == *field || within(name, field)))
            .filter(|field| !UNSEEN.iter().any(|unseen| field.starts_with(unseen)))
            .filter(|field| shape[0].0 != "issues" || !NO_MR.iter().any(|unseen| field.starts_with(unseen)))
            .collect();
        assert!(missing.is_empty(), "{shape:?}: {missing:?}");
    }
}

/// Whether `name` lies in what `field` leaves open.
fn within(name: &str, field: &str) -> bool {
    field
        .strip_suffix(".*")
        .is_some_and(|open| name == open || name.starts_with(&format!("{open}.")))
}

/// The names that `--fields` accepts, with the list they are in.
fn declared(desk: &Desk, line: &[&str]) -> BTreeSet<String> {
    let mut with = words(desk, line);
    with.extend(["--fields".to_owned(), "?".to_owned()]);
    let error = desk.run_words(with).error();
    let names = error["details"]["valid"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned());
    let list = match line {
        ["search", ..] => "hits",
        ["related", ..] => "items",
        ["issues" | "mrs"] | ["issues" | "mrs", "--state" | "-n", ..] => "items",
        ["notes", ..] => "notes",
        ["projects", ..] => "projects",
        ["doctor", ..] => "checks",
        ["sync-runs"] => "runs",
        ["timeline", ..] => "events",
        ["who", ..] => "people",
        ["auth", ..] => "forges",
        _ => return names.collect(),
    };
    names
        .map(|name| {
            if name.starts_with("facets") {
                name
            } else {
                format!("{list}.{name}")
            }
        })
        .collect()
}

#[test]
fn fields_select_and_unknown_ones_are_named() {
    let desk = Desk::with_mirror();
    let hits = desk.run("search cutover -n 2 --fields ref,title").data();
    assert_eq!(keys(&hits), ["hits"]);
    assert!(
        hits["hits"]
            .as_array()
            .unwrap()
            .iter()
            .all(|hit| keys(hit) == ["ref", "title"])
    );
    let minimal = desk.run("issues -n 1 --fields minimal").data();
    assert_eq!(keys(&minimal["items"][0]), ["ref", "state", "title", "updated_at"]);
    let full = desk.run("issues -n 1 --fields full").stdout;
    let plain = desk.run("issues -n 1").stdout;
    let data = |line: &str| line.split(r#","meta":"#).next().unwrap().to_owned();
    assert_eq!(data(&full), data(&plain));
    let error = desk.run("issues --fields titel").error();
    assert_eq!(error["suggestion"], "title");
    assert!(error["details"]["valid"].as_array().unwrap().contains(&"labels".into()));
}
