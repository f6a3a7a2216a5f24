//! One path mirrored from two forges is two projects, wherever one is named.

use crate::support::Desk;

const PATH: &str = "annals-sample/tidewater";

/// The sample project, and one of the same path on another forge that has issue 12 too.
fn twice() -> (Desk, String) {
    let desk = Desk::with_mirror();
    desk.sql(
        "INSERT INTO forges (name, kind, base_url, api_url) VALUES ('other', 'gitlab', 'https://other.example', '-');
         INSERT INTO projects (forge_id, native_id, path, path_folded, title, archived, tracked, state, changed_seq)
           SELECT (SELECT max(id) FROM forges), '1', path, path_folded, title, 0, 1, 'active', 0 FROM projects;
         INSERT INTO issues (project_id, native_id, iid, title, body, state, confidential, locked, author_id, updated_at,
                             flags, changed_seq)
           SELECT (SELECT max(id) FROM projects), '77', 12, 'Elsewhere too', '', 'open', 0, 0, author_id, updated_at, 0, 0
             FROM issues WHERE iid = 12;
         INSERT INTO documents (doc_key, project_id, kind, source_id, title, body, meta, state, updated_at, content_hash,
                                flags, changed_seq)
           SELECT 'other', project_id, 'issue', id, title, '', '', state, updated_at, x'00', 0, 0
             FROM issues WHERE native_id = '77';
         INSERT INTO documents_fts (rowid, title, body, meta) SELECT max(id), 'elsewhere too', '', '' FROM documents;",
    );
    // The other forge's name comes first.
    let first = desk.run("projects").data()["projects"][1]["forge_url"].clone();
    let first = first.as_str().unwrap().split_once("://").unwrap().1.to_owned();
    (desk, first)
}

#[test]
fn a_search_in_one_of_them_finds_nothing_of_the_other() {
    let (desk, first) = twice();
    let all = desk.run("search kind:issue -n 500").envelope()["meta"]["total"]
        .as_u64()
        .unwrap();
    let total = |host: &str| {
        let ended = desk.run(&format!("search kind:issue -n 500 -p {host}/{PATH}"));
        ended.envelope()["meta"]["total"].as_u64().unwrap()
    };
    assert_eq!((total(&first), total("other.example")), (all - 1, 1));
    let ended = desk.run(&format!("search elsewhere -p {first}/{PATH}"));
    assert_eq!(ended.data()["hits"], serde_json::json!([]));
    assert_eq!(
        desk.run(&format!("search elsewhere -p {PATH}")).code_of_error(),
        "ambiguous"
    );
}

#[test]
fn a_reference_of_a_list_or_a_hit_can_be_shown() {
    let (desk, first) = twice();
    let found = desk.run("search elsewhere too kind:issue").data();
    let hit = found["hits"]
        .as_array()
        .unwrap()
        .iter()
        .find(|hit| hit["title"] == "Elsewhere too");
    let reference = hit.unwrap()["ref"].as_str().unwrap().to_owned();
    assert_eq!(reference, format!("other.example/{PATH}#12"));
    let shown = desk.run_words(["show", &reference]).data();
    assert_eq!(
        (&shown["entity"]["title"], &shown["entity"]["ref"]),
        (&"Elsewhere too".into(), &reference.into())
    );
    let items = desk.run("issues -n 500").data()["items"].clone();
    for item in items.as_array().unwrap() {
        let reference = item["ref"].as_str().unwrap();
        assert!(
            reference.starts_with(&first) || reference.starts_with("other.example/"),
            "{reference}"
        );
    }
}

#[test]
fn the_flag_decides_between_the_two_and_may_not_disagree() {
    let (desk, _) = twice();
    let reference = format!("{PATH}#12");
    let title = |flag: &str| desk.run_words(["show", &reference, "-p", flag]).data()["entity"]["title"].clone();
    assert_eq!(title(&format!("other.example/{PATH}")), "Elsewhere too");
    let refused = desk.run(&format!("show other.example/{PATH}#12 -p 1"));
    assert_eq!(refused.code_of_error(), "usage", "{refused:?}");
    let unknown = desk.run(&format!("show {PATH}#12 -p no/such"));
    assert_eq!(unknown.code_of_error(), "not_found", "{unknown:?}");
}

#[test]
fn every_action_of_an_ambiguity_runs() {
    let (desk, _) = twice();
    for words in [
        vec!["show", "12"],
        vec!["show", "annals-sample/tidewater#12"],
        vec!["timeline", "12"],
        vec!["timeline", "-p", PATH],
        vec!["count", "-p", PATH],
        vec!["who", "cutover", "-p", PATH],
        vec!["issues", "-p", PATH],
        vec!["mrs", "-p", PATH],
        vec!["search", "cutover", "-p", PATH],
    ] {
        let error = desk.run_words(&words).error();
        assert_eq!(error["code"], "ambiguous", "{words:?}");
        let actions = error["actions"].as_array().unwrap();
        assert_eq!(actions.len(), 2, "{error}");
        for action in actions {
            let words = action.as_str().unwrap().split(' ').skip(1);
            let ended = desk.run_words(words);
            assert_eq!(ended.code, 0, "{action}: {ended:?}");
        }
    }
}

#[test]
fn the_actions_of_an_ambiguity_keep_the_flags() {
    let (desk, _) = twice();
    for (line, kept) in [
        (
            "issues --state open,closed --author ada --label bug --label search --milestone none --after=2020-01-01 --sort iid --asc -n 3 --offset 1",
            "--state=open,closed --author=ada --label=bug --label=search --milestone=none --after=2020-01-01 --sort=iid -n 3 --offset=1 --asc",
        ),
        (
            "mrs --assignee any --before 2030-01-01",
            "--assignee=any --before=2030-01-01",
        ),
        ("issues 12 --discussions --events", "--discussions --events"),
        ("show 12 --files --revisions", "--files --revisions"),
        (
            "search cutover --facets label,state -n 4 --offset 1 --mode lexical",
            "--mode=lexical --facets=label,state -n 4 --offset=1",
        ),
    ] {
        let error = desk.run(&format!("{line} -p {PATH}")).error();
        assert_eq!(error["code"], "ambiguous", "{line}: {error}");
        let actions = error["actions"].as_array().unwrap();
        assert_eq!(actions.len(), 2, "{error}");
        for action in actions.iter().map(|action| action.as_str().unwrap()) {
            assert!(action.contains(kept), "{action}");
            let ended = desk.run_words(action.split(' ').skip(1));
            assert_eq!(ended.code, 0, "{action}: {ended:?}");
        }
    }
    let error = desk
        .run_words(["issues", "-p", PATH, "--label", "good first issue"])
        .error();
    let action = error["actions"][0].as_str().unwrap();
    assert!(action.ends_with("--label='good first issue'"), "{action}");
}
