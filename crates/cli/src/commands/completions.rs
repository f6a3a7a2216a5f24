//! `annals completions SHELL`: a script for the shell, made from the one model of the command line.

use annals_net_adapter::Cx;
use clap::CommandFactory;
use clap_complete::Shell;

use super::{Needs, Run};
use crate::cli::Cli;
use crate::error::Error;
use crate::output::{Page, Reply, Shape, Show, stdout};
use crate::session::Session;

/// Write a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "For bash: annals completions bash > ~/.local/share/bash-completion/completions/annals")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// A script is no data: it is never in an envelope.
#[derive(Debug, serde::Serialize)]
pub struct Script;

const SHAPE: Shape = Shape {
    fields: &[],
    list: None,
    minimal: &[],
};

impl Run for Args {
    type Data = Script;
    const NAME: &'static str = "completions";
    const EXAMPLES: &'static [&'static str] = &["annals completions bash"];
    const NEEDS: Needs = Needs::Nothing;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, _: &Cx, _: &Session) -> Result<Reply<Script>, Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "annals", &mut script);
        stdout::print(&String::from_utf8_lossy(&script))?;
        Ok(Reply::Printed)
    }
}

impl Show for Script {
    fn show(&self, _: &mut Page) {}
}
