//! `annals sync --issue … --mr …` and `annals sync-runs --retry-failed`.

use annals_testkit::forge::{Fault, FaultPlan, Rule, SimOptions, When};
use serde_json::{Value, json};

use crate::support::forge::sample_forge;
use crate::support::{Desk, Ended};

const PROJECT: &str = "annals-sample/tidewater";

/// A desk with a mirror of a forge that is still there, and behaves so when single entities are asked for.
fn desk_of(fault: Option<Fault>) -> (Desk, String) {
    let faults = match fault {
        // A list of entities never ends in a number, so a normal sync meets no fault.
        Some(fault) => FaultPlan::none()
            .with(Rule::new(fault, "*/issues/12", When::Always))
            .with(Rule::new(fault, "*/issues/39", When::Always)),
        None => FaultPlan::none(),
    };
    let mut options = SimOptions {
        faults,
        ..SimOptions::default()
    };
    // Longer than any run waits.
    options.context.retry_after = "3600".to_owned();
    let url = sample_forge(options);
    let desk = Desk::empty();
    std::fs::write(desk.path("annals.toml"), "[db]\npath = \"annals.db\"\n").unwrap();
    let ended = desk.run(&format!("sync {url}/{PROJECT}"));
    assert_eq!(ended.code, 0, "{ended:?}");
    (desk, url)
}

fn surgical(desk: &Desk, words: &str) -> Ended {
    desk.run(&format!("sync -p {PROJECT} {words}"))
}

fn without_host(value: &Value, url: &str, run: &str) -> Value {
    let host = url.strip_prefix("http://").unwrap();
    serde_json::from_str(&value.to_string().replace(host, "HOST").replace(run, "RUN")).unwrap()
}

#[test]
fn named_entities_are_synced_and_told() {
    let (desk, _) = desk_of(None);
    let data = surgical(&desk, "--issue 12,39 --mr 7").data();
    assert_eq!(
        (&data["mode"], &data["status"]),
        (&"surgical".into(), &"done".into()),
        "{data}"
    );
    let streams = &data["projects"][0]["streams"];
    assert_eq!(
        (&streams[0]["rows"], &streams[1]["rows"]),
        (&2.into(), &1.into()),
        "{data}"
    );
    assert_eq!(data["projects"][0]["jobs"]["done"], 9, "{data}");
    assert!(data["dirty_source_ids"].is_array(), "{data}");
    let run = data["run_id"].as_str().unwrap();
    let ledger = desk.run(&format!("sync-runs --run-id {run}")).data();
    assert_eq!(ledger["run"]["mode"], "surgical");
    assert_eq!(
        ledger["entities"].as_array().unwrap().len(),
        9 + 3 * usize::from(data["dirty_source_ids"] != json!([]))
    );
    let shown = surgical(&desk, "--issue 12 --mr 7 --human").stdout;
    assert!(shown.contains(PROJECT) && shown.contains("done · "), "{shown}");
    let retried = desk.run(&format!("sync-runs --run-id {run} --retry-failed")).data();
    assert_eq!(
        (&retried["status"], &retried["requests"]),
        (&"done".into(), &0.into()),
        "{retried}"
    );
}

#[test]
fn surgical_no_docs_requires_no_embed() {
    let desk = Desk::with_mirror();
    let error = surgical(&desk, "--issue 12 --no-docs").error();
    assert_eq!(error["code"], "usage");
    assert!(error["message"].as_str().unwrap().contains("--no-embed"), "{error}");
    // With both it is a plan like any other, and it says that no documents would be made.
    let plan = surgical(&desk, "--issue 12 --no-docs --no-embed --dry-run").data();
    assert_eq!(plan["documents"], false, "{plan}");
    assert_eq!(
        surgical(&desk, "--issue 12 --no-embed --dry-run").data()["documents"],
        true
    );
}

#[test]
fn rules_between_flags_are_told_before_anything_is_read() {
    let desk = Desk::empty();
    let many: Vec<String> = (1..=101).map(|iid| iid.to_string()).collect();
    for line in [
        // One project, and named once.
        "sync --issue 1".to_owned(),
        "sync a/b c/d --issue 1 --mr".to_owned(),
        "sync a/b -p c/d --issue 1".to_owned(),
        format!("sync -p a/b --issue {}", many.join(",")),
        "sync -p a/b --issue 0".to_owned(),
        "sync -p a/b --mr 1 --issue -3".to_owned(),
        "sync -p a/b --issue twelve".to_owned(),
        "sync -p a/b --issue 1 --preflight-only --dry-run".to_owned(),
        "sync -p a/b --preflight-only".to_owned(),
        "sync -p a/b --issue 1 --no-docs".to_owned(),
        // A sync of whole projects is another thing.
        "sync -p a/b --issue 1 --full".to_owned(),
        "sync -p a/b --issue 1 --since 2d".to_owned(),
        "sync -p a/b --issue 1 --sweep".to_owned(),
        "sync-runs --retry-failed".to_owned(),
    ] {
        let ended = desk.run(&line);
        assert_eq!((ended.code, ended.code_of_error().as_str()), (2, "usage"), "{line}");
    }
    let left: Vec<_> = std::fs::read_dir(desk.folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // There is no mirror, and none is made for this.
    assert_eq!(
        desk.run("sync -p a/b --issue 1 --db no.db").code_of_error(),
        "not_found"
    );
    assert!(!desk.path("no.db").exists());
}

#[test]
fn a_dry_run_needs_no_forge_and_leaves_the_file() {
    let desk = Desk::with_mirror();
    let before = std::fs::read(desk.path("annals.db")).unwrap();
    let plan = surgical(&desk, "--issue 12 --mr 7,9999 --dry-run").data();
    assert_eq!(plan["project"], PROJECT);
    let targets = plan["targets"].as_array().unwrap();
    let known: Vec<_> = targets
        .iter()
        .map(|target| (&target["entity_type"], &target["iid"], &target["known"]))
        .collect();
    assert_eq!(
        known,
        [
            (&"issue".into(), &12.into(), &true.into()),
            (&"merge_request".into(), &7.into(), &true.into()),
            (&"merge_request".into(), &9999.into(), &false.into()),
        ]
    );
    assert!(plan["requests"].as_u64().unwrap() > 12, "{plan}");
    let shown = surgical(&desk, "--issue 12 --dry-run --human").stdout;
    assert!(shown.contains("nothing was done"), "{shown}");
    assert!(
        std::fs::read(desk.path("annals.db")).unwrap() == before,
        "a dry run has written"
    );
}

#[test]
fn preflight_failure_json_golden_and_exit_6() {
    let (desk, url) = desk_of(None);
    let ended = surgical(&desk, "--issue 12 9999 --mr 8888 --no-events");
    assert_eq!(ended.code, 6, "{ended:?}");
    let error = ended.error();
    let run = error["details"]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(
        without_host(&error, &url, &run),
        json!({
            "code": "surgical_preflight_failed",
            "exit_code": 6,
            "message": "2 of 3 targets could not be fetched, so nothing was changed: \
                        #9999: HOST has no issue 9999; !8888: HOST has no merge request 8888",
            "retryable": false,
            "actions": [
                "annals sync-runs --run-id RUN --retry-failed",
                "annals sync -p annals-sample/tidewater --issue 12 --no-events",
            ],
            "details": {
                "run_id": "RUN",
                "total": 3,
                "failures": [
                    {
                        "entity_type": "issue",
                        "iid": 9999,
                        "code": "not_found_remote",
                        "http_status": 404,
                        "message": "HOST has no issue 9999",
                    },
                    {
                        "entity_type": "merge_request",
                        "iid": 8888,
                        "code": "not_found_remote",
                        "http_status": 404,
                        "message": "HOST has no merge request 8888",
                    },
                ],
            },
        })
    );
    // A retry is about those that failed alone, so no target is left to be named without them.
    let again = desk.run(&format!("sync-runs --run-id {run} --retry-failed")).error();
    assert_eq!(again["details"]["total"], 2, "{again}");
    assert_eq!(again["actions"].as_array().unwrap().len(), 1, "{again}");
    // Both next steps run as they stand: the first fails alike, the second works.
    for (action, code) in error["actions"].as_array().unwrap().iter().zip([6, 0]) {
        let words = action.as_str().unwrap().split(' ').skip(1);
        let ended = desk.run_words(words);
        assert_eq!(ended.code, code, "{action}: {ended:?}");
    }
    let human = surgical(&desk, "--issue 9999 --human");
    assert_eq!(human.code, 6);
    assert!(human.stderr.contains("--retry-failed"), "{}", human.stderr);
}

fn uniform(fault: Fault, exit: i32, code: &str) {
    let (desk, _) = desk_of(Some(fault));
    let ended = surgical(&desk, "--issue 12 39");
    assert_eq!((ended.code, ended.code_of_error().as_str()), (exit, code), "{ended:?}");
    let error = ended.error();
    assert_eq!(error["details"]["failures"].as_array().unwrap().len(), 2, "{error}");
    let run = error["details"]["run_id"].as_str().unwrap();
    let retry = format!("annals sync-runs --run-id {run} --retry-failed");
    assert_eq!(error["actions"][0], retry.as_str(), "{error}");
    // Beside a target that fails otherwise it is the failure of a preflight.
    // A host that asks to be left alone is not asked for the other one, so there all fail alike.
    if fault != Fault::TooManyRequests {
        let mixed = surgical(&desk, "--issue 12 9999");
        assert_eq!(
            (mixed.code, mixed.code_of_error().as_str()),
            (6, "surgical_preflight_failed"),
            "{mixed:?}"
        );
    }
}

#[test]
fn preflight_uniform_failures_exit_5() {
    uniform(Fault::Forbidden, 5, "forbidden");
}

#[test]
fn preflight_uniform_failures_exit_7() {
    uniform(Fault::TooManyRequests, 7, "rate_limited");
}

#[test]
fn preflight_uniform_failures_exit_8() {
    uniform(Fault::HtmlPage, 8, "protocol");
}

#[test]
fn a_run_that_is_unknown_or_active_is_not_tried_again() {
    let desk = Desk::with_mirror();
    assert_eq!(
        desk.run("sync-runs --run-id 0190-7 --retry-failed").code_of_error(),
        "not_found"
    );
    // No process has this id, but on another machine nobody can know.
    desk.sql(
        "UPDATE sync_runs SET status = 'running', finished_at = NULL, host = 'elsewhere',
                                   heartbeat_at = unixepoch() * 1000",
    );
    let run = desk.run("sync-runs").data()["runs"][0]["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended = desk.run(&format!("sync-runs --run-id {run} --retry-failed"));
    assert_eq!(
        (ended.code, ended.code_of_error().as_str()),
        (21, "run_active"),
        "{ended:?}"
    );
}

#[test]
fn a_failed_retry_offers_what_could_be_had() {
    let (desk, _) = desk_of(None);
    // Two fail, and one of them is there when they are tried again.
    let ended = surgical(&desk, "--issue 9998 9999 --no-docs --no-embed --no-events");
    assert_eq!(ended.code, 6, "{ended:?}");
    let run = ended.error()["details"]["run_id"].as_str().unwrap().to_owned();
    desk.sql("UPDATE sync_run_entities SET iid = 12 WHERE iid = 9998");
    let error = desk.run(&format!("sync-runs --run-id {run} --retry-failed")).error();
    let retry = error["details"]["run_id"].as_str().unwrap();
    assert_ne!(retry, run);
    assert_eq!(
        error["actions"],
        json!([
            format!("annals sync-runs --run-id {retry} --retry-failed"),
            "annals sync -p annals-sample/tidewater --issue 12 --no-docs --no-embed --no-events",
        ])
    );
    let words = error["actions"][1].as_str().unwrap().split(' ').skip(1);
    let ended = desk.run_words(words);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn what_a_run_left_is_shown_as_owed() {
    let (desk, _) = desk_of(None);
    desk.sql(
        "CREATE TRIGGER planted BEFORE UPDATE ON dependent_jobs WHEN NEW.status = 'done'
         BEGIN SELECT RAISE(ABORT, 'planted'); END",
    );
    let ended = surgical(&desk, "--issue 12 39 --human");
    assert_ne!(ended.code, 0, "{ended:?}");
    let row = ended.stdout.lines().find(|line| line.contains(PROJECT)).unwrap();
    let owed: u64 = row.split_whitespace().next_back().unwrap().parse().unwrap();
    assert!(owed > 0, "{row}");
}
