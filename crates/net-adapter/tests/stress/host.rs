//! What the operating system says is left of this process.

use std::time::{Duration, Instant};
use std::{fs, thread};

use annals_net_adapter::Runtime;

/// Sockets that this process holds; none where the system does not say.
pub fn sockets() -> usize {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Children of this process, dead ones that nobody has reaped included.
pub fn children() -> usize {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let of_each = threads.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("children")).ok());
    of_each.map(|children| children.split_whitespace().count()).sum()
}

/// Nothing is registered any more, and nothing but this many sockets is open.
pub fn is_empty(runtimes: &[Runtime], before: usize, why: &str) {
    for runtime in runtimes {
        let snapshot = runtime.snapshot();
        let names: Vec<_> = snapshot.regions.iter().map(|region| region.name).collect();
        assert_eq!(names, ["root"], "{why}: regions are left");
        assert_eq!(
            (snapshot.tasks().count(), snapshot.permits()),
            (0, 0),
            "{why}: {snapshot:?}"
        );
    }
    assert_eq!(children(), 0, "{why}: child processes are left");
    is_closed(before, why);
}

/// No more than this many sockets are open, or soon: a backend may close one a moment after it was let go.
pub fn is_closed(before: usize, why: &str) {
    let begun = Instant::now();
    while sockets() > before {
        let left = sockets().saturating_sub(before);
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{why}: {left} sockets are left"
        );
        thread::sleep(Duration::from_millis(1));
    }
}
