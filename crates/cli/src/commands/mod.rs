//! The commands, one file each: what it takes, what it does, what it answers.

mod checks;
pub mod completions;
pub mod demo;
mod demo_forge;
mod demo_page;
pub mod doctor;
mod either;
pub mod explain;
pub mod issues;
mod list;
pub mod migrate;
pub mod mrs;
mod place;
pub mod projects;
pub mod search;
pub mod serve;
pub mod show;
mod show_page;
pub mod sync;
mod sync_plan;
pub mod sync_runs;
pub mod version;

use annals_net_adapter::{Cx, Slice};
use serde::Serialize;

use crate::error::Error;
use crate::output::{Reply, Shape, Show};
use crate::session::Session;

/// A command: its arguments are `Self`.
pub trait Run: Sized {
    /// What it answers; the `data` of the envelope.
    type Data: Serialize + Show;

    /// Its name on the command line.
    const NAME: &'static str;
    /// The slice it runs on; `None` is the default runtime.
    const SLICE: Option<Slice> = None;
    /// How it meets a signal.
    const CONDUCT: Conduct = Conduct::Reads;
    /// What must be there before it begins.
    const NEEDS: Needs = Needs::Config;

    /// What its data looks like.
    fn shape(&self) -> Shape;

    /// Keys of the configuration that its flags set.
    fn overrides(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Does it.
    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Self::Data>, Error>;
}

/// How a command meets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// It only reads, so it ends at once.
    Reads,
    /// It finishes what is in flight, and was interrupted all the same.
    Works,
    /// It finishes what is in flight, and ending is what a signal is for.
    Serves,
}

/// What must be there before a command begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the configuration is not read.
    Nothing,
    /// A configuration without faults.
    Config,
    /// The configuration; the defaults if it has faults, which the command then tells.
    ConfigIfSound,
}
