//! What a search returns: exactly what matches, in one order, counted exactly, and nothing the reader may not see.

use std::collections::BTreeSet;

use crate::support::{
    DAY, Mirror, NOW, ada, bob, diff_note, discussion, issue, labels, merge_request, milestone, note, reviewer, sorted,
    user,
};
use annals_core::{ProjectId, UnixMs};
use annals_db::Visibility;
use annals_db::content::UserIn;
use annals_db::ids::{State, UserKind};
use annals_db::read::{Confidential, VisibleProjects};
use annals_search::answer::{Facet, SearchRequest};
use annals_search::query;

/// Two issues, two merge requests and two discussions with something of everything.
fn small() -> Mirror {
    let mirror = Mirror::new();
    let mut one = issue(1, "Cutover race", "The cutover races with the writer. Café société.");
    one.labels = labels(&["bug", "backend"]);
    one.milestone = Some(milestone("Version 2"));
    one.assignees = vec![bob()];
    let one = mirror.issue(&one);
    let mut two = issue(2, "数据库迁移失败", "修复数据库问题 after the cutover");
    two.state = State::Closed;
    two.author = Some(bob());
    mirror.issue(&two);
    let mut three = merge_request(3, "Fix the race", "Takes the lock first.");
    three.entity.state = State::Merged;
    three.entity.labels = labels(&["Bug"]);
    three.reviewers = vec![reviewer(bob())];
    let three = mirror.merge_request(&three);
    mirror.change_files(
        three,
        &[("src/lock.rs", "src/lock.rs"), ("src/old_name.rs", "src/new/name.rs")],
    );
    let mut four = merge_request(4, "Rename things", "");
    four.draft = true;
    four.entity.author = Some(UserIn {
        kind: UserKind::Bot,
        ..user("robot", "Robot")
    });
    let four = mirror.merge_request(&four);
    mirror.change_files(four, &[("docs/[id].md", "docs/[id].md")]);
    mirror.discuss(
        one,
        vec![discussion(
            "d1",
            vec![note("11", bob(), "I saw a race too, in the writer.")],
        )],
    );
    let mut review = discussion(
        "d2",
        vec![diff_note("21", ada(), "Why not sooner?", "src/was.rs", "src/lock.rs")],
    );
    review.resolvable = true;
    mirror.discuss(three, vec![review]);
    mirror.drain();
    mirror
}

#[test]
fn words_phrases_prefixes_and_negation() {
    let mirror = small();
    for (query, found) in [
        ("cutover", "#1 #2"),
        ("race writer", "#1 ~#1"),
        ("writer race", "#1 ~#1"),
        ("\"cutover races\"", "#1"),
        ("\"races cutover\"", ""),
        ("cut*", "#1 #2"),
        ("\"the cut\"", ""),
        ("rac* -writer", "!3"),
        ("race -\"the writer\"", "!3"),
        ("race -kind:mr", "#1 ~#1"),
        ("cutover -race", "#2"),
        ("-race -rename -label:none", "~!3"),
        ("nosuchword", ""),
        ("lock first", "!3"),
        // Words may stand in different fields, a phrase may not.
        ("fix lock", "!3"),
        ("\"race takes\"", ""),
        ("@bob", "#2 ~#1"),
        ("feature-4", "!4"),
    ] {
        assert_eq!(mirror.found(query), sorted(found), "{query}");
    }
}

#[test]
fn filters_mean_what_they_say() {
    let mirror = small();
    for (query, found) in [
        ("", "#1 #2 ~#1 ~!3 !3 !4"),
        ("project:group/app", "#1 #2 ~#1 ~!3 !3 !4"),
        ("project:GROUP/*", "#1 #2 ~#1 ~!3 !3 !4"),
        ("project:group/", "#1 #2 ~#1 ~!3 !3 !4"),
        ("project:other/app", ""),
        ("-project:group/app", ""),
        ("forge:gitlab.example kind:issue", "#1 #2"),
        ("forge:elsewhere", ""),
        ("kind:mr", "!3 !4"),
        ("kind:issue,discussion", "#1 #2 ~#1 ~!3"),
        ("kind:commit", ""),
        ("author:ada", "#1 ~!3 !3"),
        ("author:BOB", "#2 ~#1"),
        ("author:ada,bob -kind:discussion", "#1 #2 !3"),
        ("author:ada author:bob", ""),
        ("author:none", ""),
        ("author:any kind:issue", "#1 #2"),
        ("assignee:bob", "#1 ~#1"),
        ("assignee:none kind:issue", "#2"),
        ("assignee:any", "#1 ~#1"),
        ("reviewer:bob", "~!3 !3"),
        ("reviewer:none", "!4"),
        ("-reviewer:any", "#1 #2 ~#1 !4"),
        ("label:bug", "#1 ~#1 ~!3 !3"),
        ("label:bug label:backend", "#1 ~#1"),
        ("label:backend,nosuch", "#1 ~#1"),
        ("label:none", "#2 !4"),
        ("label:any -kind:discussion", "#1 !3"),
        ("-label:bug", "#2 !4"),
        ("milestone:\"version 2\"", "#1 ~#1"),
        ("milestone:none kind:issue", "#2"),
        ("milestone:any", "#1 ~#1"),
        ("state:closed", "#2"),
        ("state:merged", "~!3 !3"),
        ("state:closed,merged", "#2 ~!3 !3"),
        ("-state:open", "#2 ~!3 !3"),
        ("after:36h", "#1"),
        ("after:2d", "#1 #2 ~#1 ~!3"),
        ("before:2d", "!3 !4"),
        ("created-after:29d", "~#1 ~!3"),
        ("created-before:29d after:36h", "#1"),
        ("is:draft", "!4"),
        ("is:bot", "!4"),
        ("is:unresolved", "~!3"),
        ("is:resolved", ""),
        ("is:draft,unresolved", "~!3 !4"),
        ("-is:bot kind:mr", "!3"),
        ("is:confidential", ""),
        ("race label:bug state:open", "#1 ~#1"),
    ] {
        assert_eq!(mirror.found(query), sorted(found), "{query}");
    }
}

#[test]
fn a_query_without_words_lists_the_newest_first() {
    let mirror = small();
    let shown = |query: &str| {
        mirror
            .search(query)
            .hits
            .into_iter()
            .map(|hit| hit.reference)
            .collect::<Vec<_>>()
    };
    // #2 and both discussions changed at one time: their keys decide.
    let order = [
        "group/app#1",
        "group/app#1",
        "group/app!3",
        "group/app#2",
        "group/app!3",
        "group/app!4",
    ];
    assert_eq!(shown(""), order);
    assert_eq!(shown("-nosuchword"), order);
    assert!(mirror.search("-nosuchword").hits.iter().all(|hit| hit.score.is_none()));
}

#[test]
fn path_filter_follows_old_and_new_names() {
    let mirror = small();
    for (query, found) in [
        ("path:src/lock.rs", "~!3 !3"),
        ("path:./src//lock.rs", "~!3 !3"),
        ("path:src/old_name.rs", "!3"),
        ("path:src/new/name.rs", "!3"),
        ("path:src/was.rs", "~!3"),
        ("path:src/", "~!3 !3"),
        ("path:src/new/", "!3"),
        ("path:sr", ""),
        ("path:src", ""),
        ("path:*.rs", "~!3 !3"),
        ("path:src/*name.rs", "!3"),
        ("path:SRC/lock.rs", ""),
        ("path:docs/[id].md", "!4"),
        ("path:docs/[*].md", "!4"),
        ("path:docs/?id?.md", "!4"),
        ("path:docs/[a-z]*.md", ""),
        ("path:src/lock.rs,docs/", "~!3 !3 !4"),
        ("-path:src/ kind:mr", "!4"),
    ] {
        assert_eq!(mirror.found(query), sorted(found), "{query}");
    }
}

#[test]
fn a_file_that_left_a_merge_request_no_longer_finds_it() {
    let mirror = small();
    let id = mirror.merge_request(&merge_request(5, "Moving target", ""));
    mirror.change_files(id, &[("a.rs", "a.rs")]);
    mirror.change_files(id, &[("b.rs", "b.rs")]);
    mirror.drain();
    assert_eq!(mirror.found("path:a.rs"), "");
    assert_eq!(mirror.found("path:b.rs"), "!5");
}

#[test]
fn a_project_is_found_by_its_former_path_unless_another_has_it() {
    let mirror = small();
    mirror.add_project("group/renamed", "100");
    assert_eq!(mirror.search("project:group/app").total, 6);
    assert_eq!(mirror.search("project:group/renamed").total, 6);
    mirror.add_project("group/app", "200");
    assert_eq!(mirror.search("project:group/app").total, 0);
    assert_eq!(mirror.search("project:group/renamed").total, 6);
}

#[test]
fn cjk_phrase_found() {
    let mirror = small();
    for (query, found) in [
        ("数据库", "#2"),
        ("\"数据库问题\"", "#2"),
        ("据库", "#2"),
        ("库数", ""),
        ("数库", ""),
        ("修复 迁移", "#2"),
        ("数据* cutover", "#2"),
    ] {
        assert_eq!(mirror.found(query), sorted(found), "{query}");
    }
    let hit = &mirror.search("\"数据库问题\"").hits[0];
    assert_eq!(hit.snippet, "修复数据库问题 after the cutover");
    assert_eq!(&hit.snippet[hit.highlights[0].clone()], "数据库问题");
}

#[test]
fn diacritics_folded() {
    let mirror = small();
    for query in ["cafe", "CAFÉ", "cafe\u{301}", "societe", "Soc*", "\"café société\""] {
        assert_eq!(mirror.found(query), "#1", "{query}");
    }
    let mut labelled = issue(5, "Other", "हिन्दी में");
    labelled.labels = labels(&["Größe"]);
    mirror.issue(&labelled);
    mirror.drain();
    assert_eq!(mirror.found("label:grosse"), "#5");
    // A vowel sign is a letter, not an accent.
    assert_eq!(mirror.found("हिन्दी"), "#5");
    assert_eq!(mirror.found("हि*"), "#5");
    assert_eq!(mirror.found("हन"), "");
    assert_eq!(mirror.found("ह"), "");
}

#[test]
fn snippet_whole_characters() {
    let mirror = Mirror::new();
    let body = format!("{} the needle {}", "é👩‍💻数 ".repeat(200), "ß".repeat(500));
    mirror.issue(&issue(1, "Title", &body));
    mirror.issue(&issue(2, "Needle in the title", "No such word here."));
    let mut named = issue(3, "Names", "");
    named.labels = labels(&["needle"]);
    mirror.issue(&named);
    mirror.drain();
    for hit in mirror
        .search("needle the*")
        .hits
        .iter()
        .chain(&mirror.search("needle").hits)
    {
        assert!(hit.snippet.chars().count() <= 200, "{}", hit.snippet);
        for range in &hit.highlights {
            // Slicing panics unless both ends are borders.
            assert!(
                hit.snippet[range.clone()].to_lowercase().starts_with(['n', 't']),
                "{hit:?}"
            );
        }
    }
    let by = |reference: &str| {
        let hits = mirror.search("needle").hits;
        hits.into_iter().find(|hit| hit.reference == reference).unwrap()
    };
    assert_eq!(by("group/app#1").highlights.len(), 1);
    assert_eq!(
        (by("group/app#2").snippet.as_str(), by("group/app#2").highlights.len()),
        ("No such word here.", 0)
    );
    assert_eq!(by("group/app#3").snippet, "needle Ada Lovelace @ada");
}

#[test]
fn visibility_excludes_confidential() {
    let mirror = Mirror::new();
    let mut secret = issue(1, "Secret plan", "shared word");
    secret.confidential = true;
    secret.labels = labels(&["secret-label"]);
    secret.author = Some(user("insider", "Insider"));
    let secret = mirror.issue(&secret);
    let open = mirror.issue(&issue(2, "Open plan", "shared word"));
    mirror.discuss(
        secret,
        vec![discussion("d1", vec![note("1", bob(), "shared word below the secret")])],
    );
    let mut internal = note("3", ada(), "shared word, internally");
    internal.internal = true;
    mirror.discuss(
        open,
        vec![
            discussion("d2", vec![note("2", bob(), "shared word in public")]),
            discussion("d3", vec![internal]),
        ],
    );
    let elsewhere = mirror.add_project("other/app", "200");
    mirror.write(|tx| annals_db::content::upsert_issue(tx, elsewhere, &issue(1, "Elsewhere", "shared word")));
    mirror.drain();

    let ask = |query: &str, visibility: Visibility| {
        let request = SearchRequest {
            visibility,
            facets: Facet::ALL.to_vec(),
            ..SearchRequest::new(query, NOW)
        };
        mirror.ask(&request)
    };
    assert_eq!(ask("shared", Visibility::all()).total, 6);
    let public = Visibility::without_confidential();
    let seen = ask("shared", public.clone());
    assert_eq!(seen.total, 3);
    assert_eq!(seen.hits.len(), 3);
    let shown = serde_json::to_string(&seen).unwrap();
    for hidden in ["Secret", "secret", "insider", "internally"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
    for query in [
        "is:confidential",
        "label:secret-label",
        "author:insider",
        "internally",
        "-nothing label:any",
    ] {
        let seen = ask(query, public.clone());
        assert_eq!((seen.total, seen.hits.len()), (0, 0), "{query}");
    }
    let only = |projects: &[ProjectId]| Visibility {
        projects: VisibleProjects::Only(projects.iter().copied().collect::<BTreeSet<_>>()),
        confidential: Confidential::Shown,
    };
    let seen = ask("shared", only(&[elsewhere]));
    assert_eq!((seen.total, seen.hits[0].reference.as_str()), (1, "other/app#1"));
    assert_eq!(seen.facets[&Facet::Project].values.len(), 1);
    assert_eq!(ask("shared", only(&[])).total, 0);
    // What becomes confidential is hidden with its discussions.
    let mut closed_off = issue(2, "Open plan", "shared word");
    closed_off.confidential = true;
    mirror.issue(&closed_off);
    // At once, not only when its documents have been made again.
    assert_eq!(ask("shared", public.clone()).total, 1);
    assert_eq!(ask("shared", Visibility::all()).total, 6);
    mirror.drain();
    assert_eq!(ask("shared", public).total, 1);
}

#[test]
fn order_total_and_repeatable() {
    let mirror = Mirror::new();
    // Equal text, so equal scores; some have equal times, some none.
    for iid in 1..=30 {
        let mut given = issue(iid, "Same title", "same body");
        given.updated_at = match iid % 3 {
            0 => None,
            1 => Some(NOW),
            _ => Some(UnixMs(NOW.0 - iid * DAY)),
        };
        mirror.issue(&given);
    }
    for iid in 31..=40 {
        mirror.issue(&issue(iid, "Same", &"same ".repeat(usize::try_from(iid).unwrap())));
    }
    mirror.drain();
    let all = mirror.search("same");
    assert_eq!(all.total, 40);
    let place = |hit: &annals_search::answer::Hit| {
        (
            std::cmp::Reverse(hit.score.unwrap().to_bits()),
            std::cmp::Reverse(hit.updated_at),
            hit.doc_key.clone(),
        )
    };
    assert!(
        all.hits.is_sorted_by_key(place),
        "{:?}",
        all.hits.iter().map(place).collect::<Vec<_>>()
    );

    // Pages put together are the whole, wherever they are cut.
    for limit in [1, 7, 40] {
        let mut paged = Vec::new();
        let mut offset = Some(0);
        while let Some(at) = offset {
            let request = SearchRequest {
                limit,
                offset: at,
                ..SearchRequest::new("same", NOW)
            };
            let page = mirror.ask(&request);
            assert_eq!(page.total, 40);
            paged.extend(page.hits);
            offset = page.next_offset;
        }
        assert_eq!(paged, all.hits, "limit {limit}");
    }
    // The same bytes again, and from another file with the same rows in another order of writing.
    let bytes = serde_json::to_vec(&all).unwrap();
    assert_eq!(serde_json::to_vec(&mirror.search("same")).unwrap(), bytes);
    mirror.write(|tx| annals_search::documents::owe_everything(tx, &annals_search::index::Fts5));
    mirror.drain();
    assert_eq!(serde_json::to_vec(&mirror.search("same")).unwrap(), bytes);
}

#[test]
fn a_word_in_the_title_counts_more_than_in_the_names_and_those_more_than_in_the_body() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "other", "needle other"));
    mirror.issue(&issue(2, "needle", "other other"));
    let mut named = issue(3, "other", "other other");
    named.labels = labels(&["needle"]);
    mirror.issue(&named);
    mirror.drain();
    assert_eq!(mirror.refs("needle"), ["group/app#2", "group/app#3", "group/app#1"]);
}

#[test]
fn robot_data_golden() {
    let mirror = small();
    let request = SearchRequest {
        limit: 1,
        facets: vec![Facet::Kind, Facet::Label],
        ..SearchRequest::new("race writer lable:x", NOW)
    };
    assert_eq!(mirror.ask(&request).total, 0);
    let request = SearchRequest {
        query: "\"a race\" writer".to_owned(),
        ..request
    };
    let results = mirror.ask(&request);
    let mut data = serde_json::to_value(&results).unwrap();
    assert!(data["hits"][0]["score"].take().as_f64().unwrap() > 0.0);
    assert_eq!(
        data,
        serde_json::json!({
            "hits": [{
                "doc_key": "gitlab.example:100:discussion:d1",
                "kind": "discussion",
                "ref": "group/app#1",
                "title": "Cutover race",
                "snippet": "Bob: I saw a race too, in the writer.",
                "highlights": [{"start": 11, "end": 17}, {"start": 30, "end": 36}],
                "score": null,
                "url": "https://gitlab.example/group/app/-/issues/1#note_11",
                "updated_at": "2024-06-13T12:00:00.000Z",
            }],
            "facets": {
                "kind": {"values": [{"value": "discussion", "count": 1}], "more": 0},
                "label": {"values": [{"value": "backend", "count": 1}, {"value": "bug", "count": 1}], "more": 0},
            },
        })
    );
    assert_eq!((results.total, results.next_offset), (1, None));
}

#[test]
fn filters_beside_the_text_hold_too() {
    let mirror = small();
    let request = SearchRequest {
        filters: vec![
            query::filter("kind", "mr", NOW).unwrap().unwrap(),
            query::filter("label", "bug,backend", NOW).unwrap().unwrap(),
        ],
        ..SearchRequest::new("race", NOW)
    };
    let mut query = query::parse(&request.query, NOW).unwrap();
    query.filters.extend(request.filters.iter().cloned());
    let results = annals_search::answer::answer(&mirror.conn, &annals_search::index::Fts5, &query, &request).unwrap();
    assert_eq!((results.total, results.hits[0].reference.as_str()), (1, "group/app!3"));
    assert!(query::filter("nosuch", "x", NOW).unwrap().is_none());
    assert_eq!(query::filter("state", "nope", NOW).unwrap_err().position, 0);
}

#[test]
fn a_path_on_two_forges_is_two_projects() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "Cutover here", ""));
    let elsewhere = mirror.add_elsewhere("forge.elsewhere", "group/app");
    mirror.write(|tx| annals_db::content::upsert_issue(tx, elsewhere, &issue(1, "Cutover there", "")));
    mirror.drain();
    let titles = |projects: Vec<ProjectId>| {
        let results = mirror.ask(&SearchRequest {
            projects,
            ..SearchRequest::new("cutover project:group/app", NOW)
        });
        let mut titles: Vec<String> = results.hits.into_iter().map(|hit| hit.title).collect();
        titles.sort_unstable();
        assert_eq!(results.total, titles.len() as u64);
        titles
    };
    assert_eq!(titles(vec![mirror.project]), ["Cutover here"]);
    assert_eq!(titles(vec![elsewhere]), ["Cutover there"]);
    assert_eq!(titles(vec![elsewhere, mirror.project]).len(), 2);
    assert_eq!(titles(Vec::new()).len(), 2);
}

#[test]
fn a_filter_may_have_as_many_values_as_a_query_has_room_for() {
    let mirror = small();
    let everything = mirror.search("").total;
    for key in [
        "path",
        "project",
        "forge",
        "kind",
        "author",
        "assignee",
        "reviewer",
        "label",
        "milestone",
        "state",
        "is",
        "after",
        "created-before",
    ] {
        let value = match key {
            "kind" => "mr",
            "state" => "open",
            "is" => "bot",
            "after" | "created-before" => "7d",
            _ => "a",
        };
        let room = query::MAX_CHARS - key.len() - 2;
        let values = vec![value; room / (value.len() + 1)].join(",");
        for query in [format!("{key}:{values}"), format!("-{key}:{values}")] {
            assert!(mirror.search(&query).total <= everything, "{key}");
        }
    }
    // A field of a form or an address has more room still.
    let many: Vec<String> = (0..1_500).map(|at| format!("folder-{at}/")).collect();
    let request = SearchRequest {
        filters: vec![query::filter("path", &many.join(","), NOW).unwrap().unwrap()],
        ..SearchRequest::new("", NOW)
    };
    let query = query::Query {
        filters: request.filters.clone(),
        ..query::Query::default()
    };
    let results = annals_search::answer::answer(&mirror.conn, &annals_search::index::Fts5, &query, &request).unwrap();
    assert_eq!(results.total, 0);
}

#[test]
fn a_query_at_its_limits_is_answered() {
    let mirror = small();
    let prefixes: Vec<String> = (0..64).map(|at| format!("c{at}*")).collect();
    for query in [
        prefixes.join(" "),
        prefixes
            .iter()
            .map(|word| format!("-{word}"))
            .collect::<Vec<_>>()
            .join(" "),
        ["cut*"; 64].join(" "),
        format!("\"{}\"", "a ".repeat(500)),
        "数".repeat(query::MAX_CHARS),
        "a".repeat(query::MAX_CHARS - 1) + "*",
        ["-is:gone"; 64].join(" "),
    ] {
        mirror.search(&query);
    }
    assert_eq!(
        mirror.search(&["cut*"; 64].join(" ")).total,
        mirror.search("cut*").total
    );
}

#[test]
fn what_waits_unseen_is_not_counted() {
    let mirror = Mirror::new();
    let mut secret = issue(1, "Secret", "");
    secret.confidential = true;
    let secret = mirror.issue(&secret);
    let open = mirror.issue(&issue(2, "Open", ""));
    let elsewhere = mirror.add_project("other/app", "200");
    mirror.write(|tx| annals_db::content::upsert_issue(tx, elsewhere, &issue(1, "Elsewhere", "")));
    mirror.drain();
    let waiting = |visibility: &Visibility| {
        let request = SearchRequest {
            visibility: visibility.clone(),
            ..SearchRequest::new("", NOW)
        };
        mirror.ask(&request).stale.dirty
    };
    let public = Visibility::without_confidential();
    let there = Visibility {
        projects: VisibleProjects::Only([elsewhere].into()),
        confidential: Confidential::Shown,
    };
    let counted = || (waiting(&Visibility::all()), waiting(&public), waiting(&there));
    assert_eq!(counted(), (0, 0, 0));

    let mut internal = note("2", ada(), "among us");
    internal.internal = true;
    mirror.discuss(
        secret,
        vec![discussion("d1", vec![note("1", bob(), "below the secret")])],
    );
    mirror.discuss(open, vec![discussion("d2", vec![internal])]);
    let (all, seen, seen_there) = counted();
    assert!(all >= 2, "{all}");
    assert_eq!((seen, seen_there), (0, 0));
    mirror.discuss(open, vec![discussion("d3", vec![note("3", bob(), "for everybody")])]);
    assert!(waiting(&public) >= 1);
    assert_eq!(waiting(&there), 0);
    mirror.write(|tx| annals_db::content::upsert_issue(tx, elsewhere, &issue(1, "Elsewhere again", "")));
    assert_eq!(waiting(&there), 1);
}
