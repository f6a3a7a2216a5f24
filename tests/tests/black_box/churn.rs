//! People edit a project while it is mirrored and the forge errs; left in peace, the mirror is right.
//!
//! `ANNALS_CHURN_SECONDS` and `ANNALS_CHURN_ENTITIES` make it longer and the project larger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use annals_tests::forge::People;
use annals_tests::mirror::assert_same;
use annals_tests::{Desk, Forge};

/// What goes wrong, one answer in a thousand each: together one in a hundred.
const FAULTS: &str = "too-many-requests,unavailable,internal-error,bad-gateway,close-before-head,reset-before-head,\
                      close-in-body,reset-in-body,truncated-json,row-moves";

/// Every second so many of a thousand entities are edited.
const EDITED_PERMILLE: u64 = 10;

/// Runs in peace until one finds nothing to do.
const QUIET_RUNS: u32 = 5;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

#[test]
fn mirror_is_right_after_churn_over_sockets() {
    let seconds = setting("ANNALS_CHURN_SECONDS", 4);
    let entities = u32::try_from(setting("ANNALS_CHURN_ENTITIES", 200)).unwrap();
    let forge = Forge::generated(entities - entities * 2 / 5, entities * 2 / 5, &[]);
    let desk = Desk::at(&forge);
    forge.go_wrong(FAULTS, "*", "permille:1");

    let (over, mut edits) = (AtomicBool::new(false), 0);
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    std::thread::scope(|scope| {
        let people = {
            let (people, over) = (forge.people(), &over);
            scope.spawn(move || at_work(people, u64::from(entities), over))
        };
        // Also when a check fails: else nobody would ever send the people home.
        let _evening = Evening(&over);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(seconds) {
            let ended = desk.run(&["sync", &forge.project_url()]);
            let end = match ended.code() {
                0 => "done".to_owned(),
                // What the forge did wrong may fail a run; it may not break it.
                8 | 22 | 7 => ended.error()["code"].as_str().unwrap().to_owned(),
                _ => panic!("{ended}"),
            };
            *ends.entry(end).or_default() += 1;
            // A failed run may leave its cursor behind what it stored: the rest is read again.
            assert_eq!(desk.mirror().one::<String>("PRAGMA integrity_check"), "ok");
        }
        over.store(true, Ordering::Relaxed);
        edits = people.join().unwrap();
    });

    let faults: u64 = forge.stats()["faults"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|n| n.as_u64())
        .sum();
    forge.behave();
    let mut quiet = 0;
    loop {
        quiet += 1;
        assert!(quiet <= QUIET_RUNS, "it does not come to rest");
        let result = desk.run(&["sync", &forge.project_url()]).data();
        assert_eq!(result["status"], "done", "{result}");
        let written = result["projects"][0]["streams"].as_array().unwrap().iter();
        let written: u64 = written.filter_map(|stream| stream["written"].as_u64()).sum();
        if written == 0 && result["projects"][0]["jobs"]["done"] == 0 {
            break;
        }
    }
    let mirror = desk.mirror();
    mirror.check();
    let (expected, found) = (forge.model(), mirror.model(&Forge::native_id()));
    let rows = expected.lines().count();
    let wrong = wrong_rows(&expected, &found);
    println!(
        "churn: {edits} edits of {entities} entities and {faults} wrong answers in {seconds} s; runs {ends:?}, \
         {quiet} in peace; {wrong} of {rows} rows are wrong"
    );
    assert_same("after the churn", &expected, &found);
    assert_eq!(mirror.owed(&Forge::native_id()), 0, "something is still owed");
    assert!(edits > 0);
}

/// Ends the work of the people.
struct Evening<'a>(&'a AtomicBool);

impl Drop for Evening<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Edits the project, as often as the time that has passed is worth.
fn at_work(mut people: People, entities: u64, over: &AtomicBool) -> u64 {
    let start = Instant::now();
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap();
        let due = entities * EDITED_PERMILLE * millis / 1_000_000;
        if due > done {
            done = people.churn(due - done);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    done
}

/// Rows of one that are not in the other, and the reverse.
fn wrong_rows(expected: &str, found: &str) -> usize {
    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    for line in expected.lines().filter(|line| !line.starts_with("== ")) {
        *count.entry(line).or_default() += 1;
    }
    for line in found.lines().filter(|line| !line.starts_with("== ")) {
        *count.entry(line).or_default() -= 1;
    }
    count.values().filter(|count| **count != 0).count()
}
