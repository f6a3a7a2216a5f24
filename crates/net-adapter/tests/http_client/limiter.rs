//! The rate limiter under virtual time.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_net_adapter::http::RateLimiter;
use annals_net_adapter::{BackendKind, CancelKind, CancelReason, Cx, MonoTime, Outcome, testing};

fn ten_per_second() -> Arc<RateLimiter> {
    Arc::new(RateLimiter::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(1)))
}

fn in_every_lab<Fut: Future<Output = ()> + Send + 'static>(body: fn(Cx) -> Fut) {
    for &kind in BackendKind::compiled() {
        testing::lab(kind, body);
    }
}

/// Starts tasks that each take a slot; returns when each one got through, in the order it did.
async fn starts(cx: &Cx, limiter: &Arc<RateLimiter>, count: usize, until: impl AsyncFnOnce()) -> Vec<MonoTime> {
    let started = Arc::new(Mutex::new(Vec::new()));
    let mut tasks: Vec<_> = (0..count)
        .map(|_| {
            let (limiter, started) = (limiter.clone(), started.clone());
            cx.spawn("limited", move |cx| async move {
                let slot = limiter.acquire(&cx).await?;
                assert!(cx.now() >= slot, "nobody starts before its slot");
                started.lock().unwrap().push(cx.now());
                Ok::<_, annals_net_adapter::Cancelled>(())
            })
            .unwrap()
        })
        .collect();
    until().await;
    for task in &mut tasks {
        assert!(matches!(task.join(cx).await.unwrap(), Outcome::Ok(())));
    }
    Arc::try_unwrap(started).unwrap().into_inner().unwrap()
}

#[test]
fn rate_limiter_holds_its_rate_with_a_hundred_tasks() {
    in_every_lab(|cx| async move {
        let begin = cx.now();
        let started = starts(&cx, &ten_per_second(), 100, async || {}).await;
        assert_eq!(started.len(), 100);
        for (k, at) in (0..).zip(&started) {
            assert!(at.since(begin) >= Duration::from_millis(100) * k, "start {k} at {at:?}");
        }
    });
}

#[test]
fn rate_limiter_cancelled_waiter_delays_nobody() {
    in_every_lab(|cx| async move {
        let limiter = ten_per_second();
        let first = limiter.acquire(&cx).await.unwrap();
        let waiting = |name| {
            let limiter = limiter.clone();
            cx.spawn(name, move |cx| async move { limiter.acquire(&cx).await })
                .unwrap()
        };
        // The lab may let them ask in any order; what counts is that one gives up.
        let (gone, mut stays) = (waiting("gone"), waiting("stays"));
        cx.sleep(Duration::from_millis(10)).await.unwrap();
        gone.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
        let Outcome::Ok(second) = stays.join(&cx).await.unwrap() else {
            panic!("not cancelled")
        };
        assert!(
            second.since(first) <= Duration::from_millis(200),
            "at most its own slot is lost"
        );
        let third = limiter.acquire(&cx).await.unwrap();
        assert!(third.since(first) <= Duration::from_millis(300));
    });
}

#[test]
fn rate_limiter_pause_holds_everybody_back() {
    in_every_lab(|cx| async move {
        let limiter = ten_per_second();
        let begin = cx.now();
        let pause = begin.after(Duration::from_secs(3));
        let started = starts(&cx, &limiter, 20, async || {
            cx.sleep(Duration::from_millis(450)).await.unwrap();
            limiter.pause_until(pause);
            limiter.pause_until(begin); // long over: changes nothing
        })
        .await;
        let early = started.iter().filter(|at| **at < pause).count();
        assert!((4..=6).contains(&early), "{early} before the pause");
        let late: Vec<_> = started.iter().filter(|at| **at >= pause).collect();
        for (k, at) in (0..).zip(&late) {
            assert!(
                at.since(pause) >= Duration::from_millis(100) * k,
                "the rate holds after it too"
            );
        }
    });
}
