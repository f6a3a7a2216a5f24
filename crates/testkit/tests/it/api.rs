//! The simulated API on its own: what it lists, how it pages, what it refuses.

use crate::common::{get, json, next_link, pages, project, rows};
use annals_core::EntityKind;
use annals_testkit::forge::calendar::stamp;
use annals_testkit::forge::gitlab::{Etags, RateHeaders, answer};
use annals_testkit::forge::model::{Section, expected_counts, expected_dump};
use annals_testkit::forge::state::Order;
use annals_testkit::forge::{Access, GenSpec, Key, Keyset, Policy, Request, SAMPLE_PATH, State, Viewer, sample};
use serde_json::Value;

fn small() -> State {
    State::generated(GenSpec::new(11).sized(230, 120))
}

fn iids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["iid"].as_i64().unwrap()).collect()
}

#[test]
fn a_seed_names_one_project_byte_for_byte() {
    let dump = |seed| expected_dump(&State::generated(GenSpec::new(seed).sized(60, 40)));
    assert_eq!(dump(5), dump(5));
    assert_ne!(dump(5), dump(6));
    let spec = || GenSpec::new(5).sized(60, 40);
    let whole = get(
        &State::generated(spec()),
        &Policy::default(),
        "/api/v4/projects/4200017/issues?per_page=100",
    );
    let again = get(
        &State::generated(spec()),
        &Policy::default(),
        "/api/v4/projects/4200017/issues?per_page=100",
    );
    assert_eq!(whole, again);
}

#[test]
fn every_part_of_the_model_is_there_and_odd_text_is_in_it() {
    let state = State::generated(GenSpec::new(1).sized(600, 400));
    for (section, count) in expected_counts(&state, Viewer::Member) {
        assert!(count > 0, "{section:?} is empty");
    }
    let dump = expected_dump(&state);
    for needle in [
        "検索",
        "🎉",
        "\u{202e}",
        "\\u001b[31m",
        "\"ghost\"",
        "\"bot\"",
        "\\r\\n",
        "truncated",
        "\"renamed\"",
        "\"mode\"",
    ] {
        assert!(dump.contains(needle), "no {needle:?}");
    }
    // Some sets do not fit a page.
    let long = |key| state.entity(key).unwrap().thread.discussions.len() > 100;
    assert!(state.keys().any(long));
    let wide = |key| {
        state
            .entity(key)
            .unwrap()
            .thread
            .versions
            .last()
            .is_some_and(|version| version.files.len() > 100)
    };
    assert!(state.keys().any(wide));
    // Some entities were changed in the same millisecond.
    let sorted = state.list(EntityKind::Issue).sorted(Order::Updated);
    assert!(
        sorted
            .windows(2)
            .any(|pair| pair[0].at(Order::Updated) == pair[1].at(Order::Updated))
    );
}

#[test]
fn nothing_is_dated_outside_the_project() {
    let spec = GenSpec::new(3).sized(200, 150);
    let (start, end) = (spec.start, spec.end());
    let state = State::generated(spec);
    for key in state.keys() {
        let entity = state.entity(key).unwrap();
        let (first, last) = (entity.head.created_at, entity.head.updated_at);
        assert!(start <= first && first <= last && last <= end, "{key:?}");
        for note in entity.thread.discussions.iter().flat_map(|d| &d.notes) {
            assert!(
                first <= note.created_at && note.created_at <= note.updated_at && note.updated_at <= last,
                "{key:?}"
            );
        }
    }
    assert!(state.now() > end);
}

#[test]
fn walking_pages_gives_every_row_once_by_offset_and_by_keyset() {
    let (state, policy) = (small(), Policy::default());
    for list in ["issues", "merge_requests"] {
        let kind = if list == "issues" {
            EntityKind::Issue
        } else {
            EntityKind::MergeRequest
        };
        let expected: Vec<i64> = state
            .list(kind)
            .sorted(Order::Updated)
            .iter()
            .map(|slot| slot.iid())
            .collect();
        for size in [1, 7, 100] {
            for keyset in ["", "&pagination=keyset"] {
                let query = format!("scope=all&state=all&order_by=updated_at&per_page={size}{keyset}");
                let target = format!("{}/{list}?{query}", project(&state));
                let up = rows(&state, &policy, &format!("{target}&sort=asc"));
                assert_eq!(iids(&up), expected, "{target}");
                let mut down = iids(&rows(&state, &policy, &format!("{target}&sort=desc")));
                down.reverse();
                assert_eq!(down, expected, "{target}");
            }
        }
    }
}

#[test]
fn a_lower_bound_is_inclusive_and_needs_no_other_page() {
    let (state, policy) = (small(), Policy::default());
    let sorted = state.list(EntityKind::Issue).sorted(Order::Updated);
    let bound = sorted[100].at(Order::Updated);
    let expected: Vec<i64> = sorted
        .iter()
        .filter(|slot| slot.at(Order::Updated) >= bound)
        .map(|slot| slot.iid())
        .collect();
    for zone in ["Z", "%2B00:00"] {
        let time = stamp(bound).replace('Z', zone);
        let target = format!(
            "{}/issues?order_by=updated_at&sort=asc&updated_after={time}&per_page=50",
            project(&state)
        );
        assert_eq!(iids(&rows(&state, &policy, &target)), expected);
    }
}

#[test]
fn filters_select_by_state_time_and_number() {
    let (state, policy) = (small(), Policy::default());
    let api = project(&state);
    let opened = rows(&state, &policy, &format!("{api}/issues?state=opened&per_page=100"));
    let closed = rows(&state, &policy, &format!("{api}/issues?state=closed&per_page=100"));
    assert_eq!(opened.len() + closed.len(), 230);
    assert!(opened.iter().all(|row| row["state"] == "opened"));
    let two = rows(
        &state,
        &policy,
        &format!("{api}/issues?iids%5B%5D=3&iids%5B%5D=5&sort=asc"),
    );
    assert_eq!(iids(&two), [3, 5]);
    assert!(rows(&state, &policy, &format!("{api}/issues?scope=created_by_me")).is_empty());
}

#[test]
fn paging_headers_say_where_one_is() {
    let (state, policy) = (small(), Policy::default());
    let reply = get(
        &state,
        &policy,
        &format!("{}/issues?per_page=100&page=2", project(&state)),
    );
    for (name, value) in [
        ("x-page", "2"),
        ("x-per-page", "100"),
        ("x-total", "230"),
        ("x-total-pages", "3"),
        ("x-next-page", "3"),
        ("x-prev-page", "1"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let link = reply.header("link").unwrap();
    for relation in ["first", "prev", "next", "last"] {
        assert!(link.contains(&format!("rel=\"{relation}\"")), "{relation} in {link}");
    }
    let last = get(
        &state,
        &policy,
        &format!("{}/issues?per_page=100&page=3", project(&state)),
    );
    assert_eq!(last.header("x-next-page"), Some(""));
    assert_eq!(next_link(&last), None);
    let beyond = json(
        &state,
        &policy,
        &format!("{}/issues?per_page=100&page=9", project(&state)),
    );
    assert_eq!(beyond, Value::Array(Vec::new()));
}

#[test]
fn large_lists_have_no_totals_and_a_largest_page_number() {
    let state = State::generated(GenSpec::new(2).sized(1300, 0));
    let policy = Policy {
        totals_up_to: 1000,
        offsets_up_to: 500,
        ..Policy::default()
    };
    let api = project(&state);
    let reply = get(&state, &policy, &format!("{api}/issues?per_page=100"));
    assert_eq!(
        (reply.header("x-total"), reply.header("x-next-page")),
        (None, Some("2"))
    );
    assert!(!reply.header("link").unwrap().contains("rel=\"last\""));
    assert_eq!(
        get(&state, &policy, &format!("{api}/issues?per_page=100&page=5")).status,
        200
    );
    assert_eq!(
        get(&state, &policy, &format!("{api}/issues?per_page=100&page=6")).status,
        405
    );
    let all = pages(
        &state,
        &policy,
        &format!("{api}/issues?per_page=100&pagination=keyset&order_by=updated_at&sort=asc"),
    );
    assert_eq!(all.concat().len(), 1300);
}

#[test]
fn keyset_can_be_ignored_or_refused() {
    let state = small();
    let target = format!("{}/issues?pagination=keyset", project(&state));
    let ignoring = Policy {
        keyset: Keyset::Ignored,
        ..Policy::default()
    };
    assert_eq!(get(&state, &ignoring, &target).header("x-page"), Some("1"));
    let refusing = Policy {
        keyset: Keyset::Refused,
        ..Policy::default()
    };
    assert_eq!(get(&state, &refusing, &target).status, 405);
}

#[test]
fn bad_parameters_are_named() {
    let state = small();
    for query in [
        "page=0",
        "page=x",
        "per_page=0",
        "per_page=x",
        "order_by=mood",
        "sort=up",
        "state=odd",
        "scope=mine",
        "updated_after=soon",
        "pagination=keyset&cursor=zz",
    ] {
        let reply = get(
            &state,
            &Policy::default(),
            &format!("{}/issues?{query}", project(&state)),
        );
        assert_eq!(reply.status, 400, "{query}");
        assert!(String::from_utf8(reply.body).unwrap().contains("\"error\""), "{query}");
    }
}

#[test]
fn an_unchanged_answer_is_not_sent_again() {
    let (mut state, policy) = (small(), Policy::default());
    let target = format!("{}/issues/5/discussions?per_page=100", project(&state));
    let etag = get(&state, &policy, &target).header("etag").unwrap().to_owned();
    let asked = |state: &State| answer(state, &policy, &Request::get(&target).with("If-None-Match", &etag));
    let same = asked(&state);
    assert_eq!(
        (same.status, same.body.len(), same.header("etag")),
        (304, 0, Some(etag.as_str()))
    );
    state.touch(Key::issue(5));
    assert_eq!(asked(&state).status, 304, "the discussions did not change");
    state.add_note(Key::issue(5), 3, "Now they did.");
    assert_eq!(asked(&state).status, 200);
    let silent = Policy {
        etags: Etags::Left,
        ..Policy::default()
    };
    assert_eq!(get(&state, &silent, &target).header("etag"), None);
}

#[test]
fn the_date_is_never_before_what_it_dates() {
    let mut state = small();
    state.touch(Key::mr(1));
    let row = json(
        &state,
        &Policy::default(),
        &format!("{}/merge_requests/1", project(&state)),
    );
    assert_eq!(row["updated_at"], stamp(state.now()));
    let list = format!("{}/merge_requests?order_by=updated_at&per_page=1", project(&state));
    assert_eq!(iids(&rows(&state, &Policy::default(), &list))[0], 1);
}

#[test]
fn who_asks_decides_what_is_seen() {
    let state = small();
    let api = project(&state);
    let closed = Policy {
        access: Access::TokenRequired("right".to_owned()),
        ..Policy::default()
    };
    let ask = |name: &str, value: &str| answer(&state, &closed, &Request::get(&api).with(name, value)).status;
    assert_eq!(get(&state, &closed, &api).status, 401);
    assert_eq!(ask("PRIVATE-TOKEN", "wrong"), 401);
    assert_eq!(ask("PRIVATE-TOKEN", "right"), 200);
    assert_eq!(ask("Authorization", "Bearer right"), 200);
    let half = Policy {
        access: Access::TokenForMembers("right".to_owned()),
        ..Policy::default()
    };
    assert_eq!(get(&state, &half, "/api/v4/user").status, 401);
    assert_eq!(get(&state, &half, &api).status, 200);
}

#[test]
fn what_is_not_there_is_404_and_writes_are_405() {
    let mut state = small();
    let (api, policy) = (project(&state), Policy::default());
    for (target, text) in [
        ("/api/v4/projects/1", "404 Project Not Found"),
        ("/api/v4/projects/nobody%2Fnothing", "404 Project Not Found"),
        (&format!("{api}/issues/9999"), "404 Issue Not Found"),
        (
            &format!("{api}/merge_requests/9999/discussions"),
            "404 Merge Request Not Found",
        ),
        (&format!("{api}/wikis"), "404 Not Found"),
        ("/", "404 Not Found"),
    ] {
        let reply = get(&state, &policy, target);
        assert_eq!(reply.status, 404, "{target}");
        assert_eq!(
            serde_json::from_slice::<Value>(&reply.body).unwrap()["message"],
            text,
            "{target}"
        );
    }
    state.delete(Key::issue(5));
    assert_eq!(get(&state, &policy, &format!("{api}/issues/5")).status, 404);
    assert_eq!(rows(&state, &policy, &format!("{api}/issues?per_page=100")).len(), 229);
    let post = Request {
        method: "POST".to_owned(),
        ..Request::get(&format!("{api}/issues"))
    };
    assert_eq!(answer(&state, &policy, &post).status, 405);
    let head = Request {
        method: "HEAD".to_owned(),
        ..Request::get(&api)
    };
    let reply = answer(&state, &policy, &head);
    assert!(reply.status == 200 && reply.body.is_empty() && reply.hidden_length.is_some_and(|length| length > 100));
}

#[test]
fn a_renamed_project_redirects_from_its_old_path() {
    let mut state = small();
    state.rename_project("annals-sample/renamed");
    let reply = get(
        &state,
        &Policy::default(),
        "/api/v4/projects/annals-sample%2Fgenerated/issues?page=2",
    );
    assert_eq!(reply.status, 301);
    assert_eq!(
        reply.header("location"),
        Some("http://forge.example/api/v4/projects/4200017/issues?page=2")
    );
    assert_eq!(
        get(&state, &Policy::default(), "/api/v4/projects/Annals-Sample%2FRenamed").status,
        200
    );
}

#[test]
fn a_forge_can_live_under_a_path() {
    let state = small();
    let policy = Policy {
        base_path: "/forge".to_owned(),
        ..Policy::default()
    };
    assert_eq!(get(&state, &policy, "/api/v4/version").status, 404);
    assert_eq!(json(&state, &policy, "/forge/api/v4/version")["version"], "18.5.0");
    assert_eq!(
        rows(
            &state,
            &policy,
            &format!("/forge{}/issues?per_page=100", project(&state))
        )
        .len(),
        230
    );
}

#[test]
fn rate_headers_say_what_they_are_told() {
    let state = small();
    let policy = Policy {
        rate: Some(RateHeaders {
            limit: 10,
            remaining: 1,
            resets_in_s: 30,
        }),
        ..Policy::default()
    };
    let reply = get(&state, &policy, "/api/v4/version");
    assert_eq!(reply.header("ratelimit-remaining"), Some("1"));
    assert_eq!(
        reply.header("ratelimit-reset").unwrap(),
        (state.now().0 / 1000 + 30).to_string()
    );
}

#[test]
fn a_hundred_thousand_entities_cost_a_few_numbers_each() {
    let state = State::generated(GenSpec::new(8).sized(80_000, 20_000));
    let policy = Policy::default();
    let api = project(&state);
    let last = format!("{api}/issues?per_page=100&order_by=updated_at&sort=desc&pagination=keyset");
    assert_eq!(json(&state, &policy, &last).as_array().unwrap().len(), 100);
    assert_eq!(json(&state, &policy, &format!("{api}/issues/80000"))["iid"], 80_000);
    assert!(json(&state, &policy, &format!("{api}/merge_requests/20000"))["diff_refs"]["head_sha"].is_string());
    // What the list says of an entity is what its own page says.
    let row = &json(&state, &policy, &format!("{api}/issues?iids%5B%5D=4321"))[0];
    assert_eq!(row, &json(&state, &policy, &format!("{api}/issues/4321")));
}

#[test]
fn the_sample_tells_of_a_cutover_race_and_of_a_renamed_file() {
    let state = sample().unwrap();
    assert_eq!(state.project().path, SAMPLE_PATH);
    let counts = expected_counts(&state, Viewer::Member);
    assert_eq!((counts[&Section::Issues], counts[&Section::MergeRequests]), (40, 25));
    assert!(counts[&Section::Notes] > 200, "{counts:?}");
    let dump = expected_dump(&state);
    for needle in [
        "Cutover race: a query can see two generations",
        "src/index/swap.rs\",\"src/cutover.rs\",\"renamed\"",
        "src/cutover.rs\",\"src/cutover/mod.rs\",\"renamed\"",
        "日本語の検索",
        "نتائج",
    ] {
        assert!(dump.contains(needle), "no {needle:?}");
    }
}

#[test]
fn the_sample_is_in_order() {
    let state = sample().unwrap();
    for kind in [EntityKind::Issue, EntityKind::MergeRequest] {
        let created: Vec<_> = state
            .list(kind)
            .by_number()
            .map(|slot| (slot.iid(), slot.at(Order::Created)))
            .collect();
        for pair in created.windows(2) {
            assert!(
                pair[0].1 < pair[1].1,
                "{kind:?} {} comes after {}",
                pair[0].0,
                pair[1].0
            );
        }
        assert_eq!(
            created.last().unwrap().0,
            created.len() as i64,
            "{kind:?} numbers have no gaps"
        );
    }
    for key in state.keys() {
        let entity = state.entity(key).unwrap();
        assert!(entity.head.updated_at < state.now(), "{key:?}");
        let text = entity.head.body.as_deref().unwrap_or_default();
        assert!(!text.starts_with('\n') && !text.ends_with('\n'), "{key:?}");
        for note in entity.thread.discussions.iter().flat_map(|d| &d.notes) {
            assert!(!note.body.is_empty(), "{key:?} has an empty note");
        }
        for iid in &entity.thread.closes {
            let issue = state.head(Key::issue(*iid)).unwrap();
            assert!(
                issue.created_at < entity.head.created_at,
                "{key:?} closes a later issue"
            );
            let (merged, closed) = (entity.head.merge.as_ref().unwrap().merged_at, issue.closed_at);
            if let (Some(merged), Some(closed)) = (merged, closed) {
                assert!(
                    (merged.0 - closed.0).abs() <= 86_400_000,
                    "{key:?} and #{iid} end days apart"
                );
            }
        }
    }
}
