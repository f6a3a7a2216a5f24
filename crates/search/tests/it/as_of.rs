//! Searching what was.

use annals_core::{Code, Coded, UnixMs};
use annals_db::content::{DiscussionIn, NoteIn, replace_discussions, upsert_issue, upsert_merge_request};
use annals_db::content::{EntityIn, EventSetIn, ResourceEventIn, SetShape, mark_entity_gone, replace_events};
use annals_db::ids::{EventKind, EventOrigin, GoneReason, State};
use annals_db::{Visibility, WriteTx};
use annals_search::answer::{Facet, SearchRequest, SearchResults};
use annals_search::as_of::{MOST_DOCUMENTS, answer_as_of};
use annals_search::query;
use annals_search::{Error, documents};

use crate::support::*;

/// What a reader may ask at any time.
const QUERIES: &[&str] = &[
    "cutover",
    "cutover race",
    "\"cutover race\"",
    "cut*",
    "cutover -race",
    "race label:bug",
    "label:bug",
    "label:late",
    "milestone:1.0",
    "milestone:none",
    "state:open",
    "state:closed,merged",
    "author:ada",
    "assignee:bob",
    "reviewer:bob",
    "is:draft",
    "is:resolved",
    "is:unresolved",
    "path:src/",
    "path:src/new.rs",
    "kind:discussion",
    "kind:mr cutover",
    "after:10d",
    "created-before:25d",
    "project:group/app",
    "project:group/*",
    "",
    "nothing-has-this-word",
];

fn asked(text: &str, now: UnixMs) -> SearchRequest {
    SearchRequest {
        limit: 100,
        facets: Facet::ALL.to_vec(),
        ..SearchRequest::new(text, now)
    }
}

fn as_of(mirror: &Mirror, request: &SearchRequest, at: UnixMs) -> Result<SearchResults, Error> {
    let query = query::parse(&request.query, at).unwrap();
    answer_as_of(&mirror.conn, &query, request, at)
}

/// The mirror of support, written at the time that a day of the test is.
struct Days {
    mirror: Mirror,
}

impl Days {
    /// Noon of a day, counted from thirty days before now.
    fn noon(day: i64) -> UnixMs {
        UnixMs(NOW.0 - 30 * DAY + day * DAY)
    }

    fn write<T>(&self, day: i64, f: impl FnOnce(&WriteTx<'_>) -> Result<T, annals_db::Error>) -> T {
        WriteTx::run(&self.mirror.conn, Self::noon(day), f).unwrap()
    }

    fn discuss(&self, day: i64, of: annals_db::ids::EntityId, discussions: Vec<DiscussionIn>) {
        let set = annals_db::content::DiscussionSetIn {
            discussions,
            shape: SetShape::OnePage,
        };
        self.write(day, |tx| replace_discussions(tx, self.mirror.project, of, &set));
    }

    /// Every answer there is at noon of a day.
    fn answers(&self, day: i64) -> Vec<SearchResults> {
        loop {
            if self
                .write(day, |tx| documents::drain_page(tx, &annals_search::index::Fts5))
                .sources
                == 0
            {
                break;
            }
        }
        let now = Self::noon(day);
        QUERIES.iter().map(|text| self.mirror.ask(&asked(text, now))).collect()
    }
}

fn said(id: &str, day: i64, edited: i64, body: &str) -> NoteIn {
    NoteIn {
        created_at: Some(Days::noon(day)),
        updated_at: Some(Days::noon(edited)),
        ..note(id, bob(), body)
    }
}

#[test]
fn as_of_search_equals_search_on_copy_taken_then() {
    let days = Days { mirror: Mirror::new() };
    let project = days.mirror.project;
    let on = |day: i64, entity: EntityIn| EntityIn {
        created_at: Some(Days::noon(0)),
        updated_at: Some(Days::noon(day)),
        ..entity
    };
    let mut copies = Vec::new();
    let first = on(
        1,
        EntityIn {
            labels: labels(&["bug"]),
            assignees: vec![bob()],
            ..issue(1, "Cutover race", "A race at the cutover.")
        },
    );
    let second = on(
        2,
        EntityIn {
            milestone: Some(milestone("1.0")),
            ..issue(2, "Slow start", "Nothing of the kind.")
        },
    );
    let mut mr = merge_request(3, "Fix the race", "Cut the cutover in two.");
    mr.entity = on(3, mr.entity);
    mr.draft = true;
    mr.reviewers = vec![reviewer(bob())];
    let (one, two, three) = days.write(4, |tx| {
        let one = upsert_issue(tx, project, &first)?.id;
        let two = upsert_issue(tx, project, &second)?.id;
        Ok((one, two, upsert_merge_request(tx, project, &mr)?.id))
    });
    let thread = |resolved: bool, notes: Vec<NoteIn>| DiscussionIn {
        resolvable: true,
        resolved,
        resolved_by: resolved.then(ada),
        resolved_at: resolved.then(|| Days::noon(9)),
        ..discussion("d3", notes)
    };
    days.discuss(
        4,
        one,
        vec![discussion("d1", vec![said("n1", 3, 3, "The cutover is to blame.")])],
    );
    let on_file = NoteIn {
        created_at: Some(Days::noon(3)),
        updated_at: Some(Days::noon(3)),
        ..diff_note("n3", bob(), "Why cut here?", "src/old.rs", "src/new.rs")
    };
    days.discuss(4, three, vec![thread(false, vec![on_file.clone()])]);
    copies.push((4, days.answers(4)));

    // A day of edits: new words, another label, no milestone, closed, ready, resolved.
    let changed = on(
        8,
        EntityIn {
            state: State::Closed,
            labels: labels(&["late"]),
            ..issue(1, "A race no more", "It was the cutoff.")
        },
    );
    let bare = on(8, issue(2, "Slow start", "Nothing of the kind, but a race."));
    let mut ready = mr.clone();
    ready.entity.updated_at = Some(Days::noon(8));
    ready.draft = false;
    days.write(10, |tx| {
        upsert_issue(tx, project, &changed)?;
        upsert_issue(tx, project, &bare)?;
        upsert_issue(
            tx,
            project,
            &EntityIn {
                created_at: Some(Days::noon(9)),
                ..on(9, issue(4, "A late cutover", "New."))
            },
        )?;
        upsert_merge_request(tx, project, &ready)
    });
    days.discuss(
        10,
        one,
        vec![discussion(
            "d1",
            vec![said("n1", 3, 9, "Not to blame."), said("n2", 9, 9, "The race is.")],
        )],
    );
    days.discuss(10, three, vec![thread(true, vec![on_file])]);
    copies.push((10, days.answers(10)));

    // Then one is gone with all that was said, and a note of the other.
    days.write(15, |tx| mark_entity_gone(tx, two, GoneReason::Deleted));
    days.discuss(15, one, Vec::new());
    copies.push((15, days.answers(15)));
    days.answers(29);

    for (day, then) in copies {
        let at = Days::noon(day);
        for (text, then) in QUERIES.iter().zip(then) {
            let now = as_of(&days.mirror, &asked(text, NOW), at).unwrap();
            // What is gone is hidden in a mirror, but its words still weigh; in one of the past it is not there. So
            // from the day on which something went the hits are the same, and their scores are not.
            let weighed = |results: &SearchResults| {
                let mut hits = results.hits.clone();
                if day >= 15 {
                    hits.iter_mut().for_each(|hit| hit.score = None);
                    hits.sort_by(|a, b| a.doc_key.cmp(&b.doc_key));
                }
                hits
            };
            assert_eq!(weighed(&now), weighed(&then), "day {day}: {text}");
            assert_eq!(
                (now.total, &now.facets),
                (then.total, &then.facets),
                "day {day}: {text}"
            );
        }
    }
    assert!(
        as_of(&days.mirror, &asked("", NOW), Days::noon(-1))
            .unwrap()
            .hits
            .is_empty()
    );
}

#[test]
fn a_search_of_the_past_shows_what_the_events_tell_of_it() {
    let mirror = Mirror::new();
    let seen = EntityIn {
        state: State::Closed,
        labels: labels(&["bug"]),
        ..issue(1, "Cutover race", "")
    };
    let id = mirror.issue(&seen);
    let closed = ResourceEventIn {
        native_id: annals_core::NativeId("1".to_owned()),
        kind: EventKind::State,
        action: "closed".to_owned(),
        subject: None,
        actor: Some(bob()),
        created_at: Some(UnixMs(NOW.0 - 5 * DAY)),
        origin: EventOrigin::Forge,
    };
    let set = EventSetIn {
        kinds: vec![EventKind::State],
        events: vec![closed],
        shape: SetShape::OnePage,
    };
    mirror.write(|tx| replace_events(tx, mirror.project, id, &set));
    let open = |at: i64| {
        as_of(&mirror, &asked("cutover state:open", NOW), UnixMs(at))
            .unwrap()
            .total
    };
    assert_eq!(
        (open(NOW.0 - 6 * DAY), open(NOW.0 - 5 * DAY), open(NOW.0 - 31 * DAY)),
        (1, 0, 0)
    );
}

#[test]
fn a_search_of_the_past_keeps_to_its_reader_its_projects_and_the_file() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "Cutover", "public"));
    mirror.issue(&EntityIn {
        confidential: true,
        ..issue(2, "Cutover", "secret")
    });
    let other = mirror.add_project("group/other", "200");
    mirror.write(|tx| upsert_issue(tx, other, &issue(1, "Cutover", "elsewhere")));
    let before = mirror.number("SELECT total_changes()", &[]);
    let total = |request: &SearchRequest| as_of(&mirror, request, NOW).unwrap().total;
    assert_eq!(total(&asked("cutover", NOW)), 3);
    let public = SearchRequest {
        visibility: Visibility::without_confidential(),
        ..asked("cutover", NOW)
    };
    assert_eq!(total(&public), 2);
    assert_eq!(total(&asked("cutover project:group/other", NOW)), 1);
    assert_eq!(total(&asked("cutover -project:group/other", NOW)), 2);
    assert_eq!(total(&asked("cutover forge:elsewhere", NOW)), 0);
    let named = SearchRequest {
        projects: vec![other],
        ..asked("cutover", NOW)
    };
    assert_eq!(total(&named), 1);
    assert_eq!(mirror.number("SELECT total_changes()", &[]), before);
}

#[test]
fn a_commit_is_found_since_it_was_made() {
    let mirror = Mirror::new();
    let made = NOW.0 - 20 * DAY;
    mirror
        .conn
        .execute(
            "INSERT INTO commits (project_id, oid, title, message, author_name, author_at, committer_at, parents)
             VALUES (?1, ?2, 'Fix the lock', 'Fix the lock', 'Ada', ?3, ?3, '[]')",
            rusqlite::params![mirror.project.0, "0".repeat(40), made],
        )
        .unwrap();
    let found = |at: i64| as_of(&mirror, &asked("lock", NOW), UnixMs(at)).unwrap().total;
    assert_eq!((found(made - 1), found(made)), (0, 1));
}

#[test]
fn too_many_documents_are_refused_with_what_narrows_them() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "Cutover", ""));
    let many = "WITH RECURSIVE n(k) AS (SELECT 2 UNION ALL SELECT k + 1 FROM n WHERE k <= ?1)
        INSERT INTO issues (project_id, native_id, iid, title, body, state, confidential, locked, author_id, created_at,
                            flags, changed_seq)
        SELECT project_id, 'n' || k, k, '', '', 'open', 0, 0, author_id, created_at, 0, 0 FROM issues, n WHERE iid = 1";
    mirror.conn.execute(many, [MOST_DOCUMENTS]).unwrap();
    let error = as_of(&mirror, &asked("cutover", NOW), NOW).unwrap_err();
    let report = error.report();
    assert_eq!(report.code, Code::Usage);
    assert!(report.suggestion.unwrap().contains("project:"));
    assert_eq!(report.details["documents"], MOST_DOCUMENTS + 1);
    // They were not there before they were written, and are nothing to other projects.
    assert_eq!(
        as_of(&mirror, &asked("cutover", NOW), UnixMs(NOW.0 - 31 * DAY))
            .unwrap()
            .total,
        0
    );
    assert_eq!(
        as_of(&mirror, &asked("cutover project:x/y", NOW), NOW).unwrap().total,
        0
    );
}
