//! Promises of the history of a file.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use annals_core::files::ChainBounds;
use annals_core::{ProjectId, UnixMs};
use rusqlite::{StatementStatus, params};
use serde_json::json;

use super::chain::NEIGHBOURS;
use super::*;
use crate::ids::{FileChange, State};
use crate::read::fixture::{Mirror, Mr, Remark};
use crate::read::{Confidential, VisibleProjects};

fn ask(mirror: &Mirror, path: &str, change: impl FnOnce(&mut FileHistoryQuery)) -> FileHistory {
    let mut query = FileHistoryQuery::of(ProjectId(1), path);
    change(&mut query);
    file_history(&mirror.conn, &Visibility::all(), &query).unwrap().unwrap()
}

fn names(mirror: &Mirror, path: &str, hops: u32) -> String {
    let bounds = ChainBounds {
        max_hops: hops,
        ..ChainBounds::default()
    };
    ask(mirror, path, |query| query.bounds = bounds).rename_chain.join(" ")
}

fn iids(history: &FileHistory) -> Vec<i64> {
    history.merge_requests.iter().map(|mr| mr.iid.0).collect()
}

/// `a` was renamed to `b`, that to `c`, and so on.
fn renamed(paths: &[&str]) -> Mirror {
    let mirror = Mirror::new();
    for (iid, pair) in (1..).zip(paths.windows(2)) {
        mirror.rename(iid, pair[0], pair[1]);
    }
    mirror
}

#[test]
fn chain_forward() {
    let mirror = renamed(&["a", "b", "c"]);
    assert_eq!(names(&mirror, "a", 10), "a b c");
    assert_eq!(iids(&ask(&mirror, "a", |_| ())), [2, 1]);
}

#[test]
fn chain_backward() {
    let mirror = renamed(&["a", "b", "c"]);
    assert_eq!(names(&mirror, "c", 10), "a b c");
    assert_eq!(iids(&ask(&mirror, "c", |_| ())), [2, 1]);
}

#[test]
fn chain_cycle() {
    let mirror = renamed(&["a", "b", "c", "a"]);
    for start in ["a", "b", "c"] {
        assert_eq!(names(&mirror, start, 10), "a b c");
    }
}

#[test]
fn chain_branching() {
    let mirror = renamed(&["a", "b"]);
    mirror.rename(2, "a", "c");
    mirror.rename(3, "d", "b");
    // From `b` to the other name that `a` was given takes two steps.
    assert_eq!(names(&mirror, "b", 1), "a b d");
    assert_eq!(names(&mirror, "b", 2), "a b c d");
}

#[test]
fn chain_diamond() {
    let mirror = renamed(&["a", "b", "d"]);
    mirror.rename(3, "a", "c");
    mirror.rename(4, "c", "d");
    assert_eq!(names(&mirror, "a", 10), "a b c d");
    assert_eq!(iids(&ask(&mirror, "d", |_| ())), [4, 3, 2, 1]);
}

#[test]
fn chain_depth_bounded() {
    let mirror = renamed(&["a", "b", "c", "d", "e"]);
    // The bound is the distance, not the number of names.
    assert_eq!(names(&mirror, "c", 1), "b c d");
    assert_eq!(names(&mirror, "a", 2), "a b c");
    assert_eq!(names(&mirror, "a", 4), "a b c d e");
}

#[test]
fn chain_max_hops_0() {
    let mirror = renamed(&["a", "b", "c"]);
    let history = ask(&mirror, "b", |query| query.bounds.max_hops = 0);
    assert_eq!(history.rename_chain, ["b"]);
    assert_eq!(iids(&history), [2, 1], "both name it");
}

#[test]
fn two_projects_isolated() {
    let mirror = renamed(&["a", "b"]);
    let other = mirror.mr(&Mr {
        project: 2,
        iid: 9,
        ..Mr::default()
    });
    mirror.changes(other, "renamed", "b", "c");
    mirror.commit(2, 'a', 5, "renamed", "a", "z");
    mirror.remark(&Remark {
        parent: ("mr_id", other),
        path: Some("a"),
        ..Remark::default()
    });
    let history = ask(&mirror, "a", |query| {
        query.discussions = Part::Included;
        query.commits = Part::Included;
    });
    assert_eq!(
        (history.rename_chain.join(" "), iids(&history)),
        ("a b".to_owned(), vec![1])
    );
    assert_eq!((history.discussions, history.commits), (Some(vec![]), Some(vec![])));
    let with = |path| projects_with_path(&mirror.conn, &Visibility::all(), path, None).unwrap();
    let ids = |path| with(path).into_iter().map(|project| project.id.0).collect::<Vec<_>>();
    assert_eq!(
        (ids("a"), ids("c"), ids("b"), ids("x")),
        (vec![1, 2], vec![2], vec![1, 2], vec![])
    );
}

#[test]
fn deep_chain_10k_in_time() {
    const LONG: i64 = 10_000;
    let mirror = Mirror::new();
    let mr = mirror.mr(&Mr::default());
    mirror.conn.execute_batch("BEGIN").unwrap();
    for n in 0..LONG {
        mirror.changes(mr, "renamed", &format!("f{n}"), &format!("f{}", n + 1));
    }
    // Changes that are no renames and names of another project must not be looked at.
    for n in 0..LONG {
        mirror.changes(mr, "modified", &format!("other{n}"), &format!("other{n}"));
    }
    mirror.conn.execute_batch("COMMIT").unwrap();
    let far = |query: &mut FileHistoryQuery| query.bounds.max_hops = 20_000;
    let history = ask(&mirror, "f0", far);
    assert_eq!((history.rename_chain.len(), history.chain_truncated), (10_000, true));
    assert_eq!(history.total_mrs, 1);

    // A look-up steps through indexes only, and as much for the last name as for the first.
    let steps = |name: &str| {
        let mut select = mirror.conn.prepare(NEIGHBOURS).unwrap();
        let found = select
            .query_map(params![1, name, i64::MAX, 1], |row| row.get::<_, String>(0))
            .unwrap()
            .count();
        assert_eq!(select.get_status(StatementStatus::FullscanStep), 0, "{name}");
        (found, select.get_status(StatementStatus::VmStep))
    };
    let (first, middle, late) = (steps("f1"), steps("f5000"), steps("f9998"));
    assert_eq!((first.0, middle.0, late.0), (2, 2, 2));
    assert!(
        first.1 < 300 && middle.1 <= first.1 + 20 && late.1 <= first.1 + 20,
        "{first:?} {middle:?} {late:?}"
    );
}

#[test]
fn the_ceiling_on_names_is_not_reached_by_as_many() {
    let mirror = renamed(&["a", "b", "c", "d"]);
    let bounded = |max_paths| {
        let history = ask(&mirror, "a", |query| query.bounds.max_paths = max_paths);
        (history.rename_chain.join(" "), history.chain_truncated)
    };
    assert_eq!(bounded(3), ("a b c".to_owned(), true));
    assert_eq!(bounded(4), ("a b c d".to_owned(), false));
}

#[test]
fn no_follow_renames_direct_hits_only() {
    let mirror = renamed(&["a", "b", "c"]);
    let plain = mirror.mr(&Mr {
        iid: 7,
        updated_at: 50,
        ..Mr::default()
    });
    mirror.changes(plain, "modified", "c", "c");
    let history = ask(&mirror, "c", |query| query.bounds.max_hops = 0);
    assert_eq!((iids(&history), history.total_mrs), (vec![7, 2], 2));
}

#[test]
fn rename_known_only_from_commit() {
    let mirror = Mirror::new();
    mirror.commit(1, 'a', 30, "renamed", "old", "new");
    mirror.commit(1, 'b', 40, "modified", "new", "new");
    let mr = mirror.mr(&Mr::default());
    mirror.changes(mr, "modified", "old", "old");
    let history = ask(&mirror, "new", |query| query.commits = Part::Included);
    assert_eq!(
        (history.rename_chain.join(" "), iids(&history)),
        ("new old".to_owned(), vec![1])
    );
    let commits = history.commits.unwrap();
    let told: Vec<_> = commits
        .iter()
        .map(|commit| (commit.title.as_str(), commit.change_type, commit.paths.join(" ")))
        .collect();
    assert_eq!(
        told,
        [
            ("Commit b", FileChange::Modified, "new".to_owned()),
            ("Commit a", FileChange::Renamed, "new old".to_owned())
        ]
    );
    // Before the commit nobody could know.
    assert_eq!(
        ask(&mirror, "new", |query| query.as_of = Some(UnixMs(29))).rename_chain,
        ["new"]
    );
}

/// Merge requests 1 to 5 on the file `f`: open, merged late, closed, merged early, gone.
fn of_all_states() -> Mirror {
    let mirror = Mirror::new();
    for (iid, state, updated_at, merged_at) in [
        (1, "open", 100, None),
        (2, "merged", 900, Some(300)),
        (3, "closed", 200, None),
        (4, "merged", 950, Some(50)),
        (5, "merged", 400, Some(400)),
    ] {
        let mr = mirror.mr(&Mr {
            iid,
            state,
            updated_at,
            merged_at,
            merged_by: merged_at.map(|_| "cat"),
            ..Mr::default()
        });
        mirror.changes(mr, "modified", "f", "f");
    }
    mirror.gone("merge_request", 5, 500);
    mirror
}

#[test]
fn merged_only() {
    let mirror = of_all_states();
    assert_eq!(
        iids(&ask(&mirror, "f", |_| ())),
        [2, 3, 1, 4],
        "by merge, else by update"
    );
    let merged = ask(&mirror, "f", |query| query.requests = Requests::Merged);
    assert_eq!((iids(&merged), merged.total_mrs), (vec![2, 4], 2));
    let open = mirror.mr(&Mr {
        iid: 8,
        ..Mr::default()
    });
    mirror.changes(open, "added", "g", "g");
    let none = ask(&mirror, "g", |query| query.requests = Requests::Merged);
    assert_eq!(none.findings, [FileFinding::NoneMerged { merge_requests: 1 }]);
}

#[test]
fn limit_1_of_total_3() {
    let mirror = of_all_states();
    mirror.run("DELETE FROM mr_file_changes WHERE mr_id = 1", []);
    let history = ask(&mirror, "f", |query| query.limit = 1);
    assert_eq!((iids(&history), history.total_mrs), (vec![2], 3));
    let nothing = ask(&mirror, "f", |query| query.limit = 0);
    assert_eq!((iids(&nothing), nothing.total_mrs), (vec![], 3));
}

#[test]
fn one_row_per_mr() {
    let mirror = Mirror::new();
    let mr = mirror.mr(&Mr::default());
    mirror.changes(mr, "deleted", "a", "a");
    mirror.changes(mr, "renamed", "a", "b");
    mirror.changes(mr, "modified", "b", "b");
    mirror.changes(mr, "copied", "b", "copy");
    let history = ask(&mirror, "a", |_| ());
    let [one] = history.merge_requests.as_slice() else {
        panic!("{history:?}")
    };
    assert_eq!(
        (one.change_type, one.paths.join(" ")),
        (FileChange::Renamed, "a b copy".to_owned())
    );
    assert_eq!(history.total_mrs, 1);
    // The order of strength: added, renamed, deleted, copied, modified, the rest.
    use FileChange::{Added, Copied, Deleted, Mode, Modified, Other, Renamed};
    let order = [Added, Renamed, Deleted, Copied, Modified, Mode, Other];
    assert!(order.is_sorted_by_key(|change| std::cmp::Reverse(requests::strength(*change))));
}

#[test]
fn multibyte_snippet() {
    let mirror = renamed(&["a", "b"]);
    let long = "é全🦀".repeat(100);
    for (author, body, system, internal) in [
        ("bob", long.as_str(), false, false),
        ("cat", "short\n note", false, true),
        ("dan", "moved", true, false),
    ] {
        mirror.remark(&Remark {
            author,
            body,
            system,
            internal,
            path: Some("a"),
            ..Remark::default()
        });
    }
    let history = ask(&mirror, "b", |query| query.discussions = Part::Included);
    let notes = history.discussions.unwrap();
    assert_eq!(notes.len(), 2, "what the forge wrote is no remark");
    assert!(notes[0].snippet.chars().count() <= 200 && notes[0].snippet.ends_with('…'));
    assert!(long.starts_with(notes[0].snippet.trim_end_matches('…')));
    assert_eq!(notes[1].snippet, "short note");
    assert_eq!(
        (notes[0].path.as_deref(), notes[0].line, notes[0].resolved),
        (Some("a"), Some(7), Some(false))
    );
    let mut query = FileHistoryQuery::of(ProjectId(1), "b");
    query.discussions = Part::Included;
    let hidden = file_history(&mirror.conn, &Visibility::without_confidential(), &query);
    assert_eq!(hidden.unwrap().unwrap().discussions.unwrap().len(), 1);
}

#[test]
fn empty_nothing_synced() {
    let mirror = Mirror::new();
    mirror.mr(&Mr::default());
    assert_eq!(ask(&mirror, "a", |_| ()).findings, [FileFinding::NothingSynced]);
}

#[test]
fn empty_path_unknown() {
    let mirror = renamed(&["src/index/swap.rs", "src/cutover.rs"]);
    let finding = |path: &str| ask(&mirror, path, |_| ()).findings;
    let unknown = |nearest: &[&str]| {
        [FileFinding::PathUnknown {
            nearest: nearest.iter().map(|path| (*path).to_owned()).collect(),
        }]
    };
    assert_eq!(
        finding("lib/cutover.rs")[..1],
        unknown(&["src/cutover.rs"]),
        "the same name comes first"
    );
    assert_eq!(finding("src/cutovre.rs"), unknown(&["src/cutover.rs"]));
    assert_eq!(finding("zzz"), unknown(&[]));
    assert_eq!(finding("src/cutover.rs"), []);
}

#[test]
fn empty_files_incomplete() {
    let mirror = Mirror::new();
    for (iid, files) in [(1, "pending"), (2, "truncated"), (3, "complete"), (4, "none")] {
        mirror.mr(&Mr {
            iid,
            files,
            ..Mr::default()
        });
    }
    mirror.changes(3, "modified", "f", "f");
    let incomplete = FileFinding::FilesIncomplete { merge_requests: 2 };
    assert_eq!(
        ask(&mirror, "g", |_| ()).findings,
        [FileFinding::PathUnknown { nearest: vec![] }, incomplete.clone()]
    );
    assert_eq!(
        ask(&mirror, "f", |_| ()).findings,
        [incomplete],
        "also beside what was found"
    );
}

#[test]
fn what_is_not_shown_leaves_no_trace() {
    let mirror = renamed(&["a", "secret", "c"]);
    mirror.run("UPDATE merge_requests SET confidential = 1 WHERE iid = 2", []);
    let query = FileHistoryQuery::of(ProjectId(1), "a");
    let stranger = Visibility::without_confidential();
    let history = file_history(&mirror.conn, &stranger, &query).unwrap().unwrap();
    assert_eq!(
        (history.rename_chain.join(" "), iids(&history)),
        ("a secret".to_owned(), vec![1])
    );
    let c = FileHistoryQuery::of(ProjectId(1), "c");
    let unknown = file_history(&mirror.conn, &stranger, &c).unwrap().unwrap();
    assert_eq!(unknown.findings, [FileFinding::PathUnknown { nearest: vec![] }]);
    assert_eq!(projects_with_path(&mirror.conn, &stranger, "c", None).unwrap(), []);
    let nothing = Visibility {
        projects: VisibleProjects::Only([ProjectId(2)].into()),
        confidential: Confidential::Shown,
    };
    assert_eq!(file_history(&mirror.conn, &nothing, &query).unwrap(), None);
}

#[test]
fn as_of_file_history_uses_intervals() {
    let mirror = of_all_states();
    let mr = mirror.mr(&Mr {
        iid: 6,
        created_at: 100,
        updated_at: 800,
        ..Mr::default()
    });
    // It touched the file for a while, and renamed another one later.
    mirror.change(mr, "modified", ("f", "f"), (150, Some(250)));
    mirror.change(mr, "renamed", ("f", "moved"), (600, None));
    mirror.revision(
        "merge_request",
        2,
        120,
        &json!({"title": "Old words", "author": "zoe", "state": "open"}),
    );
    mirror.revision(
        "merge_request",
        2,
        300,
        &json!({"title": "Old words", "author": "zoe", "state": "merged", "merged_at": 300}),
    );
    let note = mirror.remark(&Remark {
        parent: ("mr_id", 1),
        at: 160,
        body: "new words",
        path: Some("f"),
        ..Remark::default()
    });
    mirror.revision("note", note, 160, &json!({"body": "first words"}));
    mirror.revision("note", note, 700, &json!({"body": "new words"}));
    // It was resolved for a while, and is open again.
    for (time, resolved) in [(160, false), (650, true), (750, false)] {
        let resolved_at = resolved.then_some(time);
        let state = json!({"kind": "thread", "resolvable": true, "resolved": resolved, "resolved_at": resolved_at});
        mirror.revision("discussion", 1, time, &state);
    }
    let at = |time: i64| {
        ask(&mirror, "f", |query| {
            query.as_of = Some(UnixMs(time));
            query.discussions = Part::Included;
        })
    };
    let early = at(149);
    assert_eq!((early.rename_chain.join(" "), early.total_mrs), ("f".to_owned(), 5));
    assert_eq!(early.discussions, Some(vec![]));
    let mut within = iids(&at(200));
    within.sort_unstable();
    assert_eq!(within, [1, 2, 3, 4, 5, 6], "5 was there before it went");
    assert!(!iids(&at(250)).contains(&6), "an interval ends before its end");
    assert!(!iids(&at(500)).contains(&5), "gone by then");
    let late = at(600);
    assert_eq!(late.rename_chain, ["f", "moved"]);
    assert!(iids(&late).contains(&6));
    assert_eq!(iids(&ask(&mirror, "f", |_| ())), [6, 2, 3, 1, 4]);

    let two = |history: &FileHistory| {
        let mr = history.merge_requests.iter().find(|mr| mr.iid.0 == 2).unwrap();
        (mr.title.clone(), mr.author.clone(), mr.state, mr.merged_at)
    };
    assert_eq!(
        two(&at(200)),
        ("Old words".to_owned(), "zoe".to_owned(), State::Open, None)
    );
    assert_eq!(
        two(&at(110)),
        ("Old words".to_owned(), "zoe".to_owned(), State::Open, None),
        "not recorded yet: the words are the first that were"
    );
    assert_eq!((at(110).derived, at(120).derived), (5, 4));
    let only = |time| {
        iids(&ask(&mirror, "f", |query| {
            query.as_of = Some(UnixMs(time));
            query.requests = Requests::Merged;
        }))
    };
    assert_eq!((only(299), only(300)), (vec![4], vec![2, 4]));
    let note = |history: FileHistory| {
        let notes = history.discussions.unwrap();
        (notes[0].snippet.clone(), notes[0].resolved)
    };
    assert_eq!(note(at(600)), ("first words".to_owned(), Some(false)));
    assert_eq!(note(at(700)), ("new words".to_owned(), Some(true)));
    assert_eq!(note(at(750)), ("new words".to_owned(), Some(false)));
}

#[test]
fn as_of_file_history_leaves_out_what_was_gone_for_a_while() {
    let mirror = of_all_states();
    let back = json!({"title": "Change 1", "author": "ann", "state": "open"});
    mirror.away("merge_request", 1, (150, 250), &back);
    let has_it = |time| iids(&ask(&mirror, "f", |query| query.as_of = Some(UnixMs(time)))).contains(&1);
    assert_eq!([149, 150, 249, 250].map(has_it), [true, false, false, true]);
}

#[test]
fn empty_only_named_otherwise() {
    let mirror = renamed(&["a", "b"]);
    mirror.commit(1, 'c', 30, "modified", "by-commit", "by-commit");
    mirror.remark(&Remark {
        path: Some("by-note"),
        ..Remark::default()
    });
    mirror.change(1, "modified", ("dropped", "dropped"), (10, Some(20)));
    for (path, named) in [("by-commit", (1, 0, 0)), ("by-note", (0, 1, 0)), ("dropped", (0, 0, 1))] {
        let (commits, notes, merge_requests) = named;
        let only = FileFinding::OnlyNamed {
            commits,
            notes,
            merge_requests,
        };
        assert_eq!(ask(&mirror, path, |_| ()).findings, [only], "{path}");
    }
    let asked_for = ask(&mirror, "by-commit", |query| query.commits = Part::Included);
    assert_eq!(asked_for.findings, [], "it is not empty");
}

#[test]
fn empty_as_of_a_time_before_it_was_recorded() {
    let mirror = Mirror::new();
    let mr = mirror.mr(&Mr::default());
    mirror.change(mr, "modified", ("src/f", "src/f"), (500, None));
    let then = |path: &str, time| ask(&mirror, path, |query| query.as_of = Some(UnixMs(time))).findings;
    assert_eq!(then("src/f", 499), [FileFinding::RecordedLater { since: UnixMs(500) }]);
    assert_eq!(then("src/f", 500), []);
    // What nobody knew then is no path it may have been meant for.
    assert_eq!(then("lib/f", 499), [FileFinding::PathUnknown { nearest: vec![] }]);
    let near = FileFinding::PathUnknown {
        nearest: vec!["src/f".to_owned()],
    };
    assert_eq!(then("lib/f", 500), [near]);
}
