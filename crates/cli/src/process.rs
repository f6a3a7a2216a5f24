//! Which process this is and whether another one of this machine still runs: what a lock is judged by.

use std::path::PathBuf;

use annals_db::control::{Alive, ProcessId};

/// This process, and the way to tell whether others run.
pub fn alive() -> Alive {
    let pid = i64::from(std::process::id());
    let me = ProcessId {
        host: host(),
        pid,
        process_start: started(pid).unwrap_or(0),
    };
    Alive::new(me, runs)
}

fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Whether a process with this id and start runs. What cannot be told counts as running: a lock taken too late is
/// better than one taken from somebody who works.
fn runs(pid: i64, process_start: i64) -> bool {
    let Some(id) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    if rustix::process::test_kill_process(id) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    match started(pid) {
        Some(start) => start == process_start,
        // It went between the two looks, or this system does not say.
        None => !stat(pid).exists() && !cfg!(target_os = "linux"),
    }
}

fn stat(pid: i64) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/stat"))
}

/// When a process started, in ticks since the machine did; `None` for one that has ended and only waits to be collected.
fn started(pid: i64) -> Option<i64> {
    let text = std::fs::read(stat(pid)).ok()?;
    start_of(&String::from_utf8_lossy(&text))
}

/// Reads the line of `/proc/PID/stat`. The name in parentheses may hold anything, also blanks and parentheses.
fn start_of(line: &str) -> Option<i64> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    // State is field 3, the start time field 22.
    let start = fields.nth(18)?;
    if matches!(state, "Z" | "X") {
        None
    } else {
        start.parse().ok()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_hostile_name_is_read() {
        let line =
            |state: &str| format!("42 (a) b (c) {state} 1 42 42 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 98765 1000 50");
        assert_eq!(start_of(&line("S")), Some(98_765));
        assert_eq!(start_of(&line("Z")), None);
        assert_eq!(start_of("42 (x"), None);
    }

    #[test]
    fn a_process_that_ended_does_not_run() {
        let alive = alive();
        assert!(alive.is_alive(&alive.me));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i64::from(child.id());
        let other = ProcessId {
            pid,
            process_start: started(pid).unwrap_or(0),
            ..alive.me.clone()
        };
        assert!(alive.is_alive(&other));
        assert!(
            alive.is_dead(&ProcessId {
                process_start: 1,
                ..other.clone()
            }) || !cfg!(target_os = "linux")
        );
        child.kill().unwrap();
        // Not collected yet: it is a zombie, and ended all the same.
        while started(pid).is_some() {}
        assert!(alive.is_dead(&other) || !cfg!(target_os = "linux"));
        child.wait().unwrap();
        assert!(alive.is_dead(&other));
    }
}
