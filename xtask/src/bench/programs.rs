//! The processes that are measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::Workspace;

/// How often memory is looked at while a process runs. The high-water mark never falls, so only what is reached in the
/// last such moment can be missed.
const LOOK: Duration = Duration::from_millis(5);

/// Release builds.
pub struct Programs {
    pub annals: PathBuf,
    pub forge_sim: PathBuf,
    pub xtask: PathBuf,
    /// Where measurements may leave files, and find them gone next time.
    pub scratch: PathBuf,
}

/// A process that ended well.
pub struct Cost {
    pub took: Duration,
    pub peak_kib: u64,
}

impl Programs {
    pub fn build(here: &Workspace, features: Option<&str>) -> anyhow::Result<Self> {
        let mut cargo = here.cargo();
        cargo.args([
            "build",
            "--locked",
            "--release",
            "-p",
            "annals-cli",
            "-p",
            "annals-testkit",
            "-p",
            "xtask",
        ]);
        cargo.args(["--bin", "annals", "--bin", "forge-sim", "--bin", "xtask"]);
        if let Some(name) = features {
            cargo.args(["--features", &format!("annals-cli/{name}")]);
        }
        ensure!(
            cargo.status().context("cargo does not start")?.success(),
            "the programs do not build"
        );
        let target = here.metadata()?.target_directory;
        let program = |name: &str| target.join("release").join(name);
        let scratch = target.join("xtask/bench");
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        std::fs::create_dir_all(&scratch)?;
        Ok(Self {
            annals: program("annals"),
            forge_sim: program("forge-sim"),
            xtask: program("xtask"),
            scratch,
        })
    }

    /// The runtimes that `annals` was built with.
    pub fn runtimes(&self) -> anyhow::Result<Vec<String>> {
        let output = Command::new(&self.annals).args(["version", "--robot"]).output()?;
        let envelope: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(serde_json::from_value(envelope["data"]["runtimes"].clone())?)
    }

    /// The program that stands beside the adapter: `crates/net-adapter/benches/adapter`.
    pub fn build_adapter(here: &Workspace, features: Option<&str>) -> anyhow::Result<PathBuf> {
        let mut cargo = here.cargo();
        cargo.args([
            "build",
            "--locked",
            "--release",
            "-p",
            "annals-net-adapter",
            "--bench",
            "adapter",
        ]);
        cargo
            .args(["--message-format", "json-render-diagnostics"])
            .stderr(Stdio::inherit());
        cargo.args(features.iter().flat_map(|name| ["--features", name]));
        let output = cargo.output().context("cargo does not start")?;
        ensure!(output.status.success(), "the bench of net-adapter does not build");
        let messages = String::from_utf8(output.stdout)?;
        let built = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut programs = built.filter(|message| message["target"]["name"] == "adapter");
        let program = programs.find_map(|message| message["executable"].as_str().map(PathBuf::from));
        program.context("cargo does not say where the bench of net-adapter is")
    }

    /// `annals` on a runtime, in a folder.
    pub fn annals(&self, runtime: &str, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.annals);
        command
            .current_dir(folder)
            .args(["--runtime", runtime, "--robot"])
            .args(args);
        command.env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null());
        command
    }

    /// A server over the mirror in the desk, and its host and port.
    pub fn serve(&self, runtime: &str) -> anyhow::Result<(Server, String)> {
        let folder = self.scratch.join("desk");
        let serve = ["--db", "annals.db", "serve", "--bind", "127.0.0.1:0"];
        let (server, line) = Server::start(&mut self.annals(runtime, &folder, &serve))?;
        let envelope: serde_json::Value = serde_json::from_str(&line)?;
        let address = envelope["data"]["address"].as_str();
        let address = address.context("the server does not say where it is")?;
        let host = address.trim_start_matches("http://").trim_end_matches('/');
        Ok((server, host.to_owned()))
    }

    /// A folder with nothing but a configuration for a forge there.
    pub fn desk(&self, forge: &Forge) -> anyhow::Result<PathBuf> {
        let folder = self.scratch.join("desk");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let config = format!(
            "[forges.sim]\nkind = \"gitlab\"\nbase_url = \"{}\"\nwindow = \"1000000/s\"\n",
            forge.url
        );
        std::fs::write(folder.join("annals.toml"), config)?;
        Ok(folder)
    }

    /// A first sync of a forge's project.
    pub fn first_sync(&self, runtime: &str, forge: &Forge) -> anyhow::Result<Cost> {
        let folder = self.desk(forge)?;
        let project = format!("{}/annals-sample/generated", forge.url);
        run(&mut self.annals(runtime, &folder, &["--db", "annals.db", "sync", &project]))
    }
}

/// What a process prints as JSON.
pub fn told<T: serde::de::DeserializeOwned>(command: &mut Command) -> anyhow::Result<T> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{command:?} does not start"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} printed something else"))
}

/// What a server answers, head and body, when it answers with 200.
pub fn get(host: &str, target: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

/// Runs a process to its end.
pub fn run(command: &mut Command) -> anyhow::Result<Cost> {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("{command:?} does not start"))?;
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_kib = peak_kib.max(status_kib(child.id(), "VmHWM").unwrap_or_default());
        std::thread::sleep(LOOK);
    };
    let took = start.elapsed();
    ensure!(status.success(), "{command:?}: {status}");
    Ok(Cost { took, peak_kib })
}

/// A line of `/proc/PID/status` in KiB.
pub fn status_kib(pid: u32, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A simulated forge in a process of its own.
pub struct Forge {
    pub url: String,
    _process: Server,
}

impl Forge {
    /// Three issues for every two merge requests.
    pub fn start(programs: &Programs, entities: u32, latency_ms: u32) -> anyhow::Result<Self> {
        let (mrs, issues) = (entities * 2 / 5, entities - entities * 2 / 5);
        let mut command = Command::new(&programs.forge_sim);
        for (name, value) in [
            ("issues", issues),
            ("mrs", mrs),
            ("latency-ms", latency_ms),
            ("log-limit", 300_000),
        ] {
            command.arg(format!("--{name}")).arg(value.to_string());
        }
        let (process, line) = Server::start(&mut command)?;
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .context("the forge does not say where it listens")?;
        Ok(Self {
            url: url.to_owned(),
            _process: process,
        })
    }
}

/// A process that runs until it is dropped.
pub struct Server(Child);

impl Server {
    /// Starts it and returns the first line it prints.
    pub fn start(command: &mut Command) -> anyhow::Result<(Self, String)> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut server = Self(child.with_context(|| format!("{command:?} does not start"))?);
        let stdout = server.0.stdout.take().context("a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok((server, line))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
