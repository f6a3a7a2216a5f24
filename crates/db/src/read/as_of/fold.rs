//! Back through what happened later: from the first state that was seen to one nobody saw.
//!
//! Of each subject (the state, one label, the milestone) the first event after `at` tells what was
//! before it, whatever followed. A forge need not say which milestone another one replaced; then the
//! last event by `at` does.

use std::collections::BTreeSet;

use annals_core::UnixMs;
use rusqlite::{Connection, params};

use super::state::Head;
use crate::Error;
use crate::ids::{EntityId, EventKind, State};

/// What the forge recorded about an entity, oldest first.
pub(super) struct Record(Vec<Happened>);

struct Happened {
    at: i64,
    kind: EventKind,
    action: String,
    subject: Option<String>,
    actor: String,
}

impl Record {
    /// Reads it, as far as the forge still showed it at `at`.
    pub fn of(conn: &Connection, entity: EntityId, at: UnixMs) -> Result<Self, Error> {
        let sql = format!(
            "SELECT e.created_at, e.kind, e.action, e.subject, u.username
             FROM resource_events e JOIN users u ON u.id = e.actor_id
             WHERE e.{} = ?1 AND e.created_at IS NOT NULL AND e.kind IN ('state', 'label', 'milestone')
               AND (e.gone_at IS NULL OR e.gone_at > ?2)
             ORDER BY e.created_at, e.id",
            entity.parent_column()
        );
        let rows = conn
            .prepare_cached(&sql)?
            .query_map(params![entity.row, at.0], |row| {
                Ok(Happened {
                    at: row.get(0)?,
                    kind: row.get(1)?,
                    action: row.get(2)?,
                    subject: row.get(3)?,
                    actor: row.get(4)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(Self(rows))
    }

    /// Who closed it, and when, if that was its last change of state by `at`.
    pub fn closed(&self, at: UnixMs) -> Option<(UnixMs, String)> {
        let last = self
            .0
            .iter()
            .rfind(|event| event.kind == EventKind::State && event.at <= at.0)?;
        (last.action == "closed").then(|| (UnixMs(last.at), last.actor.clone()))
    }

    /// Turns the first state that was seen into what it was at `at`. A forge need not keep an event of
    /// every close and merge; then their times, `closed_at` and that of the state, tell that they came later.
    pub fn fold_back(&self, head: &mut Head, closed_at: Option<i64>, at: UnixMs) {
        let mut labels: BTreeSet<String> = head.labels.drain(..).collect();
        let (mut seen_state, mut seen_milestone) = (false, false);
        let mut seen_labels = BTreeSet::new();
        for (index, event) in self.0.iter().enumerate().filter(|(_, event)| event.at > at.0) {
            match event.kind {
                EventKind::State if !seen_state => {
                    seen_state = true;
                    before_change_of_state(head, &event.action);
                }
                EventKind::Milestone if !seen_milestone => {
                    seen_milestone = true;
                    head.milestone = match event.action.as_str() {
                        "remove" => event.subject.clone(),
                        _ => self.milestone_before(index),
                    };
                }
                EventKind::Label => {
                    let Some(label) = event.subject.as_ref().filter(|label| seen_labels.insert(*label)) else {
                        continue;
                    };
                    if event.action == "remove" {
                        labels.insert(label.clone());
                    } else {
                        labels.remove(label);
                    }
                }
                _ => {}
            }
        }
        head.labels = labels.into_iter().collect();
        let is_later = |time: Option<i64>| time.is_some_and(|time| time > at.0);
        let ended_later = match head.state() {
            State::Merged => is_later(head.merged_at),
            State::Closed => is_later(closed_at) && self.closed(at).is_none(),
            State::Open | State::Other => false,
        };
        if !seen_state && ended_later {
            reopen(head);
        }
        head.merged_at = head.merged_at.filter(|time| *time <= at.0);
    }

    /// The milestone that the event at `index` replaced.
    fn milestone_before(&self, index: usize) -> Option<String> {
        let before = self.0.iter().take(index);
        let last = before.rev().find(|event| event.kind == EventKind::Milestone)?;
        (last.action == "add").then(|| last.subject.clone()).flatten()
    }
}

fn reopen(head: &mut Head) {
    head.set_state(State::Open);
    head.state_reason = None;
    head.merged_at = None;
}

fn before_change_of_state(head: &mut Head, action: &str) {
    match action {
        "closed" | "merged" => reopen(head),
        "reopened" => head.set_state(State::Closed),
        // A word this version does not know says nothing about what was before it.
        _ => {}
    }
}
