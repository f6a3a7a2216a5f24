//! `cargo xtask gate A|B|C|D`: whether a slice may move to the other runtime. It measures nothing; it reads evidence.
//!
//! What is missing, of another commit or of another lock file is a reason, never a pass. A slice also needs everything
//! that the slices before it need. NO-GO costs nothing: the slice stays where it is.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::bench::{Build, runtime};
use crate::drill::Drill;
use crate::evidence::{Shelf, Stamp, short};
use crate::kpi::Report;
use crate::suite::Ran;
use crate::{Verdict, Workspace, audit};

const SLICES: &str = "ABCD";
const LANES: [&str; 3] = ["test-tokio", "test-asupersync", "test-both"];

/// One kind of evidence, and the slices it is for.
struct Item {
    id: &'static str,
    what: &'static str,
    slices: &'static str,
    /// The reasons against.
    check: fn(&Case) -> Reasons,
}

/// `Err` where evidence could not be read.
type Reasons = Result<Vec<String>, Vec<String>>;

const ITEMS: &[Item] = &[
    Item {
        id: "E1",
        what: "both builds, their size and time; no tokio on asupersync",
        slices: "ABCD",
        check: builds,
    },
    Item {
        id: "E2",
        what: "every test on both runtimes, alone and together",
        slices: "ABCD",
        check: suites,
    },
    Item {
        id: "E3",
        what: "the five native tests on asupersync",
        slices: "A",
        check: native,
    },
    Item {
        id: "E4",
        what: "HTTP parity on both",
        slices: "AB",
        check: parity,
    },
    Item {
        id: "E5",
        what: "server conformance H01 to H26 on both",
        slices: "AB",
        check: conformance,
    },
    Item {
        id: "E6",
        what: "a canary for the traps of each runtime",
        slices: "ABCD",
        check: traps,
    },
    Item {
        id: "E7",
        what: "cancellation leaves nothing behind; INV-3 and INV-4",
        slices: "ABCD",
        check: cancellation,
    },
    Item {
        id: "E8",
        what: "every KPI on target",
        slices: "BCD",
        check: kpis,
    },
    Item {
        id: "E9",
        what: "bench ratios on target",
        slices: "ABC",
        check: ratios,
    },
    Item {
        id: "E10",
        what: "rollback drill in both directions",
        slices: "BCD",
        check: drill,
    },
    Item {
        id: "E11",
        what: "audits clean, and their fixtures still fail",
        slices: "ABCD",
        check: audits,
    },
];

struct Case<'a> {
    shelf: &'a Shelf,
    now: &'a Stamp,
    audits: Verdict,
}

impl Case<'_> {
    fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, Vec<String>> {
        let why = |why: &str| vec![format!("{name}: {why}")];
        let evidence = self.shelf.get(name).ok_or_else(|| why("no evidence"))?;
        if let Some(differs) = evidence.stamp.differs(self.now) {
            return Err(why(&differs));
        }
        serde_json::from_value(evidence.found).map_err(|error| why(&error.to_string()))
    }

    /// Names that must occur in the test list of a lane.
    fn wants<'n>(&self, lane: &str, names: impl IntoIterator<Item = &'n str>) -> Reasons {
        let ran: Ran = self.get(lane)?;
        let absent = names.into_iter().filter(|name| !ran.has(name));
        Ok(absent.map(|name| format!("{lane}: no test {name}")).collect())
    }

    /// The same of both runtimes.
    fn wants_on_both(&self, names: &[&str]) -> Reasons {
        let lanes = [LANES[0], LANES[1]];
        all(lanes.map(|lane| self.wants(lane, names.iter().copied())))
    }
}

/// The reasons of all of them; unreadable if one is.
fn all(parts: impl IntoIterator<Item = Reasons>) -> Reasons {
    let (mut against, mut unreadable) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Ok(reasons) => against.extend(reasons),
            Err(reasons) => unreadable.extend(reasons),
        }
    }
    if unreadable.is_empty() {
        Ok(against)
    } else {
        Err(unreadable)
    }
}

/// One reason unless it holds.
fn unless(holds: bool, why: impl Into<String>) -> Vec<String> {
    if holds { Vec::new() } else { vec![why.into()] }
}

fn builds(case: &Case) -> Reasons {
    let build = |features: &str| -> Reasons {
        let build: Build = case.get(&format!("build-{features}"))?;
        Ok(unless(build.bytes > 0, "nothing was built"))
    };
    all([build("default"), build("asupersync"), kpi(case, "migration coverage")])
}

fn suites(case: &Case) -> Reasons {
    all(LANES.map(|lane| {
        let ran: Ran = case.get(lane)?;
        Ok(unless(ran.is_whole(), format!("{lane}: not every test ran and passed")))
    }))
}

fn native(case: &Case) -> Reasons {
    let names = [
        "native_get_headers_query_repeats",
        "native_post_json_bearer_keeps_error_body",
        "native_paging_over_one_connection",
        "native_429_retry_after_virtual_time",
        "native_timeout_and_region_cancel_mid_body",
    ];
    case.wants("test-asupersync", names)
}

fn parity(case: &Case) -> Reasons {
    case.wants_on_both(&["parity_"])
}

fn conformance(case: &Case) -> Reasons {
    let names: Vec<String> = (1..=26).map(|number| format!("h{number:02}_")).collect();
    case.wants_on_both(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn traps(case: &Case) -> Reasons {
    case.wants_on_both(&["trap_"])
}

fn cancellation(case: &Case) -> Reasons {
    all([kpi(case, "cancel-correctness"), case.wants_on_both(&["inv3_", "inv4_"])])
}

fn kpi(case: &Case, name: &str) -> Reasons {
    let report: Report = case.get("kpi")?;
    let met = report.kpis.iter().any(|kpi| kpi.name == name && kpi.met);
    Ok(unless(met, format!("{name} is not met")))
}

fn kpis(case: &Case) -> Reasons {
    let report: Report = case.get("kpi")?;
    let missed = report.kpis.iter().filter(|kpi| !kpi.met);
    Ok(missed.map(|kpi| format!("{} is not met", kpi.name)).collect())
}

fn ratios(case: &Case) -> Reasons {
    let found: runtime::Found = case.get("runtime")?;
    let costs = found.costs.iter().filter(|cost| !cost.meets()).map(|cost| &cost.what);
    let workloads = found.workloads.as_deref().unwrap_or_default();
    let missed = workloads
        .iter()
        .filter(|workload| !workload.meets())
        .map(|workload| &workload.workload);
    let mut reasons = unless(!workloads.is_empty(), "no asupersync beside tokio");
    reasons.extend(costs.chain(missed).map(|what| format!("missed: {what}")));
    Ok(reasons)
}

fn drill(case: &Case) -> Reasons {
    let drill: Drill = case.get("drill")?;
    let mut reasons = unless(drill.passed, "a test of the drill failed");
    reasons.extend(drill.missing());
    Ok(reasons)
}

fn audits(case: &Case) -> Reasons {
    let fixtures = case.wants(LANES[0], ["every_audit_has_failing_fixture"])?;
    Ok([
        unless(case.audits == Verdict::Holds, "an audit found something"),
        fixtures,
    ]
    .concat())
}

/// What a slice needs: its own items, and those of the slices before it.
fn needed(slice: char) -> impl Iterator<Item = &'static Item> {
    let upto = SLICES.find(slice).unwrap_or_default();
    let slices = move |item: &&Item| SLICES.chars().take(upto + 1).any(|slice| item.slices.contains(slice));
    ITEMS.iter().filter(slices)
}

/// Ids and reasons against a slice.
fn judge(case: &Case, slice: char) -> Vec<(&'static str, String)> {
    let items = needed(slice);
    let against = items.flat_map(|item| {
        let reasons = (item.check)(case).unwrap_or_else(|unreadable| unreadable);
        reasons.into_iter().map(|reason| (item.id, reason))
    });
    against.collect()
}

const HELP: &str = "\
cargo xtask gate A|B|C|D

Says from the evidence of this commit whether a slice may move to the other runtime; writes target/gate/SLICE-COMMIT.md and
.json. The last line is GO, or NO-GO and how many reasons stand above it; exit 0 or 1. docs/kpi.md names the commands that
leave evidence.";

pub fn command(here: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    let [slice] = args else {
        bail!("gate takes a slice: A, B, C or D")
    };
    if slice == "--help" || slice == "-h" {
        println!("{HELP}");
        return Ok(Verdict::Holds);
    }
    let slice = slice
        .chars()
        .next()
        .filter(|letter| slice.len() == 1 && SLICES.contains(*letter));
    let slice = slice.context("the slices are A, B, C and D")?;
    let now = Stamp::now(here)?;
    let case = Case {
        shelf: &Shelf::of(here)?,
        now: &now,
        audits: audit::command(here, &[])?,
    };
    let mut against = judge(&case, slice);
    if now.is_dirty() {
        against.push(("tree", "it is not as committed".to_owned()));
    }
    let verdict = match against.len() {
        0 => "GO".to_owned(),
        count => format!("NO-GO: {count} reasons"),
    };
    let mut page = format!("# Gate {slice} of {}\n\n", short(&now.commit));
    for item in needed(slice) {
        let reasons = against.iter().filter(|(id, _)| *id == item.id).count();
        let state = if reasons == 0 { "nothing against it" } else { "against" };
        page += &format!("- {} {}: {state}\n", item.id, item.what);
    }
    page += "\n";
    for (id, reason) in &against {
        page += &format!("- **{id}** {reason}\n");
    }
    let folder = here.metadata()?.target_directory.join("gate");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{slice}-{}", short(&now.commit)));
    std::fs::write(file.with_extension("md"), format!("{page}\n{verdict}\n"))?;
    let report = json!({"slice": slice.to_string(), "stamp": now, "verdict": verdict, "against": against});
    std::fs::write(file.with_extension("json"), serde_json::to_vec_pretty(&report)?)?;
    print!("{page}\n{verdict}\n");
    Ok(if against.is_empty() {
        Verdict::Holds
    } else {
        Verdict::Broken
    })
}

#[cfg(test)]
mod tests;
