//! `annals verify`: how it ends, what it prints, and what it asks nobody.

use std::collections::BTreeSet;

use annals_testkit::forge::SimOptions;
use serde_json::{Value, json};

use crate::support::forge::sample_forge;
use crate::support::{Desk, leaves};

const PROJECT: &str = "annals-sample/tidewater";

/// A desk with a mirror of a forge that is still there.
fn desk() -> Desk {
    let url = sample_forge(SimOptions::default());
    let desk = Desk::empty();
    std::fs::write(desk.path("annals.toml"), "[db]\npath = \"annals.db\"\n").unwrap();
    let ended = desk.run(&format!("sync {url}/{PROJECT}"));
    assert_eq!(ended.code, 0, "{ended:?}");
    desk
}

fn levels(data: &Value) -> Vec<&str> {
    let levels = data["levels"].as_array().unwrap();
    levels.iter().map(|level| level["level"].as_str().unwrap()).collect()
}

#[test]
fn verify_of_a_clean_mirror_tells_what_was_looked_at() {
    let desk = desk();
    let data = desk.run(&format!("verify -p {PROJECT} --sample 30 --deep")).data();
    assert_eq!(levels(&data), ["local", "index", "sample", "deep"]);
    assert_eq!(
        (&data["findings"], &data["repaired"], &data["bound"]),
        (&json!([]), &json!(0), &json!(0.1)),
        "{data}"
    );
    assert!(data["requests"].as_u64().unwrap() > 30, "{data}");
    let shown = desk.run(&format!("verify -p {PROJECT} --sample 30 --human"));
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.contains("10.0 % of the entities"), "{}", shown.stdout);
}

#[test]
fn verify_exit_19_json_shape_and_repair() {
    let desk = desk();
    desk.sql("UPDATE issues SET updated_at = updated_at - 1000 WHERE iid = 12");
    let ended = desk.run("verify --sample 10");
    assert_eq!(
        (ended.code, ended.code_of_error().as_str()),
        (19, "check_failed"),
        "{ended:?}"
    );
    let details = ended.error()["details"].clone();
    let mut names = BTreeSet::new();
    leaves(&details, "", &mut names);
    let expected = [
        "bound",
        "findings.detail",
        "findings.entity_type",
        "findings.fields",
        "findings.finding",
        "findings.iid",
        "findings.project",
        "findings.repaired",
        "levels.checked",
        "levels.findings",
        "levels.left_out",
        "levels.level",
        "repaired",
        "requests",
        "run_id",
    ];
    assert_eq!(names, expected.into_iter().map(str::to_owned).collect(), "{details}");
    let findings = details["findings"].as_array().unwrap();
    let stale = findings
        .iter()
        .find(|finding| finding["finding"] == "stale_here")
        .unwrap();
    assert_eq!(
        (
            &stale["project"],
            &stale["entity_type"],
            &stale["iid"],
            &stale["repaired"]
        ),
        (&json!(PROJECT), &json!("issue"), &json!(12), &json!(false)),
        "{details}"
    );
    // A person sees what was found, and the same end.
    let human = desk.run("verify --sample 10 --human");
    assert_eq!(human.code, 19, "{human:?}");
    assert!(
        human.stdout.contains("stale_here") && human.stdout.contains("#12"),
        "{}",
        human.stdout
    );
    // The ledger has it too, and the repair mends it.
    let run = details["run_id"].as_str().unwrap();
    let kept = desk.run(&format!("sync-runs --run-id {run}")).data();
    assert_eq!(
        (&kept["run"]["mode"], &kept["run"]["error_code"]),
        (&json!("verify"), &json!("check_failed"))
    );
    let mended = desk.run("verify --sample 10 --repair").data();
    assert_eq!(mended["repaired"].as_u64().unwrap(), findings.len() as u64, "{mended}");
    assert_eq!(desk.run("verify --sample 10").data()["findings"], json!([]));
}

#[test]
fn verify_local_needs_no_network() {
    // The forge of this mirror is not there any more.
    let desk = Desk::with_mirror();
    let data = desk.run("verify --local").data();
    assert_eq!(levels(&data), ["local"]);
    assert_eq!(
        (&data["requests"], &data["bound"], &data["findings"]),
        (&json!(0), &Value::Null, &json!([])),
        "{data}"
    );
    desk.sql("UPDATE blobs SET data = x'00' WHERE hash = (SELECT min(hash) FROM blobs)");
    let ended = desk.run("verify --local");
    assert_eq!(
        (ended.code, ended.code_of_error().as_str()),
        (19, "check_failed"),
        "{ended:?}"
    );
    let details = ended.error()["details"].clone();
    assert_eq!(details["findings"][0]["finding"], "corrupt", "{details}");
    assert_eq!(details["requests"], 0);
    for flags in ["--repair", "--deep", "--sample 3", "--kind issue"] {
        let ended = desk.run(&format!("verify --local {flags}"));
        assert_eq!((ended.code, ended.code_of_error().as_str()), (2, "usage"), "{flags}");
    }
}
