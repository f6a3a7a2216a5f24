//! The main job beside a raw fetch of the same pages.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use super::command::Options;
use super::programs::{Forge, Programs, run};

/// What both may ask at once: what Annals asks of a host when nothing is configured.
const CONCURRENCY: &str = "4";

pub fn measure(programs: &Programs, options: &Options, runtime: &str) -> anyhow::Result<()> {
    let entities = options.entities.first().copied().unwrap_or(5_000);
    println!(
        "\nfirst sync, {runtime}, {CONCURRENCY} requests at once, {} rounds, median (least to most)",
        options.rounds_or(3)
    );
    println!(
        "{:>7}  {:>8}  {:>8}  {:>22}  {:>22}  {:>18}  {:>9}",
        "latency", "entities", "requests", "annals", "raw fetch", "ratio", "peak RSS"
    );
    for latency_ms in &options.latencies_ms {
        let entities = if *latency_ms == 0 {
            entities
        } else {
            (entities / 10).max(10)
        };
        let forge = Forge::start(programs, entities, *latency_ms)?;
        let targets = programs.scratch.join("targets");
        // One round ahead warms both up, and says which pages they are.
        programs.first_sync(runtime, &forge)?;
        let requests = write_targets(&forge, &targets)?;
        let (mut ours, mut raws, mut ratios, mut peak_kib) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..options.rounds_or(3) {
            let mut command = Command::new(&programs.xtask);
            command
                .args(["bench", "raw-fetch", &forge.url])
                .arg(&targets)
                .arg(CONCURRENCY);
            let raw = run(&mut command)?.took;
            let cost = programs.first_sync(runtime, &forge)?;
            ours.push(cost.took.as_secs_f64());
            raws.push(raw.as_secs_f64());
            ratios.push(cost.took.as_secs_f64() / raw.as_secs_f64());
            peak_kib = peak_kib.max(cost.peak_kib);
        }
        println!(
            "{latency_ms:>4} ms  {entities:>8}  {requests:>8}  {:>22}  {:>22}  {:>18}  {:>5} MiB",
            spread(&mut ours, " s"),
            spread(&mut raws, " s"),
            spread(&mut ratios, ""),
            peak_kib / 1024,
        );
    }
    Ok(())
}

/// `1.20 (1.10 to 1.30)`.
pub(super) fn spread(values: &mut [f64], unit: &str) -> String {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    format!(
        "{:.2}{unit} ({:.2} to {:.2})",
        at(values.len() / 2),
        at(0),
        at(values.len().saturating_sub(1))
    )
}

/// Writes what the forge was asked, as far as it was not asked conditionally. Returns how much that is.
fn write_targets(forge: &Forge, file: &Path) -> anyhow::Result<usize> {
    #[derive(Deserialize)]
    struct Entry {
        target: String,
        conditional: bool,
    }
    let host = forge.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "GET /-/log HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let entries: Vec<Entry> = serde_json::from_str(body)?;
    let targets: Vec<_> = entries
        .into_iter()
        .filter(|entry| !entry.conditional)
        .map(|entry| entry.target)
        .collect();
    std::fs::write(file, targets.join("\n"))?;
    Ok(targets.len())
}
