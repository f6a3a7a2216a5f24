//! Making findings good: entities through surgical sync, what is gone through a sweep, documents from their rows.
//!
//! Nothing is believed: what was mended is looked at again by the level that had found it, and counts only if that has
//! no finding any more. Damage to the file itself is never mended.

use std::collections::BTreeSet;
use std::sync::Arc;

use annals_db::Db;
use annals_db::ids::Finding;
use annals_db::work::dirty;
use annals_net_adapter::Cx;
use annals_search::documents::{Source, drain};

use super::entities::Side;
use super::finding::Named;
use super::options::VerifyOptions;
use crate::engine::ending::stop_of;
use crate::engine::{EntityRef, SweepWhen, SyncOptions, Target, sync};
use crate::error::Error;
use crate::progress::Progress;
use crate::surgical::{Extent, Request, SurgicalOptions, surgical};

/// The most entities of one surgical run.
const BATCH: usize = 100;

/// Makes documents that have drifted anew from their rows.
///
/// # Errors
/// A failure of the file, or a cancellation.
///
/// # Cancel safety
/// They are owed in one transaction; whoever drains next makes what is left.
pub async fn documents(cx: &Cx, db: &Db, drifted: &[Source]) -> Result<(), Error> {
    if drifted.is_empty() {
        return Ok(());
    }
    let _started = cx.may_start()?;
    let sources = drifted.to_vec();
    let owed = db.write(cx, move |tx| {
        sources
            .iter()
            .try_for_each(|source| dirty::mark(tx, source.kind, source.id, "verify"))
    });
    owed.await?;
    drain(cx, db).await?;
    Ok(())
}

/// Fetches the entities of findings and stores them.
///
/// # Errors
/// A cancellation, or a failure of the file. What a batch could not fetch stays a finding.
///
/// # Cancel safety
/// Each batch is in the file whole or not at all.
pub async fn entities(
    cx: &Cx,
    side: &Arc<Side>,
    options: &VerifyOptions,
    findings: &[Named],
    progress: &Progress,
) -> Result<(), Error> {
    let of = |wanted: &[Finding]| -> BTreeSet<EntityRef> {
        findings
            .iter()
            .filter(|finding| finding.id == Some(side.id) && wanted.contains(&finding.finding))
            .filter_map(|finding| {
                Some(EntityRef {
                    entity_type: finding.entity_type?,
                    iid: finding.iid?,
                })
            })
            .collect()
    };
    let broken: Vec<EntityRef> = of(&[
        Finding::MissingHere,
        Finding::StaleHere,
        Finding::Differs,
        Finding::SetDiffers,
    ])
    .into_iter()
    .collect();
    for batch in broken.chunks(BATCH) {
        let _started = cx.may_start()?;
        let Ok(request) = Request::new(Target::Id(side.id), batch.iter().copied(), Extent::Whole) else {
            continue;
        };
        let surgery = SurgicalOptions::new(options.sync.clone());
        go_on(Box::pin(surgical(cx, &side.db, request, surgery, progress.clone())).await)?;
    }
    if !of(&[Finding::MissingThere]).is_empty() {
        let _started = cx.may_start()?;
        let options = SyncOptions {
            sweep: SweepWhen::Now,
            ..options.sync.clone()
        };
        go_on(Box::pin(sync(cx, &side.db, vec![Target::Id(side.id)], options, progress.clone())).await)?;
    }
    Ok(())
}

/// What could not be mended stays a finding; only a stop ends the repair.
fn go_on<T>(ended: Result<T, Error>) -> Result<(), Error> {
    match ended {
        Err(error) if stop_of(&error).is_some() => Err(error),
        Err(error) => {
            tracing::info!(%error, "a repair did not mend everything");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}
