//! asupersync beside tokio: one binary, the same work, only the configuration differs, and the two take turns.
//!
//! Both servers stand idle beside each other, so that each meets the same machine; who goes first changes with every
//! round. A round in which a request failed is void: it says nothing about speed.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::command::Options;
use super::load::Load;
use super::programs::{Forge, Programs, Server, get};
use crate::figures::{Ratio, Round, p95};

/// A ratio of p95 above the first, or of throughput below the second, is a miss.
pub const P95_BOUND: f64 = 1.10;
pub const THROUGHPUT_BOUND: f64 = 0.95;

/// Connections of the load generator.
const CONNECTIONS: &str = "32";
/// What is offered, of what the slower side can do.
const SHARE: f64 = 0.7;
/// Issues and merge requests of the project that is searched and mirrored.
const ENTITIES: u32 = 500;
/// Syncs of each side in one round.
const SYNCS: usize = 3;

/// One kind of work, done by the first side and by the second, and the ratios of the first to the second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    pub workload: String,
    pub sides: [String; 2],
    pub p95: Ratio,
    pub throughput: Ratio,
    /// Microseconds.
    pub p95_us: [f64; 2],
    /// Requests or entities.
    pub per_second: [f64; 2],
    /// Requests per second that were offered while latency was taken; nothing where one run followed the other.
    pub offered: Option<f64>,
    /// Rounds in which a request failed.
    pub voided: usize,
}

impl Versus {
    pub fn meets(&self) -> bool {
        self.p95.point <= P95_BOUND && self.throughput.point >= THROUGHPUT_BOUND
    }
}

/// What one side did in one round.
struct Turn {
    latencies: Round,
    per_second: Round,
}

/// Every workload that there is.
pub fn measure(programs: &Programs, options: &Options, sides: &[String; 2]) -> anyhow::Result<Vec<Versus>> {
    let forge = Forge::start(programs, ENTITIES, 0)?;
    let [first, second] = sides;
    programs.first_sync(first, &forge)?;
    let mut found = Vec::new();
    {
        let sites = [Site::open(programs, first)?, Site::open(programs, second)?];
        for (workload, target, telling) in [
            ("ready probe", "/health/ready", "\"ready\""),
            ("search", "/v1/search?q=cache&limit=20", "\"ref\""),
        ] {
            for site in &sites {
                let answer = get(&site.host, target)?;
                ensure!(answer.contains(telling), "{target} shows nothing: {answer}");
            }
            found.push(asked(programs, options, sides, &sites, workload, target)?);
        }
    }
    found.push(synced(programs, options, sides, &forge)?);
    Ok(found)
}

fn asked(
    programs: &Programs,
    options: &Options,
    sides: &[String; 2],
    sites: &[Site; 2],
    workload: &str,
    target: &str,
) -> anyhow::Result<Versus> {
    let load = |site: &Site, rate: f64| programs.load(&site.host, target, rate, options.seconds_or(2), CONNECTIONS);
    // The first turns warm both up and say what they can do.
    let [first, second] = sites;
    let peak = load(first, 0.0)?.per_second().min(load(second, 0.0)?.per_second());
    let offered = (peak * SHARE).round();
    let mut versus = take_turns(options.rounds_or(10), workload, sides, |side| {
        let site = sites.get(side).context("there are two sides")?;
        let (steady, full) = (load(site, offered)?, load(site, 0.0)?);
        for load in [&steady, &full] {
            if let Some(failure) = &load.failure {
                eprintln!("{workload}, {}: a round is void: {failure}", site.host);
                return Ok(None);
            }
        }
        Ok(Some(Turn {
            per_second: vec![full.per_second()],
            latencies: steady.latencies,
        }))
    })?;
    versus.offered = Some(offered);
    Ok(versus)
}

fn synced(programs: &Programs, options: &Options, sides: &[String; 2], forge: &Forge) -> anyhow::Result<Versus> {
    take_turns(options.rounds_or(10), "sync of 500 entities", sides, |side| {
        let runtime = sides.get(side).context("there are two sides")?;
        let mut turn = Turn {
            latencies: Vec::new(),
            per_second: Vec::new(),
        };
        for _ in 0..SYNCS {
            let took = programs.first_sync(runtime, forge)?.took.as_secs_f64();
            turn.latencies.push(took * 1e6);
            turn.per_second.push(f64::from(ENTITIES) / took);
        }
        Ok(Some(turn))
    })
}

/// Rounds until they decide: where an interval lies across its bound they are doubled, twice at most; then the point
/// decides.
fn take_turns(
    rounds: u32,
    workload: &str,
    sides: &[String; 2],
    mut turn: impl FnMut(usize) -> anyhow::Result<Option<Turn>>,
) -> anyhow::Result<Versus> {
    let mut wanted = rounds as usize;
    let longest = wanted * 4;
    let (mut latencies, mut per_second, mut voided) = ([vec![], vec![]], [vec![], vec![]], 0);
    loop {
        let [done, _] = &latencies;
        let done: usize = Vec::len(done);
        if done < wanted {
            // Who goes first changes with every round.
            let order = if done.is_multiple_of(2) { [0, 1] } else { [1, 0] };
            let mut turns = [None, None];
            for side in order {
                if let Some(slot) = turns.get_mut(side) {
                    *slot = turn(side)?;
                }
            }
            if let [Some(first), Some(second)] = turns {
                for ((latencies, per_second), turn) in latencies.iter_mut().zip(&mut per_second).zip([first, second]) {
                    latencies.push(turn.latencies);
                    per_second.push(turn.per_second);
                }
            } else {
                voided += 1;
                ensure!(voided <= wanted, "{workload}: more rounds failed than counted");
            }
            continue;
        }
        let versus = judged(workload, sides, &latencies, &per_second, voided);
        let open = versus.p95.straddles(P95_BOUND) || versus.throughput.straddles(THROUGHPUT_BOUND);
        if !open || wanted >= longest {
            return Ok(versus);
        }
        wanted *= 2;
    }
}

fn judged(
    workload: &str,
    sides: &[String; 2],
    latencies: &[Vec<Round>; 2],
    per_second: &[Vec<Round>; 2],
    voided: usize,
) -> Versus {
    let pooled = |side: &Vec<Round>, statistic: fn(&mut [f64]) -> f64| {
        statistic(&mut side.iter().flatten().copied().collect::<Vec<_>>())
    };
    let ([ours, theirs], [our_rate, their_rate]) = (latencies, per_second);
    Versus {
        workload: workload.to_owned(),
        sides: sides.clone(),
        p95: Ratio::of(ours, theirs, p95),
        throughput: Ratio::of(our_rate, their_rate, crate::figures::median),
        p95_us: latencies.each_ref().map(|side| pooled(side, p95)),
        per_second: per_second.each_ref().map(|side| pooled(side, crate::figures::median)),
        offered: None,
        voided,
    }
}

/// A server over the mirror in the desk.
struct Site {
    host: String,
    _server: Server,
}

impl Site {
    fn open(programs: &Programs, runtime: &str) -> anyhow::Result<Self> {
        let (server, host) = programs.serve(runtime)?;
        Ok(Self { host, _server: server })
    }
}

pub fn print(found: &[Versus]) {
    for versus in found {
        let [ours, theirs] = &versus.sides;
        let [our_p95, their_p95] = versus.p95_us;
        let [our_rate, their_rate] = versus.per_second;
        println!("\n{}, {ours} / {theirs}", versus.workload);
        println!(
            "  p95         {}, target ≤ {P95_BOUND}; {our_p95:.0} µs to {their_p95:.0} µs{}",
            versus.p95,
            versus
                .offered
                .map(|rate| format!(" at {rate:.0} per second"))
                .unwrap_or_default(),
        );
        println!(
            "  throughput  {}, target ≥ {THROUGHPUT_BOUND}; {our_rate:.0} to {their_rate:.0} per second",
            versus.throughput
        );
        if versus.voided > 0 {
            println!("  {} rounds were void, because a request failed", versus.voided);
        }
    }
}

impl Programs {
    /// Starts the load generator and waits for what it found.
    pub fn load(&self, host: &str, target: &str, rate: f64, seconds: u32, connections: &str) -> anyhow::Result<Load> {
        let mut command = std::process::Command::new(&self.xtask);
        command.args([
            "bench",
            "load",
            host,
            target,
            &rate.to_string(),
            &seconds.to_string(),
            connections,
        ]);
        let output = command.output().context("the load generator does not start")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the load generator failed: {}", said.trim());
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn sides() -> [String; 2] {
        ["asupersync", "tokio"].map(str::to_owned)
    }

    #[test]
    fn sides_take_turns_and_change_who_goes_first() {
        let mut order = Vec::new();
        let versus = take_turns(4, "x", &sides(), |side| {
            order.push(side);
            let latency = if side == 0 { 3.0 } else { 2.0 };
            Ok(Some(Turn {
                latencies: vec![latency; 10],
                per_second: vec![1.0],
            }))
        });
        assert_eq!(order, [0, 1, 1, 0, 0, 1, 1, 0]);
        let versus = versus.unwrap();
        assert_eq!(
            (versus.p95.point, versus.throughput.point, versus.p95.rounds),
            (1.5, 1.0, 4)
        );
        assert!(!versus.meets(), "1.5 > 1.10");
    }

    #[test]
    fn a_failed_request_voids_the_round_and_an_open_question_doubles_them() {
        let (mut turns, mut ours) = (0, 0);
        let versus = take_turns(4, "x", &sides(), |side| {
            turns += 1;
            ours += usize::from(side == 0);
            // Ours is fast in every other round: nobody can say which is faster.
            let per_second = match (side, ours % 2) {
                (0, 0) => 1.5,
                (0, _) => 0.5,
                _ => 1.0,
            };
            Ok((turns != 2).then(|| Turn {
                latencies: vec![1.0],
                per_second: vec![per_second],
            }))
        });
        let versus = versus.unwrap();
        assert_eq!(
            (versus.voided, versus.p95.rounds),
            (1, 16),
            "doubled twice, then the point decides"
        );
        let failing = take_turns(2, "x", &sides(), |_| Ok(None));
        assert!(failing.unwrap_err().to_string().contains("more rounds failed"));
    }
}
