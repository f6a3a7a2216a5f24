//! Items that could not be read, tried again: alone where they have a number, with their set where
//! they belong to one.

use annals_core::{Code, Iid};
use annals_db::content::blob;
use annals_db::ids::JobType;
use annals_db::work::quarantine::{self, Quarantined};
use annals_db::work::{JobIn, job};
use annals_net_adapter::{Cx, Started};
use rusqlite::OptionalExtension;

use super::project::ProjectRun;
use super::writer::{self, Found, Wrote};
use crate::error::Error;
use crate::forge::paging::{LoopGuard, More, Window};
use crate::forge::{Answer, Bad, Catalogue, ForgeError, Handle, Numberless, PageAt, PagePosition, Stream, Via};

/// How far an item without a number is looked for. Rows that were updated together fill several
/// pages.
const MAX_PAGES_AROUND: usize = 50;

/// Fetches each item again that is due.
///
/// # Errors
/// A failure of the file, a lost lock, a host that is lost, or a request to stop. What fails for
/// one item only is counted and left for the next run.
///
/// # Cancel safety
/// Items that were written stay written; the others stay aside.
pub async fn retry(cx: &Cx, project: &ProjectRun) -> Result<Wrote, Error> {
    let id = project.place.project;
    let due = project.run.db.read(cx, move |conn| quarantine::due(conn, id)).await?;
    let mut total = Wrote::default();
    for item in due {
        let started = cx.may_start()?;
        match Stream::parse(&item.stream) {
            Some(stream) => total.add(one(cx, started, project, stream, &item).await?),
            None => owe(cx, started, project, &item).await?,
        }
    }
    Ok(total)
}

async fn one(
    cx: &Cx,
    _started: Started,
    project: &ProjectRun,
    stream: Stream,
    item: &Quarantined,
) -> Result<Wrote, Error> {
    let place = project.place.clone();
    let Some(iid) = number_of(cx, project, item).await? else {
        return around(cx, project, stream, item).await;
    };
    let flight = project.run.budget.flight();
    let via = Via {
        flight: &flight,
        meter: &project.run.meter,
    };
    let row = match project.forge.one(cx, via, &project.native, stream.kind(), iid).await {
        Ok(Answer::New(Ok(row))) => row,
        Ok(Answer::New(Err(bad))) => {
            let (native_ref, bad) = (
                item.native_ref.clone(),
                Bad {
                    iid: bad.iid.filter(|n| *n == iid),
                    ..bad
                },
            );
            let write = project
                .run
                .db
                .write(cx, move |tx| writer::put_again(tx, &place, stream, &native_ref, &bad));
            return Ok(write.await?);
        }
        Ok(Answer::NotModified | Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden) => {
            count(cx, project, item).await?;
            return Ok(Wrote::default());
        }
        Err(error) => return missed(cx, project, item, error).await,
    };
    let native_ref = item.native_ref.clone();
    Ok(project
        .run
        .db
        .write(cx, move |tx| {
            writer::write_single(tx, &place, stream, &native_ref, &row)
        })
        .await?)
}

/// An item without a number is looked for where it was: behind the row that came before it. It can
/// be read, or is somewhere else, only if the list was read past that place without meeting it.
async fn around(cx: &Cx, project: &ProjectRun, stream: Stream, item: &Quarantined) -> Result<Wrote, Error> {
    let Some(sought) = Numberless::read(&item.native_ref) else {
        count(cx, project, item).await?;
        return Ok(Wrote::default());
    };
    let start = Some(sought.after).filter(|at| at.0 > 0);
    let window = Window::from_cursor(start, project.run.rewind_ms());
    let mut at = PagePosition::Window(window);
    let (mut guard, mut before, mut total) = (LoopGuard::default(), None, Wrote::default());
    for _ in 0..MAX_PAGES_AROUND {
        let _started = cx.may_start()?;
        let flight = project.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &project.run.meter,
        };
        let place = PageAt {
            project: &project.native,
            stream,
            at: &at,
        };
        let page = match project.forge.page(cx, via, place, &mut guard, None).await {
            Ok(Answer::New(page)) => page.behind(before),
            Ok(Answer::NotModified | Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden) => break,
            Err(error) => {
                total.add(missed(cx, project, item, error).await?);
                return Ok(total);
            }
        };
        let last = page.rows.iter().filter_map(|row| row.at).max();
        let is_there = page
            .bad
            .iter()
            .any(|bad| Numberless::read(&bad.native_ref).is_some_and(|name| name.hash == sought.hash));
        let found = if is_there {
            Some(Found::Unreadable)
        } else if last > Some(sought.after) || page.more == More::End {
            Some(Found::Readable)
        } else {
            None
        };
        let more = page.more.clone();
        let (place, native_ref) = (project.place.clone(), item.native_ref.clone());
        let write = project.run.db.write(cx, move |tx| {
            writer::write_around(tx, &place, stream, &native_ref, &page, found)
        });
        total.add(write.await?);
        if found.is_some() {
            return Ok(total);
        }
        before = last.or(before);
        at = match more {
            More::Opaque(next) => PagePosition::Opaque(next),
            More::Page(page) => PagePosition::Window(Window { page, ..window }),
            More::End => break,
        };
    }
    count(cx, project, item).await?;
    Ok(total)
}

/// A fetch that brought nothing counts against the item, unless it was the host that failed.
async fn missed(cx: &Cx, project: &ProjectRun, item: &Quarantined, error: ForgeError) -> Result<Wrote, Error> {
    if error.stop().is_some() || error.blames_host() {
        return Err(error.into());
    }
    let message = format!(
        "{} {} could not be fetched again: {error}",
        item.stream, item.native_ref
    );
    project.warn(Code::Transform, message);
    if !error.is_outage() {
        count(cx, project, item).await?;
    }
    Ok(Wrote::default())
}

async fn count(cx: &Cx, project: &ProjectRun, item: &Quarantined) -> Result<(), Error> {
    let (place, item) = (project.place.clone(), item.clone());
    let write = project.run.db.write(cx, move |tx| {
        writer::count_attempt(tx, &place, &item.stream, &item.native_ref)
    });
    Ok(write.await?)
}

/// The number of an item, read from the bytes that were kept.
async fn number_of(cx: &Cx, project: &ProjectRun, item: &Quarantined) -> Result<Option<Iid>, Error> {
    let (id, stream, native_ref) = (project.place.project, item.stream.clone(), item.native_ref.clone());
    let bytes = project.run.db.read(cx, move |conn| {
        let hash: Option<blob::Hash> = conn
            .prepare_cached(
                "SELECT payload_hash FROM quarantine
                 WHERE project_id = ?1 AND stream = ?2 AND native_ref = ?3 AND resolved_at IS NULL",
            )?
            .query_row((id.0, stream, native_ref), |row| row.get(0))
            .optional()?
            .flatten();
        hash.map(|hash| blob::get(conn, &hash)).transpose()
    });
    let bytes = bytes.await?;
    Ok(bytes
        .and_then(|bytes| Handle::of(&String::from_utf8_lossy(&bytes)).iid)
        .map(Iid))
}

/// A child that could not be read is fetched again with its set.
async fn owe(cx: &Cx, _started: Started, project: &ProjectRun, item: &Quarantined) -> Result<(), Error> {
    let (place, item) = (project.place.clone(), item.clone());
    let write = project.run.db.write(cx, move |tx| {
        // The attempt is counted when the set was read: an outage says nothing about the child.
        let entity = match writer::read_set_scope(&item.stream) {
            Some((kind, iid, job_type)) => {
                writer::entity_at(tx, place.project, kind, iid)?.map(|(entity, at)| (entity, iid, job_type, at))
            }
            None if Catalogue::ALL.iter().any(|which| which.as_str() == item.stream) => return Ok(()),
            None => None,
        };
        let Some((entity, iid, job_type, cause_at)) = entity else {
            return writer::count_attempt(tx, &place, &item.stream, &item.native_ref);
        };
        if job_type == JobType::Events && place.events == writer::Events::Leave {
            return Ok(());
        }
        job::enqueue(
            tx,
            &JobIn {
                project: place.project,
                entity,
                iid,
                job_type,
                cause_at,
                scope: None,
            },
        )
    });
    Ok(write.await?)
}
