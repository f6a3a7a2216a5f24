//! Which process this is, and whether another one still runs: what a lock in a file needs to know.

/// A process of some machine. A number alone is reused; with its start time it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Name of the machine.
    pub host: String,
    /// Process number.
    pub pid: i64,
    /// When it started, in the system's own unit; 0 where the system does not say.
    pub started: i64,
}

impl ProcessIdentity {
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        let pid = i64::from(std::process::id());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            host,
            pid,
            started: start_time(pid).unwrap_or(0),
        }
    }
}

/// Whether the process with this number and start time runs on this machine. A zombie does not.
#[must_use]
pub fn is_running(pid: i64, started: i64) -> bool {
    match start_time(pid) {
        Some(now) => started == 0 || now == started,
        None if cfg!(target_os = "linux") => false,
        None => exists(pid),
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)), in clock ticks since boot; `None` for a zombie, and where there is no `/proc`.
fn start_time(pid: i64) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold blanks and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn exists(pid: i64) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // EPERM means that it is there and somebody else's.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::{ProcessIdentity, is_running};

    #[test]
    fn this_process_runs_and_its_number_alone_is_not_enough() {
        let me = ProcessIdentity::current();
        assert!(is_running(me.pid, me.started));
        assert!(
            !is_running(me.pid, me.started + 1) || me.started == 0,
            "a reused number is another process"
        );
    }

    #[test]
    fn an_ended_process_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i64::from(child.id());
        child.wait().unwrap();
        assert!(!is_running(pid, 1));
    }
}
