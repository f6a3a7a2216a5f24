//! The commands, one file each: what it takes, what it does, what it answers.

pub mod auth;
pub mod backup;
mod checks;
pub mod completions;
pub mod count;
pub mod demo;
mod demo_forge;
mod demo_page;
pub mod doctor;
mod either;
pub mod embed;
pub mod explain;
pub mod file_history;
mod file_history_page;
pub mod health;
pub mod init;
pub mod issues;
mod list;
pub mod man;
pub mod mcp;
pub mod migrate;
pub mod mrs;
pub mod notes;
pub mod place;
pub mod projects;
pub mod related;
pub mod robot_docs;
pub mod search;
pub mod serve;
pub mod show;
mod show_page;
pub mod stats;
pub mod sync;
mod sync_plan;
pub mod sync_runs;
mod sync_surgical;
pub mod timeline;
pub mod verify;
pub mod version;
pub mod who;

use annals_core::{Code, Report};
use annals_net_adapter::{Cx, Slice};
use serde::Serialize;

use crate::cli::Global;
use crate::error::Error;
use crate::output::{Reply, Shape, Show};
use crate::session::Session;

/// A command: its arguments are `Self`.
pub trait Run: Sized + Send + 'static {
    /// What it answers; the `data` of the envelope.
    type Data: Serialize + Show + Send;

    /// Its name on the command line.
    const NAME: &'static str;
    /// Command lines that show its use, at least one for each [`shape`](Run::shape) its answer can have: the reference
    /// for programs is made of them, and each of them is parsed by a test. `'…'` quotes a word.
    const EXAMPLES: &'static [&'static str];
    /// What people call it by mistake; it is put right, and said.
    const ALIASES: &'static [&'static str] = &[];
    /// Whether agents may call it as a tool.
    const TOOL: Tool = Tool::No;
    /// The slice it runs on; `None` is the default runtime.
    const SLICE: Option<Slice> = None;
    /// How it meets a signal.
    const CONDUCT: Conduct = Conduct::Reads;
    /// What must be there before it begins.
    const NEEDS: Needs = Needs::Config;
    /// Whether it can answer from the past; [`Session::as_of`] then tells the moment.
    const AS_OF: AsOf = AsOf::Refused;

    /// What its data looks like.
    fn shape(&self) -> Shape;

    /// Keys of the configuration that its flags set.
    fn overrides(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Does it.
    fn run(self, cx: &Cx, session: &Session) -> impl Future<Output = Result<Reply<Self::Data>, Error>> + Send;
}

/// Whether a command is a tool for agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    No,
    /// It is: it changes nothing, and answers with data.
    Reads,
}

/// What a command declares of itself, for those who walk over all of them.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub examples: &'static [&'static str],
    pub tool: Tool,
}

impl Declared {
    pub const fn of<C: Run>() -> Self {
        Self {
            name: C::NAME,
            aliases: C::ALIASES,
            examples: C::EXAMPLES,
            tool: C::TOOL,
        }
    }
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

/// Whether a command takes `--as-of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// It answers as of that moment.
    Taken,
    /// It is about what is, and says so.
    Refused,
}

impl AsOf {
    /// Whether a command can do with these flags.
    ///
    /// # Errors
    /// `usage` where a moment is given to one that is about what is.
    pub fn check<C: Run>(global: &Global) -> Result<(), Report> {
        if global.as_of.is_none() || C::AS_OF == Self::Taken {
            return Ok(());
        }
        let message = format!("`annals {}` is about what is, and has no --as-of", C::NAME);
        Err(Report::new(Code::Usage, message).with_suggestion("leave --as-of out"))
    }
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
