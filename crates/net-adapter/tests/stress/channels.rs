//! Items on their way through channels: on one runtime, and on two.

use std::num::NonZeroUsize;

use annals_net_adapter::channel::{Receiver, Sender, mpsc};
use annals_net_adapter::{BackendKind, Cx, Region, RegionSpec};

use crate::harness::{alone, build, lab, on};
use crate::probe::{Probe, Unit, spawn};
use crate::stress;

stress!(channel_pipeline);

/// Four stages, each with room for one item more than the one before it.
async fn channel_pipeline(cx: Cx, probe: Probe) {
    let Ok(region) = cx.open_region(RegionSpec::collect_all("pipeline")) else {
        return;
    };
    flows(region.cx(), region.cx(), &probe);
    region.close(&cx).await;
}

/// The first and the last stage are here, those between there.
fn flows(here: &Cx, there: &Cx, probe: &Probe) {
    let room = |n: usize| NonZeroUsize::new(n).unwrap();
    let (first, second) = mpsc::<Unit>(room(1));
    let (second_out, third) = mpsc::<Unit>(room(2));
    let (third_out, fourth) = mpsc::<Unit>(room(3));
    let told = || probe.clone();
    let [a, b, c, d] = [told(), told(), told(), told()];
    spawn(here, "fourth", move |cx| takes(cx, fourth, d));
    spawn(there, "third", move |cx| passes_on(cx, third, third_out, c));
    spawn(there, "second", move |cx| passes_on(cx, second, second_out, b));
    spawn(here, "first", move |cx| makes(cx, first, a));
}

async fn makes(cx: Cx, tx: Sender<Unit>, probe: Probe) {
    for n in 0..probe.pick(60, 6) {
        if n % 3 == 0 {
            // A place that is taken and given back is as if it had never been.
            drop(tx.reserve(&cx).await);
        }
        let Ok(permit) = tx.reserve(&cx).await else {
            return;
        };
        if let Err(unit) = permit.send(probe.start()) {
            return unit.cancelled();
        }
    }
}

async fn passes_on(cx: Cx, mut rx: Receiver<Unit>, tx: Sender<Unit>, probe: Probe) {
    while let Ok(unit) = rx.recv(&cx).await {
        probe.event();
        if let Err(refused) = tx.send(&cx, unit).await {
            refused.value.cancelled();
            break;
        }
    }
    gives_up(rx);
}

async fn takes(cx: Cx, mut rx: Receiver<Unit>, probe: Probe) {
    let mut next = 0;
    while let Ok(unit) = rx.recv(&cx).await {
        assert_eq!(unit.number, next, "out of order, lost or seen twice");
        next += 1;
        unit.delivered();
        if next % 16 == 0 {
            cx.yield_now().await;
        }
    }
    probe.event();
    gives_up(rx);
}

/// What was sent and nobody will take.
fn gives_up(mut rx: Receiver<Unit>) {
    rx.close();
    for unit in rx.drain() {
        unit.cancelled();
    }
}

/// Two regions, on two runtimes where there are two; the one there ends when the scenario here does.
async fn across(cx: Cx, probe: Probe, there: Region) {
    let Ok(here) = cx.open_region(RegionSpec::collect_all("here")) else {
        return;
    };
    flows(here.cx(), there.cx(), &probe);
    // The other one hears of a cut by itself only: from here, or by a channel that ends.
    if cx.rng().bool() {
        here.close(&cx).await;
        there.close(&cx).await;
    } else {
        there.close(&cx).await;
        here.close(&cx).await;
    }
}

fn mixed_slices(here: BackendKind, there: BackendKind) {
    let _alone = alone();
    let runtimes = [build(here), build(there)];
    let other = runtimes[1].clone();
    on("mixed_slice_pipeline", &runtimes, move |cx, probe| {
        let there = other.open_slice("there").unwrap();
        across(cx, probe, there)
    });
}

#[test]
fn mixed_slice_pipeline() {
    let kinds = BackendKind::compiled();
    let (first, last) = (kinds[0], *kinds.last().unwrap());
    mixed_slices(first, last);
    if first != last {
        mixed_slices(last, first);
    }
}

#[test]
fn mixed_slice_pipeline_in_the_lab() {
    for &kind in BackendKind::compiled() {
        lab("mixed_slice_pipeline", kind, |cx: Cx, probe| async move {
            let Ok(there) = cx.open_region(RegionSpec::collect_all("there")) else {
                return;
            };
            across(cx, probe, there).await;
        });
    }
}
