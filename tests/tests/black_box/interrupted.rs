//! A sync that is interrupted, at any instant and however rudely, leaves whole batches; the next one goes on from there,
//! and in the end nobody can tell.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use annals_testkit::forge::rng::Rng;
use annals_tests::forge::Watch;
use annals_tests::mirror::assert_same;
use annals_tests::{Desk, Ended, Forge, Running, RuntimeMode};
use rustix::process::Signal;

const SIGINTS: u64 = 50;
const KILLS: u64 = 200;
const RESUMED: u64 = 100;

/// Every draw of this file begins here; a failure is replayed with the same number.
const SEED: u64 = 0x5eed_2026;

/// What a shutdown may take (`[runtime.shutdown]`): 10 s, then 3 s, then 2 s; and a little for a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// A program with one runtime does all rounds; one with both, whose code was in those already, a quarter in each mode.
pub(crate) fn shared_by() -> u64 {
    RuntimeMode::from_env().map_or(1, |_| 4)
}

/// A project and the mirror that nobody interrupted.
pub(crate) struct Size {
    issues: u32,
    mrs: u32,
    /// Of `[sync]`.
    sync: &'static str,
    reference: OnceLock<Reference>,
}

pub(crate) struct Reference {
    pub(crate) dump: String,
    pub(crate) requests: u64,
}

/// Two thousand entities in small pages. Events are left out, because they are most of the requests and all alike.
static LARGE: Size = Size::new(1400, 600, "page_size = 25\nevents = false");
static SMALL: Size = Size::new(40, 20, "page_size = 10");

impl Size {
    pub(crate) const fn new(issues: u32, mrs: u32, sync: &'static str) -> Self {
        Self {
            issues,
            mrs,
            sync,
            reference: OnceLock::new(),
        }
    }

    pub(crate) fn forge(&self) -> Forge {
        Forge::generated(self.issues, self.mrs, &[])
    }

    pub(crate) fn desk(&self, forge: &Forge) -> Desk {
        let desk = Desk::new();
        desk.configure(&format!("{}\n[sync]\n{}\n", forge.config(), self.sync));
        desk
    }

    pub(crate) fn reference(&self) -> &Reference {
        self.reference.get_or_init(|| {
            let forge = self.forge();
            let desk = self.desk(&forge);
            let result = desk.run(&["sync", &forge.project_url()]).data();
            assert_eq!(result["status"], "done", "{result}");
            let mirror = desk.mirror();
            mirror.check();
            let requests = forge.stats()["requests"].as_u64().unwrap();
            Reference {
                dump: mirror.canonical(forge.url()),
                requests,
            }
        })
    }
}

/// One mirror that is interrupted again and again.
struct Trial<'a> {
    forge: Forge,
    desk: Desk,
    watch: Watch,
    reference: &'a Reference,
    rng: Rng,
    /// How often each phase was met; what shows that the instants are spread over the whole of a run.
    met: BTreeMap<String, u64>,
}

impl<'a> Trial<'a> {
    fn new(size: &'a Size, purpose: u64) -> Self {
        let reference = size.reference();
        let forge = size.forge();
        Self {
            desk: size.desk(&forge),
            watch: forge.watch(),
            forge,
            reference,
            rng: Rng::keyed(SEED, &[purpose]),
            met: BTreeMap::new(),
        }
    }

    fn start(&self) -> Running {
        self.desk.start(&["sync", &self.forge.project_url()])
    }

    /// Waits for an instant drawn from the seed. Most are so many requests after the start, up to `requests`, or a while
    /// of silence, which is how the phases without requests are met; some are early, where files are opened, runs healed
    /// and locks taken. The run may have ended by itself.
    fn wait_for_instant(&mut self, run: &mut Running, requests: u64) {
        let early = self
            .rng
            .permille(150)
            .then(|| Duration::from_micros(self.rng.below(120_000)));
        let (count, silence) = (
            1 + self.rng.below(requests),
            Duration::from_millis(20 + self.rng.below(400)),
        );
        let a_bit = Duration::from_micros(self.rng.below(3_000));
        let (start, first) = (Instant::now(), self.watch.requests());
        let (mut seen, mut heard) = (first, None);
        while !run.has_ended() {
            let now = Instant::now();
            let asked = self.watch.requests();
            if asked > seen {
                (seen, heard) = (asked, Some(now));
            }
            let is_due = match (early, heard) {
                (Some(early), _) => now - start >= early,
                (None, Some(heard)) => seen - first >= count || now - heard >= silence,
                (None, None) => false,
            };
            if is_due {
                std::thread::sleep(a_bit);
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// What must hold whenever no process is at the file.
    fn check(&self) {
        if self.desk.db().exists() {
            self.desk.mirror().check();
        }
    }

    /// Lets a run come to its end and compares.
    fn finish(&self) {
        self.finished(&self.start().wait());
    }

    fn finished(&self, ended: &Ended) {
        let result = ended.data();
        assert_eq!(result["status"], "done", "{result}");
        let mirror = self.desk.mirror();
        mirror.check();
        assert_eq!(mirror.locks(), 0, "a finished run holds no lock");
        assert_same(
            "after interruptions the mirror differs",
            &self.reference.dump,
            &mirror.canonical(self.forge.url()),
        );
    }

    /// Interrupts a run; false if it was faster.
    fn interrupt(&mut self, how: Signal, requests: u64) -> bool {
        let before = self.ledger();
        let mut run = self.start();
        if how != Signal::KILL {
            run.wait_for_handler();
        }
        self.wait_for_instant(&mut run, requests);
        if !run.has_ended() {
            run.signal(how);
        }
        let ended = run.wait_within(BOUND);
        if ended.status.success() {
            self.finished(&ended);
            return false;
        }
        self.check();
        if how == Signal::KILL {
            assert_eq!(ended.code(), 137, "{ended}");
            let phase = self.last_phase(before);
            *self.met.entry(phase).or_default() += 1;
        } else {
            ended.failure(130, "cancelled");
            self.is_let_go(before);
        }
        true
    }

    /// A run that was asked to end says so in the ledger and leaves nothing that another would have to heal.
    fn is_let_go(&self, before: usize) {
        if self.ledger() == 0 {
            return;
        }
        let mirror = self.desk.mirror();
        assert_eq!(mirror.locks(), 0, "the lock is still held");
        assert_eq!(
            mirror.count("dependent_jobs", "status = 'claimed'"),
            0,
            "jobs are still claimed"
        );
        let runs = mirror.runs();
        assert!(runs.iter().all(|run| run.status != "running"), "{runs:?}");
        for run in &runs[before..] {
            assert_eq!(
                (run.status.as_str(), run.error.as_deref()),
                ("cancelled", Some("cancelled")),
                "{runs:?}"
            );
        }
    }

    fn ledger(&self) -> usize {
        if !self.desk.db().exists() {
            return 0;
        }
        let mirror = self.desk.mirror();
        if mirror.is_made() { mirror.runs().len() } else { 0 }
    }

    /// Where the last run was when it was killed.
    fn last_phase(&self, before: usize) -> String {
        if self.ledger() == before {
            return "open".to_owned();
        }
        self.desk
            .mirror()
            .one("SELECT phase FROM sync_runs ORDER BY started_at DESC, run_id DESC LIMIT 1")
    }

    /// Interrupts so many runs, all of one file as long as it is not complete.
    fn many(&mut self, how: Signal, rounds: u64) {
        let rounds = rounds / shared_by();
        // Together they ask for about as much as two runs that nobody interrupts.
        let requests = 4 * self.reference.requests / rounds;
        let mut done = 0;
        while done < rounds {
            if self.interrupt(how, requests) {
                done += 1;
            } else {
                self.desk.forget();
            }
        }
        self.finish();
        eprintln!("{rounds} times {how:?}; kills by phase: {:?}", self.met);
    }
}

#[test]
fn sigint_at_50_random_instants_then_synced_equals_uninterrupted() {
    Trial::new(&LARGE, 1).many(Signal::INT, SIGINTS);
}

#[test]
fn kill_9_at_200_random_instants_then_synced_equals_uninterrupted() {
    let mut trial = Trial::new(&LARGE, 2);
    trial.many(Signal::KILL, KILLS);
    for phase in ["dependents", "documents"] {
        assert!(trial.met.contains_key(phase), "no kill in {phase}: {:?}", trial.met);
    }
}

/// A small project, so that kills land in every phase of a run and in every kind of transaction.
#[test]
fn resume_after_100_random_kills_equals_uninterrupted() {
    Trial::new(&SMALL, 4).many(Signal::KILL, RESUMED);
}

/// One interruption of a first sync, anywhere in it, then one run to the end.
#[test]
fn a_first_sync_interrupted_once_is_completed_by_the_next() {
    let mut trial = Trial::new(&SMALL, 3);
    let requests = trial.reference.requests;
    for round in 0..24 {
        trial.desk.forget();
        let how = if round % 2 == 0 { Signal::KILL } else { Signal::INT };
        if trial.interrupt(how, requests) {
            trial.finish();
        }
    }
}

/// The other polite signals end a run as Ctrl-C does, each with its own exit code.
#[test]
fn sigterm_and_sighup_end_a_run_as_cancelled() {
    for (signal, exit) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let forge = Forge::generated(20, 10, &["--latency-ms", "50"]);
        let desk = Desk::at(&forge);
        let mut run = desk.start(&["sync", &forge.project_url()]);
        run.wait_for_handler();
        let mut watch = forge.watch();
        annals_tests::running::wait_until("the run asks", || watch.requests() >= 5);
        run.signal(signal);
        run.wait_within(BOUND).failure(exit, "cancelled");
        let mirror = desk.mirror();
        mirror.check();
        assert_eq!(mirror.locks(), 0);
        assert_eq!(
            mirror.runs().last().map(|run| run.status.clone()).as_deref(),
            Some("cancelled")
        );
    }
}
