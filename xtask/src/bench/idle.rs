//! A server that nobody asks: it should cost nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::command::Options;
use super::programs::{Forge, Programs, Server, status_kib};

pub fn measure(programs: &Programs, options: &Options, runtime: &str) -> anyhow::Result<()> {
    let forge = Forge::start(programs, 100, 0)?;
    programs.first_sync(runtime, &forge)?;
    let folder = programs.scratch.join("desk");
    let serve = ["--db", "annals.db", "serve", "--bind", "127.0.0.1:0"];
    let (server, line) = Server::start(&mut programs.annals(runtime, &folder, &serve))?;
    let envelope: serde_json::Value = serde_json::from_str(&line)?;
    let address = envelope["data"]["address"]
        .as_str()
        .context("the server does not say where it is")?;
    // A page, so that everything that is made on first use is there.
    ask(address.trim_start_matches("http://").trim_end_matches('/'))?;
    std::thread::sleep(Duration::from_secs(1));

    let before = cpu_ns(server.pid())?;
    std::thread::sleep(Duration::from_secs(options.seconds.into()));
    let used = cpu_ns(server.pid())? - before;
    let rss = status_kib(server.pid(), "VmRSS").context("the server has ended")?;
    println!(
        "\nidle server, {runtime}: {:.3} ms of CPU in {} s, {:.1} MiB resident",
        used as f64 / 1e6,
        options.seconds,
        rss as f64 / 1024.0
    );
    Ok(())
}

fn ask(host: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET /?q=a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
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
