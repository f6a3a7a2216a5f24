//! The simulated forge as a process of its own, for tests that start real binaries.
//!
//! `forge-sim --help` says what it can do.

#![expect(clippy::disallowed_methods, reason = "a main reads the command line")]

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use annals_net_adapter::{BackendKind, Cx, Outcome, Runtime, RuntimeConfig};
use annals_testkit::forge::gitlab::Etags;
use annals_testkit::forge::server::Error;
use annals_testkit::forge::{
    Access, Fault, FaultPlan, GenSpec, Keyset, Latency, Policy, Rule, SimOptions, Simulator, State, When, sample,
};

/// What it can do, but for the list of faults.
const HELP: &str = "\
A forge with one project, simulated: the API of GitLab that a mirror reads, over real HTTP.

Usage: forge-sim [OPTIONS]

It prints `listening on http://127.0.0.1:PORT` and serves until it is ended.
GET /-/stats tells how much was asked so far, GET /-/log what was asked last, GET /-/model what a
mirror must hold now. GET /-/churn?edits=N edits the project, GET /-/retitle?issue=N&title=TITLE and
GET /-/delete?issue=N one issue of it, or with mr=N a merge request, and GET
/-/faults?fault=NAME[,NAME]&target=PATTERN&when=WHEN changes what goes wrong from now on.

The project:
  --sample              The curated sample project, annals-sample/tidewater
  --seed N              Else a generated one, always the same for a seed (1)
  --issues N, --mrs N   How much of it (60 and 40)

The server:
  --port N              Where to listen; 0 is any free port (0)
  --latency-ms N        How long each answer takes
  --token T             Refuse whoever does not send this token
  --policy NAME         keyset-ignored, keyset-refused, no-etags or no-rate-headers; may be repeated
  --log-limit N         How many requests the log keeps

Faults, which may be repeated:
  --fault NAME          Do this wrong, to the targets and at the times that were named before it
  --fault-target PATTERN  Requests like this, with * for anything (*)
  --fault-when WHEN     nth:N, first:N, every:N, permille:N or always (nth:1)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        // A reader that is gone wants no help.
        drop(std::io::stdout().write_all(help().as_bytes()));
        return ExitCode::SUCCESS;
    }
    match run(arguments.into_iter()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to tell when standard error is gone.
            drop(writeln!(std::io::stderr(), "forge-sim: {problem}"));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (state, options) = read(arguments)?;
    let kind = *BackendKind::compiled().first().ok_or("no runtime is compiled in")?;
    let runtime = Runtime::build(kind, &RuntimeConfig::default()).map_err(|error| error.to_string())?;
    match runtime.run_main(|cx| serve(cx, state, options)).outcome {
        Outcome::Ok(()) => Ok(()),
        Outcome::Err(error) => Err(error.to_string()),
        Outcome::Cancelled(reason) => Err(format!("cancelled: {reason:?}")),
        Outcome::Panicked(message) => Err(format!("{message:?}")),
    }
}

async fn serve(cx: Cx, state: State, options: SimOptions) -> Result<(), Error> {
    let simulator = Simulator::start(&cx, state, options).await?;
    let line = format!("listening on {}\n", simulator.url());
    let mut out = std::io::stdout();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_ok() {
        cx.cancelled().await;
    }
    simulator.stop().await;
    Ok(())
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<(State, SimOptions), String> {
    let mut options = SimOptions::default();
    let (mut seed, mut issues, mut mrs, mut curated) = (1, 60, 40, false);
    let (mut faults, mut target, mut when) = (Vec::new(), "*".to_owned(), When::Nth(1));
    while let Some(name) = arguments.next() {
        if name == "--sample" {
            curated = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--port" => options.addr = SocketAddr::from((Ipv4Addr::LOCALHOST, number(&name, &value)?)),
            "--seed" => seed = number(&name, &value)?,
            "--issues" => issues = number(&name, &value)?,
            "--mrs" => mrs = number(&name, &value)?,
            "--latency-ms" => options.latency = Latency::Fixed(Duration::from_millis(number(&name, &value)?)),
            "--token" => options.policy.access = Access::TokenRequired(value),
            "--fault" => {
                let fault = Fault::from_name(&value).ok_or_else(|| unknown_fault(&value))?;
                faults.push(Rule::new(fault, &target, when));
            }
            "--fault-target" => target = value,
            "--fault-when" => when = value.parse().map_err(|problem| format!("--fault-when: {problem}"))?,
            "--log-limit" => options.log_limit = number(&name, &value)?,
            "--policy" => set_policy(&mut options.policy, &value)?,
            _ => return Err(unknown_argument(&name)),
        }
    }
    options.faults = faults.into_iter().fold(FaultPlan::seeded(seed), FaultPlan::with);
    let state = if curated {
        sample().map_err(|error| error.to_string())?
    } else {
        State::generated(GenSpec::new(seed).sized(issues, mrs))
    };
    Ok((state, options))
}

fn unknown_argument(name: &str) -> String {
    format!("unknown argument {name}; forge-sim --help lists those there are")
}

/// The help with all faults by name, as many on a line as fit.
fn help() -> String {
    let mut help = HELP.to_owned();
    let mut line = String::from("  Names:");
    for fault in Fault::ALL {
        if line.len() + fault.name().len() > 98 {
            help.push_str(&line);
            help.push('\n');
            line = String::from("        ");
        }
        line.push(' ');
        line.push_str(fault.name());
    }
    help + &line + "\n"
}

fn set_policy(policy: &mut Policy, name: &str) -> Result<(), String> {
    match name {
        "keyset-ignored" => policy.keyset = Keyset::Ignored,
        "keyset-refused" => policy.keyset = Keyset::Refused,
        "no-etags" => policy.etags = Etags::Left,
        "no-rate-headers" => policy.rate = None,
        _ => return Err(format!("unknown policy {name}")),
    }
    Ok(())
}

fn unknown_fault(name: &str) -> String {
    let known: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    format!("unknown fault {name}; known are {}", known.join(", "))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is not a number"))
}
