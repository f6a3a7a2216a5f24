//! `annals mcp`: the reading commands as tools for agents, over standard input and output.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annals_core::{Cancelled, Code, Outcome, Report};
use annals_net_adapter::{BlockingCx, Cx, Slice};

use super::{Conduct, Run};
use crate::error::Error;
use crate::mcp::{Server, Tools};
use crate::output::{Page, Reply, Shape, Show, stdout};
use crate::session::Session;
use crate::stdin::{self, Patience, Read, Waiter};

/// Serve the mirror to agents as tools: the Model Context Protocol over standard input and output
#[derive(Debug, clap::Args)]
#[command(after_help = "\
To tell an agent of it: {\"mcpServers\": {\"annals\": {\"command\": \"annals\", \"args\": [\"mcp\", \"--db\", \"/path/to/annals.db\"]}}}
It reads one JSON-RPC message per line, writes nothing but answers to standard output, and ends when its input does.")]
pub struct Args {}

/// Messages are no data: they are never in an envelope.
#[derive(Debug, serde::Serialize)]
pub struct Messages;

const SHAPE: Shape = Shape {
    fields: &[],
    list: None,
    minimal: &[],
};

/// No message is longer.
const LONGEST_LINE: usize = 1 << 20;

impl Run for Args {
    type Data = Messages;
    const NAME: &'static str = "mcp";
    const EXAMPLES: &'static [&'static str] = &["annals mcp --db annals.db"];
    const SLICE: Option<Slice> = Some(Slice::Server);
    const CONDUCT: Conduct = Conduct::Serves;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Messages>, Error> {
        // A client that is gone hears nothing more; what it sent last is still read to its end.
        let gone = Arc::new(AtomicBool::new(false));
        let hears = gone.clone();
        let say = Arc::new(move |answer: &serde_json::Value| {
            if stdout::print(&format!("{answer}\n")).is_err() {
                hears.store(true, Ordering::Relaxed);
            }
        });
        let mut server = Server::new(Tools::of(session), say);
        // A thread of its own: one of the pool's would be missing for as long as the client is silent, and there may be
        // only one.
        let input = cx.serial("annals-mcp-input", NonZeroUsize::MIN).map_err(|error| {
            let message = format!("cannot read standard input: {error}");
            Report::new(Code::Internal, message)
        })?;
        let waiter = Waiter::default();
        let mut lines = Lines {
            patience: waiter.patience(),
            ..Lines::default()
        };
        while !gone.load(Ordering::Relaxed) {
            let next = input.run(cx, move |cx| {
                let next = lines.next(cx)?;
                Ok::<_, io::Error>((lines, next))
            });
            // A signal ends the wait; the calls under way are answered.
            let Ok(next) = cx.or_stop(next).await else { break };
            let next = match next {
                Outcome::Ok((rest, next)) => {
                    lines = rest;
                    next
                }
                Outcome::Err(error) => {
                    return Err(Report::new(Code::Io, format!("cannot read standard input: {error}")).into());
                }
                Outcome::Cancelled(reason) => return Err(Cancelled(reason).into()),
                Outcome::Panicked(message) => return Err(annals_core::Coded::report(&message).into()),
            };
            match next {
                Next::Line(line) => server.line(cx, &line),
                Next::TooLong => server.too_long(),
                Next::End => break,
            }
        }
        drop(waiter);
        server.drain(cx).await?;
        Ok(Reply::Printed)
    }
}

/// Standard input, cut into lines.
#[derive(Debug, Default)]
struct Lines {
    patience: Patience,
    waiting: Vec<u8>,
    /// Whether the line at hand is too long, and passed over.
    skips: bool,
}

#[derive(Debug)]
enum Next {
    Line(Vec<u8>),
    TooLong,
    End,
}

impl Lines {
    /// The next line that is not blank; what stands at the end without a line break is one too.
    fn next(&mut self, cx: &BlockingCx) -> io::Result<Next> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=end).collect();
                let skipped = std::mem::take(&mut self.skips);
                if !skipped && !line.trim_ascii().is_empty() {
                    return Ok(Next::Line(line.trim_ascii().to_vec()));
                }
            }
            if self.waiting.len() > LONGEST_LINE {
                self.waiting.clear();
                if !std::mem::replace(&mut self.skips, true) {
                    return Ok(Next::TooLong);
                }
            }
            match stdin::read(cx, &self.patience, &mut buffer)? {
                Read::Bytes(count) => self.waiting.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Read::End | Read::Cancelled => {
                    let last = std::mem::take(&mut self.waiting);
                    let is_line = !self.skips && !last.trim_ascii().is_empty();
                    return Ok(if is_line { Next::Line(last) } else { Next::End });
                }
            }
        }
    }
}

impl Show for Messages {
    fn show(&self, _: &mut Page) {}
}
