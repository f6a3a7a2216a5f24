//! A failing seed says how to see it fail again.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals_net_adapter::lab::{CancelPoint, Check, Injection, LabConfig, LabFailure, cancel_everywhere};
use annals_net_adapter::{BackendKind, Cancelled, Cx, Outcome, testing};

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

/// A check that is asked for a run with a cancellation makes that run, not one without.
#[test]
fn a_check_replays_a_cancellation_too() {
    async fn needs_its_task(cx: Cx) {
        let mut task = cx.spawn("needed", |cx| async move { cx.sleep(Duration::from_millis(1)).await });
        let ended = task.as_mut().unwrap().join(&cx).await.unwrap();
        assert!(ended.is_ok(), "the task was lost: {ended:?}");
    }
    if let Ok(asked) = std::env::var("ANNALS_LAB") {
        let kind: BackendKind = asked.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
        panic!("{}", Check::new(0..1).on(kind).run(needs_its_task).unwrap_err());
    }
    for &kind in BackendKind::compiled() {
        let config = LabConfig::new(5).on(kind);
        let whole = config.clone().run(needs_its_task);
        whole.clean().unwrap();
        let (task, _) = *whole.polls.last().unwrap();
        let cancel_at = Some(CancelPoint {
            task,
            poll: 1,
            injection: Injection::Drop,
        });
        let failure = LabConfig { cancel_at, ..config }.run(needs_its_task).clean();
        let failure = failure.unwrap_err().to_string();
        let (_, line) = failure.split_once("replay: ").unwrap();
        let said = follow(line, "replay::a_check_replays_a_cancellation_too");
        assert!(said.contains(&failure), "{kind}: {failure}\n{said}");
    }
}

/// Asked for a run of a lab that this program does not have, every way to run one refuses, and says what to build.
#[test]
fn a_replay_on_a_lab_that_is_not_compiled_in_fails() {
    async fn never(_: Cx) {
        panic!("this is another run");
    }
    const TEST: &str = "replay::a_replay_on_a_lab_that_is_not_compiled_in_fails";
    const HOW: &str = "ANNALS_TEST_HOW";
    let here = BackendKind::compiled()[0];
    match std::env::var(HOW).as_deref() {
        Ok("check") => {
            let refused = Check::new(0..1).run(never).unwrap_err();
            assert!(matches!(refused, LabFailure::NotCompiled { .. }), "{refused}");
            panic!("{refused}");
        }
        Ok("cancel_everywhere") => drop(cancel_everywhere(&LabConfig::new(1).on(here), never, |_| {})),
        Ok(_) => testing::lab(here, never),
        Err(_) => {
            let all = [BackendKind::Tokio, BackendKind::Asupersync];
            for gone in all.into_iter().filter(|kind| !BackendKind::compiled().contains(kind)) {
                for how in ["check", "cancel_everywhere", "lab"] {
                    let refused = Command::new(std::env::current_exe().unwrap())
                        .args([TEST, "--exact", "--nocapture"])
                        .env("ANNALS_LAB", format!("backend={gone} seed=1"))
                        .env(HOW, how)
                        .output()
                        .unwrap();
                    let said = String::from_utf8(refused.stderr).unwrap();
                    assert!(!refused.status.success(), "{how} passed without a run");
                    assert!(said.contains(&format!("--features {gone}")), "{how}: {said}");
                }
            }
        }
    }
}
