//! Child processes: none is left behind, however it ends or its caller does.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use annals_net_adapter::process::is_running;
use annals_net_adapter::{
    BackendKind, Budget, CancelKind, CancelReason, Cancelled, CommandSpec, Cx, ProcError, ProcStatus, ProcStream,
    RegionSpec, Runtime, RuntimeConfig, map_bounded, on_every_runtime,
};
use bytes::Bytes;

fn shell(script: &str) -> CommandSpec {
    CommandSpec::new("/bin/sh")
        .args(["-c", script])
        .env("PATH", "/usr/bin:/bin")
}

fn reason(cx: &Cx) -> CancelReason {
    CancelReason::new(CancelKind::User, "test", cx.now())
}

/// A signal is delivered when it is; the wait ends with the process, or fails the test.
async fn until_gone(cx: &Cx, pid: i64) {
    let end = cx.now().after(Duration::from_secs(30));
    while is_running(pid, 0) {
        assert!(cx.now() < end, "process {pid} is still there");
        cx.sleep(Duration::from_millis(2)).await.unwrap();
    }
}

async fn line(cx: &Cx, process: &mut ProcStream) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.extend(process.chunk(cx).await.unwrap().unwrap());
    }
    String::from_utf8(line).unwrap().trim().to_owned()
}

async fn process_gives_its_output_and_status(cx: Cx) {
    let spec = CommandSpec {
        stdin: Bytes::from_static(b"in"),
        ..shell("cat; echo out; echo err >&2; echo \"$SET-$HOME-$PWD\"; exit 3")
    };
    let spec = CommandSpec {
        cwd: Some("/".into()),
        ..spec.env("SET", "yes")
    };
    let output = cx.process(spec).await.unwrap();
    assert_eq!(output.status, ProcStatus::Code(3));
    assert_eq!(output.stdout, "inout\nyes--/\n", "nothing is inherited");
    assert_eq!(output.stderr, "err\n");
    let killed = cx.process(shell("kill -9 $$")).await.unwrap();
    assert_eq!(killed.status, ProcStatus::Signal(9));
}

async fn process_killed_with_group_on_cancel(cx: Cx) {
    // One that ends when asked, and one that has to be killed.
    for trap in ["", "trap '' TERM; "] {
        let region = cx.open_region(RegionSpec::new("runs")).unwrap();
        let spec = CommandSpec {
            grace: Duration::from_millis(50),
            ..shell(&format!("{trap}sleep 1000 & echo $!; wait; sleep 1000"))
        };
        let mut process = region.cx().process_stream(spec).await.unwrap();
        let grandchild: i64 = line(&cx, &mut process).await.parse().unwrap();
        assert!(is_running(grandchild, 0) && is_running(process.pid().into(), 0));
        region.cancel(reason(&cx));
        let pid = i64::from(process.pid());
        let ended = process.finish(&cx).await;
        assert!(matches!(ended, Err(ProcError::Cancelled(r)) if r.kind == CancelKind::User));
        assert!(region.close(&cx).await.drain.quiescent);
        assert!(!is_running(pid, 0), "it was reaped before its region closed");
        until_gone(&cx, grandchild).await;
    }
}

/// A process that runs, with a deadline that is near.
async fn timed(cx: &Cx) -> ProcStream {
    let mut near = Duration::from_millis(20);
    loop {
        let timed = cx.with_budget(Budget::until(cx.now().after(near)));
        match timed.process_stream(shell("sleep 1000")).await {
            Ok(process) => return process,
            // Too near for this machine.
            Err(ProcError::Cancelled(r)) if r.kind == CancelKind::Deadline => near *= 2,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn dropped_or_late_processes_are_killed(cx: Cx) {
    let region = cx.open_region(RegionSpec::collect_all("runs")).unwrap();
    let process = region.cx().process_stream(shell("sleep 1000")).await.unwrap();
    let pid = i64::from(process.pid());
    drop(process);
    let waits = region.cx().process(shell("sleep 1000"));
    assert!(cx.timeout(Duration::from_millis(20), waits).await.is_err());
    let spec = CommandSpec {
        timeout: Duration::from_millis(20),
        ..shell("sleep 1000")
    };
    let late = region.cx().process(spec).await;
    assert!(matches!(late, Err(ProcError::Timeout(limit)) if limit == Duration::from_millis(20)));
    // Nobody looks at this one; its deadline ends it all the same.
    let unwatched = timed(region.cx()).await;
    until_gone(&cx, unwatched.pid().into()).await;
    let report = region.close(&cx).await;
    assert!(report.drain.quiescent && report.drain.stragglers.is_empty());
    assert!(!is_running(pid, 0));
    drop(unwatched);
}

async fn process_output_cap(cx: Cx) {
    let capped = |script| CommandSpec {
        max_stdout: 1 << 20,
        ..shell(script)
    };
    let exact = cx.process(capped("head -c 1048576 /dev/zero")).await.unwrap();
    assert_eq!(exact.stdout.len(), 1 << 20);
    for script in ["head -c 1048577 /dev/zero; sleep 1000", "yes"] {
        let over = cx.process(capped(script)).await;
        assert!(matches!(over, Err(ProcError::OutputTooLarge { limit: 1_048_576 })));
    }
    let spec = CommandSpec {
        stderr_tail: 6,
        ..shell("head -c 300000 /dev/zero >&2; echo the end >&2")
    };
    assert_eq!(cx.process(spec).await.unwrap().stderr, "e end\n");
}

async fn process_full_pipes(cx: Cx) {
    let both = "head -c 5000000 /dev/zero >&2 & head -c 5000000 /dev/zero; wait";
    let spec = CommandSpec {
        stderr_tail: 5_000_000,
        ..shell(both)
    };
    let output = cx.process(spec).await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (5_000_000, 5_000_000));
    let spec = CommandSpec {
        stdin: Bytes::from(vec![b'x'; 5_000_000]),
        ..shell("cat")
    };
    assert_eq!(cx.process(spec).await.unwrap().stdout.len(), 5_000_000);
    // Input that nobody reads is no reason to wait or to fail.
    let spec = CommandSpec {
        stdin: Bytes::from(vec![b'x'; 5_000_000]),
        ..shell("exec 0<&-; exit 4")
    };
    assert_eq!(cx.process(spec).await.unwrap().status, ProcStatus::Code(4));
}

async fn both_directions_at_once(cx: Cx) {
    const PIECES: usize = 100;
    let (mut input, mut output) = cx.process_stream(shell("cat")).await.unwrap().split();
    let mut writer = cx
        .spawn("writer", |cx| async move {
            for _ in 0..PIECES {
                input.write(&cx, Bytes::from(vec![b'y'; 50_000])).await?;
            }
            Ok::<_, ProcError>(())
        })
        .unwrap();
    let mut read = 0;
    while let Some(piece) = output.chunk(&cx).await {
        read += piece.unwrap().len();
    }
    assert_eq!(read, PIECES * 50_000);
    assert!(writer.join(&cx).await.unwrap().is_ok());
    assert_eq!(output.finish(&cx).await.unwrap().status, ProcStatus::Code(0));

    let mut gone = cx.process_stream(shell("exec 0<&-; sleep 1000")).await.unwrap();
    while gone.write(&cx, Bytes::from_static(b"z")).await.is_ok() {
        cx.yield_now().await;
    }
}

/// The process is over; somebody it started holds its output, and would for a quarter of an hour.
async fn a_descendant_that_keeps_a_pipe_does_not_hold_up_the_end(cx: Cx) {
    let output = cx.process(shell("sleep 1000 & echo $!; exit 7")).await.unwrap();
    assert_eq!(output.status, ProcStatus::Code(7));
    let descendant = std::str::from_utf8(&output.stdout).unwrap().trim();
    until_gone(&cx, descendant.parse().unwrap()).await;

    // What the process itself wrote is all there, though nobody read it in time: the window is full, the rest in the pipe.
    let script = "head -c 300000 /dev/zero; sleep 1000 & exit 5";
    let process = cx.process_stream(shell(script)).await.unwrap();
    until_gone(&cx, process.pid().into()).await;
    let output = process.finish(&cx).await.unwrap();
    assert_eq!((output.status, output.stdout.len()), (ProcStatus::Code(5), 300_000));
    let capped = CommandSpec {
        max_stdout: 299_999,
        ..shell(script)
    };
    let over = cx.process(capped.clone()).await;
    assert!(matches!(over, Err(ProcError::OutputTooLarge { limit: 299_999 })));
    // Whoever takes it in pieces hears the same, once, however slow he is.
    let mut process = cx.process_stream(capped).await.unwrap();
    until_gone(&cx, process.pid().into()).await;
    let mut pieces = Vec::new();
    while let Some(piece) = process.chunk(&cx).await {
        pieces.push(piece);
    }
    let errors: Vec<_> = pieces.into_iter().filter_map(Result::err).collect();
    assert!(
        matches!(errors[..], [ProcError::OutputTooLarge { limit: 299_999 }]),
        "{errors:?}"
    );
}

/// As above, and beyond the reach of a signal to the group.
#[cfg(target_os = "linux")]
async fn a_descendant_that_left_the_group_does_not_hold_up_the_end(cx: Cx) {
    let script = "setsid sh -c 'echo $$; exec sleep 1000' & read go; exit 7";
    let mut process = cx.process_stream(shell(script)).await.unwrap();
    let descendant = line(&cx, &mut process).await;
    process.write(&cx, Bytes::from_static(b"go\n")).await.unwrap();
    let output = process.finish(&cx).await.unwrap();
    assert_eq!(output.status, ProcStatus::Code(7));
    assert!(
        is_running(descendant.parse().unwrap(), 0),
        "it is nobody's business here"
    );
    cx.process(shell(&format!("kill -9 {descendant}"))).await.unwrap();
}

async fn a_process_obeys_a_deadline_given_inside_a_mask(cx: Cx) {
    let ended = cx.masked(Duration::from_secs(30), |cx| async move {
        // By a context without a deadline: nobody but the process looks.
        timed(&cx).await.finish(&cx).await
    });
    let ended = ended.await.unwrap();
    assert!(
        matches!(&ended, Err(ProcError::Cancelled(r)) if r.kind == CancelKind::Deadline),
        "{ended:?}"
    );
}

async fn process_missing_binary(cx: Cx) {
    for program in ["/no/such/program", "no-such-program-at-all"] {
        let missing = cx.process(CommandSpec::new(program)).await;
        assert!(matches!(missing, Err(ProcError::NotFound(name)) if name == program));
    }
    let nowhere = CommandSpec {
        cwd: Some("/no/such/directory".into()),
        ..shell("true")
    };
    assert!(matches!(cx.process(nowhere).await, Err(ProcError::Spawn(_))));
    let region = cx.open_region(RegionSpec::new("cancelled")).unwrap();
    region.cancel(reason(&cx));
    let refused = region.cx().process(shell("true")).await;
    assert!(matches!(refused, Err(ProcError::Cancelled(_))));
    region.close(&cx).await;
}

async fn no_zombies_after_100_kills(cx: Cx) {
    let region = cx.open_region(RegionSpec::collect_all("killed")).unwrap();
    let processes = map_bounded(region.cx(), 16.try_into().unwrap(), 0..100, |cx, _| async move {
        let process = cx.process_stream(shell("sleep 1000")).await?;
        Ok::<_, ProcError>(process.pid())
    });
    let pids: Vec<u32> = processes.await.into_iter().map(|o| o.ok().unwrap()).collect();
    let report = region.close(&cx).await;
    assert!(report.drain.quiescent);
    assert_eq!(pids.len(), 100);
    let me = std::process::id();
    for pid in pids {
        // Field 4 of proc(5)'s stat is the parent: it is nobody's child of ours any more, dead or alive.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        assert_ne!(parent, Some(me.to_string().as_str()), "{stat}");
    }
}

on_every_runtime!(
    process_gives_its_output_and_status,
    process_killed_with_group_on_cancel,
    dropped_or_late_processes_are_killed,
    process_output_cap,
    process_full_pipes,
    both_directions_at_once,
    a_descendant_that_keeps_a_pipe_does_not_hold_up_the_end,
    a_process_obeys_a_deadline_given_inside_a_mask,
    process_missing_binary,
    no_zombies_after_100_kills,
);

#[cfg(target_os = "linux")]
on_every_runtime!(a_descendant_that_left_the_group_does_not_hold_up_the_end);

/// Deaf to a kind word, with an hour of grace: they are named and killed when the bound is spent, whoever of their
/// regions was closed.
#[test]
fn no_process_outlives_the_bound_of_its_region() {
    const BOUND: Duration = Duration::from_millis(50);
    for &kind in BackendKind::compiled() {
        let body = |cx: Cx| async move {
            for closes_outer in [false, true] {
                let outer = cx.open_region(RegionSpec::collect_all("outer")).unwrap();
                let inner = outer.cx().open_region(RegionSpec::collect_all("inner")).unwrap();
                let spec = CommandSpec {
                    grace: Duration::from_secs(3_600),
                    ..shell("trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000")
                };
                let mut process = inner.cx().process_stream(spec).await.unwrap();
                let grandchild: i64 = line(&cx, &mut process).await.parse().unwrap();
                let report = if closes_outer {
                    let left = outer.close_within(BOUND).await;
                    assert!(!left.drain.quiescent);
                    inner.close_within(BOUND).await
                } else {
                    inner.close_within(BOUND).await
                };
                let named: Vec<_> = report.drain.stragglers.iter().map(|t| t.name).collect();
                assert_eq!(named, ["process"]);
                until_gone(&cx, process.pid().into()).await;
                until_gone(&cx, grandchild).await;
                assert!(matches!(process.finish(&cx).await, Err(ProcError::Cancelled(_))));
            }
            Ok::<_, Cancelled>(())
        };
        let main = Runtime::build(kind, &RuntimeConfig::default()).unwrap().run_main(body);
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
        assert_eq!(main.drain.stragglers.len(), 2, "{kind}");
    }
}

#[test]
fn children_are_bounded() {
    for &kind in BackendKind::compiled() {
        let main = Runtime::build(kind, &RuntimeConfig::default())
            .unwrap()
            .run_main(|cx| async move {
                let mut running = Vec::new();
                for _ in 0..64 {
                    running.push(cx.process_stream(shell("sleep 1000")).await.unwrap());
                }
                let mut next = Box::pin(cx.process(shell("exit 0")));
                assert!(cx.timeout(Duration::from_millis(20), next.as_mut()).await.is_err());
                drop(running.pop());
                assert_eq!(next.await.unwrap().status, ProcStatus::Code(0));
                Ok::<_, Cancelled>(())
            });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
        assert!(main.drain.quiescent, "{kind}: {:?}", main.drain);
    }
}

/// This program runs itself: the inner one starts a child, says its number and is killed; the child dies with it.
#[cfg(target_os = "linux")]
#[test]
fn process_dies_with_parent() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    if let Some(kind) = std::env::var_os("ANNALS_TEST_PARENT") {
        let kind: BackendKind = kind.to_str().unwrap().parse().unwrap();
        let main = Runtime::build(kind, &RuntimeConfig::default())
            .unwrap()
            .run_main(|cx| async move {
                let process = cx.process_stream(shell("sleep 1000")).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "\nchild {}", process.pid()).unwrap();
                drop(out);
                cx.cancelled().await;
                drop(process);
                Ok::<_, Cancelled>(())
            });
        drop(main);
        return;
    }
    for kind in BackendKind::compiled() {
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process_dies_with_parent", "--nocapture"])
            .env("ANNALS_TEST_PARENT", kind.as_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let said = lines
            .map(Result::unwrap)
            .find_map(|line| Some(line.strip_prefix("child ")?.parse().unwrap()));
        let child: i64 = said.unwrap();
        assert!(is_running(child, 0));
        parent.kill().unwrap();
        parent.wait().unwrap();
        let main = Runtime::build(*kind, &RuntimeConfig::default())
            .unwrap()
            .run_main(|cx| async move {
                until_gone(&cx, child).await;
                Ok::<_, Cancelled>(())
            });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
    }
}
