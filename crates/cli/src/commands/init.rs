//! `annals init`: a configuration to begin with.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use annals_core::config::{BaseUrl, Config, ForgeKind, ForgeSettings, Layers, Trust};
use annals_core::{Code, Coded, Report};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::{Needs, Run};
use crate::error::Error;
use crate::given::quoted;
use crate::output::page::one_line;
use crate::output::{Page, Reply, Shape, Show};
use crate::places;
use crate::session::Session;
use crate::settings;

/// Write a configuration file to begin with
#[derive(Debug, clap::Args)]
#[command(after_help = "It writes ./annals.toml, or the file named with --config. --db sets where the mirror is kept.")]
pub struct Args {
    /// The address of a forge to mirror from
    #[arg(long, value_name = "URL")]
    forge: Option<BaseUrl>,
    /// What the forge is
    #[arg(long, value_name = "KIND", default_value = "gitlab", value_parser = clap::builder::PossibleValuesParser::new(ForgeKind::NAMES))]
    kind: String,
    /// The environment variable that holds its access token
    #[arg(long, value_name = "NAME", requires = "forge")]
    token_env: Option<String>,
    /// Write it also where there is one already
    #[arg(long)]
    force: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct Data {
    config: String,
    db: Option<String>,
    forges: Vec<String>,
    projects: Vec<String>,
    /// Commands that go on from here.
    next: Vec<String>,
}

const SHAPE: Shape = Shape {
    fields: &["config", "db", "forges", "projects", "next"],
    list: None,
    minimal: &["config", "next"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "init";
    const EXAMPLES: &'static [&'static str] = &[
        "annals init --forge https://gitlab.com",
        "annals init --forge https://gitlab.example.com --token-env WORK_GITLAB_TOKEN --db ./annals.db",
    ];
    // The file it replaces may be the one that is broken.
    const NEEDS: Needs = Needs::Nothing;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, _: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let path = session.global.config.clone();
        let path = path.unwrap_or_else(|| PathBuf::from(places::LOCAL_CONFIG));
        let text = self.text(session.global.db.as_deref());
        let layers = Layers {
            file: Some((path.clone(), text.clone())),
            ..Layers::default()
        };
        // What is written is read first: a file that does not work is no help.
        let config = Config::load(&layers).map_err(|errors| errors.report())?;
        self.write(&path, &text, session)?;
        let file = if session.global.config.is_some() || !is_enough_found(layers) {
            format!(" --config {}", quoted(&path.display().to_string()))
        } else {
            String::new()
        };
        let project = self
            .forge
            .as_ref()
            .map_or("https://HOST".to_owned(), |forge| forge.as_str().to_owned());
        Ok(Reply::from(Data {
            config: path.display().to_string(),
            db: settings::db_path(&config, &session.env)
                .ok()
                .map(|path| path.display().to_string()),
            forges: config.forges.keys().cloned().collect(),
            projects: Vec::new(),
            next: vec![
                format!("annals auth login {project}{file}"),
                format!("annals sync {project}/GROUP/PROJECT{file}"),
            ],
        }))
    }
}

impl Args {
    fn text(&self, db: Option<&str>) -> String {
        let mut text =
            "# The configuration of Annals. Every key has a default; the reference lists them all.\n".to_owned();
        let mut put = |section: &str, pairs: &[(&str, &str)]| {
            text.push_str(&format!("\n[{section}]\n"));
            for (key, value) in pairs {
                text.push_str(&format!("{key} = {}\n", string(value)));
            }
        };
        if let Some(db) = db {
            put("db", &[("path", db)]);
        }
        if let Some(forge) = &self.forge {
            let mut pairs = vec![("kind", self.kind.as_str()), ("base_url", forge.as_str())];
            pairs.extend(self.token_env.as_deref().map(|name| ("token_env", name)));
            put(&format!("forges.{}", name_of(forge)), &pairs);
            text.push_str(
                "# What `annals sync` mirrors when no project is named, such as \"group/project\".\nprojects = []\n",
            );
        }
        text
    }

    fn write(&self, path: &Path, text: &str, session: &Session) -> Result<(), Report> {
        let shown = path.display().to_string();
        let failed = |error: std::io::Error| {
            Report::new(Code::Io, format!("cannot write {shown}: {error}")).with_detail("path", shown.clone())
        };
        if self.force {
            let beside = path.with_extension(format!("toml.{}.tmp", std::process::id()));
            // One that was left behind, or a link that was put there, is nothing to write through.
            drop(std::fs::remove_file(&beside));
            let opened = OpenOptions::new().write(true).create_new(true).open(&beside);
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            let written = written.and_then(|()| std::fs::rename(&beside, path));
            return written.map_err(|error| {
                drop(std::fs::remove_file(&beside));
                failed(error)
            });
        }
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(mut file) => file.write_all(text.as_bytes()).map_err(failed),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let message = format!("{shown} is there already, and stays as it is");
                let again = format!("annals init --force{}", self.again(session));
                Err(Report::new(Code::Refused, message)
                    .with_detail("path", shown.clone())
                    .with_suggestion(format!("edit it, or write it anew with `{again}`")))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The flags as they could be typed again.
    fn again(&self, session: &Session) -> String {
        let forge = self.forge.as_ref().map(|forge| forge.as_str().to_owned());
        let config = session.global.config.as_ref().map(|path| path.display().to_string());
        let all = [
            ("--forge", forge),
            ("--kind", self.forge.as_ref().map(|_| self.kind.clone())),
            ("--token-env", self.token_env.clone()),
            ("--config", config),
            ("--db", session.global.db.clone()),
        ];
        let set = all
            .into_iter()
            .filter_map(|(flag, value)| Some(format!(" {flag} {}", quoted(&value?))));
        set.collect()
    }
}

/// Whether everything in the file counts also where nobody names it.
fn is_enough_found(layers: Layers) -> bool {
    let found = Config::read(&Layers {
        trust: Trust::Found,
        ..layers
    });
    found.is_ok_and(|(config, left_out)| {
        let has_variable = |(name, forge): (&String, &ForgeSettings)| !forge.token_variables(name).is_empty();
        left_out.is_empty() && config.forges.iter().all(has_variable)
    })
}

/// A name for the forge: its host, of the letters that a name may have.
fn name_of(forge: &BaseUrl) -> String {
    let parts = forge.authority().split(|c: char| !c.is_ascii_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

/// A text as TOML writes it; a JSON string is one.
fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        page.line(format!("wrote {}", one_line(&self.config)));
        for next in &self.next {
            page.line(format!("  next: {}", one_line(next)));
        }
    }
}
