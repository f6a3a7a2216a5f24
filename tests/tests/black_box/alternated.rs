//! One file, worked on by two runtimes in turn.

use annals_tests::mirror::assert_same;
use annals_tests::{Desk, Ended, Forge, Running};

/// Turns of each file.
const TURNS: usize = 6;

/// On this runtime, whatever the mode of the suite says.
fn sync_on(desk: &Desk, forge: &Forge, runtime: &str) -> Ended {
    let mut command = desk.annals(&["sync", &forge.project_url(), "--runtime", runtime]);
    for name in ["ANNALS_RUNTIME__DEFAULT", "ANNALS_RUNTIME__SLICES__INGEST"] {
        command.env_remove(name);
    }
    Running::start(&mut command).wait()
}

/// Three mirrors of a project that people edit: one by each runtime alone, one by both in turn. They are always equal.
/// Where only one runtime was built in, it takes turns with itself.
#[test]
fn file_alternated_between_runtimes_stays_equal() {
    let version = Running::start(&mut Desk::new().bare(&["version", "--robot"]))
        .wait()
        .data();
    let runtimes: Vec<String> = serde_json::from_value(version["runtimes"].clone()).unwrap();
    let forge = Forge::generated(30, 15, &[]);
    let mut people = forge.people();
    let alternated = Desk::at(&forge);
    let alone: Vec<Desk> = runtimes.iter().map(|_| Desk::at(&forge)).collect();
    for turn in 0..TURNS {
        let runtime = &runtimes[turn % runtimes.len()];
        let result = sync_on(&alternated, &forge, runtime).data();
        assert_eq!(result["status"], "done", "turn {turn} on {runtime}: {result}");
        let found = alternated.mirror();
        found.check();
        let why = format!("turn {turn}, on {runtime}");
        assert_same(&why, &forge.model(), &found.model(&Forge::native_id()));
        for (desk, other) in alone.iter().zip(&runtimes) {
            assert_eq!(sync_on(desk, &forge, other).data()["status"], "done", "{why}");
            // Revisions say when they were seen where the forge does not say when they were made.
            assert_same(
                &format!("{why}, {other} alone"),
                &forge.model(),
                &desk.mirror().model(&Forge::native_id()),
            );
        }
        people.churn(10);
    }
}
