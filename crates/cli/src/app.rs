//! One invocation from beginning to end: parse, read the configuration, start the runtimes, run the command, tell how
//! it went, and choose the exit code.

use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use annals_core::config::{CliSettings, ColorChoice, Config};
use annals_core::{Code, Outcome, Report};
use annals_net_adapter::{BuildError, DrainReport, Environment, MainOutcome, Runtimes};
use clap::Parser;

use crate::autocorrect::{self, Corrected, Correction};
use crate::cli::{Cli, Global, Visit};
use crate::commands::{AsOf, Conduct, Needs, Run};
use crate::error::{self, Error};
use crate::given::Given;
use crate::logs;
use crate::output::budget::Budget;
use crate::output::fields::Selection;
use crate::output::page::one_line;
use crate::output::{Console, Meta, Mode, Output, Palette, Ran, Reply, Style, Terminals, answer};
use crate::pager::Pager;
use crate::secrets;
use crate::session::Session;
use crate::settings::{self, Settings};
use crate::usage;

/// What the process was given.
#[derive(Debug)]
pub struct Process {
    pub args: Vec<OsString>,
    pub env: Environment,
    pub terminals: Terminals,
}

/// Runs the command line and returns the exit code.
pub fn run(process: &Process) -> u8 {
    let teller = Teller::before_parsing(process);
    if let Err(report) = secrets::refuse(&process.args) {
        return teller.fail(&report, None);
    }
    let corrected = corrected(process, &teller);
    let right = corrected
        .as_ref()
        .and_then(|corrected| Some((Cli::try_parse_from(&corrected.args).ok()?, corrected)));
    if let Some((cli, Corrected { args, corrections })) = right {
        return dispatch(process, args, cli, corrections.clone());
    }
    // What cannot be put right as a whole is told as it was typed.
    match Cli::try_parse_from(&process.args) {
        Ok(cli) => dispatch(process, &process.args, cli, Vec::new()),
        Err(error) => match usage::read(&error) {
            usage::Answer::Text(text) => match usage::print(&text) {
                Ok(()) | Err(Error::ClosedPipe) => 0,
                Err(error) => teller.fail(&error.report(), None),
            },
            usage::Answer::Nothing { help, report } if teller.mode == Mode::Human => {
                teller.console.say(&help);
                report.exit_code(None)
            }
            usage::Answer::Mistake(report) if teller.help == "annals help auth" => {
                teller.fail(&usage::untold(*report), None)
            }
            usage::Answer::Nothing { report, .. } | usage::Answer::Mistake(report) => teller.fail(&report, None),
        },
    }
}

/// The command line with its slips put right, if it has some and nobody forbids it.
fn corrected(process: &Process, teller: &Teller) -> Option<Corrected> {
    let words = || {
        let words = process.args.iter().skip(1).filter_map(|word| word.to_str());
        words.take_while(|word| *word != "--")
    };
    if words().any(|word| word == "--no-autocorrect") {
        return None;
    }
    let corrected = autocorrect::correct(&process.args, teller.mode)?;
    let inline = words().filter_map(|word| word.strip_prefix("--config=")).last();
    let next = words().skip_while(|word| *word != "--config").nth(1);
    let file = inline.or(next).map(std::path::Path::new);
    settings::autocorrect(file, &process.env).then_some(corrected)
}

fn dispatch(process: &Process, args: &[OsString], cli: Cli, corrections: Vec<Correction>) -> u8 {
    let Cli { global, command } = cli;
    let given = Line {
        args: args.to_vec(),
        corrections,
    };
    command.visit(Start { process, global, given })
}

/// The words as they were understood.
#[derive(Debug)]
struct Line {
    args: Vec<OsString>,
    corrections: Vec<Correction>,
}

/// Runs whichever command it is handed.
struct Start<'a> {
    process: &'a Process,
    global: Global,
    given: Line,
}

impl Visit for Start<'_> {
    type Out = u8;

    fn visit<C: Run>(self, command: C) -> u8 {
        start(self.process, self.global, self.given, command)
    }
}

/// Who tells failures, and how.
#[derive(Debug)]
struct Teller {
    command: &'static str,
    mode: Mode,
    console: Console,
    palette: Palette,
    given: Given,
    corrections: Vec<Correction>,
    /// What a program finds beside a failure too.
    warnings: Vec<String>,
    /// The command that shows how this one is used.
    help: String,
}

impl Teller {
    fn before_parsing(process: &Process) -> Self {
        Self {
            command: "annals",
            mode: Mode::choose(Mode::flag_among(&process.args), &process.env, &process.terminals),
            console: Console::default(),
            palette: Palette::choose(ColorChoice::Auto, &process.env, process.terminals.stderr),
            given: Given::default(),
            corrections: Vec::new(),
            warnings: Vec::new(),
            help: usage::help_for(&process.args),
        }
    }

    /// Whoever used a command wrongly is told how it is used, after what is known better.
    fn with_help(&self, report: &Report) -> Report {
        let mut report = report.clone();
        if [Code::Usage, Code::QueryInvalid].contains(&report.code) {
            // The table of codes knows the help, but not of which command.
            report.actions.retain(|action| action != "annals help");
            report.actions.push(self.help.clone());
            if self.mode == Mode::Robot {
                report
                    .actions
                    .push(self.help.replace("annals help", "annals robot-docs"));
            }
        }
        report
    }

    /// Tells a failure; its exit code.
    fn fail(&self, report: &Report, ended: Option<&Ended>) -> u8 {
        let signal = ended.and_then(|ended| ended.signal);
        let ran = Ran {
            command: self.command,
            corrections: &self.corrections,
            elapsed_ms: ended.map_or(0, |ended| ended.elapsed_ms),
        };
        let report = &self.with_help(report);
        self.console.clear();
        let how = answer::Telling {
            mode: self.mode,
            palette: self.palette,
            given: &self.given,
            warnings: &self.warnings,
        };
        answer::fail(&self.console, &how, report, signal, &ran);
        report.exit_code(signal)
    }
}

/// How a command's time on its runtime ended.
#[derive(Debug)]
struct Ended {
    signal: Option<annals_core::Signal>,
    elapsed_ms: u64,
}

fn start<C: Run>(process: &Process, global: Global, line: Line, command: C) -> u8 {
    let mut teller = Teller::before_parsing(process);
    teller.command = C::NAME;
    teller.given = Given::of(&global, &command.overrides());
    teller.mode = Mode::choose(global.mode(), &process.env, &process.terminals);
    let color = global.color.as_deref().and_then(color);
    teller.palette = Palette::choose(
        color.unwrap_or(ColorChoice::Auto),
        &process.env,
        process.terminals.stderr,
    );
    teach(&line.corrections, &global, &teller);
    teller.corrections.clone_from(&line.corrections);
    match prepare(process, &global, &command, line, &mut teller) {
        Ok(session) => drive(command, session, &teller),
        Err(report) => teller.fail(&report, None),
    }
}

/// Tells a person what was taken for what; a program finds it in `meta`.
fn teach(corrections: &[Correction], global: &Global, teller: &Teller) {
    if teller.mode == Mode::Robot || global.quiet {
        return;
    }
    for Correction { from, to, .. } in corrections {
        let word = teller.palette.paint(Style::Attention, "note:");
        let from = one_line(from);
        teller.console.say(&format!(
            "{word} `{from}` was read as `{to}`; --no-autocorrect leaves words as they are"
        ));
    }
}

fn color(word: &str) -> Option<ColorChoice> {
    [ColorChoice::Auto, ColorChoice::Always, ColorChoice::Never]
        .into_iter()
        .find(|choice| choice.as_str() == word)
}

/// Everything that can fail before the command begins.
fn prepare<C: Run>(
    process: &Process,
    global: &Global,
    command: &C,
    line: Line,
    teller: &mut Teller,
) -> Result<Session, Report> {
    let env = &process.env;
    AsOf::check::<C>(global)?;
    let mut faults = Vec::new();
    let settings = match C::NEEDS {
        Needs::Nothing => Settings::default(),
        Needs::Config => settings::load(global, command.overrides(), env)?,
        Needs::ConfigIfSound => settings::load(global, command.overrides(), env).unwrap_or_else(|report| {
            faults.push(report);
            settings::flags(global, command.overrides()).unwrap_or_default()
        }),
    };
    let color = settings.config.cli.color;
    teller.palette = Palette::choose(color, env, process.terminals.stderr);
    logs::start(global.verbosity(), global.log_format, &teller.console, teller.palette);
    warn::<C>(&settings.warnings, teller);
    let selection = match &global.fields {
        Some(asked) => Selection::parse(asked, &command.shape())?,
        None => None,
    };
    let runtimes = match runtimes::<C>(&settings.config, env) {
        Err(error) if C::NEEDS == Needs::ConfigIfSound => {
            faults.push(build_report(&error));
            runtimes::<C>(&Config::default(), env).map_err(|error| build_report(&error))?
        }
        built => built.map_err(|error| build_report(&error))?,
    };
    runtimes.handle_signals().map_err(|error| build_report(&error))?;
    let out = Output {
        command: C::NAME,
        mode: teller.mode,
        console: teller.console.clone(),
        stderr: teller.palette,
        look: look(process, teller.mode, &settings.config.cli),
        selection,
        shape: command.shape(),
        budget: global.max_bytes.map(|max_bytes| Budget {
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            command: C::NAME,
            line: line.args,
            conduct: C::CONDUCT,
        }),
        corrections: line.corrections,
        pager: match C::CONDUCT {
            Conduct::Reads => Pager::choose(global.paging(), teller.mode, env, &process.terminals),
            // What such a command says is part of what it goes on to do.
            Conduct::Works | Conduct::Serves => None,
        },
    };
    Ok(Session {
        settings,
        faults,
        given: teller.given.clone(),
        global: global.clone(),
        env: env.clone(),
        terminals: process.terminals,
        out,
        runtimes: Arc::new(runtimes),
        moment: OnceLock::new(),
    })
}

/// Tells a person what of the configuration does not count; a program finds it in `meta`, of each answer where there are
/// many.
fn warn<C: Run>(warnings: &[String], teller: &mut Teller) {
    if teller.mode == Mode::Human || C::CONDUCT == Conduct::Serves {
        for warning in warnings {
            let word = teller.palette.paint(Style::Attention, "warning:");
            teller.console.say(&format!("{word} {}", one_line(warning)));
        }
    }
    if teller.mode == Mode::Robot {
        teller.warnings = warnings.to_vec();
    }
}

fn look(process: &Process, mode: Mode, cli: &CliSettings) -> crate::output::page::Look {
    let palette = Palette::choose(cli.color, &process.env, process.terminals.stdout);
    let palette = if mode == Mode::Robot { Palette::Plain } else { palette };
    let screen = process.terminals.columns.filter(|_| process.terminals.stdout);
    answer::timeless(palette, screen, cli)
}

fn runtimes<C: Run>(config: &Config, env: &Environment) -> Result<Runtimes, BuildError> {
    let shutdown = match C::CONDUCT {
        Conduct::Serves => config.server_shutdown(),
        Conduct::Reads | Conduct::Works => config.runtime.shutdown,
    };
    Runtimes::start(&settings::runtime_section(config, &shutdown, env))
}

/// A runtime that could not be started.
pub fn build_report(error: &BuildError) -> Report {
    match error {
        BuildError::NotCompiled { asked, compiled } => {
            let compiled: Vec<&str> = compiled.iter().map(|kind| kind.as_str()).collect();
            Report::new(Code::RuntimeNotBuilt, error.to_string())
                .with_detail("asked", asked.as_str())
                .with_detail("compiled", compiled)
        }
        BuildError::Config(_) => Report::new(Code::ConfigInvalid, error.to_string()),
        BuildError::Os(_) => Report::new(Code::Io, error.to_string()),
    }
}

/// Runs the command on the runtime of its slice.
fn drive<C: Run>(command: C, session: Session, teller: &Teller) -> u8 {
    let runtime = C::SLICE
        .map_or_else(|| session.runtimes.default(), |slice| session.runtimes.of(slice))
        .clone();
    tracing::info!(
        command = C::NAME,
        runtime = runtime.kind().as_str(),
        config = session
            .settings
            .file
            .as_ref()
            .map(|file| tracing::field::display(file.path.display())),
        "annals {} begins",
        env!("CARGO_PKG_VERSION")
    );
    let mut clock = None;
    let main = runtime.run_main(|cx| {
        clock = Some(cx.clone());
        let session = &session;
        async move {
            // Boxed, because a command holds a whole sync.
            let running = Box::pin(run_and_print(&cx, command, session));
            match C::CONDUCT {
                // Nothing is in flight that would be lost.
                Conduct::Reads => match cx.or_stop(running).await {
                    Ok(result) => result,
                    Err(stop) => Err(annals_core::Cancelled(stop.reason().clone()).into()),
                },
                Conduct::Works | Conduct::Serves => running.await,
            }
        }
    });
    let ended = Ended {
        signal: session.runtimes.shutdown_signal().signal(),
        elapsed_ms: clock.as_ref().map_or(0, answer::elapsed_ms),
    };
    let page = match &main.outcome {
        Outcome::Ok(page) => page.clone(),
        Outcome::Err(_) | Outcome::Cancelled(_) | Outcome::Panicked(_) => None,
    };
    let code = end::<C>(main, teller, &ended);
    match page.zip(session.out.pager.as_ref()).map(|(page, pager)| {
        // What a key means to the pager is not for this process, which only waits.
        session.runtimes.leave_foreground();
        pager.show(&page)
    }) {
        None | Some(Ok(()) | Err(Error::ClosedPipe)) => code,
        Some(Err(error)) => teller.fail(&error.report(), Some(&ended)),
    }
}

/// Runs the command and prints its answer; what is left is for the pager.
async fn run_and_print<C: Run>(
    cx: &annals_net_adapter::Cx,
    command: C,
    session: &Session,
) -> Result<Option<String>, Error> {
    let as_of = session.as_of(cx)?;
    match command.run(cx, session).await? {
        Reply::Data(data, meta) => {
            let warnings = match session.out.mode {
                Mode::Robot => [session.settings.warnings.clone(), meta.warnings].concat(),
                // A person was told before the command began.
                Mode::Human => meta.warnings,
            };
            let meta = Meta {
                as_of,
                warnings,
                ..meta
            };
            session.out.print(cx, &data, &meta)
        }
        Reply::Printed => Ok(None),
    }
}

fn end<C: Run>(main: MainOutcome<Option<String>, Error>, teller: &Teller, ended: &Ended) -> u8 {
    let report = match main.outcome {
        Outcome::Ok(_) if C::CONDUCT == Conduct::Serves => match unclean(&main.drain) {
            Some(report) => report,
            None => return 0,
        },
        Outcome::Ok(_) | Outcome::Err(Error::ClosedPipe) => {
            if let Some(report) = unclean(&main.drain) {
                tracing::warn!("{}", report.message);
            }
            return 0;
        }
        Outcome::Err(error) => error.report(),
        Outcome::Cancelled(reason) => error::stopped(&reason),
        Outcome::Panicked(message) => {
            tracing::error!("{message}");
            annals_core::Coded::report(&message)
        }
    };
    teller.fail(&report, Some(ended))
}

/// What a drain left behind, by name.
fn unclean(drain: &DrainReport) -> Option<Report> {
    if drain.quiescent {
        return None;
    }
    let named = drain
        .stragglers
        .iter()
        .map(|task| format!("{} in {}", task.name, task.region));
    let named: Vec<String> = named.collect();
    let message = format!("ended without waiting any longer for: {}", named.join(", "));
    Some(Report::new(Code::UncleanShutdown, message).with_detail("stragglers", named))
}
