//! `annals man`: manual pages, made from the one model of the command line.

use std::io;
use std::path::PathBuf;

use annals_core::{Code, Report};
use annals_net_adapter::Cx;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde::Serialize;

use super::{Needs, Run};
use crate::cli::Cli;
use crate::error::Error;
use crate::output::page::counted;
use crate::output::{Page, Reply, Shape, Show, stdout};
use crate::session::Session;

/// Write the manual pages
#[derive(Debug, clap::Args)]
#[command(after_help = "To read it at once: annals man | man -l -\n\
                        To install them:    annals man --out ~/.local/share/man/man1")]
pub struct Args {
    /// Write annals.1 and a page for every command into this folder, instead of annals.1 to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct Data {
    folder: String,
    pages: Vec<String>,
}

const SHAPE: Shape = Shape {
    fields: &["folder", "pages"],
    list: None,
    minimal: &["pages"],
};

/// A page and the name of its file.
#[derive(Debug)]
pub struct ManPage {
    pub name: String,
    pub text: String,
}

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "man";
    const EXAMPLES: &'static [&'static str] = &["annals man", "annals man --out ./man1"];
    const NEEDS: Needs = Needs::Nothing;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, _: &Cx, _: &Session) -> Result<Reply<Data>, Error> {
        let pages = pages().map_err(|error| Report::new(Code::Internal, format!("no manual page: {error}")))?;
        let Some(folder) = self.out else {
            // The first page is that of the program; text, so never in an envelope.
            stdout::print(pages.first().map_or("", |page| page.text.as_str()))?;
            return Ok(Reply::Printed);
        };
        let failed = |path: &PathBuf, error: &io::Error| {
            let message = format!("cannot write {}: {error}", path.display());
            Report::new(Code::Io, message).with_detail("path", path.display().to_string())
        };
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        for page in &pages {
            let path = folder.join(&page.name);
            std::fs::write(&path, &page.text).map_err(|error| failed(&path, &error))?;
        }
        Ok(Reply::from(Data {
            folder: folder.display().to_string(),
            pages: pages.into_iter().map(|page| page.name).collect(),
        }))
    }
}

/// `annals.1`, and one page for every command and subcommand.
///
/// # Errors
/// Those of the writer, which is memory.
pub fn pages() -> io::Result<Vec<ManPage>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Fills in what every command inherits, and how each is used.
    root.build();
    let mut pages = Vec::new();
    add(&root, "annals", &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<ManPage>) -> io::Result<()> {
    let mut text = Vec::new();
    let titled = command.clone().display_name(name).version(env!("CARGO_PKG_VERSION"));
    Man::new(titled).title(name.to_uppercase()).render(&mut text)?;
    pages.push(ManPage {
        name: format!("{name}.1"),
        text: String::from_utf8_lossy(&text).into_owned(),
    });
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        add(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let count = counted(self.pages.len() as u64, "page");
        page.line(format!(
            "wrote {count} into {}",
            crate::output::page::one_line(&self.folder)
        ));
    }
}
