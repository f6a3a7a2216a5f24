//! `annals embed`: documents get their vectors, now and not at the end of the next sync.

use annals_core::{Code, Coded, Report};
use annals_net_adapter::{Cx, Slice};
use annals_search::embed::{self, Again, EmbedError, Embedded, Patience, Plan};
use annals_sync::Event;
use serde::Serialize;

use super::{Conduct, Run};
use crate::error::Error;
use crate::output::page::counted;
use crate::output::{Page, Reply, Shape, Show, Style, progress};
use crate::session::Session;

/// Make vectors of documents, for searching by likeness
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Where [embed] names a server, every sync ends with this; by default a sync only keeps up the vectors that \
                        this command has begun. It is also for what a sync left, because of --no-embed or because the \
                        embedder was away, and for another model. Interrupted, it goes on where it was, with --full too; \
                        what -n leaves stays owed."
)]
pub struct Args {
    /// Also what has vectors already
    #[arg(long)]
    full: bool,
    /// How many documents at most
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// What was embedded and what is left.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Data(Embedded);

const SHAPE: Shape = Shape {
    fields: &[
        "embedded",
        "failed",
        "remaining",
        "set.provider",
        "set.model",
        "set.dims",
        "set.active",
    ],
    list: None,
    minimal: &["embedded", "failed", "remaining"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "embed";
    const EXAMPLES: &'static [&'static str] = &["annals embed", "annals embed --full -n 1000"];
    const ALIASES: &'static [&'static str] = &["embeddings"];
    const SLICE: Option<Slice> = Some(Slice::Ingest);
    const CONDUCT: Conduct = Conduct::Works;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let settings = &session.config().embed;
        let embedder = embed::embedder(cx, settings, Patience::Work).map_err(|error| Error::of(&error))?;
        let embedder = embedder.ok_or_else(|| Error::of(&EmbedError::Off))?;
        // A file that is not there is not made for this.
        session.mirror(cx).await.map(drop).or_else(|error| match error {
            Error::Told(report) if report.code == Code::MigrationNeeded => Ok(()),
            other => Err(other),
        })?;
        let db = session.mirror_to_write(cx, session.auto_migrate()).await?;
        let (progress, watcher) = progress::watch(cx, session)?;
        let mut total = Embedded::default();
        let ended = {
            progress.tell(Event::PhaseStarted {
                project: None,
                phase: "embed",
            });
            let tell = |total: &Embedded| {
                progress.tell(Event::DocumentsEmbedded {
                    embedded: total.embedded,
                    failed: total.failed,
                    remaining: total.remaining,
                });
            };
            let plan = Plan {
                limit: self.limit,
                again: Again::Always,
            };
            let owed = match self.full {
                true => embed::owe_all(cx, &db, &embedder).await,
                false => Ok(()),
            };
            match owed {
                Ok(()) => Box::pin(embed::owed(cx, &db, &embedder, plan, &mut total, &tell)).await,
                failed => failed,
            }
        };
        drop(progress);
        watcher.end(cx).await;
        let closed = db.close(cx).await;
        ended.map_err(|error| with_counts(session.about_search(&error), &total))?;
        closed.map_err(|error| session.about_mirror(&error))?;
        match total.failure.take() {
            Some(first) if total.failed > 0 => Err(refused(&first, &total).into()),
            _ => Ok(Data(total).into()),
        }
    }
}

/// Documents that the embedder would not have.
fn refused(first: &EmbedError, total: &Embedded) -> Report {
    let first = first.report();
    let message = format!(
        "{} not embedded; the first, because {}",
        counted(total.failed, "document"),
        first.message
    );
    let report = Report::new(Code::EmbeddingFailed, message);
    described(report, total)
}

/// What was done before it ended stays, and is told.
fn with_counts(error: Error, total: &Embedded) -> Error {
    match error {
        Error::Told(report) => described(*report, total).into(),
        Error::Cancelled { reason, .. } => Error::Cancelled {
            reason,
            details: serde_json::to_value(total).ok().map(Box::new),
        },
        Error::ClosedPipe => error,
    }
}

fn described(report: Report, total: &Embedded) -> Report {
    report
        .with_detail("embedded", total.embedded)
        .with_detail("failed", total.failed)
        .with_detail("remaining", total.remaining)
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let Self(total) = self;
        let Some(set) = &total.set else {
            page.line("there is nothing to embed yet");
            return;
        };
        page.line(format!(
            "{} embedded, {} left",
            counted(total.embedded, "document"),
            total.remaining
        ));
        let answers = if set.active {
            "which answers searches"
        } else {
            "which takes over when it is nearly complete; until then the old vectors answer"
        };
        let line = format!("{} {}, {} numbers each, {answers}", set.provider, set.model, set.dims);
        page.line(page.paint(Style::Faint, &line));
    }
}
