//! Documents for exactly the dirty rows that this run's own writes have left.

use annals_db::ids::{DirtyId, DocumentId};
use annals_net_adapter::Cx;
use annals_search::documents::{Drained, drain_exactly};
use annals_search::index::Fts5;

use super::run::Surgery;
use crate::error::Error;

/// Dirty rows that one transaction answers.
const PAGE: usize = 200;

/// What was made.
#[derive(Debug, Clone, Default)]
pub struct Made {
    pub drained: Drained,
    /// The documents whose text is new or another: what there is to embed.
    pub regenerated: Vec<DocumentId>,
}

/// Makes them, page by page; `made` has what is done, also when it ends early.
///
/// # Errors
/// A failure of the file, or a request to stop; rows that were not answered are still owed.
///
/// # Cancel safety
/// Pages that were committed stay; the one under way is committed whole or not at all.
pub async fn run(cx: &Cx, surgery: &Surgery, rows: &[DirtyId], made: &mut Made) -> Result<(), Error> {
    for page in rows.chunks(PAGE) {
        let _started = cx.may_start()?;
        let page = page.to_vec();
        let done = surgery
            .run
            .db
            .write(cx, move |tx| drain_exactly(tx, &Fts5, &page))
            .await?;
        made.drained += done.drained;
        made.regenerated.extend(done.regenerated);
    }
    Ok(())
}
