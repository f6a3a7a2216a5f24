//! A server that nobody asks: it should cost nothing.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::command::Options;
use super::programs::{Forge, Programs, get, status_kib};
use crate::evidence::{Shelf, Stamp};
use crate::{Verdict, Workspace};

/// What one idle server cost; `kpi` reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    pub runtime: String,
    /// The runtimes that are compiled in.
    pub compiled: Vec<String>,
    pub cpu_ns: u64,
    pub seconds: u32,
    pub rss_kib: u64,
}

impl Idle {
    /// Hundredths of a processor.
    pub fn cpu_percent(&self) -> f64 {
        self.cpu_ns as f64 / 1e7 / f64::from(self.seconds)
    }
}

pub fn command(here: &Workspace, options: &Options) -> anyhow::Result<Verdict> {
    let stamp = Stamp::now(here)?;
    let programs = Programs::build(here, options.features.as_deref())?;
    let compiled = programs.runtimes()?;
    let mut found = Vec::new();
    for runtime in &compiled {
        let idle = measure(&programs, options, runtime, &compiled)?;
        println!(
            "\nidle server, {runtime}: {:.3} ms of CPU in {} s, {:.1} MiB resident",
            idle.cpu_ns as f64 / 1e6,
            idle.seconds,
            idle.rss_kib as f64 / 1024.0
        );
        found.push(idle);
    }
    let features = options.features.as_deref().unwrap_or("default");
    Shelf::of(here)?.put(&format!("idle-{features}"), &stamp, &found)?;
    Ok(Verdict::Holds)
}

fn measure(programs: &Programs, options: &Options, runtime: &str, compiled: &[String]) -> anyhow::Result<Idle> {
    let forge = Forge::start(programs, 100, 0)?;
    programs.first_sync(runtime, &forge)?;
    let (server, host) = programs.serve(runtime)?;
    // A page, so that everything that is made on first use is there.
    get(&host, "/?q=a")?;
    std::thread::sleep(Duration::from_secs(1));

    let seconds = options.seconds_or(10);
    let before = cpu_ns(server.pid())?;
    std::thread::sleep(Duration::from_secs(seconds.into()));
    Ok(Idle {
        runtime: runtime.to_owned(),
        compiled: compiled.to_vec(),
        cpu_ns: cpu_ns(server.pid())? - before,
        seconds,
        rss_kib: status_kib(server.pid(), "VmRSS").context("the server has ended")?,
    })
}

/// Time on a processor, of all threads, in nanoseconds.
fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let mut total = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let on_cpu = text.split_whitespace().next().context("schedstat is empty")?;
        total += on_cpu.parse::<u64>()?;
    }
    Ok(total)
}
