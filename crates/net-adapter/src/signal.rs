//! Signals, handled by threads of their own so that they work when every worker is stuck.
//!
//! The first SIGINT, SIGTERM or SIGHUP begins the drain; after the grace time what still runs is
//! cancelled; after the cancel and hard times the process ends whatever happens. A second signal
//! ends it at once: no destructor runs, and the database recovers from its log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::shutdown::{ShutdownSignal, Stage};
use crate::slices::DrainOrder;
use crate::time::process_now;

/// How long each stage of a shutdown may take.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownBudget {
    /// For units of work that have begun.
    pub grace: Duration,
    /// For cancelled tasks to clean up.
    pub cancel: Duration,
    /// For everything else, until the process is ended.
    pub hard: Duration,
}

impl Default for ShutdownBudget {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            cancel: Duration::from_secs(3),
            hard: Duration::from_secs(2),
        }
    }
}

/// Whether the terminal is this process's own to be interrupted at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Foreground {
    left: Arc<AtomicBool>,
}

impl Foreground {
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// What a signal means; `first` says whether none has begun a shutdown yet.
    fn meaning(&self, signal: Signal, first: bool) -> Meaning {
        match (self.left.load(Ordering::Relaxed), signal) {
            (true, Signal::Int) => Meaning::Nothing,
            (true, Signal::Term | Signal::Hup) => Meaning::End,
            (false, _) if first => Meaning::Drain,
            (false, _) => Meaning::End,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It is for somebody else.
    Nothing,
    /// The shutdown begins.
    Drain,
    /// The process ends.
    End,
}

/// Starts the signal thread of the process.
pub(crate) fn install(
    shutdown: ShutdownSignal,
    order: DrainOrder,
    budget: ShutdownBudget,
    foreground: Foreground,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("annals-signals".into()).spawn(move || {
        let mut first = Some((shutdown, order));
        for number in signals.forever() {
            let signal = match number {
                SIGTERM => Signal::Term,
                SIGHUP => Signal::Hup,
                _ => Signal::Int,
            };
            match foreground.meaning(signal, first.is_some()) {
                Meaning::Nothing => continue,
                Meaning::End => end_process(signal),
                Meaning::Drain => {}
            }
            let Some((shutdown, order)) = first.take() else {
                end_process(signal)
            };
            // Two threads: whom a cancellation wakes is not our code, and must not keep the process from its end. Nor
            // may it keep this thread from the next signal.
            let named = |name: &str| thread::Builder::new().name(name.into());
            let ending = named("annals-end").spawn(move || {
                thread::sleep(budget.grace + budget.cancel + budget.hard);
                end_process(signal)
            });
            let stopping = named("annals-stop").spawn(move || escalate(signal, &shutdown, &order, budget));
            if ending.is_err() || stopping.is_err() {
                end_process(signal);
            }
        }
    })?;
    Ok(())
}

fn escalate(signal: Signal, shutdown: &ShutdownSignal, order: &DrainOrder, budget: ShutdownBudget) {
    let reason = CancelReason::new(CancelKind::Signal(signal), "signal", process_now());
    shutdown.begin(reason.clone());
    thread::sleep(budget.grace);
    let end = process_now().after(budget.cancel);
    shutdown.advance(Stage::Cancelling, Some(end));
    order.cancel(&reason, end);
}

fn end_process(signal: Signal) -> ! {
    signal_hook::low_level::exit(i32::from(signal.exit_code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_for_the_program_in_the_foreground() {
        let foreground = Foreground::default();
        for signal in [Signal::Int, Signal::Term, Signal::Hup] {
            assert_eq!(foreground.meaning(signal, true), Meaning::Drain);
            assert_eq!(foreground.meaning(signal, false), Meaning::End);
        }
        foreground.leave();
        for first in [true, false] {
            assert_eq!(foreground.meaning(Signal::Int, first), Meaning::Nothing);
            assert_eq!(foreground.meaning(Signal::Term, first), Meaning::End);
            assert_eq!(foreground.meaning(Signal::Hup, first), Meaning::End);
        }
    }
}
