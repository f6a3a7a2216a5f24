//! People at work on the project: edits drawn from a seed, one after the other.
//!
//! What a reader must come to in the end is [`model`](super::model) of the state that is left.

use annals_core::EntityKind;

use super::project::{Key, NoteOrigin};
use super::rng::Rng;
use super::state::{Order, State};

/// Whether entities are deleted. A reader that never asks for what it already has cannot notice that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletions {
    /// They are not.
    Left,
    /// They are, as often as other rare edits.
    Made,
}

/// A stream of edits: the same ones for the same seed and state.
#[derive(Debug, Clone)]
pub struct Churn {
    rng: Rng,
    deletions: Deletions,
    done: u64,
}

impl Churn {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64, deletions: Deletions) -> Self {
        Self {
            rng: Rng::keyed(seed, &[0x00c4_0240]),
            deletions,
            done: 0,
        }
    }

    /// How many edits were made.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// Makes `edits` of them.
    pub fn stir(&mut self, state: &mut State, edits: u64) {
        for _ in 0..edits {
            self.edit(state);
            self.done += 1;
        }
    }

    fn edit(&mut self, state: &mut State) {
        let people = state.project().users.len();
        let author = u32::try_from(self.rng.index(people)).unwrap_or(0);
        let words = format!("Word {} of the churn", self.done);
        let Some(key) = self.any(state) else {
            state.add_issue(author, &words, "The first one.");
            return;
        };
        let note = self.note(state, key);
        match self.rng.below(100) {
            0..25 => {
                state.retitle(key, &words);
            }
            25..42 => {
                state.add_note(key, author, &words);
            }
            42..52 if note.is_some() => {
                state.rewrite_note(key, note.unwrap_or_default(), &words);
            }
            52..62 if note.is_some() => {
                state.delete_note(key, note.unwrap_or_default());
            }
            74..79 => {
                let keys: Vec<Key> = (0..5).filter_map(|_| self.any(state)).collect();
                state.touch_together(&keys);
            }
            79..86 if key.kind == EntityKind::MergeRequest => {
                state.push(key.iid);
            }
            86..93 => {
                let labels = self.rng.some_of(state.project().labels.len(), 2);
                state.edit(key, |entity, _| entity.head.labels = labels);
            }
            93..97 => {
                state.add_issue(author, &words, "Opened while the forge was read.");
            }
            97..100 if self.deletions == Deletions::Made => {
                state.delete(key);
            }
            _ => {
                state.touch(key);
            }
        }
    }

    /// Any entity; half of the time one of those that changed last, which is where pages are being read.
    fn any(&mut self, state: &State) -> Option<Key> {
        let kinds = [EntityKind::Issue, EntityKind::MergeRequest];
        let there = kinds.map(|kind| state.list(kind).len());
        let mut at = self.rng.index((there[0] + there[1]).max(1));
        let (kind, count) = if at < there[0] {
            (kinds[0], there[0])
        } else {
            at -= there[0];
            (kinds[1], there[1])
        };
        if self.rng.permille(500) {
            at = count.saturating_sub(1 + self.rng.index(count.clamp(1, 8)));
        }
        let slot = state.list(kind).sorted(Order::Updated).get(at)?;
        Some(Key { kind, iid: slot.iid() })
    }

    /// Something that a person said there.
    fn note(&mut self, state: &State, key: Key) -> Option<i64> {
        let entity = state.entity(key)?;
        let said: Vec<i64> = entity
            .thread
            .discussions
            .iter()
            .flat_map(|discussion| &discussion.notes)
            .filter(|note| note.origin == NoteOrigin::User)
            .map(|note| note.id)
            .collect();
        let at = self.rng.index(said.len().max(1));
        said.get(at).copied()
    }
}
