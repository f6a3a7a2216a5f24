//! What a run tells while it goes on.
//!
//! The promise: telling never delays the engine. Events go into a bounded queue; when nobody reads
//! fast enough the oldest are dropped and counted. No event holds a secret or a body.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use annals_core::{Cancelled, Code, EntityKind, Iid, RunId, UnixMs};
use annals_net_adapter::Cx;
use annals_net_adapter::sync::Notify;
use serde::Serialize;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run has its row.
    RunStarted {
        /// Its id.
        run_id: RunId,
        /// How many projects it is about.
        projects: usize,
    },
    /// A phase began.
    PhaseStarted {
        /// The project's path, unless it is a phase of the whole run.
        project: Option<String>,
        /// `project`, `streams`, `dependents`, `documents`, `embed`.
        phase: &'static str,
    },
    /// A page is in the file.
    PageStored {
        /// Its project's path.
        project: String,
        /// Which list.
        stream: String,
        /// Number of the page in this run.
        page: u64,
        /// Rows it had.
        rows: u64,
        /// Rows that were written.
        written: u64,
    },
    /// A set is in the file.
    SetStored {
        /// Its project's path.
        project: String,
        /// What it hangs on.
        entity: EntityKind,
        /// The number of that.
        iid: Iid,
        /// Which set.
        set: &'static str,
        /// Items it had.
        items: u64,
    },
    /// Documents have new vectors.
    DocumentsEmbedded {
        /// How many by now.
        embedded: u64,
        /// How many were refused.
        failed: u64,
        /// How many are still owed.
        remaining: u64,
    },
    /// The engine waits because a host asked for it.
    Waiting {
        /// Host and port.
        host: String,
        /// Until when.
        until: UnixMs,
        /// Why.
        why: &'static str,
    },
    /// Something to know that does not stop the run.
    Warning {
        /// The project's path, if it is about one.
        project: Option<String>,
        /// Its row in the table of codes.
        code: Code,
        /// What happened.
        message: String,
    },
    /// A project is done with, one way or another.
    ProjectFinished {
        /// Its path.
        project: String,
        /// `done`, `partial`, `failed` or `cancelled`.
        status: &'static str,
    },
    /// The run's row is closed.
    RunFinished {
        /// Its id.
        run_id: RunId,
        /// `done`, `partial`, `failed` or `cancelled`.
        status: &'static str,
    },
}

/// Where the engine tells what happens. Cheap to clone.
#[derive(Debug, Default)]
pub struct Progress(Option<Arc<Queue>>);

impl Clone for Progress {
    fn clone(&self) -> Self {
        if let Some(queue) = &self.0 {
            queue.lock().tellers += 1;
        }
        Self(self.0.clone())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.lock().tellers -= 1;
            queue.more.notify_one();
        }
    }
}

/// Where somebody listens.
#[derive(Debug)]
pub struct Events(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    room: usize,
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    lost: u64,
    /// Tellers that are left; the listener ends after the last one.
    tellers: usize,
}

impl Progress {
    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self(None)
    }

    /// A teller and its listener; at most `room` events wait between them.
    #[must_use]
    pub fn channel(room: NonZeroUsize) -> (Self, Events) {
        let state = State {
            tellers: 1,
            ..State::default()
        };
        let queue = Arc::new(Queue {
            room: room.get(),
            state: Mutex::new(state),
            more: Notify::default(),
        });
        (Self(Some(queue.clone())), Events(queue))
    }

    /// Tells. Never waits.
    pub fn tell(&self, event: Event) {
        let Some(queue) = &self.0 else { return };
        {
            let mut state = queue.lock();
            if state.events.len() >= queue.room {
                state.events.pop_front();
                state.lost += 1;
            }
            state.events.push_back(event);
        }
        queue.more.notify_one();
    }
}

impl Events {
    /// The next event; none once every teller is gone and all events were heard.
    ///
    /// # Errors
    /// [`Cancelled`]; the event stays for the next call.
    ///
    /// # Cancel safety
    /// No event is lost by dropping it.
    pub async fn next(&mut self, cx: &Cx) -> Result<Option<Event>, Cancelled> {
        loop {
            {
                let mut state = self.0.lock();
                if let Some(event) = state.events.pop_front() {
                    return Ok(Some(event));
                }
                if state.tellers == 0 {
                    return Ok(None);
                }
            }
            self.0.more.notified(cx).await?;
        }
    }

    /// Everything that waits now, without waiting.
    pub fn drain(&mut self) -> Vec<Event> {
        self.0.lock().events.drain(..).collect()
    }

    /// How many events were dropped because nobody read them in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn event(n: u64) -> Event {
        Event::PageStored {
            project: "g/p".into(),
            stream: "issues".into(),
            page: n,
            rows: 0,
            written: 0,
        }
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_says_so() {
        let (progress, mut events) = Progress::channel(NonZeroUsize::new(2).unwrap());
        for n in 0..5 {
            progress.tell(event(n));
        }
        assert_eq!(events.drain(), [event(3), event(4)]);
        assert_eq!(events.lost(), 3);
    }
}
