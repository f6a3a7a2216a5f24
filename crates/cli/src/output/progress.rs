//! What a sync tells while it goes on: a status line on a terminal, or one JSON object per event.

use std::num::NonZeroUsize;
use std::time::Duration;

use annals_core::{Cancelled, MonoTime, UnixMs};
use annals_net_adapter::{Cx, TaskHandle};
use annals_sync::{Event, Events, Progress};

use super::page::{counted, one_line};
use super::width::fit;
use super::{Console, Mode, Palette, Style};
use crate::cli::ProgressChoice;
use crate::error::Error;
use crate::session::Session;

/// Events that may wait to be shown.
const ROOM: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// The status line changes no more often than this, so that it can be read.
const CALM: Duration = Duration::from_millis(80);

/// More warnings than this are only counted.
const MOST_WARNINGS: usize = 100;

/// Somebody who watches a sync. The watching ends when the sync has let go of its [`Progress`].
#[derive(Debug)]
pub struct Watcher(TaskHandle<Vec<String>, Cancelled>);

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Silent,
    /// Warnings only.
    Lines,
    /// Warnings and a status line, which is cut to this many columns.
    Status(usize),
    Json,
}

/// Begins to watch.
///
/// # Errors
/// `internal` when the command's region is ending already.
pub fn watch(cx: &Cx, session: &Session) -> Result<(Progress, Watcher), Error> {
    let (progress, events) = Progress::channel(ROOM);
    let way = match (session.global.progress, session.out.mode) {
        (ProgressChoice::Json, _) => Way::Json,
        (_, Mode::Robot) => Way::Silent,
        _ if session.global.quiet => Way::Silent,
        (ProgressChoice::Auto, Mode::Human) if session.terminals.stderr => {
            Way::Status(session.terminals.columns.unwrap_or(80))
        }
        (ProgressChoice::Auto | ProgressChoice::None, Mode::Human) => Way::Lines,
    };
    let (console, palette) = (session.out.console.clone(), session.out.stderr);
    let spawned = cx.spawn("cli.progress", move |cx| async move {
        follow(&cx, events, way, &console, palette).await
    });
    let handle = spawned.map_err(|error| annals_core::Report::new(annals_core::Code::Internal, error.to_string()))?;
    Ok((progress, Watcher(handle)))
}

impl Watcher {
    /// Waits for the last event and returns the warnings.
    pub async fn end(mut self, cx: &Cx) -> Vec<String> {
        let joined = self.0.join(cx).await;
        joined.ok().and_then(annals_core::Outcome::ok).unwrap_or_default()
    }
}

async fn follow(
    cx: &Cx,
    mut events: Events,
    way: Way,
    console: &Console,
    palette: Palette,
) -> Result<Vec<String>, Cancelled> {
    let mut warnings = Vec::new();
    let mut status = Status::default();
    let mut shown_at: Option<MonoTime> = None;
    while let Some(event) = events.next(cx).await? {
        if let Some(warning) = warning(&event) {
            if matches!(way, Way::Lines | Way::Status(_)) {
                console.say(&format!("{} {warning}", palette.paint(Style::Attention, "warning:")));
            }
            if warnings.len() < MOST_WARNINGS {
                warnings.push(warning);
            }
        }
        match way {
            Way::Silent | Way::Lines => {}
            Way::Json => {
                if let Ok(line) = serde_json::to_string(&event) {
                    console.say(&line);
                }
            }
            Way::Status(columns) => {
                status.take(&event, cx.unix_ms());
                let calm = shown_at.is_none_or(|at| cx.now().since(at) >= CALM);
                let line = status.line();
                if calm && !line.is_empty() {
                    shown_at = Some(cx.now());
                    console.status(&fit(&line, columns.saturating_sub(1)));
                }
            }
        }
    }
    console.clear();
    Ok(warnings)
}

fn warning(event: &Event) -> Option<String> {
    let Event::Warning { project, message, .. } = event else {
        return None;
    };
    let place = project
        .as_deref()
        .map(|path| format!("{}: ", one_line(path)))
        .unwrap_or_default();
    Some(format!("{place}{}", one_line(message)))
}

/// What the status line says.
#[derive(Debug, Default)]
struct Status {
    place: String,
    doing: String,
    rows: u64,
    sets: u64,
}

impl Status {
    fn take(&mut self, event: &Event, now: UnixMs) {
        match event {
            Event::PhaseStarted { project, phase } => {
                self.place = project.as_deref().map(one_line).unwrap_or_default();
                self.doing = match *phase {
                    "project" => "asking for the project".to_owned(),
                    "preflight" => "fetching all that is named".to_owned(),
                    "ingest" => "writing it".to_owned(),
                    "streams" => "reading lists".to_owned(),
                    "dependents" => "reading discussions, events and changes".to_owned(),
                    "documents" => "making it searchable".to_owned(),
                    "embed" => "embedding".to_owned(),
                    other => other.to_owned(),
                };
            }
            Event::PageStored {
                project,
                stream,
                page,
                rows,
                ..
            } => {
                self.place = one_line(project);
                self.rows += rows;
                self.doing = format!("{}, page {page}", stream.replace('_', " "));
            }
            Event::SetStored {
                project,
                entity,
                iid,
                set,
                ..
            } => {
                self.place = one_line(project);
                self.sets += 1;
                self.doing = format!("{set} of {}{iid}", entity.sigil());
            }
            Event::DocumentsEmbedded {
                embedded, remaining, ..
            } => {
                self.place.clear();
                self.doing = format!("embedding, {} done, {remaining} to go", counted(*embedded, "document"));
            }
            Event::Waiting { host, until, why } => {
                let seconds = until.since(now).as_millis().div_ceil(1000);
                self.doing = format!("waiting {seconds} s for {}: {why}", one_line(host));
            }
            Event::ProjectFinished { project, status } => {
                self.place = one_line(project);
                (*status).clone_into(&mut self.doing);
            }
            Event::RunStarted { .. } | Event::RunFinished { .. } | Event::Warning { .. } => {}
        }
    }

    fn line(&self) -> String {
        let mut parts = vec![self.place.as_str(), self.doing.as_str()];
        let (rows, sets) = (counted(self.rows, "row"), counted(self.sets, "set"));
        if self.rows > 0 {
            parts.push(&rows);
        }
        if self.sets > 0 {
            parts.push(&sets);
        }
        parts.retain(|part| !part.is_empty());
        parts.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use annals_core::{EntityKind, Iid};

    #[test]
    fn the_status_line_says_where_it_is() {
        let mut status = Status::default();
        assert_eq!(status.line(), "");
        let page = |page| Event::PageStored {
            project: "g/\x1bp".into(),
            stream: "merge_requests".into(),
            page,
            rows: 100,
            written: 0,
        };
        status.take(&page(1), UnixMs(0));
        status.take(&page(2), UnixMs(0));
        assert_eq!(status.line(), "g/\\x1bp · merge requests, page 2 · 200 rows");
        let set = Event::SetStored {
            project: "g/p".into(),
            entity: EntityKind::MergeRequest,
            iid: Iid(7),
            set: "discussions",
            items: 3,
        };
        status.take(&set, UnixMs(0));
        assert_eq!(status.line(), "g/p · discussions of !7 · 200 rows · 1 set");
        let wait = Event::Waiting {
            host: "h".into(),
            until: UnixMs(2_500),
            why: "the forge asked for it",
        };
        status.take(&wait, UnixMs(0));
        assert_eq!(
            status.line(),
            "g/p · waiting 3 s for h: the forge asked for it · 200 rows · 1 set"
        );
    }
}
