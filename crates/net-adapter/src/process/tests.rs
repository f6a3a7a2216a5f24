//! What only the inside of the crate can arrange.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Cancelled};

use super::{CommandSpec, ProcError};
use crate::{BackendKind, RegionSpec, Runtime, RuntimeConfig, Stage};

/// An hour of grace, and a shutdown that does not have it: no region's bound ends the process here.
#[test]
fn a_shutdown_shortens_the_grace_of_a_process() {
    for &kind in BackendKind::compiled() {
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let main = runtime.run_main(|cx| async move {
            let region = cx.open_region(RegionSpec::new("runs")).unwrap();
            let mut spec =
                CommandSpec::new("/bin/sh").args(["-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]);
            spec = spec.env("PATH", "/usr/bin:/bin");
            spec.grace = Duration::from_secs(3_600);
            let mut process = region.cx().process_stream(spec).await.unwrap();
            assert_eq!(process.chunk(&cx).await.unwrap().unwrap(), "deaf\n");
            let over = cx.now().after(Duration::from_millis(200));
            cx.shutdown().advance(Stage::Cancelling, Some(over));
            region.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
            let ended = cx.timeout(Duration::from_secs(60), process.finish(&cx)).await;
            assert!(matches!(ended, Ok(Err(ProcError::Cancelled(_)))), "{ended:?}");
            assert!(region.close(&cx).await.drain.quiescent);
            Ok::<_, Cancelled>(())
        });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
    }
}
