//! A failing seed says how to see it fail again.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals_net_adapter::lab::{Check, LabConfig, cancel_everywhere};
use annals_net_adapter::{BackendKind, Cancelled, Cx, Outcome};

/// Two tasks read, wait and write: under some schedules an update is lost.
async fn lost_update(cx: Cx) {
    let counter = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let counter = counter.clone();
        let add = move |cx: Cx| async move {
            cx.sleep(Duration::from_millis(1)).await?;
            let read = counter.load(Ordering::SeqCst);
            cx.yield_now().await;
            counter.store(read + 1, Ordering::SeqCst);
            Ok::<_, Cancelled>(())
        };
        tasks.push(cx.spawn("adds", add).unwrap());
    }
    for task in &mut tasks {
        assert!(task.join(&cx).await.unwrap().is_ok());
    }
    let sum = counter.load(Ordering::SeqCst);
    assert!(sum == 2, "an update was lost: {sum} at {:?}", cx.now());
}

/// What a check of this scenario says, and the line in it.
fn hunt(kind: BackendKind) -> String {
    Check::new(0..64).on(kind).run(lost_update).unwrap_err().to_string()
}

/// Runs this program again as the line says, which is as `cargo test` would.
fn follow(line: &str, test: &str) -> String {
    let (variable, rest) = line.split_once("=\"").unwrap();
    let (value, command) = rest.split_once('"').unwrap();
    assert_eq!(variable, "ANNALS_LAB");
    assert!(
        command.contains("cargo test") && command.ends_with(&format!("-- {test} --exact")),
        "{line}"
    );
    let again = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(variable, value)
        .output()
        .unwrap();
    assert!(!again.status.success(), "it fails again");
    String::from_utf8(again.stderr).unwrap()
}

#[test]
fn lab_replay_line_reproduces() {
    if let Ok(asked) = std::env::var("ANNALS_LAB") {
        let kind: BackendKind = asked.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
        panic!("{}", hunt(kind));
    }
    for &kind in BackendKind::compiled() {
        let failure = hunt(kind);
        let (_, line) = failure.split_once("replay: ").unwrap();
        let said = follow(line, "replay::lab_replay_line_reproduces");
        assert!(
            said.contains(&failure),
            "{kind}: the same seed, the same place: {failure}\n{said}"
        );
    }
}

/// The same for a cancellation: one task's drop loses its half of the work.
#[test]
fn a_cancellation_is_replayed_where_it_was_injected() {
    fn verify(kind: BackendKind) -> Option<String> {
        let mut first = None;
        let scenario = |cx: Cx| async move {
            let mut half = cx
                .spawn("half", |cx| async move {
                    cx.sleep(Duration::from_millis(3)).await?;
                    Ok::<_, Cancelled>(1)
                })
                .unwrap();
            let joined = cx.masked(Duration::from_secs(5), |cx| async move { half.join(&cx).await });
            joined.await.unwrap().unwrap().ok()
        };
        cancel_everywhere(&LabConfig::new(2).on(kind), scenario, |report| {
            if matches!(report.outcome, Outcome::Ok(None)) {
                first.get_or_insert(report.replay_line());
            }
        });
        first
    }
    if let Ok(asked) = std::env::var("ANNALS_LAB") {
        let kind: BackendKind = asked.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
        panic!("lost at {}", verify(kind).unwrap());
    }
    for &kind in BackendKind::compiled() {
        let line = verify(kind).unwrap();
        assert!(line.contains(" cancel="), "{line}");
        let said = follow(&line, "replay::a_cancellation_is_replayed_where_it_was_injected");
        assert!(said.contains(&format!("lost at {line}")), "{kind}: {said}");
    }
}
