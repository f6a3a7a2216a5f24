//! `annals file-history`: what touched a file, told to people and programs.

use serde_json::{Value, json};

use crate::support::Desk;

const FILE: &str = "src/cutover.rs";

/// The sample project, and another one with a merge request that has the file too.
fn two_projects() -> Desk {
    let desk = Desk::with_mirror();
    desk.sql(
        "INSERT INTO projects (forge_id, native_id, path, path_folded, title, archived, tracked, state, changed_seq)
           SELECT forge_id, '77', 'other/app', 'other/app', 'App', 0, 1, 'active', 0 FROM projects;
         INSERT INTO merge_requests (project_id, native_id, iid, title, body, state, confidential, locked, author_id,
                                     created_at, updated_at, flags, draft, detail, files, changed_seq)
           SELECT (SELECT max(id) FROM projects), '1', 1, 'Elsewhere', '', 'open', 0, 0, author_id, 1, 1, 0, 0, 'complete',
                  'complete', 0 FROM merge_requests LIMIT 1;
         INSERT INTO mr_file_changes (mr_id, project_id, old_path, new_path, change, binary, too_large, from_at)
           SELECT id, project_id, 'src/cutover.rs', 'src/cutover.rs', 'added', 0, 0, 1
             FROM merge_requests WHERE title = 'Elsewhere';",
    );
    desk
}

#[test]
fn ambiguous_project_exit_18() {
    let desk = two_projects();
    let ended = desk.run_words(["file-history", FILE, "--discussions", "--max-hops", "3", "-n", "5"]);
    let error = ended.error();
    assert_eq!((ended.code, &error["code"]), (18, &json!("ambiguous")));
    assert_eq!(
        error["details"]["candidates"],
        json!(["annals-sample/tidewater", "other/app"])
    );
    for action in error["actions"].as_array().unwrap() {
        let action = action.as_str().unwrap();
        assert!(action.contains("--discussions --max-hops=3 -n 5"), "{action}");
        assert_eq!(desk.run_words(action.split(' ').skip(1)).code, 0, "{action}");
    }
    // A path that only one of them has needs no project.
    let data = desk.run("file-history src/index/swap.rs").data();
    assert_eq!(data["project"], "annals-sample/tidewater");
    let other = desk.run_words(["file-history", FILE, "-p", "other/app"]).data();
    assert_eq!(
        (&other["rename_chain"], &other["merge_requests"][0]["title"]),
        (&json!([FILE]), &json!("Elsewhere"))
    );
    assert_eq!(desk.run_words(["file-history", FILE, "-p", "no/such"]).code, 17);
}

/// To write it anew: `ANNALS_BLESS=1 cargo test -p annals-cli golden`.
#[test]
fn file_history_robot_golden() {
    let desk = Desk::with_mirror();
    let mut envelope = desk
        .run_words(["file-history", FILE, "--discussions", "--commits"])
        .envelope();
    let meta = envelope["meta"].as_object_mut().unwrap();
    meta.remove("elapsed_ms");
    meta.remove("version");
    let told = serde_json::to_string_pretty(&envelope).unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/file-history.json");
    if std::env::var_os("ANNALS_BLESS").is_some() {
        std::fs::write(file, &told).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap_or_default();
    assert!(known == told, "{file} is not what the command says: {told}");
    let data = &envelope["data"];
    assert_eq!(
        data["rename_chain"],
        json!([FILE, "src/cutover/mod.rs", "src/index/swap.rs"])
    );
    assert!(!data["discussions"].as_array().unwrap().is_empty());
}

#[test]
fn an_empty_answer_says_why_and_what_next() {
    let desk = two_projects();
    let said = |line: &str| {
        let envelope = desk.run(line).envelope();
        (
            envelope["data"]["project"].clone(),
            envelope["meta"]["diagnostics"][0].clone(),
        )
    };
    let (project, unknown) = said("file-history lib/cutover.rs -p annals-sample/tidewater");
    assert_eq!(
        (project, &unknown["code"]),
        (json!("annals-sample/tidewater"), &json!("path_not_found"))
    );
    assert_eq!(unknown["nearest"][0], FILE);
    let (project, nowhere) = said("file-history lib/cutover.rs");
    assert_eq!((project, &nowhere["code"]), (Value::Null, &json!("path_not_found")));
    for action in unknown["actions"]
        .as_array()
        .unwrap()
        .iter()
        .chain(nowhere["actions"].as_array().unwrap())
    {
        let found = desk.run_words(action.as_str().unwrap().split(' ').skip(1)).envelope();
        assert_ne!(found["meta"]["total_mrs"], 0, "{action}");
    }
    desk.sql(
        "DELETE FROM mr_file_changes WHERE project_id = 1; UPDATE merge_requests SET files = 'pending' WHERE iid = 4",
    );
    let envelope = desk
        .run("file-history src/index/swap.rs -p annals-sample/tidewater")
        .envelope();
    let codes: Vec<_> = envelope["meta"]["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["code"])
        .collect();
    assert_eq!(codes, ["no_file_changes_synced", "files_incomplete"]);
    assert_eq!(envelope["data"]["merge_requests"], json!([]));
}

#[test]
fn projects_without_any_file_say_that_they_are_to_be_synced() {
    let desk = two_projects();
    desk.sql("DELETE FROM mr_file_changes; DELETE FROM commit_file_changes; DELETE FROM diff_note_positions");
    let meta = desk.run("file-history src/nowhere.rs").envelope()["meta"].clone();
    let diagnostics = meta["diagnostics"].as_array().unwrap();
    assert!(!diagnostics.is_empty(), "{meta}");
    for diagnostic in diagnostics {
        assert_ne!(diagnostic["code"], "path_not_found", "{meta}");
        assert!(
            diagnostic["actions"][0].as_str().unwrap().starts_with("annals sync "),
            "{meta}"
        );
    }
}

#[test]
fn a_path_of_later_is_not_an_unknown_one() {
    let desk = two_projects();
    // Only one of them had it then.
    desk.sql("UPDATE mr_file_changes SET from_at = 1800000000000 WHERE project_id > 1");
    let then = "2023-01-01";
    let line = format!("file-history {FILE} -p other/app --merged --discussions --as-of {then}");
    let meta = desk.run(&line).envelope()["meta"].clone();
    let diagnostic = &meta["diagnostics"][0];
    assert_eq!(diagnostic["code"], "recorded_later", "{meta}");
    let action = diagnostic["actions"][0].as_str().unwrap();
    assert!(
        action.contains("--merged --discussions") && !action.contains("--as-of"),
        "{action}"
    );
    let known = desk.run(&format!("file-history {FILE} --as-of 2024-06-01"));
    assert_eq!(known.data()["project"], "annals-sample/tidewater");
}

#[test]
fn a_person_reads_the_names_the_requests_and_the_notes() {
    let desk = Desk::with_mirror();
    let shown = desk.run_words([
        "file-history",
        &format!("./{FILE}"),
        "--discussions",
        "-n",
        "1",
        "--human",
    ]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let mut lines = shown.stdout.lines();
    assert_eq!(lines.next(), Some("src/cutover.rs in annals-sample/tidewater"));
    assert_eq!(lines.next(), Some("  also src/cutover/mod.rs"));
    assert_eq!(lines.next(), Some("  also src/index/swap.rs"));
    assert!(
        shown.stdout.contains("merge requests shown; -n for more"),
        "{}",
        shown.stdout
    );
    let plain = desk.run_words(["file-history", FILE, "--no-follow-renames"]).envelope();
    assert_eq!(
        (&plain["data"]["renames_followed"], &plain["data"]["rename_chain"]),
        (&json!(false), &json!([FILE]))
    );
    for path in ["../x", "C:/x", "./"] {
        assert_eq!(
            desk.run_words(["file-history", path]).code_of_error(),
            "usage",
            "{path}"
        );
    }
}
