//! The main job on payloads of a real project.

use annals_tests::mirror::assert_same;
use annals_tests::{Desk, Forge, skip};
use serde_json::Value;

#[test]
fn recorded_project_is_mirrored_whole_and_then_left_alone() {
    let forge = match Forge::recorded() {
        Ok(forge) => forge,
        Err([reason, cure]) => {
            return skip("recorded_project_is_mirrored_whole_and_then_left_alone", reason, cure);
        }
    };
    let desk = Desk::new();
    let url = forge.project_url();

    let result = desk.run(&["sync", &url]).data();
    assert_eq!(result["status"], "done", "{result}");
    let mirror = desk.mirror();
    mirror.check();
    let stored = ["issues", "merge_requests", "notes"].map(|table| mirror.count(table, "gone_at IS NULL"));
    assert_eq!(stored, [4, 3, 9]);
    assert_eq!(mirror.owed("36528"), 0, "nothing is left to do");
    let before = mirror.raw();
    drop(mirror);

    let asked = forge.stats();
    let result = desk.run(&["sync", &url]).data();
    assert_eq!(result["status"], "done", "{result}");
    let more = |name: &str| number(&forge.stats(), name) - number(&asked, name);
    // The forge counts the questions of this test among its requests: the one just asked.
    let (unchanged, sent) = (more("not_modified"), more("requests") - 2);
    assert!(sent > 0);
    assert_eq!(
        unchanged, sent,
        "every request of a second run is conditional: {result}"
    );
    assert_eq!(result["not_modified"], unchanged, "{result}");
    assert_same("the second run wrote", &before, &desk.mirror().raw());

    let found = desk.run(&["search", "permissions", "--robot"]).data();
    let hits = found["hits"].as_array().expect("hits");
    assert!(hits.iter().any(|hit| hit["ref"] == "fdroid/fdroiddata#1"), "{found}");
    assert_eq!(number(&forge.stats(), "writes_refused"), 0, "a mirror only reads");
}

fn number(stats: &Value, name: &str) -> u64 {
    stats[name].as_u64().expect("a count")
}
