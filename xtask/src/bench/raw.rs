//! The reference of `bench sync`: the same requests, asked on kept connections by threads that throw the answers away.
//!
//! `xtask bench raw-fetch http://HOST:PORT FILE THREADS`, with one path per line of the file, is a process of its own, so
//! that it pays for its start as Annals does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail, ensure};

pub fn main(args: &[String]) -> anyhow::Result<()> {
    let [origin, file, threads] = args else {
        bail!("raw-fetch takes an origin, a file and a number of threads")
    };
    let host = origin.strip_prefix("http://").context("http only")?;
    let text = std::fs::read_to_string(file)?;
    let targets: Vec<&str> = text.lines().collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || fetch(host, || targets.get(next.fetch_add(1, Ordering::Relaxed)).copied());
        let workers: Vec<_> = (0..threads.parse()?).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a panic"))?)
    })
}

/// Asks for one after the other on one connection.
fn fetch<'a>(host: &str, mut next: impl FnMut() -> Option<&'a str>) -> anyhow::Result<()> {
    let stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
    let mut writer = stream;
    let mut body = Vec::new();
    while let Some(target) = next() {
        writer.write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(reader.read_line(&mut line)? > 0, "the forge left");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    Ok(())
}
