//! Fetching everything about every target, without the lock and without a word to the content.
//!
//! Entities come first, because a merge request's head says which sets it has; then all their sets.
//! A target that fails stops none of the others: all failures are told together. The answers are
//! held until the last is there, so together they have a limit, beyond which a fetch is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use annals_core::{Outcome, UnixMs};
use annals_db::ids::JobType;
use annals_net_adapter::{Cx, map_bounded};

use super::failure::{TargetFailure, name_of};
use super::run::Surgery;
use crate::engine::EntityRef;
use crate::engine::ending::stop_of;
use crate::engine::writer::Events;
use crate::error::Error;
use crate::forge::budget::{ByteBudget, Flight};
use crate::forge::{Answer, EntityRow, ForgeError, Row, SetAnswer, SetKey, Via};

/// Fetches under way at once; the host allows fewer.
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// What a preflight brought.
pub struct Preflight {
    /// The targets that were fetched whole, by type, then number.
    pub targets: Vec<Target>,
    /// The others, in the same order.
    pub failures: Vec<TargetFailure>,
}

/// A target with all its sets.
pub struct Target {
    pub of: EntityRef,
    pub row: Row,
    pub sets: BTreeMap<JobType, Set>,
    /// Counts the bytes of the row as long as it is held.
    _flight: Flight,
}

/// A set and the question that it answers.
pub struct Set {
    pub key: SetKey,
    pub answer: SetAnswer,
    _flight: Flight,
}

/// Fetches all targets.
///
/// # Errors
/// A request to stop, or a bug; what fails at the forge is in the result.
///
/// # Cancel safety
/// Nothing is written here.
pub async fn run(cx: &Cx, surgery: &Arc<Surgery>) -> Result<Preflight, Error> {
    let budget = ByteBudget::refusing(surgery.preflight_bytes);
    let (mut targets, mut failures) = (BTreeMap::new(), BTreeMap::new());
    let (shared, bytes) = (surgery.clone(), budget.clone());
    let rows = map_bounded(cx, IN_FLIGHT, surgery.targets.clone(), move |cx, of| {
        let (surgery, flight) = (shared.clone(), bytes.flight());
        async move { entity(&cx, &surgery, of, flight).await }
    });
    for (of, outcome) in surgery.targets.iter().zip(rows.await) {
        match settled(outcome)? {
            Ok(Ok(target)) => {
                targets.insert(*of, target);
            }
            Ok(Err(failure)) => {
                failures.insert(*of, failure);
            }
            Err(error) => {
                failures.insert(*of, TargetFailure::of(*of, &error));
            }
        }
    }
    let keys: Vec<SetKey> = targets
        .values()
        .flat_map(|target: &Target| keys_of(&target.row, target.of, surgery.events))
        .collect();
    let shared = surgery.clone();
    let sets = map_bounded(cx, IN_FLIGHT, keys.clone(), move |cx, key| {
        let (surgery, flight) = (shared.clone(), budget.flight());
        async move { set(&cx, &surgery, key, flight).await }
    });
    for (key, outcome) in keys.into_iter().zip(sets.await) {
        let of = EntityRef {
            entity_type: key.kind,
            iid: key.iid,
        };
        let failure = match settled(outcome)? {
            Ok(Ok(set)) => {
                if let Some(target) = targets.get_mut(&of) {
                    target.sets.insert(key.job, set);
                }
                continue;
            }
            Ok(Err(failure)) => failure,
            Err(error) => TargetFailure::of(of, &error),
        };
        failures.entry(of).or_insert(failure);
    }
    let failed: BTreeSet<EntityRef> = failures.keys().copied().collect();
    Ok(Preflight {
        targets: targets
            .into_values()
            .filter(|target| !failed.contains(&target.of))
            .collect(),
        failures: failures.into_values().collect(),
    })
}

/// What a fetch came to, unless the run has to stop.
fn settled<T>(outcome: Outcome<T, ForgeError>) -> Result<Result<T, ForgeError>, Error> {
    match outcome {
        Outcome::Ok(value) => Ok(Ok(value)),
        Outcome::Err(error) => {
            let error = Error::Forge(error);
            match (stop_of(&error), error) {
                (None, Error::Forge(error)) => Ok(Err(error)),
                (_, error) => Err(error),
            }
        }
        Outcome::Cancelled(reason) => Err(Error::Cancelled { reason, result: None }),
        Outcome::Panicked(message) => Err(message.into()),
    }
}

async fn entity(
    cx: &Cx,
    surgery: &Surgery,
    of: EntityRef,
    flight: Flight,
) -> Result<Result<Target, TargetFailure>, ForgeError> {
    let _started = cx.may_start()?;
    let via = Via {
        flight: &flight,
        meter: &surgery.run.meter,
    };
    let native = &surgery.known.native;
    let (host, what) = (surgery.forge.host().to_owned(), name_of(of));
    Ok(
        match surgery.forge.one(cx, via, native, of.entity_type, of.iid).await? {
            Answer::New(Ok(row)) => Ok(Target {
                of,
                row,
                sets: BTreeMap::new(),
                _flight: flight,
            }),
            Answer::New(Err(bad)) => Err(TargetFailure::unreadable(of, &bad)),
            Answer::Gone(reason) => Err(TargetFailure::gone(of, &ForgeError::NotFound { host, what }, reason)),
            Answer::Moved(to) => {
                let what = format!("{what}, which is {to} now");
                Err(TargetFailure::of(of, &ForgeError::NotFound { host, what }))
            }
            Answer::Hidden => Err(TargetFailure::of(of, &ForgeError::Forbidden { host, what })),
            // Nothing was known that could have been unchanged.
            Answer::NotModified => return Err(unasked(host)),
        },
    )
}

async fn set(
    cx: &Cx,
    surgery: &Surgery,
    key: SetKey,
    flight: Flight,
) -> Result<Result<Set, TargetFailure>, ForgeError> {
    let _started = cx.may_start()?;
    let via = Via {
        flight: &flight,
        meter: &surgery.run.meter,
    };
    let of = EntityRef {
        entity_type: key.kind,
        iid: key.iid,
    };
    let (host, what) = (
        surgery.forge.host().to_owned(),
        format!("{} of {}", key.job, name_of(of)),
    );
    Ok(
        match surgery.forge.set(cx, via, &surgery.known.native, &key, None).await? {
            Answer::New(answer) => Ok(Set {
                key,
                answer,
                _flight: flight,
            }),
            Answer::Gone(reason) => Err(TargetFailure::gone(of, &ForgeError::NotFound { host, what }, reason)),
            Answer::Moved(to) => {
                let what = format!("{what}, which is {to} now");
                Err(TargetFailure::of(of, &ForgeError::NotFound { host, what }))
            }
            Answer::Hidden => Err(TargetFailure::of(of, &ForgeError::Forbidden { host, what })),
            Answer::NotModified => return Err(unasked(host)),
        },
    )
}

fn unasked(host: String) -> ForgeError {
    ForgeError::Protocol {
        host,
        what: "\"not modified\" to an unconditional request".to_owned(),
    }
}

/// The sets that an entity has, as its own row tells.
fn keys_of(row: &Row, of: EntityRef, events: Events) -> Vec<SetKey> {
    let head_oid = match &row.entity {
        EntityRow::Issue(_) => None,
        EntityRow::MergeRequest(mr) => mr.head_oid.clone(),
    };
    sets_of(&row.entity, events)
        .into_iter()
        .map(|job| SetKey {
            kind: of.entity_type,
            iid: of.iid,
            job,
            head_oid: head_oid.clone(),
            cause_at: row.at.unwrap_or(UnixMs(0)),
        })
        .collect()
}

/// The page of a merge request is the entity itself here, so there is no `detail`.
fn sets_of(entity: &EntityRow, events: Events) -> Vec<JobType> {
    let mut jobs = vec![JobType::Discussions];
    if events == Events::Mirror {
        jobs.push(JobType::Events);
    }
    if let EntityRow::MergeRequest(mr) = entity {
        jobs.push(JobType::Closes);
        if mr.head_oid.is_some() {
            jobs.extend([JobType::Diffs, JobType::Commits]);
        }
    }
    jobs
}
