//! Making findings good: entities through surgical sync, what is gone through a sweep, what is derived from its rows.
//!
//! Nothing is believed: what was mended is looked at again by the level that had found it, and counts only if that has
//! no finding any more. Damage to the file itself is never mended.

use std::collections::BTreeSet;
use std::sync::Arc;

use annals_db::Db;
use annals_db::check::vectors;
use annals_db::ids::Finding;
use annals_net_adapter::Cx;
use annals_search::documents::{drain, owe_anew, remove_strays};

use super::finding::Named;
use super::local::Derived;
use super::options::VerifyOptions;
use super::side::Side;
use crate::engine::ending::stop_of;
use crate::engine::{Embedding, EntityRef, SweepWhen, SyncOptions, SyncResult, Target, sync};
use crate::error::Error;
use crate::progress::Progress;
use crate::surgical::{Extent, Request, SurgicalOptions, surgical};

/// The most entities of one surgical run.
const BATCH: usize = 100;

/// Makes what was derived inside the file, and has drifted, anew: documents, their entries of the text index. Vectors
/// are owed to whoever embeds next.
///
/// # Errors
/// A failure of the file, or a cancellation.
///
/// # Cancel safety
/// They are owed in one transaction; whoever drains next makes what is left.
pub async fn derived(cx: &Cx, db: &Db, derived: Derived) -> Result<(), Error> {
    let Derived {
        documents,
        has_strays,
        vectors: misfits,
    } = derived;
    if documents.is_empty() && misfits.is_empty() && !has_strays {
        return Ok(());
    }
    let _started = cx.may_start()?;
    let documents: Vec<_> = documents.into_iter().collect();
    let owed = db.write(cx, move |tx| {
        owe_anew(tx, &documents)?;
        if has_strays {
            remove_strays(tx)?;
        }
        misfits.iter().try_for_each(|misfit| vectors::owe_anew(tx, misfit))
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
        let mended = Box::pin(together(cx, side, options, batch, progress)).await;
        // All or none would let one that cannot be had keep all others from being mended.
        let left: Vec<EntityRef> = match &mended {
            Err(Error::Preflight(failed)) => {
                let failed: BTreeSet<EntityRef> = failed.failures.iter().map(|failure| failure.target).collect();
                batch.iter().copied().filter(|of| !failed.contains(of)).collect()
            }
            _ => Vec::new(),
        };
        go_on(mended)?;
        if !left.is_empty() {
            let _started = cx.may_start()?;
            go_on(Box::pin(together(cx, side, options, &left, progress)).await)?;
        }
    }
    if !of(&[Finding::MissingThere]).is_empty() {
        let _started = cx.may_start()?;
        let options = SyncOptions {
            sweep: SweepWhen::Now,
            ..how_to_sync(options)
        };
        go_on(Box::pin(sync(cx, &side.db, vec![Target::Id(side.id)], options, progress.clone())).await)?;
    }
    Ok(())
}

/// Nobody asked to send texts to an embedder: vectors stay owed to whoever embeds next.
fn how_to_sync(options: &VerifyOptions) -> SyncOptions {
    SyncOptions {
        embedding: Embedding::Leave,
        ..options.sync.clone()
    }
}

/// Stores these entities as the forge has them: all, or none.
async fn together(
    cx: &Cx,
    side: &Side,
    options: &VerifyOptions,
    targets: &[EntityRef],
    progress: &Progress,
) -> Result<SyncResult, Error> {
    let request = Request::new(Target::Id(side.id), targets.iter().copied(), Extent::Whole)?;
    let surgery = SurgicalOptions::new(how_to_sync(options));
    surgical(cx, &side.db, request, surgery, progress.clone()).await
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
