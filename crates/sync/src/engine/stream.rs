//! Reading a stream: pass after pass from the cursor until one brings nothing new.
//!
//! A window of several pages moves the cursor only as far as its first page proves; once it was read
//! again without news the cursor follows. A run that ends before that leaves the re-read owed.
//!
//! The last request of a stream is always the one the next run begins with, so its validators are
//! kept and an unchanged project answers "not modified" from the next run on. A page is fetched
//! while the one before it is written; more than these two are never in memory.

use annals_core::{Code, Outcome, UnixMs};
use annals_db::control::{StreamRow, put_stream};
use annals_db::ids::{Pass, StreamStatus};
use annals_db::work::{Cursor, CursorPoint, cursor};
use annals_net_adapter::{Cx, Started, Stop, TaskHandle};

use super::options::Reading;
use super::project::ProjectRun;
use super::result::{StreamResult, cursor_text};
use super::writer::{self, PageWrite, Standing, Wrote};
use crate::error::{Error, Failure};
use crate::forge::budget::Flight;
use crate::forge::paging::{LoopGuard, More, Step, Window};
use crate::forge::{Answer, ForgeError, Page, PageAt, PagePosition, Question, Stream, Via};
use crate::progress::Event;

/// How often a crowded window, or the end of a list that keeps growing, is read again.
const MAX_ROUNDS: u32 = 3;

/// Pages between two updates of the run's ledger.
const PAGES_PER_RECORD: u64 = 50;

/// How reading a stream ended.
pub struct StreamEnd {
    /// What it did.
    pub result: StreamResult,
    /// Revisions written.
    pub revisions: u64,
    /// Why it ended early, if it did.
    pub failure: Option<Failure>,
    /// Whether the run was asked to stop.
    pub stopped: Option<Stop>,
    /// Whether nothing more can be asked of this host.
    pub host_is_lost: bool,
    /// Whether the project does not show this list.
    pub skipped: bool,
}

/// Reads a stream to its end.
///
/// # Errors
/// A failure of the file, or a lost lock: nothing more can be written for this project.
///
/// # Cancel safety
/// What was committed stays, cursor and rows together; a page that was not is fetched again.
pub async fn read(cx: &Cx, project: &ProjectRun, stream: Stream) -> Result<StreamEnd, Error> {
    let mut reader = Reader::new(cx, project, stream).await?;
    let outcome = reader.read_through(cx).await;
    // What is still being written belongs to this stream, however reading it ended.
    let flushed = reader.flush(cx).await;
    let mut outcome = outcome.and(flushed);
    if outcome.is_ok() {
        outcome = reader.end_full_pass(cx).await;
    }
    reader.end(cx, outcome).await
}

struct Reader<'a> {
    project: &'a ProjectRun,
    stream: Stream,
    /// Which cursor moves.
    pass: Pass,
    /// Where a list without a cursor begins.
    floor: Option<UnixMs>,
    /// Where the first pass begins instead of at the cursor: somebody asked for it again.
    again_from: Option<UnixMs>,
    cursor: Option<CursorPoint>,
    /// The last row stored from a numbered page; the cursor follows when the window was clean.
    unproven: Option<CursorPoint>,
    from: Option<String>,
    total: Wrote,
    pages: u64,
    /// The page being written.
    pending: Option<TaskHandle<Wrote, Error>>,
    /// Whether anything was written since the flag was last cleared.
    news: bool,
    skipped: bool,
}

impl<'a> Reader<'a> {
    async fn new(cx: &Cx, project: &'a ProjectRun, stream: Stream) -> Result<Self, Error> {
        let place = Position::find(cx, project, stream).await?;
        let known = place.cursor;
        Ok(Self {
            project,
            stream,
            pass: place.pass,
            floor: place.floor,
            again_from: place.again_from,
            from: known.as_ref().map(cursor_text),
            cursor: known,
            unproven: None,
            total: Wrote::default(),
            pages: 0,
            pending: None,
            news: false,
            skipped: false,
        })
    }

    async fn read_through(&mut self, cx: &Cx) -> Result<(), Error> {
        for _ in 0..=MAX_ROUNDS {
            let began = self.cursor.clone();
            let news = self.pass(cx).await?;
            if !news || self.cursor == began {
                return Ok(());
            }
        }
        // A list that grows as fast as it is read is read on in the next run.
        Ok(())
    }

    /// Reads from the cursor to the end of the list. True if anything was written.
    async fn pass(&mut self, cx: &Cx) -> Result<bool, Error> {
        let rewind = self.project.run.rewind_ms();
        let mut guard = LoopGuard::default();
        let again_from = self.again_from.take();
        let begin = match (again_from, &self.cursor) {
            (Some(at), _) => Some(at),
            (None, Some(point)) => Some(UnixMs(point.at.0.saturating_sub(rewind))),
            (None, None) => self.floor,
        };
        let mut window = Window { start: begin, page: 1 };
        let mut at = PagePosition::Window(window);
        let (mut round, mut pages, mut wrote_any) = (0, 0_u32, false);
        // The last row of the pages of this list that were read before.
        let mut before = None;
        self.news = false;
        self.unproven = None;
        loop {
            let started = cx.may_start()?;
            let (step, by_number) = match self.fetch(cx, started, &at, &mut guard).await {
                Ok(None) => return Ok(false),
                Ok(Some((page, flight))) => {
                    pages += 1;
                    if matches!(at, PagePosition::Window(Window { page: 1, .. })) {
                        before = None;
                    }
                    let page = page.behind(before);
                    let (first, last) = trusted_range(&page);
                    before = last.max(before);
                    let more = page.more.clone();
                    self.write(cx, page, flight, standing(&at)).await?;
                    let by_number = matches!(at, PagePosition::Window(_));
                    match more {
                        More::Opaque(next) => {
                            at = PagePosition::Opaque(next);
                            continue;
                        }
                        More::End => (Step::End, by_number),
                        More::Page(number) => {
                            // A full page behind a cursor, with no word of another: the next one has the number of
                            // all that were read, not the one after the page that the cursor came from.
                            let number = if by_number { number } else { u64::from(pages) + 1 };
                            (window.after(first, last, Some(number), rewind), by_number)
                        }
                    }
                }
                // This list cannot be read so far by page numbers: go on by time instead.
                Err(Error::Forge(ForgeError::Refused { .. })) if window.page > 1 => {
                    self.flush(cx).await?;
                    let reached = match again_from {
                        // The cursor is far ahead of what is read again.
                        Some(_) => before,
                        None => self.cursor.as_ref().max(self.unproven.as_ref()).map(|point| point.at),
                    };
                    let Some(start) = reached.filter(|at| Some(*at) > window.start) else {
                        return Err(Error::Forge(ForgeError::protocol(
                            self.project.forge.host(),
                            "no way to read on in a list",
                        )));
                    };
                    let next = Window {
                        start: Some(start),
                        page: 1,
                    };
                    (Step::NewWindow(next), true)
                }
                Err(error) => return Err(error),
            };
            if let Step::SameWindow(next) = step {
                window = next;
                at = PagePosition::Window(window);
                continue;
            }
            if by_number && pages > 1 {
                // Rows may have slipped from an unread page to one already read: read it again
                // until nothing new comes.
                self.flush(cx).await?;
                if std::mem::take(&mut self.news) {
                    wrote_any = true;
                    round += 1;
                    if round > MAX_ROUNDS {
                        return Err(ForgeError::WindowUnstable {
                            host: self.project.forge.host().to_owned(),
                        }
                        .into());
                    }
                    guard = LoopGuard::default();
                    window.page = 1;
                    pages = 0;
                    at = PagePosition::Window(window);
                    continue;
                }
                self.prove(cx).await?;
            }
            // Of a window that fits one page by now, that page was proof enough.
            self.unproven = None;
            match step {
                Step::NewWindow(next) => {
                    window = next;
                    at = PagePosition::Window(window);
                    (round, pages) = (0, 0);
                }
                Step::End | Step::SameWindow(_) => {
                    self.flush(cx).await?;
                    return Ok(wrote_any || self.news);
                }
            }
        }
    }

    /// One page; none if nothing has changed since the last run, or the list is not there.
    async fn fetch(
        &mut self,
        cx: &Cx,
        _started: Started,
        at: &PagePosition,
        guard: &mut LoopGuard,
    ) -> Result<Option<(Page, Flight)>, Error> {
        let project = self.project;
        let is_first = matches!(at, PagePosition::Window(window) if window.page == 1);
        let place = PageAt {
            project: &project.native,
            stream: self.stream,
            at,
        };
        let kept = if is_first {
            project
                .validators(cx, self.stream.as_str(), &Question::Page(place))
                .await?
        } else {
            None
        };
        let flight = project.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &project.run.meter,
        };
        match project.forge.page(cx, via, place, guard, kept.as_ref()).await? {
            Answer::New(page) => Ok(Some((page, flight))),
            Answer::NotModified => Ok(None),
            Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden if self.pages == 0 => {
                self.skipped = true;
                project.warn(
                    Code::Forbidden,
                    format!("{} does not show its {}", project.path, self.stream.as_str()),
                );
                Ok(None)
            }
            Answer::Hidden => Err(ForgeError::Forbidden {
                host: project.forge.host().to_owned(),
                what: format!("the rest of the {} of {}", self.stream.as_str(), project.path),
            }
            .into()),
            Answer::Gone(_) | Answer::Moved(_) => {
                Err(ForgeError::protocol(project.forge.host(), "a list that ended in the middle").into())
            }
        }
    }

    /// Lets the cursor follow to the end of a window that was read again without news.
    async fn prove(&mut self, cx: &Cx) -> Result<(), Error> {
        let Some(to) = self.unproven.take() else { return Ok(()) };
        if self.cursor.as_ref() >= Some(&to) {
            return Ok(());
        }
        let (place, stream, pass, point) = (self.project.place.clone(), self.stream, self.pass, to.clone());
        let write = self
            .project
            .run
            .db
            .write(cx, move |tx| writer::prove(tx, &place, stream, pass, &point));
        write.await?;
        self.total.cursor = Some(to.clone());
        self.cursor = Some(to);
        Ok(())
    }

    /// Hands a page to the writer, once the one before it is in.
    async fn write(&mut self, cx: &Cx, page: Page, flight: Flight, standing: Standing) -> Result<(), Error> {
        self.flush(cx).await?;
        self.project.run.odd(self.project, &page.odd);
        self.pages += 1;
        let number = self.pages;
        let (run, place, stream) = (self.project.run.clone(), self.project.place.clone(), self.stream);
        let path = self.project.path.clone();
        let pass = self.pass;
        let horizon = UnixMs(page.date.unwrap_or_else(|| cx.unix_ms()).0.saturating_add(999));
        let task = cx.spawn("sync.page", move |cx| async move {
            let mut wrote = Wrote::default();
            for part in writer::parts(page.rows, page.bad, page.kept) {
                let place = place.clone();
                let how = PageWrite {
                    stream,
                    pass,
                    standing,
                    horizon,
                };
                let done = run
                    .db
                    .write(&cx, move |tx| writer::write_page(tx, &place, &part, how))
                    .await?;
                wrote.add(done);
            }
            drop(flight);
            if standing != Standing::Numbered {
                wrote.reached = None;
            }
            let (rows, written) = (wrote.rows, wrote.written);
            run.progress.tell(Event::PageStored {
                project: path,
                stream: stream.as_str().into(),
                page: number,
                rows,
                written,
            });
            Ok::<_, Error>(wrote)
        });
        self.pending = Some(task.map_err(super::ending::spawn_failed)?);
        Ok(())
    }

    /// A full pass that came to its end is over.
    async fn end_full_pass(&mut self, cx: &Cx) -> Result<(), Error> {
        if self.pass != Pass::Full || self.skipped {
            return Ok(());
        }
        let (place, stream) = (self.project.place.clone(), self.stream);
        let write = self
            .project
            .run
            .db
            .write(cx, move |tx| writer::end_full(tx, &place, stream));
        Ok(write.await?)
    }

    /// Waits for the page being written.
    async fn flush(&mut self, cx: &Cx) -> Result<(), Error> {
        let Some(task) = &mut self.pending else { return Ok(()) };
        let outcome = task.join(cx).await?;
        self.pending = None;
        let wrote = match outcome {
            Outcome::Ok(wrote) => wrote,
            Outcome::Err(error) => return Err(error),
            Outcome::Cancelled(reason) => return Err(Error::Cancelled { reason, result: None }),
            Outcome::Panicked(message) => return Err(message.into()),
        };
        self.news |= wrote.written > 0 || !wrote.news.is_empty();
        self.project.tell_quarantined(&wrote);
        self.unproven = wrote.reached.clone().max(self.unproven.take());
        self.total.add(wrote);
        if self.total.cursor.is_some() {
            self.cursor = self.total.cursor.clone();
        }
        // The ledger follows in large steps; the cursor is exact in every page.
        if self.pages.is_multiple_of(PAGES_PER_RECORD) {
            self.record(cx, StreamStatus::Running, None).await?;
        }
        Ok(())
    }

    async fn record(&self, cx: &Cx, status: StreamStatus, error_code: Option<Code>) -> Result<(), Error> {
        let row = StreamRow {
            project: self.project.place.project,
            stream: self.stream.as_str().to_owned(),
            status,
            pages: self.pages,
            rows: self.total.rows,
            written: self.total.written,
            unchanged: self.total.unchanged,
            quarantined: self.total.quarantined,
            cursor_from: self.from.clone(),
            cursor_to: self.cursor.as_ref().map(cursor_text),
            error_code,
        };
        let run_id = self.project.run.run_id.clone();
        Ok(self
            .project
            .run
            .db
            .write(cx, move |tx| put_stream(tx, &run_id, &row))
            .await?)
    }

    async fn end(mut self, cx: &Cx, outcome: Result<(), Error>) -> Result<StreamEnd, Error> {
        let mut failure = None;
        let mut stopped = None;
        let mut host_is_lost = false;
        let status = match outcome {
            Ok(()) if self.skipped => StreamStatus::Skipped,
            Ok(()) => StreamStatus::Done,
            Err(error) => match super::ending::stop_of(&error) {
                Some(stop) => {
                    stopped = Some(stop);
                    StreamStatus::Cancelled
                }
                None => {
                    let Error::Forge(forge) = &error else { return Err(error) };
                    host_is_lost = forge.blames_host();
                    failure = Some(self.project.failure(self.stream.as_str(), error.report()));
                    if self.pages > 0 {
                        StreamStatus::Partial
                    } else {
                        StreamStatus::Failed
                    }
                }
            },
        };
        let code = failure.as_ref().map(|failure| failure.report.code);
        let recorded = super::ending::finishing(cx, |cx| {
            let this = &self;
            async move { this.record(&cx, status, code).await }
        });
        recorded.await?;
        let result = StreamResult {
            stream: self.stream.as_str().to_owned(),
            pages: self.pages,
            rows: self.total.rows,
            written: self.total.written,
            unchanged: self.total.unchanged,
            quarantined: self.total.quarantined,
            cursor: self.cursor.take().as_ref().map(cursor_text),
        };
        Ok(StreamEnd {
            result,
            revisions: self.total.revisions,
            failure,
            stopped,
            host_is_lost,
            skipped: self.skipped,
        })
    }
}

/// Where a run finds a stream.
struct Position {
    pass: Pass,
    floor: Option<UnixMs>,
    again_from: Option<UnixMs>,
    cursor: Option<CursorPoint>,
}

impl Position {
    /// Where this run reads the stream from. A full pass has a cursor of its own, unless nothing was
    /// read before: then the everyday pass is one.
    async fn find(cx: &Cx, project: &ProjectRun, stream: Stream) -> Result<Self, Error> {
        let since = project.run.options.since;
        let known = stored(cx, project, stream, Pass::Incremental).await?;
        let floor = known.as_ref().and_then(|cursor| cursor.floor_at);
        let begun = known.is_some();
        let Some(point) = known.and_then(|cursor| cursor.point) else {
            // Nothing was stored, so a floor that turned out too high can still be lowered.
            let lowest = match floor {
                Some(floor) => Some(since.map_or(floor, |since| since.min(floor))),
                None if begun => None,
                None => since,
            };
            if lowest != floor {
                begin(cx, project, stream, Pass::Incremental, lowest).await?;
            }
            return Ok(Self {
                pass: Pass::Incremental,
                floor: lowest,
                again_from: None,
                cursor: None,
            });
        };
        if project.run.options.reading == Reading::New {
            return Ok(Self {
                pass: Pass::Incremental,
                floor,
                again_from: since.filter(|since| *since < point.at),
                cursor: Some(point),
            });
        }
        begin(cx, project, stream, Pass::Full, floor).await?;
        let full = stored(cx, project, stream, Pass::Full).await?;
        Ok(Self {
            pass: Pass::Full,
            floor,
            again_from: None,
            cursor: full.and_then(|cursor| cursor.point),
        })
    }
}

async fn stored(cx: &Cx, project: &ProjectRun, stream: Stream, pass: Pass) -> Result<Option<Cursor>, Error> {
    let id = project.place.project;
    let read = project
        .run
        .db
        .read(cx, move |conn| cursor::get(conn, id, stream.as_str(), pass));
    Ok(read.await?)
}

async fn begin(cx: &Cx, project: &ProjectRun, stream: Stream, pass: Pass, floor: Option<UnixMs>) -> Result<(), Error> {
    let _started = cx.may_start()?;
    let place = project.place.clone();
    let begun = project
        .run
        .db
        .write(cx, move |tx| writer::begin_pass(tx, &place, stream, pass, floor));
    Ok(begun.await?)
}

/// What a page at this position proves.
fn standing(at: &PagePosition) -> Standing {
    match at {
        PagePosition::Window(window) if window.page > 1 => Standing::Numbered,
        PagePosition::Window(_) => Standing::First,
        PagePosition::Opaque(_) => Standing::Next,
    }
}

/// The update times of the first and last rows that can be trusted.
fn trusted_range(page: &Page) -> (Option<UnixMs>, Option<UnixMs>) {
    let times = || page.rows.iter().filter_map(|row| row.at);
    (times().min(), times().max())
}
