//! What was shown of the mirror at any time is what is shown of it later as of that time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use annals_core::{EntityKind, Iid, UnixMs};
use annals_db::ReadConn;
use annals_db::read::{self, Certainty, Entity, Event, File, ListQuery, NotePage, Slice, Threads, Visibility};
use annals_net_adapter::{Cx, on_every_runtime};
use annals_testkit::forge::project::{
    Action, Discussion, DiscussionShape, ItemState, LabelEvent, MilestoneEvent, Note, NoteOrigin, Resolution, Secrecy,
    StateEvent,
};
use annals_testkit::forge::rng::Rng;
use annals_testkit::forge::state;
use annals_testkit::forge::{GenSpec, Key, State};
use serde_json::{Value, json};

use crate::common::{World, project_id};

on_every_runtime!(
    show_as_of_says_what_show_said_then,
    a_first_sync_folds_back_to_what_a_mirror_would_have_seen,
);

const STEPS: usize = 7;

async fn show_as_of_says_what_show_said_then(cx: Cx) {
    for seed in 0..4 {
        let world = World::new(&cx, State::generated(GenSpec::new(seed).sized(5, 4))).await;
        world.sync(&cx).await.unwrap();
        let mut random = Rng::keyed(seed, &[1]);
        let mut said = vec![(cx.unix_ms(), shown(&cx, &world, None).await)];
        for _ in 0..STEPS {
            edit_some(&cx, &world, &mut random, said.last().unwrap().0).await;
            world.sync(&cx).await.unwrap();
            said.push((cx.unix_ms(), shown(&cx, &world, None).await));
        }
        let distinct = said.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        assert_eq!(distinct, STEPS, "seed {seed}: an edit did not show");
        for (step, (at, then)) in said.iter().enumerate() {
            let now = shown(&cx, &world, Some(*at)).await;
            assert_same(then, &now, &format!("seed {seed}, step {step}"));
        }
        world.close(&cx).await;
    }
}

/// One mirror watches the edits; another one comes when they are over, and has the forge's events alone
/// to tell what was. Its texts are the latest, its states, labels and milestones those of then.
async fn a_first_sync_folds_back_to_what_a_mirror_would_have_seen(cx: Cx) {
    for seed in 10..13 {
        let mut state = State::generated(GenSpec::new(seed).sized(5, 4));
        // A real forge has an event for every milestone that was ever set.
        for key in state.keys().collect::<Vec<_>>() {
            state.edit_quietly(key, |entity| {
                entity.head.milestone = None;
                entity.thread.milestones.clear();
            });
        }
        let world = World::new(&cx, state).await;
        world.sync(&cx).await.unwrap();
        let mut random = Rng::keyed(seed, &[2]);
        let mut moments = vec![cx.unix_ms()];
        for _ in 0..STEPS {
            edit_some(&cx, &world, &mut random, *moments.last().unwrap()).await;
            world.sync(&cx).await.unwrap();
            moments.push(cx.unix_ms());
        }
        // Everything is touched, so that the late mirror has seen nothing of what was.
        moment_after(&cx, &world, *moments.last().unwrap()).await;
        world.sim.with_state(|state| {
            let keys: Vec<Key> = state.keys().collect();
            for key in keys {
                let now = state.now();
                state.edit_quietly(key, |entity| entity.head.updated_at = now);
            }
        });
        let late = World::new(&cx, world.sim.state()).await;
        late.sync(&cx).await.unwrap();
        let mut derived = 0;
        for (step, at) in moments.iter().enumerate() {
            let (watched, folded) = (heads(&cx, &world, *at).await, heads(&cx, &late, *at).await);
            assert_eq!(watched.len(), folded.len());
            for ((watched, _), (folded, certainty)) in watched.iter().zip(&folded) {
                assert_eq!(watched, folded, "seed {seed}, step {step}");
                derived += usize::from(*certainty == Some(Certainty::Derived));
            }
        }
        assert_eq!(derived, 9 * moments.len(), "seed {seed}: something was seen");
        world.close(&cx).await;
        late.close(&cx).await;
    }
}

/// State, labels and milestone of every entity as of a time.
async fn heads(cx: &Cx, world: &World, at: UnixMs) -> Vec<(Value, Option<Certainty>)> {
    let read = world.db.read(cx, move |conn| {
        let mut heads = Vec::new();
        for kind in [EntityKind::Issue, EntityKind::MergeRequest] {
            for item in read::as_of::list(conn, &Visibility::all(), &by_number(kind), at)?.items {
                let head = json!([item.reference, item.state, item.labels, item.milestone, item.closed_at]);
                heads.push((head, item.certainty));
            }
        }
        Ok(heads)
    });
    read.await.unwrap()
}

fn by_number(kind: EntityKind) -> ListQuery {
    ListQuery {
        sort: read::Sort::Iid,
        slice: Slice::Offset { offset: 0, limit: 500 },
        ..ListQuery::of(kind)
    }
}

/// Everything `show` says of everything there is, now or as of a time.
async fn shown(cx: &Cx, world: &World, at: Option<UnixMs>) -> Vec<Value> {
    let project = annals_core::ProjectId(project_id(cx, &world.db).await);
    let read = world.db.read(cx, move |conn| {
        let (all, mut said) = (Visibility::all(), Vec::new());
        for kind in [EntityKind::Issue, EntityKind::MergeRequest] {
            let query = by_number(kind);
            let list = match at {
                None => read::list(conn, &all, &query)?,
                Some(at) => read::as_of::list(conn, &all, &query, at)?,
            };
            said.push(json!(list.total));
            for item in list.items {
                said.push(page(conn, project, kind, item.iid, at)?);
            }
        }
        Ok(said)
    });
    read.await.unwrap()
}

fn page(
    conn: &ReadConn<'_>,
    project: annals_core::ProjectId,
    kind: EntityKind,
    iid: Iid,
    at: Option<UnixMs>,
) -> Result<Value, annals_db::Error> {
    let all = Visibility::all();
    let entity = match at {
        None => read::entity(conn, &all, kind, project, iid)?,
        Some(at) => read::as_of::entity(conn, &all, kind, project, iid, at)?,
    };
    let entity = entity.expect("it was listed");
    let id = entity.id();
    let (threads, events, files) = match at {
        None => (
            read::threads(conn, &all, id, NotePage::ALL)?,
            read::events(conn, id)?,
            read::files(conn, id)?,
        ),
        Some(at) => (
            read::as_of::threads(conn, &all, id, NotePage::ALL, at)?,
            read::as_of::events(conn, id, at)?,
            read::as_of::files(conn, id, at)?,
        ),
    };
    Ok(comparable(entity, threads, events, files))
}

/// What a reading of the past promises to repeat: not when a row was last touched, and nothing of what was
/// gone already.
fn comparable(mut entity: Entity, mut threads: Threads, mut events: Vec<Event>, files: Vec<File>) -> Value {
    entity.item.updated_at = None;
    entity.item.certainty = None;
    for discussion in &mut threads.discussions {
        discussion.notes.retain(|note| note.gone_at.is_none());
        discussion.notes.iter_mut().for_each(|note| note.certainty = None);
    }
    threads
        .discussions
        .retain(|discussion| discussion.gone_at.is_none() && !discussion.notes.is_empty());
    events.retain(|event| event.gone_at.is_none());
    json!({"entity": entity, "discussions": threads.discussions, "events": events, "files": files})
}

fn assert_same(then: &[Value], now: &[Value], why: &str) {
    assert_eq!(then.len(), now.len(), "{why}");
    for (then, now) in then.iter().zip(now) {
        assert!(then == now, "{why}:\nsaid then\n{then:#}\nsaid now\n{now:#}");
    }
}

/// Moves the forge's clock to the present, which must be after `last`.
async fn moment_after(cx: &Cx, world: &World, last: UnixMs) -> UnixMs {
    while cx.unix_ms() <= last {
        cx.sleep(Duration::from_millis(1)).await.unwrap();
    }
    let now = cx.unix_ms();
    world.sim.with_state(|state| state.pass(now.0 - state.now().0));
    now
}

/// A few random edits, all at one moment after `last`.
async fn edit_some(cx: &Cx, world: &World, random: &mut Rng, last: UnixMs) {
    moment_after(cx, world, last).await;
    world.sim.with_state(|state| {
        let keys: Vec<Key> = state.keys().collect();
        for nth in 0..=random.below(3) {
            let key = keys[random.index(keys.len())];
            let now = state.now();
            state.edit_quietly(key, |entity| {
                entity.head.updated_at = now;
                // The first one is sure to show.
                let what = if nth == 0 { random.below(4) } else { random.below(11) };
                edit(entity, what, now, random);
            });
        }
    });
}

fn edit(entity: &mut state::Entity, what: u64, now: UnixMs, random: &mut Rng) {
    let id = (1 << 41) + i64::try_from(random.below(1 << 40)).unwrap();
    let user = 0;
    let (head, thread) = (&mut entity.head, &mut entity.thread);
    match what {
        0 => head.title = format!("title {id}"),
        1 => head.body = Some(format!("body {id}\n{}", "text ".repeat(80))),
        2 => thread.discussions.push(Discussion {
            id: format!("{id:040x}"),
            shape: DiscussionShape::Thread,
            notes: vec![said(id, now)],
        }),
        3 => {
            let label = u32::try_from(random.below(3)).unwrap();
            let has = head.labels.contains(&label);
            head.labels.retain(|known| *known != label);
            if !has {
                head.labels.push(label);
            }
            let action = if has { Action::Remove } else { Action::Add };
            thread.labels.push(LabelEvent {
                id,
                user,
                at: now,
                label,
                action,
            });
        }
        4 => {
            let state = match head.state {
                ItemState::Opened => ("closed", ItemState::Closed),
                ItemState::Closed => ("reopened", ItemState::Opened),
                ItemState::Merged | ItemState::Locked => return,
            };
            let closed = state.1 == ItemState::Closed;
            head.state = state.1;
            head.closed_at = closed.then_some(now);
            head.closed_by = closed.then_some(user);
            thread.states.push(StateEvent {
                id,
                user,
                at: now,
                state: state.0,
            });
        }
        5 => {
            let next = u32::try_from(random.below(2)).unwrap();
            if head.milestone == Some(next) {
                head.milestone = None;
                thread.milestones.push(MilestoneEvent {
                    id,
                    user,
                    at: now,
                    milestone: next,
                    action: Action::Remove,
                });
            } else {
                // As GitLab does it: not a word of the one before.
                head.milestone = Some(next);
                thread.milestones.push(MilestoneEvent {
                    id,
                    user,
                    at: now,
                    milestone: next,
                    action: Action::Add,
                });
            }
        }
        6 => {
            if let Some(note) = thread.discussions.iter_mut().flat_map(|open| &mut open.notes).last() {
                note.body = format!("edited {id}");
                note.updated_at = now;
            }
        }
        7 => {
            thread.discussions.pop();
        }
        8 => {
            if let Some(open) = thread.discussions.first_mut() {
                open.notes.push(said(id, now));
            }
        }
        9 => {
            if let Some(note) = thread.discussions.iter_mut().flat_map(|open| &mut open.notes).next() {
                note.resolution = match note.resolution {
                    Resolution::Open => Resolution::Resolved { by: user, at: now },
                    Resolution::Impossible | Resolution::Resolved { .. } => Resolution::Open,
                };
            }
        }
        _ => head.assignees = vec![u32::try_from(random.below(3)).unwrap()],
    }
}

fn said(id: i64, now: UnixMs) -> Note {
    Note {
        id,
        author: 1,
        body: format!("said {id}"),
        origin: NoteOrigin::User,
        secrecy: Secrecy::Public,
        created_at: now,
        updated_at: now,
        position: None,
        resolution: Resolution::Impossible,
    }
}
