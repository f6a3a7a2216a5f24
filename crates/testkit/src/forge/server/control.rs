//! What no GitLab has: addresses under `/-/` that tell what was asked, and change the forge while a program reads it.

use annals_core::EntityKind;

use super::super::faults::{Fault, FaultPlan, Rule, When};
use super::super::gitlab::{Reply, Request};
use super::super::model;
use super::super::project::Key;
use super::{Shared, lock};

/// The answer to a request that is for the simulator, not for the forge.
pub(super) fn answer(shared: &Shared, request: &Request) -> Option<Reply> {
    let json = |body: Vec<u8>| Some(Reply::new(200, "application/json", body));
    match request.path() {
        "/-/stats" => json(serde_json::to_vec(lock(&shared.log).stats()).ok()?),
        "/-/log" => json(serde_json::to_vec(&lock(&shared.log).entries()).ok()?),
        "/-/model" => {
            let text = model::expected_dump(&shared.read());
            Some(Reply::new(200, "text/plain", text.into_bytes()))
        }
        "/-/churn" => {
            let edits = request.param("edits").and_then(|edits| edits.parse().ok())?;
            let mut churn = lock(&shared.churn);
            churn.stir(&mut shared.write(), edits);
            json(churn.done().to_string().into_bytes())
        }
        "/-/retitle" => {
            let title = request.param("title")?;
            let done = shared.write().retitle(entity(request)?, &title);
            done.then(|| json(b"{}".to_vec()))?
        }
        "/-/delete" => {
            let done = shared.write().delete(entity(request)?);
            done.then(|| json(b"{}".to_vec()))?
        }
        "/-/faults" => {
            *lock(&shared.faults) = plan(request)?;
            json(b"{}".to_vec())
        }
        _ => None,
    }
}

/// `?issue=N` or `?mr=N`.
fn entity(request: &Request) -> Option<Key> {
    let of = |name: &str, kind: EntityKind| {
        let iid = request.param(name)?.parse().ok()?;
        Some(Key { kind, iid })
    };
    of("issue", EntityKind::Issue).or_else(|| of("mr", EntityKind::MergeRequest))
}

/// `?fault=NAME&target=PATTERN&when=WHEN`, or nothing for no faults. The rule counts from now on.
fn plan(request: &Request) -> Option<FaultPlan> {
    let Some(name) = request.param("fault") else {
        return Some(FaultPlan::none());
    };
    let target = request.param("target").unwrap_or_else(|| "*".to_owned());
    let when: When = request
        .param("when")
        .map_or(Ok(When::Always), |when| when.parse())
        .ok()?;
    let seed = request.param("seed").and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let rules = name
        .split(',')
        .map(|name| Some(Rule::new(Fault::from_name(name)?, &target, when)));
    rules
        .collect::<Option<Vec<_>>>()
        .map(|rules| rules.into_iter().fold(FaultPlan::seeded(seed), FaultPlan::with))
}
