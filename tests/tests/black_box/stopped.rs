//! A sync that is stopped where the test says: at each request, in each phase, while it writes, and while the forge hangs.

use std::collections::BTreeMap;
use std::time::Duration;

use annals_tests::mirror::assert_same;
use annals_tests::running::wait_until;
use annals_tests::{Desk, Ended, Forge, Mirror, Running};
use rustix::process::Signal;

use crate::interrupted::{BOUND, Size, shared_by};

/// Few enough requests to be killed at each of them.
static TINY: Size = Size::new(6, 3, "page_size = 3");
static SMALL: Size = Size::new(30, 15, "page_size = 6");

/// A forge, a mirror of it, and what that must become.
struct Scene {
    forge: Forge,
    desk: Desk,
    size: &'static Size,
}

impl Scene {
    fn new(size: &'static Size) -> Self {
        let forge = size.forge();
        let desk = size.desk(&forge);
        Self { forge, desk, size }
    }

    fn start(&self) -> Running {
        self.desk.start(&["sync", &self.forge.project_url()])
    }

    /// The next run, by another process and on a forge that behaves, ends where one that nobody stopped would have.
    fn heals(&self, why: &str) {
        self.forge.behave();
        let result = self.start().wait().data();
        assert_eq!(result["status"], "done", "{why}: {result}");
        let mirror = self.desk.mirror();
        mirror.check();
        assert_eq!(mirror.locks(), 0, "{why}");
        assert_same(why, &self.size.reference().dump, &mirror.canonical(self.forge.url()));
    }

    /// The last run: how it stands, and in which phase it is.
    fn last(&self) -> Option<(String, String)> {
        if !self.desk.db().exists() {
            return None;
        }
        let mirror = self.desk.mirror();
        if !mirror.is_made() || mirror.runs().is_empty() {
            return None;
        }
        let last = |column: &str| -> String {
            mirror.one(&format!(
                "SELECT coalesce({column}, '-') FROM sync_runs ORDER BY started_at DESC, run_id DESC LIMIT 1"
            ))
        };
        Some((last("status"), last("phase")))
    }

    /// A run that was asked to stop has said so, and left nothing for another to heal.
    fn is_cancelled(&self, ended: &Ended) -> Mirror {
        ended.failure(130, "cancelled");
        let mirror = self.desk.mirror();
        mirror.check();
        assert_eq!(mirror.locks(), 0, "the lock is still held: {ended}");
        assert_eq!(mirror.count("dependent_jobs", "status = 'claimed'"), 0, "{ended}");
        let last = self.last().expect("a run that began is in the ledger");
        assert_eq!(last.0, "cancelled", "{ended}");
        mirror
    }

    /// Stops a first sync with Ctrl-C when `until` holds, and heals; as often as it takes to be in time, which shows in
    /// what the run has left to do.
    fn ctrl_c(&self, what: &str, left: fn(&Mirror) -> bool, prepare: impl Fn(), until: impl Fn() -> bool) {
        let in_time = || {
            self.desk.forget();
            prepare();
            let mut run = self.start();
            run.wait_for_handler();
            wait_until(what, || run.has_ended() || until());
            if !run.has_ended() {
                run.signal(Signal::INT);
            }
            let ended = run.wait_within(BOUND);
            let in_time = !ended.status.success() && left(&self.is_cancelled(&ended));
            self.heals(&format!("Ctrl-C during {what}"));
            in_time
        };
        assert!((0..20).any(|_| in_time()), "every run was faster than Ctrl-C in {what}");
    }

    /// The same when so many answers of a list were asked for, which come slowly.
    fn ctrl_c_at(&self, list: &str, count: u64, left: fn(&Mirror) -> bool) {
        let before = std::cell::Cell::new(0);
        let slow = || {
            self.forge.go_wrong("slow-bytes", &format!("*{list}?*"), "always");
            before.set(self.forge.asked(list));
        };
        self.ctrl_c(list, left, slow, || self.forge.asked(list) >= before.get() + count);
    }
}

/// Issues are read first.
fn in_issues(mirror: &Mirror) -> bool {
    mirror.count("merge_requests", "true") == 0
}

fn in_merge_requests(mirror: &Mirror) -> bool {
    mirror.count("issues", "true") > 0 && mirror.count("dependent_jobs", "status = 'done'") == 0
}

fn in_dependents(mirror: &Mirror) -> bool {
    let jobs = |status: &str| mirror.count("dependent_jobs", &format!("status = '{status}'"));
    mirror.count("merge_requests", "true") > 0 && jobs("pending") > 0
}

#[test]
fn ctrl_c_during_issue_pages() {
    Scene::new(&SMALL).ctrl_c_at("/issues", 2, in_issues);
}

#[test]
fn ctrl_c_during_dependents() {
    Scene::new(&SMALL).ctrl_c_at("/discussions", 5, in_dependents);
}

/// What is written stands in the log first: when that has just grown, the writer is at work.
#[test]
fn ctrl_c_during_writer() {
    let scene = Scene::new(&SMALL);
    let log = scene.desk.file("annals.db-wal");
    let length = || std::fs::metadata(&log).map_or(0, |meta| meta.len());
    for growths in [2, 5, 11, 17, 29, 47] {
        scene.desk.forget();
        let (mut known, mut seen) = (0, 0);
        let mut run = scene.start();
        run.wait_for_handler();
        wait_until("the log grows", || {
            let now = length();
            seen += u32::from(now > known);
            known = now;
            run.has_ended() || seen >= growths
        });
        if !run.has_ended() {
            run.signal(Signal::INT);
        }
        let ended = run.wait_within(BOUND);
        scene.desk.mirror().check();
        if !ended.status.success() {
            ended.failure(130, "cancelled");
            assert_eq!(scene.desk.mirror().locks(), 0, "{ended}");
        }
        scene.heals(&format!("Ctrl-C at growth {growths} of the log"));
    }
}

#[test]
fn second_signal_exits_at_once_and_next_sync_heals() {
    let scene = Scene::new(&SMALL);
    scene.forge.go_wrong("stall", "*/discussions?*", "nth:3");
    let mut run = scene.start();
    wait_until("the forge hangs", || {
        assert!(!run.has_ended(), "it ended by itself");
        scene.forge.struck("stall") == 1
    });
    // Two signals that come together may be one: so it is asked until it has heard twice.
    wait_until("the end", || {
        if !run.has_ended() {
            run.signal(Signal::INT);
        }
        std::thread::sleep(Duration::from_millis(20));
        run.has_ended()
    });
    let ended = run.wait();
    assert_eq!(ended.code(), 130, "{ended}");
    // It waited for nothing: neither for the answer that never comes, nor to say goodbye in the ledger.
    let mirror = scene.desk.mirror();
    mirror.check();
    assert_eq!(mirror.locks(), 1, "it took its time to let go: {ended}");
    assert_eq!(
        scene.last().map(|(status, _)| status).as_deref(),
        Some("running"),
        "{ended}"
    );
    drop(mirror);

    scene.heals("after a second signal");
    let ends: Vec<_> = scene
        .desk
        .mirror()
        .runs()
        .into_iter()
        .map(|run| (run.status, run.error))
        .collect();
    assert_eq!(
        ends,
        [
            ("failed".to_owned(), Some("interrupted".to_owned())),
            ("done".to_owned(), None)
        ]
    );
}

/// Nobody answers any more, so nothing under way can end by itself: the time for that passes, then it is dropped.
#[test]
fn hung_server_exit_within_bound() {
    let scene = Scene::new(&SMALL);
    let config = std::fs::read_to_string(scene.desk.file("annals.toml")).unwrap();
    scene
        .desk
        .configure(&format!("{config}\n[runtime.shutdown]\ngrace_ms = 200\n"));
    let left: [(&str, &str, fn(&Mirror) -> bool); 4] = [
        ("stall", "*/issues?*", in_issues),
        ("stall-in-body", "*/merge_requests?*", in_merge_requests),
        ("stall", "*/discussions?*", in_dependents),
        ("stall-in-body", "*/discussions?*", in_dependents),
    ];
    for (fault, target, left) in left {
        scene.desk.forget();
        let before = scene.forge.struck(fault);
        scene.forge.go_wrong(fault, target, "always");
        let mut run = scene.start();
        wait_until("the forge hangs", || {
            assert!(!run.has_ended(), "it ended by itself");
            scene.forge.struck(fault) > before
        });
        run.signal(Signal::INT);
        // Cancelled within its bounds it closes its run and lets go of its lock; past them it would end without either.
        let ended = run.wait_within(BOUND);
        assert!(left(&scene.is_cancelled(&ended)), "{fault} at {target}: {ended}");
        scene.heals(&format!("{fault} at {target}"));
    }
}

/// A first sync is killed at its first request, its second, and so on to the last, and then while it ends; each time
/// the next one heals.
#[test]
fn kill_9_at_every_step_then_next_sync_heals() {
    let scene = Scene::new(&TINY);
    let requests = TINY.reference().requests;
    let mut met: BTreeMap<String, u64> = BTreeMap::new();
    let every = usize::try_from(shared_by()).unwrap();
    for at in (1..=requests).step_by(every) {
        scene.desk.forget();
        let before = scene.forge.struck("stall");
        scene.forge.go_wrong("stall", "*", &format!("nth:{at}"));
        let mut run = scene.start();
        wait_until("the forge hangs", || {
            run.has_ended() || scene.forge.struck("stall") > before
        });
        killed(&scene, run, &format!("at request {at} of {requests}"), &mut met);
    }
    // What follows the last request has none: instants after it.
    for late in (0..24).step_by(every) {
        scene.desk.forget();
        let mut watch = scene.forge.watch();
        let last = watch.requests() + requests;
        let mut run = scene.start();
        wait_until("the last request", || run.has_ended() || watch.requests() >= last);
        std::thread::sleep(Duration::from_millis(late * 2));
        killed(
            &scene,
            run,
            &format!("{} ms after the last request", late * 2),
            &mut met,
        );
    }
    eprintln!("kills by phase: {met:?}");
    for phase in ["project", "streams", "dependents"] {
        assert!(met.contains_key(phase), "no kill in {phase}: {met:?}");
    }
}

fn killed(scene: &Scene, run: Running, why: &str, met: &mut BTreeMap<String, u64>) {
    let ended = run.kill();
    if scene.desk.db().exists() {
        Mirror::open(&scene.desk.db()).check();
    }
    if ended.status.success() {
        *met.entry("ended".to_owned()).or_default() += 1;
    } else {
        assert_eq!(ended.code(), 137, "{why}: {ended}");
        let phase = scene.last().map_or_else(|| "open".to_owned(), |(_, phase)| phase);
        *met.entry(phase).or_default() += 1;
    }
    scene.heals(&format!("killed {why}"));
}
