//! Two processes on one file: one works, the other says who does.

use annals_tests::running::wait_until;
use annals_tests::{Desk, Forge, Running};

/// A sync of a forge that takes its time, begun and holding its lock.
fn a_sync_under_way(desk: &Desk, forge: &Forge) -> Running {
    let run = desk.start(&["sync", &forge.project_url()]);
    let mut watch = forge.watch();
    wait_until("the sync is at its issues", || {
        watch.requests() >= 5 && desk.db().exists() && desk.mirror().is_made() && desk.mirror().locks() == 1
    });
    run
}

fn slow() -> Forge {
    Forge::generated(40, 20, &["--latency-ms", "100"])
}

#[test]
fn lock_second_sync_names_holder() {
    let forge = slow();
    let desk = Desk::at(&forge);
    let first = a_sync_under_way(&desk, &forge);
    let first_run = desk.mirror().runs().remove(0);

    let error = desk.run(&["sync", &forge.project_url()]).failure(9, "sync_in_progress");
    let details = &error["details"];
    assert_eq!(details["pid"], first.pid(), "{error}");
    assert_eq!(details["run_id"], first_run.id.as_str(), "{error}");
    assert!(
        details["holder"]
            .as_str()
            .is_some_and(|holder| holder.contains("annals sync")),
        "{error}"
    );
    assert!(details["age_ms"].is_number(), "{error}");
    assert_eq!(error["retryable"], true, "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(forge.path()), "{message}");

    // The one that was told off has disturbed nothing.
    let result = first.wait().data();
    assert_eq!(result["status"], "done", "{result}");
    desk.mirror().check();
    assert_eq!(desk.mirror().locks(), 0);
}

#[test]
fn lock_of_dead_process_taken_at_once() {
    let forge = slow();
    let desk = Desk::at(&forge);
    let first = a_sync_under_way(&desk, &forge);
    let killed = first.kill();
    assert_eq!(killed.code(), 137, "{killed}");
    assert_eq!(desk.mirror().locks(), 1, "a killed process cannot let go of its lock");

    // A lock without a sign of life is stale after 30 s; nobody waits for that here.
    let result = desk.run(&["sync", &forge.project_url()]).data();
    assert_eq!(result["status"], "done", "{result}");
    let mirror = desk.mirror();
    mirror.check();
    assert_eq!(mirror.locks(), 0);
    let runs = mirror.runs();
    let ends: Vec<_> = runs
        .iter()
        .map(|run| (run.status.as_str(), run.error.as_deref()))
        .collect();
    assert_eq!(ends, [("failed", Some("interrupted")), ("done", None)]);
    let beats: i64 = mirror.one("SELECT max(finished_at) - max(started_at) FROM sync_runs");
    assert!(beats < 30_000, "the lock was waited for");
}

#[test]
fn reading_goes_on_beside_a_sync() {
    let forge = slow();
    let desk = Desk::at(&forge);
    let sync = a_sync_under_way(&desk, &forge);
    wait_until("there is an issue", || desk.mirror().count("issues", "true") > 0);
    let listed = desk.run(&["issues", "-p", forge.path()]).data();
    assert!(!listed["items"].as_array().expect("items").is_empty(), "{listed}");
    assert_eq!(sync.wait().data()["status"], "done");
}
