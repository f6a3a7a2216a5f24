//! `annals mcp`: the reading commands as tools for agents, over standard input and output.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;

use annals_core::{Cancelled, Code, Outcome, Report};
use annals_net_adapter::{BlockingCx, Cx, Serial, Slice, Stage};

use super::{Conduct, Run};
use crate::error::Error;
use crate::mcp::{Hear, Server, Tools};
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
        // A thread of its own: one of the pool's would be missing for as long as the client is silent, and there may be
        // only one.
        let thread = |name| {
            cx.serial(name, NonZeroUsize::MIN)
                .map_err(|error| Report::new(Code::Internal, format!("cannot start {name}: {error}")))
        };
        let (input, output) = (thread("annals-mcp-input")?, thread("annals-mcp-output")?);
        let waiter = Arc::new(Waiter::default());
        let client = Client {
            output,
            waiter: waiter.clone(),
        };
        let mut server = Server::new(Tools::of(session), Arc::new(client));
        let mut lines = Lines {
            patience: waiter.patience(),
            ..Lines::default()
        };
        while !waiter.has_given_up() {
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
            // Nor does it wait for a client that does not read.
            let answered = match next {
                Next::Line(line) => cx.or_stop(server.line(cx, &line)).await,
                Next::TooLong => cx.or_stop(server.too_long(cx)).await,
                Next::End => break,
            };
            if answered.is_err() {
                break;
            }
        }
        waiter.give_up();
        server.drain(cx).await?;
        Ok(Reply::Printed)
    }
}

/// Who reads standard output. A thread of its own writes, so that a client that does not read holds up its answers alone.
struct Client {
    output: Serial,
    /// Waits for what the client says; for one that is gone nobody does.
    waiter: Arc<Waiter>,
}

impl Hear for Client {
    fn hear<'a>(&'a self, cx: &'a Cx, answer: serde_json::Value) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let shutdown = cx.shutdown().clone();
            let written = self.output.run(cx, move |_| {
                // A call that is cancelled meanwhile must not leave half a line behind; the end of the process may.
                stdout::print_while(format!("{answer}\n").as_bytes(), || {
                    shutdown.stage() < Stage::Cancelling
                })
            });
            if let Outcome::Err(error) = written.await {
                tracing::debug!("nobody reads standard output: {error}");
                self.waiter.give_up();
            }
        })
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
