//! The last phase of a run: documents that changed get their vectors.
//!
//! Vectors are made from what is here, so an embedder that is away costs nothing that was mirrored: the failure is listed
//! with the others of the run, and what was not embedded is owed to the next.

use std::sync::Arc;

use annals_core::{Code, Coded, Report};
use annals_db::ids::DocumentId;
use annals_net_adapter::Cx;
use annals_search::embed::{self, Again, Embedded, Embedder, Patience, Plan};
use annals_search::vector::EmbeddingSet;

use super::ending::stop_of;
use super::options::Embedding;
use super::run::{Ends, Run};
use crate::error::{Error, Failure};
use crate::progress::Event;

/// What failures of this phase are listed as.
pub const PART: &str = "embed";

/// Embeds what is owed, and notes how that went.
pub(super) async fn phase(cx: &Cx, run: &Arc<Run>, ends: &mut Ends) {
    let mut total = Embedded::default();
    match owed(cx, run, &mut total).await {
        Ok(()) => {}
        Err(error) if stop_of(&error).is_some() => ends.note(&error),
        Err(error) => ends.failures.push(failure(error.report())),
    }
    if let Some(first) = total.failure.take().filter(|_| total.failed > 0) {
        let one = first.report();
        let message = format!(
            "{} documents were not embedded; the first, because {}",
            total.failed, one.message
        );
        ends.failures.push(failure(Report { message, ..one }));
    }
    ends.embedded = total;
}

fn failure(report: Report) -> Failure {
    Failure {
        project: None,
        part: Some(PART.to_owned()),
        report,
    }
}

async fn owed(cx: &Cx, run: &Arc<Run>, total: &mut Embedded) -> Result<(), Error> {
    let Some(embedder) = embedder_of(cx, run).await? else {
        return Ok(());
    };
    run.progress.tell(Event::PhaseStarted {
        project: None,
        phase: "embed",
    });
    run.set_phase(cx, "embed").await?;
    let progress = run.progress.clone();
    let tell = move |total: &Embedded| {
        progress.tell(Event::DocumentsEmbedded {
            embedded: total.embedded,
            failed: total.failed,
            remaining: total.remaining,
        });
    };
    let plan = Plan {
        limit: None,
        again: Again::AfterFewFailures,
    };
    embed::owed(cx, &run.db, &embedder, plan, total, &tell).await?;
    if let Some(set) = total.set.clone() {
        let given_up = run.db.read(cx, move |conn| embed::given_up(conn, &set)).await?;
        if given_up > 0 {
            run.progress.tell(Event::Warning {
                project: None,
                code: Code::EmbeddingFailed,
                message: format!(
                    "{given_up} documents were refused too often and are left alone; `annals embed` tries them again"
                ),
            });
        }
    }
    Ok(())
}

/// The embedder of this run; none where it is to make no vectors, or only to keep up what nobody has begun.
///
/// # Errors
/// Settings that cannot work, or a failure of the file.
///
/// # Cancel safety
/// It has no effect.
pub async fn embedder_of(cx: &Cx, run: &Run) -> Result<Option<Arc<dyn Embedder>>, Error> {
    let settings = match &run.options.embedding {
        Embedding::With(settings) | Embedding::Begun(settings) => settings,
        Embedding::Leave => return Ok(None),
    };
    let made = embed::embedder(cx, settings, Patience::Work).map_err(annals_search::Error::from)?;
    let (Some(embedder), Embedding::Begun(_)) = (&made, &run.options.embedding) else {
        return Ok(made);
    };
    let id = embedder.identity().clone();
    let begun = run.db.read(cx, move |conn| EmbeddingSet::of(conn, &id)).await?;
    Ok(made.filter(|_| begun.is_some()))
}

/// Embeds exactly these documents; `total` says what was done, also where it ends early.
///
/// # Errors
/// An embedder that is away, a failure of the file, or a request to stop; what was not embedded is still owed.
///
/// # Cancel safety
/// A document has all of its vectors or keeps those it had.
pub async fn exactly(
    cx: &Cx,
    run: &Run,
    embedder: &Arc<dyn Embedder>,
    documents: &[DocumentId],
    total: &mut Embedded,
) -> Result<(), Error> {
    let ids: Vec<i64> = documents.iter().map(|id| id.0).collect();
    Ok(embed::documents(cx, &run.db, embedder, &ids, total).await?)
}
