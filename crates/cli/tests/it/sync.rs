//! `annals sync`, as far as it concerns the command: what it is given and what it says. That nothing is lost on the way
//! is tested where a forge can be made to fail.

use annals_testkit::forge::{Fault, FaultPlan, Rule, SimOptions, When};

use crate::support::forge::sample_forge;
use crate::support::{Desk, Ended};

#[test]
fn a_sync_without_a_project_says_what_to_do() {
    let desk = Desk::empty();
    let ended = desk.run("sync");
    assert_eq!(ended.code, 17);
    assert!(
        ended.error()["suggestion"]
            .as_str()
            .unwrap()
            .contains("annals sync URL"),
        "{ended:?}"
    );
    assert!(!desk.path(".local").exists(), "no file is made for nothing");
}

#[test]
fn a_forge_that_does_not_answer_is_exit_8() {
    let desk = Desk::empty();
    // A port that was free a moment ago, with nobody behind it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}/group/app");
    let ended = desk.run(&format!("sync {url} --db m.db"));
    assert_eq!(ended.code, 8, "{ended:?}");
    let error = ended.error();
    assert_eq!(error["code"], "network");
    assert_eq!(
        error["details"]["status"], "failed",
        "a SyncResult is in the details: {error}"
    );
    let runs = desk.run("sync-runs --db m.db").data();
    assert_eq!(
        (&runs["runs"][0]["status"], &runs["runs"][0]["error_code"]),
        (&"failed".into(), &"network".into())
    );
}

#[test]
fn lock_second_sync_names_holder() {
    let desk = Desk::with_mirror();
    let holder = desk.run("sync-runs").data()["runs"][0]["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Work that needs no lock is done all the same, and does not change the answer.
    desk.sql("INSERT INTO dirty_sources (source_kind, source_id, reason, created_at) SELECT 'issue', id, 'test', 0 FROM issues; UPDATE issues SET title = title || '!'");
    let me = std::process::id();
    let start = start_of(me);
    desk.sql(&format!(
        "INSERT OR REPLACE INTO sync_locks (scope, run_id, holder, host, pid, process_start, fence, acquired_at, heartbeat_at)
         SELECT 'project:' || id, (SELECT run_id FROM sync_runs), 'annals sync', '{}', {me}, {start}, 7,
                unixepoch() * 1000 - 12000, unixepoch() * 1000 + 3600000 FROM projects;",
        host()
    ));
    for line in [
        "sync annals-sample/tidewater",
        "sync -p tidewater",
        "sync -p tidewater --full --no-docs --no-events --jobs 2 --wait 60s",
        "sync -p tidewater --since 7d --sweep --accept-deletions",
    ] {
        let ended = desk.run(&format!("{line} --db ./annals.db"));
        assert_eq!(ended.code, 9, "{ended:?}");
        let error = ended.error();
        assert_eq!(error["code"], "sync_in_progress");
        assert_eq!(
            (&error["details"]["holder"], &error["details"]["pid"]),
            (&"annals sync".into(), &me.into())
        );
        assert_eq!(
            error["details"]["run_id"],
            holder.as_str(),
            "the run that holds it, not the one that waits"
        );
        let said = error["message"].as_str().unwrap();
        let run: String = holder.chars().take(8).collect();
        let named = format!("under way: annals sync (process {me} on {}, run {run}…) since ", host());
        assert!(said.contains(&named), "{said}");
        let recorded = &desk.run("sync-runs").data()["runs"][0]["error_code"];
        assert_eq!(*recorded, "sync_in_progress");
        assert!(error["details"]["age_ms"].as_i64().unwrap() >= 12_000);
        assert!(
            error["actions"]
                .as_array()
                .unwrap()
                .contains(&format!("annals {line} --wait-lock 30s --db ./annals.db").into()),
            "{error}"
        );
    }
}

#[test]
fn a_lock_is_told_by_its_project_and_whether_its_process_runs() {
    let desk = Desk::with_mirror();
    // No process has this id: it is above what any system gives out.
    let dead = 0x7fff_fff0;
    for (pid, start, said) in [
        (dead, 0, format!("process {dead} is gone; the next sync continues")),
        (
            std::process::id(),
            start_of(std::process::id()),
            format!("(process {} on", std::process::id()),
        ),
    ] {
        desk.sql(&format!(
            "INSERT OR REPLACE INTO sync_locks (scope, run_id, holder, host, pid, process_start, fence, acquired_at, heartbeat_at)
             SELECT 'project:' || id, (SELECT run_id FROM sync_runs), 'annals sync', '{host}', {pid}, {start}, 7,
                    unixepoch() * 1000, unixepoch() * 1000 FROM projects;
             UPDATE sync_runs SET status = 'running', finished_at = NULL, host = '{host}', pid = {pid}, process_start = {start}",
            host = host()
        ));
        let doctor = desk.run("doctor --human").stdout;
        let line = doctor.lines().find(|line| line.starts_with("lock")).unwrap();
        assert!(
            line.contains("annals-sample/tidewater") && line.contains(&said),
            "{doctor}"
        );
        assert!(!doctor.contains("project:"), "{doctor}");
        let runs = desk.run("sync-runs --human").stdout;
        assert_eq!(runs.contains("is gone; the next sync continues"), pid == dead, "{runs}");
    }
}

#[test]
fn a_run_tells_every_failure() {
    let desk = Desk::with_mirror();
    desk.sql(
        r#"UPDATE sync_runs SET status = 'partial', error_code = 'partial', error = '{"failures":[
             {"project":"g/a","part":"issues","code":"network","message":"refused\u001b[31m"},
             {"project":"g/b","part":null,"code":"protocol","message":"no list"}]}'"#,
    );
    let run = desk.run("sync-runs").data()["runs"][0]["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = desk.run(&format!("sync-runs --human --run-id {run}")).stdout;
    for line in ["  g/a issues: network: refused", "  g/b: protocol: no list"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// When this process started, as the system counts; 0 where it does not say.
fn start_of(pid: u32) -> u64 {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = line
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().nth(19))
        .unwrap_or_default();
    fields.and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[test]
fn progress_as_json_is_one_event_per_line() {
    let desk = Desk::empty();
    let ended = desk.run("demo --exit --progress json");
    assert_eq!(ended.code, 0, "{ended:?}");
    let events: Vec<serde_json::Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        (names.first(), names.last()),
        (Some(&"run_started"), Some(&"run_finished")),
        "{names:?}"
    );
    assert!(
        names.contains(&"page_stored") && names.contains(&"set_stored"),
        "{names:?}"
    );
}

#[test]
fn projects_are_named_once_and_must_be_known() {
    let desk = Desk::with_mirror();
    assert_eq!(
        desk.run("sync annals-sample/tidewater -p tidewater").code_of_error(),
        "usage"
    );
    let error = desk.run("sync annals-sample/tidewtaer").error();
    assert_eq!(
        (&error["code"], &error["suggestion"]),
        (&"not_found".into(), &"annals-sample/tidewater".into())
    );
    let ended = desk.run("sync no/such --db no.db");
    assert_eq!(ended.code_of_error(), "not_found");
    assert!(!desk.path("no.db").exists(), "no file is made for nothing");
}

#[test]
fn waits_are_durations() {
    let desk = Desk::empty();
    for line in [
        "sync --wait 5",
        "sync --wait 2d",
        "sync --wait-lock soon",
        "sync --jobs 0",
        "sync --jobs 65",
    ] {
        assert_eq!(desk.run(line).code_of_error(), "usage", "{line}");
    }
}

fn refusing(fault: Fault, target: &str) -> SimOptions {
    SimOptions {
        faults: FaultPlan::none().with(Rule::new(fault, target, When::Always)),
        ..SimOptions::default()
    }
}

#[test]
fn a_refused_token_is_told_by_the_name_of_its_variable() {
    let desk = Desk::empty();
    let url = sample_forge(refusing(Fault::Unauthorized, "*"));
    let host = url.strip_prefix("http://").unwrap().replace(['.', ':'], "_");
    let project = format!("{url}/annals-sample/tidewater");
    let sync = |variable: &str, words: &[&str]| {
        let mut command = desk.annals(words.iter().chain(&["--db", "m.db"]));
        Ended::of(command.env(variable, "glpat-Zq3x9PpLw0aB").output().unwrap())
    };
    let variable = format!("ANNALS_TOKEN_{host}");
    for words in [&["sync", &project][..], &["projects", "add", &project]] {
        let ended = sync(&variable, words);
        assert_eq!(
            (ended.code, ended.code_of_error().as_str()),
            (5, "auth_rejected"),
            "{ended:?}"
        );
        let advice = ended.error()["suggestion"].as_str().unwrap().to_owned();
        assert!(advice.contains(&format!("set {variable} to")), "{advice}");
        assert!(!ended.stderr.contains("Zq3x9PpLw0aB"), "{ended:?}");
    }
    let config = format!("[forges.work]\nkind = \"gitlab\"\nbase_url = \"{url}\"\ntoken_env = \"WORK\"\n");
    std::fs::write(desk.path("annals.toml"), config).unwrap();
    let advice = sync("WORK", &["sync", &project, "--human"]).stderr;
    assert!(advice.contains("hint: ") && advice.contains("set WORK to"), "{advice}");
}

#[test]
fn a_project_that_may_be_private_is_told_with_the_variable() {
    let desk = Desk::empty();
    let url = sample_forge(SimOptions::default());
    let host = url.strip_prefix("http://").unwrap().replace(['.', ':'], "_");
    let ended = desk.run(&format!("sync {url}/annals-sample/secret --db m.db"));
    assert_eq!(ended.code_of_error(), "not_found_remote");
    let advice = ended.error()["suggestion"].as_str().unwrap().to_owned();
    assert!(
        advice.contains(&format!("if it is private, set ANNALS_TOKEN_{host} to")),
        "{advice}"
    );
}

#[test]
fn a_partial_run_tells_what_helps_against_its_first_failure() {
    let desk = Desk::empty();
    let url = sample_forge(refusing(Fault::HtmlPage, "*/merge_requests?*"));
    let ended = desk.run(&format!("sync {url}/annals-sample/tidewater --db m.db"));
    assert_eq!(
        (ended.code, ended.code_of_error().as_str()),
        (22, "partial"),
        "{ended:?}"
    );
    let error = ended.error();
    assert_eq!(error["details"]["failures"][0]["code"], "protocol", "{error}");
    let run = error["details"]["run_id"].as_str().unwrap();
    assert_eq!(
        error["actions"],
        serde_json::json!([
            "annals sync --db m.db",
            "annals doctor --db m.db",
            format!("annals sync-runs --run-id {run} --db m.db")
        ])
    );

    // A failure that knows more than its code does says so here too.
    let url = sample_forge(refusing(Fault::Unauthorized, "*/merge_requests?*"));
    let variable = format!(
        "ANNALS_TOKEN_{}",
        url.strip_prefix("http://").unwrap().replace(['.', ':'], "_")
    );
    let project = format!("{url}/annals-sample/tidewater");
    let mut command = desk.annals(["sync", &project, "--db", "n.db"]);
    let ended = Ended::of(command.env(&variable, "x").output().unwrap());
    assert_eq!(
        (ended.code, ended.code_of_error().as_str()),
        (22, "partial"),
        "{ended:?}"
    );
    let advice = ended.error()["suggestion"].as_str().unwrap().to_owned();
    assert!(advice.contains(&format!("set {variable} to")), "{advice}");
}

/// How many requests a simulated forge has answered.
fn requests_of(forge: &str) -> u64 {
    use std::io::{Read, Write};
    let address = forge.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("GET /-/stats HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let stats: serde_json::Value = serde_json::from_str(body).unwrap();
    stats["requests"].as_u64().unwrap()
}

#[test]
fn dry_run_no_network_no_write() {
    let desk = Desk::empty();
    let forge = sample_forge(SimOptions::default());
    let url = format!("{forge}/annals-sample/tidewater");
    // Without a file there is none afterwards either.
    let planned = desk.run(&format!("sync {url} --dry-run --db annals.db")).data();
    assert_eq!(
        (&planned["projects"][0]["known"], &planned["projects"][0]["requests"]),
        (&false.into(), &serde_json::Value::Null)
    );
    assert_eq!(planned["projects"][0]["path"], "annals-sample/tidewater");
    for (more, code) in [("ftp://forge.example/g/p", "usage"), ("no/such", "not_found")] {
        let ended = desk.run(&format!("sync {url} {more} --dry-run --db annals.db"));
        assert_eq!(ended.code_of_error(), code, "{ended:?}");
    }
    assert!(!desk.path("annals.db").exists());
    assert_eq!(requests_of(&forge), 0);
    assert_eq!(desk.run(&format!("sync {url} --db annals.db")).code, 0);
    desk.sql(
        "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at) SELECT 'issue', min(id), 'test', 0 FROM issues;
         UPDATE dependent_jobs SET status = 'pending', not_before = 0 WHERE id IN (
             SELECT min(id) FROM dependent_jobs WHERE job_type IN ('events', 'discussions') GROUP BY job_type)",
    );
    let (file, asked) = (std::fs::read(desk.path("annals.db")).unwrap(), requests_of(&forge));
    let planned = desk.run("sync --dry-run --db annals.db").data();
    let project = &planned["projects"][0];
    assert_eq!(project["path"], "annals-sample/tidewater");
    assert!(
        project["streams"][0]["cursor"].as_str().unwrap().contains('/'),
        "{planned}"
    );
    assert_eq!((&project["jobs"], &project["sweep"]), (&2.into(), &false.into()));
    // The project, two catalogues, two streams, a set, and three lists of events.
    assert_eq!((&planned["requests"], &planned["dirty"]), (&9.into(), &1.into()));
    let full = desk.run("sync --full --dry-run --db annals.db").data();
    assert_eq!(full["projects"][0]["sweep"], true);
    assert_eq!(full["requests"], 11, "and a page of each index: {full}");
    let human = desk.run("sync --dry-run --human --db annals.db");
    assert!(human.stdout.contains("9 or more"), "{human:?}");
    assert_eq!(requests_of(&forge), asked, "the forge was not asked");
    assert!(
        std::fs::read(desk.path("annals.db")).unwrap() == file,
        "the file was written"
    );
}

#[test]
fn flags_of_a_pass_are_read_before_anything_is_done() {
    let desk = Desk::with_mirror();
    for line in [
        "sync --since never",
        "sync --since 2999-01-01",
        "sync --full --since 7d",
        "sync --since",
    ] {
        let ended = desk.run(line);
        assert_eq!((ended.code, ended.code_of_error().as_str()), (2, "usage"), "{line}");
    }
}
