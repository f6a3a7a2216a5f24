//! What was, and what was said: `--as-of`, `notes`, and what differs between revisions.

use serde_json::{Value, json};

use crate::support::Desk;

/// The commands that answer from the past.
const TAKE_AS_OF: &[&str] = &[
    "show 1 --as-of 2024-03-01",
    "issues --as-of 2024-03-01",
    "mrs --as-of 2024-03-01",
    "notes --as-of 2024-03-01",
    "search cutover --as-of 2024-03-01",
    "count --as-of 2024-03-01",
    "timeline --as-of 2024-03-01",
    "who 1 --as-of 2024-03-01",
    "file-history src/cutover.rs --as-of 2024-03-01",
];

#[test]
fn commands_about_the_past_say_as_of_when_they_answer() {
    let desk = Desk::with_mirror();
    for line in TAKE_AS_OF {
        let meta = desk.run(line).envelope()["meta"].clone();
        assert_eq!(meta["as_of"], "2024-03-01T23:59:59.999Z", "{line}");
    }
    let berlin = desk.run("issues --as-of 2024-03-01 --tz Europe/Berlin").envelope();
    assert_eq!(berlin["meta"]["as_of"], "2024-03-01T22:59:59.999Z");
    assert!(desk.run("issues").envelope()["meta"].get("as_of").is_none());
    for line in [
        "projects",
        "sync-runs",
        "doctor",
        "version",
        "explain usage",
        "migrate --check",
    ] {
        let error = desk.run(&format!("{line} --as-of 2024-03-01")).error();
        assert_eq!(error["code"], "usage", "{line}");
        assert!(error["message"].as_str().unwrap().contains("has no --as-of"), "{error}");
    }
}

#[test]
fn a_moment_that_has_not_come_is_refused() {
    let desk = Desk::with_mirror();
    for (when, said) in [
        ("2999-01-01", "has not come yet"),
        ("2999-01-01T12:00Z", "has not come yet"),
        ("yesterday", "is not a time"),
        ("", "is not a time"),
        ("7", "is not a time"),
    ] {
        let error = desk.run_words(["issues", "--as-of", when]).error();
        assert_eq!(error["code"], "usage", "{when}");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        assert!(error["suggestion"].is_string(), "{error}");
    }
}

#[test]
fn lists_are_those_of_then() {
    let desk = Desk::with_mirror();
    let all = desk.run("issues -n 500 --sort iid --asc").envelope();
    let then = desk.run("issues -n 500 --sort iid --asc --as-of 2024-02-15").envelope();
    let created_by = |item: &&Value| item["created_at"].as_str().unwrap() <= "2024-02-15T23:59:59.999Z";
    let numbers = |items: Vec<&Value>| -> Vec<i64> { items.iter().map(|item| item["iid"].as_i64().unwrap()).collect() };
    let expected = numbers(
        all["data"]["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(created_by)
            .collect(),
    );
    let items = then["data"]["items"].as_array().unwrap();
    assert!(!expected.is_empty() && expected.len() < all["data"]["items"].as_array().unwrap().len());
    assert_eq!(numbers(items.iter().collect()), expected);
    assert_eq!(then["meta"]["total"], expected.len());
    for item in items {
        assert!(
            ["recorded", "derived"].contains(&item["certainty"].as_str().unwrap()),
            "{item}"
        );
        assert!(
            item["updated_at"].as_str().unwrap() <= "2024-02-15T23:59:59.999Z",
            "{item}"
        );
    }
    // Closed since, by the forge's events.
    let closed_since = items.iter().filter(|item| item["certainty"] == "derived");
    assert!(closed_since.count() > 0);
    let closed = all["data"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| {
            item["state"] == "closed"
                && item["created_at"].as_str() <= Some("2024-02-15")
                && item["closed_at"].as_str() > Some("2024-02-16")
        })
        .expect("one that was closed since");
    assert!(
        items
            .iter()
            .any(|item| item["iid"] == closed["iid"] && item["state"] == "open"),
        "{closed}"
    );
    for state in ["open", "closed"] {
        let listed = desk
            .run(&format!("issues --state {state} --as-of 2024-02-15"))
            .envelope();
        let counted = desk
            .run(&format!("count issues --state {state} --as-of 2024-02-15"))
            .envelope();
        assert_eq!(listed["meta"]["total"], counted["data"]["total"], "{state}");
    }
    let human = desk.run("issues --as-of 2024-02-15 --human");
    assert!(
        human.stdout.contains("\nas of 2024-02-15 23:59:59 UTC ("),
        "{}",
        human.stdout
    );
    assert!(human.stdout.contains("first seen, later"), "{}", human.stdout);
    // What is typed again keeps the moment.
    desk.sql("INSERT INTO projects (id, forge_id, native_id, path, path_folded, title, archived, tracked, state, changed_seq)
              SELECT 9, forge_id, 'n9', 'other/tidewater', 'other/tidewater', 't', 0, 1, 'active', 0 FROM projects LIMIT 1");
    let actions = desk.run("issues -p tidewater --as-of 2024-02-15").error()["actions"].to_string();
    assert!(
        actions.contains("annals issues -p other/tidewater --as-of=2024-02-15"),
        "{actions}"
    );
}

#[test]
fn one_entity_is_as_it_was_or_was_not() {
    let desk = Desk::with_mirror();
    let now = desk.run("show 12").data();
    let created = now["entity"]["created_at"].as_str().unwrap().to_owned();
    assert_eq!(now["as_of"], Value::Null);
    let then = desk.run(&format!("show 12 --discussions --as-of {created}")).data();
    assert_eq!(
        then["as_of"],
        json!({"at": created, "certainty": "derived", "text_recorded": false})
    );
    assert_eq!(
        (&then["entity"]["state"], &then["discussions"]),
        (&"open".into(), &json!([]))
    );
    assert!(then["entity"].get("certainty").is_none(), "said once");
    let human = desk.run(&format!("show 12 --as-of {created} --human"));
    assert!(human.stdout.contains("before it was first seen"), "{}", human.stdout);

    let error = desk.run("show 12 --as-of 2000-01-01").error();
    assert_eq!(error["code"], "not_found");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("had no issue 12 as of 2000-01-01 23:59:59 UTC: it was opened")
    );
    let action = error["actions"][0].as_str().unwrap();
    assert!(
        action.starts_with("annals show issue 12 -p annals-sample/tidewater"),
        "{action}"
    );
    let words = action.strip_prefix("annals ").unwrap();
    assert_eq!(desk.run(words).code, 0);

    let at = |revisions: &Value, index: usize| revisions[index]["valid_from"].as_str().unwrap().to_owned();
    let shown = desk.run("show !4 --revisions").data();
    assert!(shown["revisions"].as_array().unwrap().len() > 1, "{shown}");
    let first = at(&shown["revisions"], 0);
    let mr = desk.run(&format!("show !4 --revisions --as-of {first}")).data();
    assert_eq!(mr["as_of"]["certainty"], "recorded");
    assert!(
        mr["revisions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|revision| revision["valid_from"] == first.as_str())
    );
}

#[test]
fn every_answer_of_then_says_how_sure_it_is() {
    let desk = Desk::with_mirror();
    for line in [
        "count issues",
        "timeline",
        "who 12",
        "file-history src/cutover.rs --discussions",
        "search cutover",
    ] {
        let now = desk.run(line).envelope();
        assert!(now["meta"].get("derived").is_none(), "{line}");
        let created = desk.run("show 12").data()["entity"]["created_at"].clone();
        let then = format!("{line} --as-of {}", created.as_str().unwrap());
        assert!(desk.run(&then).envelope()["meta"]["derived"].is_u64(), "{then}");
        let human = desk.run(&format!("{then} --human")).stdout;
        assert!(human.contains("as of "), "{human}");
    }
    let count = desk.run("count issues --as-of 2024-02-15").envelope();
    let items = desk.run("issues -n 500 --as-of 2024-02-15").data()["items"].clone();
    let seen_later = items
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["certainty"] == "derived");
    assert_eq!(count["meta"]["derived"], seen_later.count());
}

#[test]
fn what_was_not_there_has_no_timeline_and_no_experts() {
    let desk = Desk::with_mirror();
    for command in ["show", "timeline", "who"] {
        let error = desk.run(&format!("{command} 12 --as-of 2000-01-01")).error();
        assert_eq!(error["code"], "not_found", "{command}");
        assert!(
            error["message"].as_str().unwrap().contains("as of 2000-01-01"),
            "{error}"
        );
    }
}

#[test]
fn ages_in_filters_count_back_from_the_moment() {
    let desk = Desk::with_mirror();
    let newest = desk.run("issues --sort created -n 1 --as-of 2024-03-01").data()["items"][0].clone();
    let created = newest["created_at"].as_str().unwrap();
    let (iid, total) = (newest["iid"].as_i64().unwrap(), |line: String| {
        desk.run(&line).envelope()["meta"]["total"].as_u64().unwrap()
    });
    for line in [
        "issues --after 1d".to_owned(),
        format!("timeline {iid} --after 1d"),
        format!("who {iid} --after 1d"),
    ] {
        assert!(total(format!("{line} --as-of {created}")) > 0, "{line}");
    }
    let count = desk.run(&format!("count issues --after 1d --as-of {created}")).data();
    assert!(count["total"].as_u64().unwrap() > 0);
    let note = desk.run("notes --sort created -n 1").data()["notes"][0].clone();
    let said = note["created_at"].as_str().unwrap();
    assert!(total(format!("notes --after 1d --as-of {said}")) > 0);
}

#[test]
fn what_differs_between_revisions_and_what_the_forge_sent_are_shown() {
    let desk = Desk::with_mirror();
    let data = desk.run("show !4 --diff 1..2 --raw").data();
    assert_eq!((&data["diff"]["from"], &data["diff"]["to"]), (&1.into(), &2.into()));
    let change = &data["diff"]["changes"][0];
    assert_eq!(
        (&change["field"], &change["before"]),
        (&"base_oid".into(), &Value::Null)
    );
    assert!(data["raw"].to_string().contains("\"iid\":4"), "{}", data["raw"]);
    let plain = desk.run("show !4").data();
    assert_eq!((&plain["diff"], &plain["raw"]), (&Value::Null, &Value::Null));
    let human = desk.run("show !4 --diff 1..2 --human").stdout;
    assert!(human.contains("Revision 1 to 2\nbase_oid\n+ "), "{human}");
    let error = desk.run("show !4 --diff 1..99").error();
    assert_eq!(error["code"], "not_found");
    assert!(
        error["message"].as_str().unwrap().contains("the newest is 2"),
        "{error}"
    );
    for bad in ["1", "a..b", "0..1", "1..", "1...2"] {
        assert_eq!(
            desk.run_words(["show", "!4", "--diff", bad]).code_of_error(),
            "usage",
            "{bad}"
        );
    }
    assert_eq!(desk.run("issues --raw").code_of_error(), "usage");
}

#[test]
fn notes_are_listed_by_what_they_are_and_what_they_are_under() {
    let desk = Desk::with_mirror();
    let all = desk.run("notes -n 500").envelope();
    let total = all["meta"]["total"].as_u64().unwrap();
    let notes = all["data"]["notes"].as_array().unwrap();
    assert_eq!(notes.len() as u64, total);
    assert!(notes.iter().all(|note| note["system"] == false));
    assert!(
        notes
            .windows(2)
            .all(|pair| pair[0]["updated_at"].as_str() >= pair[1]["updated_at"].as_str())
    );
    let count = |line: &str| desk.run(line).envelope()["meta"]["total"].as_u64().unwrap();
    assert!(count("notes --system") > total);
    let discussions = desk.run("show 12 --discussions").data()["discussions"].clone();
    let under_12 = discussions
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|thread| thread["notes"].as_array().unwrap());
    assert_eq!(count("notes --issue 12 --system"), under_12.count() as u64);
    let author = notes[0]["author"].as_str().unwrap();
    let by = notes.iter().filter(|note| note["author"] == author).count() as u64;
    assert_eq!(count(&format!("notes --author {author}")), by);
    let on_path = desk.run("notes --path src/ -n 500").data();
    let positions = notes.iter().filter(|note| {
        let place = &note["position"];
        [&place["old_path"], &place["new_path"]]
            .iter()
            .any(|path| path.as_str().is_some_and(|path| path.starts_with("src/")))
    });
    assert_eq!(on_path["notes"].as_array().unwrap().len(), positions.count());
    let (resolved, waiting) = (count("notes --resolved"), count("notes --unresolved"));
    assert!(resolved + waiting <= total && resolved > 0);
    assert!(count("notes --state merged") > 0);
    assert!(count("notes --as-of 2024-02-15") < total);
    let page = desk.run("notes -n 2 --offset 1").envelope();
    assert_eq!(page["meta"]["next_offset"], 3);
    assert_eq!(page["data"]["notes"][0]["id"], notes[1]["id"]);

    let human = desk.run("notes --issue 12 --human").stdout;
    assert!(human.starts_with("annals-sample/tidewater#12  Cutover race"), "{human}");
    assert_eq!(human.matches("annals-sample/tidewater#12").count(), 1, "{human}");
    for (line, code) in [
        ("notes --issue 9999", "not_found"),
        ("notes --issue 0", "usage"),
        ("notes --issue 1 --mr 1", "usage"),
        ("notes --resolved --unresolved", "usage"),
        ("notes --after yesterday", "usage"),
        ("notes -p no/such", "not_found"),
    ] {
        assert_eq!(desk.run(line).code_of_error(), code, "{line}");
    }
    let error = desk.run("notes --issue 12 --as-of 2000-01-01").error();
    assert!(
        error["message"].as_str().unwrap().contains("as of 2000-01-01"),
        "{error}"
    );
}
