//! Pages of a stream, and the rows of one that could not be read before.

use annals_core::UnixMs;
use annals_db::control::check_fence;
use annals_db::ids::Pass;
use annals_db::work::{CursorPoint, cursor, quarantine};
use annals_db::{Error, WriteTx};

use super::aside::{Aside, keep, put_aside};
use super::place::{Place, Wrote, fenced};
use super::row::write_row;
use crate::forge::{Bad, Kept, Page, Row, Stream};

/// A page is cut into transactions of at most so many bytes.
pub const MAX_PART_BYTES: usize = 8 * 1024 * 1024;

/// Where a page stands in its list, which says what it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// At its beginning: nothing before its last row is missing, and its validators, or that it has
    /// none, replace those before.
    First,
    /// Where the forge's own cursor said: nothing is missing before it either.
    Next,
    /// Behind others by its number: a row may have slipped to a page that was already read. The
    /// cursor waits until the window was read without news.
    Numbered,
}

/// A part of a page: rows in the order of the cursor, and what goes with the first or last part.
#[derive(Debug, Default)]
pub struct PagePart {
    /// Rows.
    pub rows: Vec<Row>,
    /// Items to put aside.
    pub bad: Vec<Bad>,
    /// Whether it ends its page, so that what is known of all of it can be kept.
    pub last: Option<WholePage>,
}

/// What goes with the last part of a page.
#[derive(Debug, Default)]
pub struct WholePage {
    /// Validators, if it is all of the list.
    pub kept: Option<Kept>,
}

/// Cuts a page into parts. Rows come in the order of the cursor; those without a trusted time come
/// first, together with the items to put aside: were they last, a kill between two parts could
/// leave them behind a cursor that has passed them.
pub fn parts(mut rows: Vec<Row>, bad: Vec<Bad>, kept: Option<Kept>) -> Vec<PagePart> {
    rows.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.native_id.tie_order(&b.native_id)));
    let mut parts = vec![PagePart {
        rows: Vec::new(),
        bad,
        last: None,
    }];
    let mut bytes = 0;
    for row in rows {
        if bytes > 0 && bytes + row.raw.len() > MAX_PART_BYTES {
            parts.push(PagePart::default());
            bytes = 0;
        }
        bytes += row.raw.len();
        if let Some(part) = parts.last_mut() {
            part.rows.push(row);
        }
    }
    if let Some(part) = parts.last_mut() {
        part.last = Some(WholePage { kept });
    }
    parts
}

/// How a page is written.
#[derive(Debug, Clone, Copy)]
pub struct PageWrite {
    /// Of which list it is.
    pub stream: Stream,
    /// Whose cursor moves.
    pub pass: Pass,
    /// What the page proves.
    pub standing: Standing,
    /// The forge's own clock, which no cursor overtakes.
    pub horizon: UnixMs,
}

/// Writes a part of a page. The cursor follows the last row whose time can be trusted and is not
/// ahead of `horizon`, the forge's own clock, as far as the page's standing allows.
pub fn write_page(tx: &WriteTx<'_>, place: &Place, part: &PagePart, how: PageWrite) -> Result<Wrote, Error> {
    let PageWrite {
        stream,
        pass,
        standing,
        horizon,
    } = how;
    fenced(tx, place, |wrote| {
        let open = Aside::read(tx, place.project, stream.as_str())?;
        let mut to = None;
        for row in &part.rows {
            write_row(tx, place, stream, row, &open, wrote)?;
            if let Some(at) = row.at.filter(|at| *at <= horizon) {
                to = Some(CursorPoint {
                    at,
                    tie_id: row.native_id.clone(),
                });
            }
        }
        for bad in &part.bad {
            wrote.rows += 1;
            open.put(tx, bad, wrote)?;
        }
        let proven = match standing {
            Standing::First | Standing::Next => to.as_ref(),
            Standing::Numbered => None,
        };
        cursor::advance(tx, place.project, stream.as_str(), pass, proven, wrote.written)?;
        if let (Standing::First, Some(whole)) = (standing, &part.last) {
            keep(tx, place.project, stream.as_str(), whole.kept.as_ref())?;
        }
        wrote.reached = to;
        wrote.cursor = cursor::get(tx, place.project, stream.as_str(), pass)?.and_then(|c| c.point);
        Ok(())
    })
}

/// Moves the cursor to the last row of a window that was read again without news. True if it moved.
pub fn prove(tx: &WriteTx<'_>, place: &Place, stream: Stream, pass: Pass, to: &CursorPoint) -> Result<bool, Error> {
    check_fence(tx, &place.lock)?;
    cursor::advance(tx, place.project, stream.as_str(), pass, Some(to), 0)
}

/// Ends a full pass: everything up to its cursor was read, so the other cursor stands no earlier.
pub fn end_full(tx: &WriteTx<'_>, place: &Place, stream: Stream) -> Result<(), Error> {
    check_fence(tx, &place.lock)?;
    let full = cursor::get(tx, place.project, stream.as_str(), Pass::Full)?;
    let reached = full.and_then(|full| full.point);
    cursor::advance(
        tx,
        place.project,
        stream.as_str(),
        Pass::Incremental,
        reached.as_ref(),
        0,
    )?;
    cursor::end(tx, place.project, stream.as_str(), Pass::Full)
}

/// Begins a pass at its floor, unless it has begun; a floor under which nothing was stored can be lowered.
pub fn begin_pass(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    pass: Pass,
    floor: Option<UnixMs>,
) -> Result<(), Error> {
    check_fence(tx, &place.lock)?;
    cursor::begin(tx, place.project, stream.as_str(), pass, floor)
}

/// Writes an entity that was fetched alone because its row could not be read before.
pub fn write_single(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    native_ref: &str,
    row: &Row,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let open = Aside::read(tx, place.project, stream.as_str())?;
        write_row(tx, place, stream, row, &open, wrote)?;
        // The number may lead to another entity than the one that was put aside under its own id.
        let is_it = native_ref == row.native_id.as_str() || !native_ref.bytes().all(|b| b.is_ascii_digit());
        if wrote.quarantined == 0 && is_it {
            quarantine::resolve(tx, place.project, stream.as_str(), native_ref)?;
        } else {
            quarantine::count_attempt(tx, place.project, stream.as_str(), native_ref)?;
        }
        Ok(())
    })
}

/// Writes a page that was read to find an item without a number, and what became of the item, once
/// that is known. The cursor stays: it has passed them long ago.
pub fn write_around(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    native_ref: &str,
    page: &Page,
    found: Option<Found>,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let open = Aside::read(tx, place.project, stream.as_str())?;
        for row in &page.rows {
            write_row(tx, place, stream, row, &open, wrote)?;
        }
        for bad in &page.bad {
            open.put(tx, bad, wrote)?;
        }
        match found {
            Some(Found::Unreadable) => quarantine::count_attempt(tx, place.project, stream.as_str(), native_ref),
            Some(Found::Readable) => quarantine::resolve(tx, place.project, stream.as_str(), native_ref).map(|_| ()),
            None => Ok(()),
        }
    })
}

/// What became of an item that had no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is still there as it was, or its place was not reached.
    Unreadable,
    /// The list was read past its place, and it was not there any more.
    Readable,
}

/// Keeps what a single fetch brought of an item that still cannot be read.
pub fn put_again(tx: &WriteTx<'_>, place: &Place, stream: Stream, native_ref: &str, bad: &Bad) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let bad = Bad {
            native_ref: native_ref.to_owned(),
            ..bad.clone()
        };
        // Without its number it could never be asked for again: then the bytes of its list stay.
        if bad.iid.is_some() {
            put_aside(tx, place.project, stream.as_str(), &bad, wrote)?;
        }
        quarantine::count_attempt(tx, place.project, stream.as_str(), native_ref)
    })
}

/// Counts a single fetch that did not help.
pub fn count_attempt(tx: &WriteTx<'_>, place: &Place, stream: &str, native_ref: &str) -> Result<(), Error> {
    check_fence(tx, &place.lock)?;
    quarantine::count_attempt(tx, place.project, stream, native_ref)
}
