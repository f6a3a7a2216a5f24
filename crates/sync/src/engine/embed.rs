//! The last phase of a run: documents that changed get their vectors.
//!
//! Vectors are made from what is here, so an embedder that is away costs nothing that was mirrored: the failure is listed
//! with the others of the run, and what was not embedded is owed to the next.

use std::sync::Arc;

use annals_core::{Coded, Report};
use annals_db::ids::DocumentId;
use annals_net_adapter::Cx;
use annals_search::embed::{self, Again, Embedded, Patience, Plan};

use super::options::Embedding;
use super::run::{Ends, Run};
use crate::error::{Error, Failure};
use crate::progress::Event;

/// Embeds what is owed, and notes how that went.
pub(super) async fn phase(cx: &Cx, run: &Arc<Run>, ends: &mut Ends) {
    let mut total = Embedded::default();
    if let Err(error) = owed(cx, run, &mut total).await {
        ends.note(&error);
    }
    if let Some(failure) = total.failure.take().filter(|_| total.failed > 0) {
        let one = failure.report();
        let message = format!(
            "{} documents were not embedded; the first, because {}",
            total.failed, one.message
        );
        ends.failures.push(Failure {
            project: None,
            part: Some("embed".to_owned()),
            report: Report { message, ..one },
        });
    }
    ends.embedded = total;
}

async fn owed(cx: &Cx, run: &Arc<Run>, total: &mut Embedded) -> Result<(), Error> {
    let Embedding::With(settings) = &run.options.embedding else {
        return Ok(());
    };
    let failed = annals_search::Error::from;
    let Some(embedder) = embed::embedder(cx, settings, Patience::Work).map_err(failed)? else {
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
    Ok(embed::owed(cx, &run.db, &embedder, plan, total, &tell).await?)
}

/// Embeds exactly these documents.
///
/// # Errors
/// An embedder that is away, a failure of the file, or a request to stop; what was not embedded is still owed.
///
/// # Cancel safety
/// A document has all of its vectors or keeps those it had.
pub async fn exactly(cx: &Cx, run: &Arc<Run>, documents: &[DocumentId]) -> Result<Embedded, Error> {
    let Embedding::With(settings) = &run.options.embedding else {
        return Ok(Embedded::default());
    };
    let failed = annals_search::Error::from;
    let Some(embedder) = embed::embedder(cx, settings, Patience::Work).map_err(failed)? else {
        return Ok(Embedded::default());
    };
    let ids: Vec<i64> = documents.iter().map(|id| id.0).collect();
    Ok(embed::documents(cx, &run.db, &embedder, &ids).await?)
}
