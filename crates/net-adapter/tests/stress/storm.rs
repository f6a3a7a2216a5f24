//! A thousand tasks in regions on three levels.

use std::time::Duration;

use annals_net_adapter::sync::Semaphore;
use annals_net_adapter::{Cancelled, CommandSpec, Cx, Outcome, ProcError, RegionSpec};

use crate::probe::{Probe, spawn};
use crate::stress;

stress!(region_storm);

async fn region_storm(cx: Cx, probe: Probe) {
    let room = Semaphore::new(7);
    let (outer, inner, leaves) = (probe.pick(10, 2), probe.pick(10, 2), probe.pick(10, 2));
    let Ok(region) = cx.open_region(RegionSpec::collect_all("storm")) else {
        return;
    };
    for i in 0..outer {
        let (probe, room) = (probe.clone(), room.clone());
        spawn(region.cx(), "outer", move |cx| async move {
            let Ok(region) = cx.open_region(RegionSpec::collect_all("outer")) else {
                return;
            };
            for j in 0..inner {
                let (probe, room) = (probe.clone(), room.clone());
                spawn(region.cx(), "inner", move |cx| async move {
                    let Ok(region) = cx.open_region(RegionSpec::collect_all("inner")) else {
                        return;
                    };
                    for k in 0..leaves {
                        let (probe, room) = (probe.clone(), room.clone());
                        let number = (i * inner + j) * leaves + k;
                        spawn(region.cx(), "leaf", move |cx| leaf(cx, probe, room, number));
                    }
                    // A cut storm is left to its parents by some.
                    if j % 3 == 1 && probe.is_cut() {
                        return;
                    }
                    region.close(&cx).await;
                });
            }
            region.close(&cx).await;
        });
    }
    region.close(&cx).await;
}

async fn leaf(cx: Cx, probe: Probe, room: Semaphore, number: u64) {
    let unit = probe.start();
    let work = async {
        let permit = room.acquire(&cx, 1).await?;
        match number % 32 {
            0 => cx.sleep(Duration::from_millis(1)).await?,
            1..4 => blocking(&cx).await?,
            4..16 => cx.yield_now().await,
            _ => {}
        }
        drop(permit);
        // One child per storm; the labs have none.
        if number == 500 && !probe.is_lab() {
            child(&cx).await?;
        }
        cx.checkpoint()
    };
    let ended: Result<(), Cancelled> = work.await;
    unit.ended(&ended);
}

async fn blocking(cx: &Cx) -> Result<(), Cancelled> {
    match cx.blocking("leaf", |_| Ok(())).await {
        Outcome::Ok(()) => Ok(()),
        Outcome::Err(cancelled) => Err(cancelled),
        Outcome::Cancelled(reason) => Err(Cancelled(reason)),
        Outcome::Panicked(message) => panic!("{message}"),
    }
}

async fn child(cx: &Cx) -> Result<(), Cancelled> {
    let spec = CommandSpec::new("/bin/sh").args(["-c", "exec sleep 0.02"]);
    match cx.process(spec.env("PATH", "/usr/bin:/bin")).await {
        Ok(_) => Ok(()),
        Err(ProcError::Cancelled(reason)) => Err(Cancelled(reason)),
        Err(error) => panic!("{error}"),
    }
}
