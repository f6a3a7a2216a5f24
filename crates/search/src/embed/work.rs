//! The work that is owed: documents whose vectors are still to be made.
//!
//! A round takes a page of them, embeds its groups side by side and writes what came of them in one transaction, in the
//! order of the documents. Between rounds nothing is held: whatever ends the loop, each document has all of its vectors or
//! those it had before, and the next loop goes on with what is still owed.

use std::sync::Arc;

use annals_core::Outcome;
use annals_db::Db;
use annals_net_adapter::{Cx, Started, map_bounded};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::page::{self, Owed, Pick};
use super::settle::OTHER_WIDTH;
use super::{EmbedError, Embedder};
use crate::Error;
use crate::vector::{self, EmbeddingSet, Made};

/// After so many failures and not one success the embedder is asked no more: it is not about the texts.
const HOPELESS: u64 = 32;

/// How many ids one statement is given.
const IDS: usize = 500;

/// Which documents that failed before are tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Those that have not failed often: what nobody watches should not fail for ever.
    AfterFewFailures,
    /// All: somebody asks.
    Always,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The most documents to embed.
    pub limit: Option<u64>,
    /// What to do about earlier failures.
    pub again: Again,
}

/// What embedding came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Embedded {
    /// Documents that have new vectors.
    pub embedded: u64,
    /// Documents that were refused; what they had stays.
    pub failed: u64,
    /// Documents still owed.
    pub remaining: u64,
    /// The set that was worked on, if there is anything to embed.
    pub set: Option<EmbeddingSet>,
    /// Why the first of them failed.
    #[serde(skip)]
    pub failure: Option<EmbedError>,
}

/// Embeds what is owed, as far as `plan` goes; `total` says what was done, also where it ends early, and `tell` hears it
/// after each round.
///
/// # Errors
/// [`Error::Embed`] when the embedder is away, refuses us or refuses everything, and when the process is stopping;
/// [`Error::Db`] for a failure of the file. What was embedded by then stays.
///
/// # Cancel safety
/// Every document has all of its vectors or those it had before; what is left is still owed.
pub async fn owed(
    cx: &Cx,
    db: &Db,
    embedder: &Arc<dyn Embedder>,
    plan: Plan,
    total: &mut Embedded,
    tell: &(dyn Fn(&Embedded) + Send + Sync),
) -> Result<(), Error> {
    let Some(mut set) = set_for(cx, db, embedder).await? else {
        return Ok(());
    };
    let mut work = Work::begin(cx, db, embedder, &set, total).await?;
    let mut ended = work.all(cx, &mut set, plan, tell).await;
    if let Some(other) = work.of_another_width(cx, &set).await? {
        set = other;
        (total.failed, total.failure) = (0, None);
        let mut work = Work::begin(cx, db, embedder, &set, total).await?;
        ended = Box::pin(work.all(cx, &mut set, plan, tell)).await;
    }
    let ended = match ended {
        Ok(()) => sweep(cx, db, &set).await,
        failed => failed,
    };
    if ended.is_ok() {
        // Others may have been at work too.
        let counted = set.clone();
        total.remaining = db.read(cx, move |conn| counted.owes(conn)).await?;
    }
    total.set = Some(set);
    ended
}

/// Embeds exactly these documents, as far as they are owed. All others stay as they are. `total` says what was done, also
/// where it ends early.
///
/// # Errors
/// As [`owed`].
///
/// # Cancel safety
/// As [`owed`].
pub async fn documents(
    cx: &Cx,
    db: &Db,
    embedder: &Arc<dyn Embedder>,
    ids: &[i64],
    total: &mut Embedded,
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let Some(mut set) = set_for(cx, db, embedder).await? else {
        return Ok(());
    };
    let mut work = Work::begin(cx, db, embedder, &set, total).await?;
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    for these in ids.chunks(IDS) {
        let plan = Plan {
            limit: None,
            again: Again::Always,
        };
        work.these(cx, &mut set, plan, Some(&serde_json::json!(these).to_string()), &|_| {})
            .await?;
    }
    total.set = Some(set);
    Ok(())
}

/// Owes every document again, whatever its vectors were made of. Where that was done before and is not over yet, it goes on
/// with what is left.
///
/// # Errors
/// As [`owed`].
///
/// # Cancel safety
/// All are owed, or as many as before.
pub async fn owe_all(cx: &Cx, db: &Db, embedder: &Arc<dyn Embedder>) -> Result<(), Error> {
    let Some(set) = set_for(cx, db, embedder).await? else {
        return Ok(());
    };
    db.write(cx, move |tx| {
        // One that was refused waits for its next chance and keeps nobody from beginning again.
        let goes_on = "SELECT 1 FROM embedding_owed WHERE set_id = ?1 AND anew = 1 AND attempts = 0 LIMIT 1";
        if tx.prepare_cached(goes_on)?.exists(params![set.id])? {
            return Ok(());
        }
        tx.prepare_cached(
            "INSERT INTO embedding_owed (set_id, document_id, anew) SELECT ?1, id, 1 FROM documents WHERE flags & 2 = 0
             ON CONFLICT DO UPDATE SET attempts = 0, anew = 1",
        )?
        .execute(params![set.id])?;
        Ok(())
    })
    .await?;
    Ok(())
}

/// How many documents were refused so often that only who asks for them has them tried again.
///
/// # Errors
/// A failure of the file.
pub fn given_up(conn: &Connection, set: &EmbeddingSet) -> Result<u64, annals_db::Error> {
    let sql = "SELECT count(*) FROM embedding_owed WHERE set_id = ?1 AND attempts >= ?2";
    Ok(conn
        .prepare_cached(sql)?
        .query_row(params![set.id, page::TRIES], |row| row.get(0))?)
}

/// The set of this embedder, begun if it is new; none while there is nothing to embed.
async fn set_for(cx: &Cx, db: &Db, embedder: &Arc<dyn Embedder>) -> Result<Option<EmbeddingSet>, Error> {
    let _started = cx.may_start().map_err(EmbedError::from)?;
    let id = embedder.identity().clone();
    let known = id.clone();
    let (set, is_empty) = db
        .read(cx, move |conn| {
            let is_empty = !conn.prepare_cached("SELECT 1 FROM documents")?.exists([])?;
            Ok((EmbeddingSet::of(conn, &known)?, is_empty))
        })
        .await?;
    if is_empty || set.is_some() {
        return Ok(set);
    }
    let dims = match id.dims {
        Some(dims) => dims,
        None => width(cx, embedder).await?,
    };
    Ok(Some(db.write(cx, move |tx| EmbeddingSet::begin(tx, &id, dims)).await?))
}

/// How many numbers a vector has where only the model knows.
async fn width(cx: &Cx, embedder: &Arc<dyn Embedder>) -> Result<usize, EmbedError> {
    match embedder.embed(cx, &["annals"]).await?.first().map_or(0, Vec::len) {
        0 => Err(super::openai::wrong_count()),
        dims => Ok(dims),
    }
}

/// One loop over what is owed.
struct Work<'w> {
    db: &'w Db,
    embedder: &'w Arc<dyn Embedder>,
    total: &'w mut Embedded,
}

impl<'w> Work<'w> {
    async fn begin(
        cx: &Cx,
        db: &'w Db,
        embedder: &'w Arc<dyn Embedder>,
        set: &EmbeddingSet,
        total: &'w mut Embedded,
    ) -> Result<Self, Error> {
        let counted = set.clone();
        total.remaining = db.read(cx, move |conn| counted.owes(conn)).await?;
        Ok(Self { db, embedder, total })
    }

    /// The set to begin because the model, whose name has stayed, gives vectors of another width than those of `set`.
    async fn of_another_width(&self, cx: &Cx, set: &EmbeddingSet) -> Result<Option<EmbeddingSet>, Error> {
        let id = self.embedder.identity().clone();
        let refused = matches!(&self.total.failure, Some(EmbedError::Malformed { what }) if *what == OTHER_WIDTH);
        if id.dims.is_some() || !refused {
            return Ok(None);
        }
        let dims = width(cx, self.embedder).await?;
        if dims == set.dims {
            return Ok(None);
        }
        Ok(Some(
            self.db.write(cx, move |tx| EmbeddingSet::begin(tx, &id, dims)).await?,
        ))
    }

    async fn all(
        &mut self,
        cx: &Cx,
        set: &mut EmbeddingSet,
        plan: Plan,
        tell: &(dyn Fn(&Embedded) + Send + Sync),
    ) -> Result<(), Error> {
        self.these(cx, set, plan, None, tell).await
    }

    async fn these(
        &mut self,
        cx: &Cx,
        set: &mut EmbeddingSet,
        plan: Plan,
        these: Option<&str>,
        tell: &(dyn Fn(&Embedded) + Send + Sync),
    ) -> Result<(), Error> {
        let id = self.embedder.identity();
        let round = id.batch.get().saturating_mul(id.concurrency.get());
        let mut pick = Pick {
            after: 0,
            limit: round,
            again: plan.again,
            these: these.map(str::to_owned),
        };
        loop {
            let started = cx.may_start().map_err(EmbedError::from)?;
            let left = plan.limit.map_or(u64::MAX, |limit| {
                limit.saturating_sub(self.total.embedded + self.total.failed)
            });
            pick.limit = usize::try_from(left).unwrap_or(usize::MAX).min(round);
            let (from, picked) = (set.clone(), pick.clone());
            let page = match pick.limit {
                0 => Vec::new(),
                _ => self.db.read(cx, move |conn| page::read(conn, &from, &picked)).await?,
            };
            let Some(last) = page.last() else { return Ok(()) };
            pick.after = last.id;
            self.round(cx, started, set, page).await?;
            tell(self.total);
            if self.total.embedded == 0
                && self.total.failed >= HOPELESS
                && let Some(failure) = &self.total.failure
            {
                return Err(failure.clone().into());
            }
        }
    }

    /// Embeds a page, group by group, and writes what came of it. A group that could not be done keeps no other from
    /// being written.
    async fn round(
        &mut self,
        cx: &Cx,
        _started: Started,
        set: &mut EmbeddingSet,
        page: Vec<Owed>,
    ) -> Result<(), Error> {
        let groups = page::groups(page, &**self.embedder);
        let (mut made, mut ended) = (Vec::new(), Ok(()));
        for outcome in self.embed(cx, set.dims, groups).await {
            match outcome {
                Outcome::Ok(group) => {
                    made.extend(group.made);
                    self.total.failure = self.total.failure.take().or(group.failure);
                    ended = ended.and(group.ended.map_or(Ok(()), |error| Err(error.into())));
                }
                Outcome::Err(error) => ended = ended.and(Err(error.into())),
                Outcome::Cancelled(reason) => {
                    ended = ended.and(Err(annals_db::Error::from(annals_core::Cancelled(reason)).into()));
                }
                Outcome::Panicked(message) => ended = ended.and(Err(annals_db::Error::from(message).into())),
            }
        }
        if !made.is_empty() {
            self.write(cx, set, made).await?;
        }
        ended
    }

    async fn embed(&self, cx: &Cx, dims: usize, mut groups: Vec<Vec<Owed>>) -> Vec<GroupOutcome> {
        if groups.len() == 1 {
            let group = groups.pop().unwrap_or_default();
            return vec![Outcome::Ok(page::embed(cx, &**self.embedder, dims, group).await)];
        }
        let embedder = self.embedder.clone();
        map_bounded(cx, self.embedder.identity().concurrency, groups, move |cx, group| {
            let embedder = embedder.clone();
            async move { Ok(page::embed(&cx, &*embedder, dims, group).await) }
        })
        .await
    }

    async fn write(&mut self, cx: &Cx, set: &mut EmbeddingSet, made: Vec<Made>) -> Result<(), Error> {
        let mut target = set.clone();
        let written = self.db.write(cx, move |tx| {
            let mut counts = Counts::default();
            for made in &made {
                if vector::record(tx, &target, made)? {
                    counts.add(made);
                }
            }
            target.take_over(tx)?;
            Ok((counts, target))
        });
        let (counts, target) = written.await?;
        *set = target;
        self.total.embedded += counts.embedded;
        self.total.failed += counts.failed;
        self.total.remaining = self.total.remaining.saturating_sub(counts.embedded + counts.unchanged);
        Ok(())
    }
}

type GroupOutcome = Outcome<page::Group, EmbedError>;

#[derive(Default)]
struct Counts {
    embedded: u64,
    unchanged: u64,
    failed: u64,
}

impl Counts {
    fn add(&mut self, made: &Made) {
        match made.outcome {
            vector::Outcome::Vectors(_) => self.embedded += 1,
            vector::Outcome::Unchanged => self.unchanged += 1,
            vector::Outcome::Failed => self.failed += 1,
        }
    }
}

/// Takes away the sets that neither answer nor are worked on.
async fn sweep(cx: &Cx, db: &Db, set: &EmbeddingSet) -> Result<(), Error> {
    let asked = set.clone();
    let mut more = db.read(cx, move |conn| asked.has_others(conn)).await?;
    while more {
        let _started = cx.may_start().map_err(EmbedError::from)?;
        let set = set.clone();
        more = db.write(cx, move |tx| set.sweep_others(tx)).await?;
    }
    Ok(())
}
