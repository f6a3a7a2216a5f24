//! `annals timeline`, `who` and `count`: answers about the sample that can be checked against its rows.

use serde_json::{Value, json};

use crate::support::Desk;

fn number(desk: &Desk, sql: &str) -> i64 {
    let conn = rusqlite::Connection::open(desk.path("annals.db")).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_timeline_is_oldest_first_and_goes_further_back() {
    let desk = Desk::with_mirror();
    let page = desk.run("timeline -n 5").envelope();
    let times = |page: &Value| {
        let events = page["data"]["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["at"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let newest = times(&page);
    assert!(newest.len() == 5 && newest.is_sorted(), "{newest:?}");
    let before = desk
        .run_words(["timeline", "-n", "5", "--before", &newest[0]])
        .envelope();
    let earlier = times(&before);
    assert!(earlier.last() < newest.first(), "{earlier:?}");
    let total = |page: &Value| page["meta"]["total"].as_u64().unwrap();
    assert!(total(&before) < total(&page));

    let of_one = desk.run_words(["timeline", "!9", "-n", "500"]).envelope();
    let events = of_one["data"]["events"].as_array().unwrap();
    assert_eq!(events[0]["kind"], "opened");
    assert!(
        events.iter().all(|event| event["ref"] == "annals-sample/tidewater!9"),
        "{events:?}"
    );
    let comments = desk.run("timeline --kind comment,diff_note -n 500").envelope();
    let notes = number(
        &desk,
        "SELECT count(*) FROM notes n JOIN discussions d ON d.id = n.discussion_id
           LEFT JOIN issues i ON i.id = d.issue_id LEFT JOIN merge_requests m ON m.id = d.mr_id
          WHERE n.system = 0 AND coalesce(n.gone_at, d.gone_at, i.gone_at, m.gone_at) IS NULL",
    );
    assert_eq!(comments["meta"]["total"], notes);
    let human = desk.run("timeline !9 --human");
    assert!(
        human.stdout.starts_with("WHEN ") && human.stdout.contains("opened"),
        "{human:?}"
    );
}

#[test]
fn who_takes_a_file_a_reference_or_a_query() {
    let desk = Desk::with_mirror();
    for (words, kind) in [
        (&["who", "src/cutover.rs"][..], "file"),
        (&["who", "!9"], "ref"),
        (&["who", "mr", "9"], "ref"),
        (&["who", "cutover", "race"], "query"),
    ] {
        let envelope = desk.run_words([words, &["--explain", "-n", "3"]].concat()).envelope();
        assert_eq!(envelope["meta"]["about"]["kind"], kind, "{words:?}");
        let people = envelope["data"]["people"].as_array().unwrap();
        assert!(!people.is_empty() && people.len() <= 3, "{words:?}");
        let scores: Vec<f64> = people.iter().map(|person| person["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        for person in people {
            let counted: u64 = person["reasons"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["count"].as_u64().unwrap())
                .sum();
            assert_eq!(counted, person["evidence"].as_array().unwrap().len() as u64, "{person}");
        }
    }
    let plain = desk.run("who !9").data();
    assert_eq!(plain["people"][0]["evidence"], json!(null));
    let human = desk.run("who src/cutover.rs --explain --human");
    assert!(human.stdout.starts_with("the file src/cutover.rs"), "{human:?}");
    assert_eq!(desk.run("who zzzzzz").data()["people"], json!([]));
}

#[test]
fn count_agrees_with_the_list() {
    let desk = Desk::with_mirror();
    for filter in ["", "--state open", "--label bug", "--after 2024-03-01"] {
        for (kind, list) in [("issues", "issues"), ("mrs", "mrs")] {
            let total = desk.run(&format!("count {kind} {filter}")).data()["total"].clone();
            let listed = desk.run(&format!("{list} {filter}")).envelope()["meta"]["total"].clone();
            assert_eq!(total, listed, "{kind} {filter}");
        }
    }
    let all = desk.run("count --by state").data();
    let sum: u64 = all["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["count"].as_u64().unwrap())
        .sum();
    assert_eq!(all["total"], sum);
    assert_eq!(desk.run("count").data(), json!({"total": all["total"], "groups": []}));
    let first = desk.run("count --by author -n 1").envelope();
    assert_eq!(
        (
            first["data"]["groups"].as_array().unwrap().len(),
            &first["meta"]["next_offset"]
        ),
        (1, &json!(1))
    );
    assert_eq!(
        desk.run("count mrs --state merged").data()["total"],
        desk.run("count --state merged").data()["total"]
    );
    assert_eq!(desk.run("count --human").stdout.trim(), all["total"].to_string());
}

#[test]
fn a_number_of_the_other_kind_is_told_with_its_project_and_moment() {
    let desk = Desk::with_mirror();
    let only = "SELECT max(iid) FROM issues WHERE iid NOT IN (SELECT iid FROM merge_requests)";
    let iid = number(&desk, only);
    let actions = desk.run(&format!("show mr {iid}")).error()["actions"].clone();
    let action = format!("annals show issue {iid} -p annals-sample/tidewater");
    assert!(actions.as_array().unwrap().contains(&action.into()), "{actions}");
    let error = desk.run(&format!("show mr {iid} --as-of 1d")).error();
    assert!(error["actions"].to_string().contains(" --as-of=2"), "{error}");
}
