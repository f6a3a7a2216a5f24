//! The load generator: GET requests at a fixed rate, whatever the server does.
//!
//! `xtask bench load HOST:PORT TARGET RATE SECONDS CONNECTIONS` is a process of its own, so that it shares no scheduler
//! with what it measures. A latency counts from the moment at which the request was due: a server that stalls is charged
//! for every request that had to wait, also for those which could not even be sent. Rate 0 sends the next request when
//! the last one was answered; that measures throughput.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// Microseconds of each request that was answered with 200.
    pub latencies: Vec<f64>,
    pub failed: u64,
    /// The first failure in words.
    pub failure: Option<String>,
    pub seconds: f64,
}

impl Load {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }
}

pub fn main(args: &[String]) -> anyhow::Result<()> {
    let [host, target, rate, seconds, connections] = args else {
        bail!("load takes a host, a target, a rate, seconds and a number of connections")
    };
    // The kernel delays sleeping threads by up to 50 µs to save power; threads inherit this. Where it cannot be set, both
    // sides of a ratio carry the same delay.
    std::fs::write("/proc/self/timerslack_ns", "1").ok();
    let load = run(host, target, rate.parse()?, seconds.parse()?, connections.parse()?)?;
    serde_json::to_writer(std::io::stdout().lock(), &load)?;
    Ok(())
}

fn run(host: &str, target: &str, rate: f64, seconds: f64, connections: usize) -> anyhow::Result<Load> {
    let next = AtomicU64::new(0);
    let begin = Instant::now() + Duration::from_millis(20);
    let end = begin + Duration::from_secs_f64(seconds);
    let due = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = if rate > 0.0 {
            begin + Duration::from_secs_f64(number as f64 / rate)
        } else {
            Instant::now().max(begin)
        };
        (due < end).then_some(due)
    };
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| ask_in_turn(host, target, due)))
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|part| part.map_err(|_| anyhow::anyhow!("a thread panicked")))
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut load = Load {
        seconds: begin.elapsed().as_secs_f64(),
        ..Load::default()
    };
    for part in parts {
        load.latencies.extend(part.latencies);
        load.failed += part.failed;
        load.failure = load.failure.or(part.failure);
    }
    Ok(load)
}

/// One connection: takes the next request that is due until none is.
fn ask_in_turn(host: &str, target: &str, due: impl Fn() -> Option<Instant>) -> Load {
    let mut load = Load::default();
    let mut connection = None;
    while let Some(due) = due() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        match ask(&mut connection, host, target) {
            Ok(()) => load.latencies.push(due.elapsed().as_secs_f64() * 1e6),
            Err(error) => {
                load.failed += 1;
                load.failure.get_or_insert(format!("{error:#}"));
                connection = None;
            }
        }
    }
    load
}

/// Asks on the kept connection; where the server ended the last one as it said, on a new one.
fn ask(connection: &mut Option<BufReader<TcpStream>>, host: &str, target: &str) -> anyhow::Result<()> {
    let mut stream = match connection.take() {
        Some(kept) => kept,
        None => {
            let stream = TcpStream::connect(host)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            BufReader::with_capacity(64 * 1024, stream)
        }
    };
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let (mut length, mut closes) = (None, false);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "answered {:?}", line.trim_end());
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the server left within the head");
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>()?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let mut body = vec![0; length.context("the answer has no length")?];
    stream.read_exact(&mut body)?;
    if !closes {
        *connection = Some(stream);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers on one connection after another, the second answer of each with `status`; stalls once before the third.
    fn server(status: &'static str, stall: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut answered = 0;
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
                    if line == "\r\n" {
                        answered += 1;
                        if answered == 3 {
                            std::thread::sleep(stall);
                        }
                        let status = if answered == 2 { status } else { "200 OK" };
                        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
                        stream.get_mut().write_all(answer.as_bytes()).unwrap();
                    }
                    line.clear();
                }
            }
        });
        host
    }

    #[test]
    fn a_stall_is_charged_to_every_request_that_was_due() {
        let load = run(&server("200 OK", Duration::from_millis(200)), "/", 100.0, 0.5, 1).unwrap();
        assert_eq!((load.failed, load.latencies.len()), (0, 50), "{load:?}");
        // While one connection waited 200 ms, 20 requests fell due; the tenth of them was 100 ms late.
        let late = load.latencies.iter().filter(|latency| **latency > 90_000.0).count();
        assert!(late >= 10, "{load:?}");
    }

    #[test]
    fn an_answer_that_is_not_200_is_a_failure() {
        let load = run(&server("503 Busy", Duration::ZERO), "/", 100.0, 0.05, 1).unwrap();
        assert_eq!((load.failed, load.latencies.len()), (1, 4), "{load:?}");
        assert!(load.failure.unwrap().contains("503"));
    }
}
