//! One signal asks, a second one insists.

use std::convert::Infallible;
use std::process::exit;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use annals_core::{CancelKind, Cancelled, Outcome, TaskError};
use annals_net_adapter::{BackendKind, Cx, ShutdownBudget, Started, Stop};
use rustix::process::Signal;

use crate::child::{Child, FOR_EVER, role, runtimes, say, say_when_draining, told};

const SIGNALS: [(Signal, i32, &str); 3] = [
    (Signal::INT, 130, "draining Int"),
    (Signal::TERM, 143, "draining Term"),
    (Signal::HUP, 129, "draining Hup"),
];

const PATIENT: ShutdownBudget = ShutdownBudget {
    grace: FOR_EVER,
    cancel: FOR_EVER,
    hard: FOR_EVER,
};

#[test]
fn first_signal_drains_second_exits() {
    if let Some((kind, _)) = role() {
        works_in_units(kind);
    }
    let start = |kind| {
        let mut child = Child::start("signals::first_signal_drains_second_exits", kind, "works");
        child.hear("begun");
        child.tell("go");
        child.hear("committed");
        child.hear("begun");
        child
    };
    for &kind in BackendKind::compiled() {
        for (first, exit, draining) in SIGNALS {
            // The unit that had begun is committed, and no other begins.
            let mut child = start(kind);
            child.signal(first);
            child.hear(draining);
            child.tell("go");
            child.hear("committed");
            child.hear("refused after 2");
            assert_eq!(child.end(), (Some(exit), vec!["dropped".to_owned()]), "{kind}");

            // Nobody waits for it any more, and nothing else is run: not even a destructor.
            let child = start(kind);
            child.signal(first);
            child.hear(draining);
            let (second, exit, _) = SIGNALS[usize::from(first == Signal::INT)];
            child.signal(second);
            assert_eq!(child.end(), (Some(exit), vec![]), "{kind}");
        }
    }
}

/// Commits one unit each time it is told so, until it may begin none.
fn works_in_units(kind: BackendKind) -> ! {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            say("dropped");
        }
    }
    async fn unit(cx: &Cx, _: Started) {
        say("begun");
        let word = cx.blocking("told", |_| Ok::<_, Infallible>(told())).await;
        assert_eq!(word.ok().unwrap(), "go");
        say("committed");
    }
    let runtimes = runtimes(kind, PATIENT);
    say_when_draining(&runtimes);
    let main = runtimes.default().run_main(|cx| async move {
        let _loud = Loud;
        for done in 0.. {
            let started = cx.may_start().inspect_err(|_| say(format!("refused after {done}")))?;
            unit(&cx, started).await;
        }
        Ok::<_, Stop>(())
    });
    assert!(main.drain.quiescent);
    match main.outcome {
        Outcome::Cancelled(reason) => match reason.kind {
            CancelKind::Signal(signal) => exit(signal.exit_code().into()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_interrupt_in_the_background_is_for_somebody_else() {
    if let Some((kind, _)) = role() {
        let runtimes = runtimes(kind, PATIENT);
        runtimes.leave_foreground();
        say_when_draining(&runtimes);
        say("left");
        assert_eq!(told(), "go");
        say("here");
        exit(0);
    }
    let start = |kind| {
        let name = "signals::an_interrupt_in_the_background_is_for_somebody_else";
        let child = Child::start(name, kind, "waits");
        child.hear("left");
        child
    };
    for &kind in BackendKind::compiled() {
        let mut child = start(kind);
        child.signal(Signal::INT);
        child.tell("go");
        child.hear("here");
        assert_eq!(child.end(), (Some(0), vec![]), "{kind}");
        // There is nothing left to drain, so one is enough.
        let child = start(kind);
        child.signal(Signal::TERM);
        assert_eq!(child.end(), (Some(143), vec![]), "{kind}");
    }
}

#[test]
fn second_signal_works_with_all_workers_stuck() {
    if let Some((kind, _)) = role() {
        gets_stuck(kind);
    }
    for &kind in BackendKind::compiled() {
        for (first, second) in [(1, 0), (0, 1), (1, 1)] {
            let child = Child::start(
                "signals::second_signal_works_with_all_workers_stuck",
                kind,
                "gets stuck",
            );
            child.hear("stuck");
            child.signal(SIGNALS[first].0);
            child.hear(SIGNALS[first].2);
            child.signal(SIGNALS[second].0);
            assert_eq!(child.end(), (Some(SIGNALS[second].1), vec![]), "{kind}");
        }
    }
}

/// Has every worker, every blocking thread and the main thread do something that knows no end.
fn gets_stuck(kind: BackendKind) -> ! {
    let runtimes = runtimes(kind, PATIENT);
    say_when_draining(&runtimes);
    let main = runtimes.default().run_main(|cx| async move {
        for _ in 0..2 {
            block_a_thread(&cx);
        }
        block_workers(&cx, 2);
        say("stuck");
        stuck()
    });
    panic!("{:?}", main.outcome);
}

fn stuck() -> Result<Infallible, Never> {
    loop {
        thread::yield_now();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
pub struct Never(Infallible);

impl TaskError for Never {}

/// Occupies one blocking thread for ever.
pub fn block_a_thread(cx: &Cx) {
    let (inside, is_inside) = channel();
    let blocks = |cx: Cx| async move {
        let blocked = move |_: &_| -> Result<(), Never> {
            inside.send(()).unwrap();
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        };
        match cx.blocking("blocked", blocked).await {
            Outcome::Cancelled(reason) => Err::<(), _>(Cancelled(reason)),
            other => panic!("{other:?}"),
        }
    };
    cx.spawn("blocks", blocks).unwrap();
    is_inside.recv().unwrap();
}

/// Occupies so many workers for ever. A task may queue up behind one that is stuck, so there are as many as it takes.
pub fn block_workers(cx: &Cx, workers: usize) {
    let (inside, is_inside) = channel();
    let spins = |inside: Sender<()>| {
        move |_: Cx| async move {
            inside.send(()).unwrap();
            stuck()
        }
    };
    let mut blocked = 0;
    while blocked < workers {
        cx.spawn("stuck", spins(inside.clone())).unwrap();
        if is_inside.recv_timeout(Duration::from_millis(500)).is_ok() {
            blocked += 1;
        }
    }
}
