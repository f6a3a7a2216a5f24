//! The simulator over real sockets and over the lab's virtual ones.

use std::time::Duration;

use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx, HostPort, Runtime, RuntimeConfig, Stream};
use annals_testkit::forge::faults::Context;
use annals_testkit::forge::{
    Effect, Fault, FaultPlan, GenSpec, Key, Latency, Rule, SimOptions, Simulator, State, When,
};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use serde_json::Value;

/// Runs a scenario on sockets, then in the lab, where nothing may be left behind.
fn everywhere<F, Fut>(scenario: F)
where
    F: Fn(Cx) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    for kind in BackendKind::compiled() {
        let runtime = Runtime::build(*kind, &RuntimeConfig::default()).unwrap();
        let body = scenario.clone();
        let end = runtime.run_main(|cx| async move {
            body(cx).await;
            Ok::<(), annals_testkit::forge::server::Error>(())
        });
        assert!(matches!(end.outcome, annals_core::Outcome::Ok(())), "{:?}", end.outcome);
        for seed in 0..4 {
            LabConfig::new(seed).on(*kind).run(scenario.clone()).clean().unwrap();
        }
    }
}

const ISSUES: &str = "/api/v4/projects/4200017/issues?order_by=updated_at&sort=asc&per_page=20";

fn state() -> State {
    State::generated(GenSpec::new(21).sized(70, 30))
}

fn plan(fault: Fault) -> FaultPlan {
    FaultPlan::none().with(Rule::once(fault, "*/issues?*"))
}

/// What came back, as far as it came.
#[derive(Debug)]
struct Got {
    bytes: Vec<u8>,
    whole: bool,
}

impl Got {
    fn head(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    fn status(&self) -> u16 {
        self.head()
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<String> {
        let head = self.head();
        let found = head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| value.to_owned())
    }

    fn body(&self) -> &[u8] {
        let at = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        at.map_or(&[], |at| &self.bytes[at + 4..])
    }

    fn rows(&self) -> Vec<Value> {
        serde_json::from_slice(self.body()).unwrap_or_default()
    }
}

async fn connect(cx: &Cx, simulator: &Simulator) -> Stream {
    let to = HostPort::new("127.0.0.1", simulator.addr().port());
    cx.net().connect(cx, &to, Duration::from_secs(5), None).await.unwrap()
}

/// Asks on a connection of its own and reads at most `limit` bytes until it ends.
async fn ask(cx: &Cx, simulator: &Simulator, method: &str, target: &str, limit: usize) -> Got {
    let mut stream = connect(cx, simulator).await;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        simulator.addr()
    );
    cx.or_cancel(stream.write_all(head.as_bytes())).await.unwrap().unwrap();
    let mut got = Got {
        bytes: Vec::new(),
        whole: false,
    };
    let mut buffer = vec![0; 64 * 1024];
    while got.bytes.len() < limit {
        match cx.or_cancel(stream.read(&mut buffer)).await.unwrap() {
            Ok(0) => {
                got.whole = true;
                break;
            }
            Ok(count) => got.bytes.extend_from_slice(&buffer[..count]),
            Err(_) => break,
        }
    }
    got
}

async fn get(cx: &Cx, simulator: &Simulator, target: &str) -> Got {
    ask(cx, simulator, "GET", target, 4 << 20).await
}

#[test]
fn answers_come_over_the_wire_as_they_are_meant() {
    everywhere(|cx| async move {
        let simulator = Simulator::start(&cx, state(), SimOptions::default()).await.unwrap();
        let got = get(&cx, &simulator, ISSUES).await;
        assert_eq!((got.status(), got.rows().len()), (200, 20));
        assert_eq!(got.header("content-length").unwrap(), got.body().len().to_string());
        assert!(got.header("link").unwrap().contains(&simulator.url()));
        assert_eq!(
            simulator.project_url(),
            format!("{}/annals-sample/generated", simulator.url())
        );
        simulator.stop().await;
    });
}

#[test]
fn one_connection_serves_many_requests_even_sent_together() {
    everywhere(|cx| async move {
        let simulator = Simulator::start(&cx, state(), SimOptions::default()).await.unwrap();
        let mut stream = connect(&cx, &simulator).await;
        let one = "GET /api/v4/version HTTP/1.1\r\nHost: a\r\n\r\n";
        let last = "GET /api/v4/user HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let text = format!("{one}{one}{last}");
        // The head is cut where no reader would cut it.
        for piece in text.as_bytes().chunks(50) {
            cx.or_cancel(stream.write_all(piece)).await.unwrap().unwrap();
        }
        let mut bytes = Vec::new();
        cx.or_cancel(stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap().matches("HTTP/1.1 200 OK").count(), 3);
        let stats = simulator.stats();
        assert_eq!((stats.connections, stats.requests, stats.in_flight), (1, 3, 0));
        simulator.stop().await;
    });
}

#[test]
fn what_was_asked_is_counted() {
    everywhere(|cx| async move {
        let simulator = Simulator::start(&cx, state(), SimOptions::default()).await.unwrap();
        get(&cx, &simulator, "/api/v4/projects/4200017/issues/3/discussions").await;
        get(&cx, &simulator, "/api/v4/projects/4200017/issues/4/discussions").await;
        ask(&cx, &simulator, "POST", "/api/v4/projects/4200017/issues", 4096).await;
        let got = get(&cx, &simulator, "/-/stats").await;
        let stats: Value = serde_json::from_slice(got.body()).unwrap();
        assert_eq!(stats["requests"], 3);
        assert_eq!(stats["by_path"]["/api/v4/projects/:n/issues/:n/discussions"], 2);
        assert_eq!(stats["by_status"]["405"], 1);
        assert_eq!(stats["writes_refused"], 1);
        let log: Value = serde_json::from_slice(get(&cx, &simulator, "/-/log").await.body()).unwrap();
        assert_eq!(log[1]["target"], "/api/v4/projects/4200017/issues/4/discussions");
        assert_eq!(
            simulator
                .log()
                .iter()
                .map(|entry| entry.method.as_str())
                .collect::<Vec<_>>(),
            ["GET", "GET", "POST"]
        );
        simulator.clear_log();
        assert_eq!(simulator.stats().requests, 0);
        simulator.stop().await;
    });
}

#[test]
fn requests_are_answered_side_by_side() {
    everywhere(|cx| async move {
        let faults = FaultPlan::none().with(Rule::once(Fault::Stall, "*/version"));
        let simulator = Simulator::start(
            &cx,
            state(),
            SimOptions {
                faults,
                ..SimOptions::default()
            },
        )
        .await
        .unwrap();
        let mut waiting = connect(&cx, &simulator).await;
        let head = b"GET /api/v4/version HTTP/1.1\r\nHost: a\r\n\r\n";
        cx.or_cancel(waiting.write_all(head)).await.unwrap().unwrap();
        while simulator.stats().in_flight == 0 {
            cx.sleep(Duration::from_millis(1)).await.unwrap();
        }
        assert_eq!(get(&cx, &simulator, "/api/v4/user").await.status(), 200);
        assert_eq!(simulator.stats().peak_in_flight, 2);
        drop(waiting);
        simulator.stop().await;
    });
}

#[test]
fn latency_is_waited_for_on_the_clock_of_the_context() {
    everywhere(|cx| async move {
        let latency = Latency::By(std::sync::Arc::new(|number, _| Duration::from_millis(20 * number)));
        let simulator = Simulator::start(
            &cx,
            state(),
            SimOptions {
                latency,
                ..SimOptions::default()
            },
        )
        .await
        .unwrap();
        for wait in [20, 40] {
            let before = cx.now();
            get(&cx, &simulator, "/api/v4/version").await;
            assert!(cx.now().since(before) >= Duration::from_millis(wait));
        }
        simulator.stop().await;
    });
}

#[test]
fn edits_show_at_once_and_move_the_row_to_the_end() {
    everywhere(|cx| async move {
        let simulator = Simulator::start(&cx, state(), SimOptions::default()).await.unwrap();
        let all = format!("{}&per_page=100", ISSUES.trim_end_matches("&per_page=20"));
        simulator.with_state(|state| state.retitle(Key::issue(1), "Edited"));
        let rows = get(&cx, &simulator, &all).await.rows();
        assert_eq!(rows.last().unwrap()["title"], "Edited");
        assert_eq!(simulator.state().now(), simulator.with_state(|state| state.now()));
        simulator.stop().await;
    });
}

#[test]
fn stopping_ends_connections_that_are_open() {
    everywhere(|cx| async move {
        let simulator = Simulator::start(&cx, state(), SimOptions::default()).await.unwrap();
        let mut stream = connect(&cx, &simulator).await;
        let report = simulator.stop().await;
        assert!(report.drain.quiescent, "{report:?}");
        let mut buffer = [0; 16];
        assert!(matches!(
            cx.or_cancel(stream.read(&mut buffer)).await.unwrap(),
            Ok(0) | Err(_)
        ));
    });
}

#[test]
fn every_fault_does_what_its_name_says_once_and_leaves_the_forge_serving() {
    everywhere(|cx| async move {
        for fault in Fault::ALL {
            one_fault(&cx, *fault).await;
        }
    });
}

async fn one_fault(cx: &Cx, fault: Fault) {
    let options = SimOptions {
        faults: plan(fault),
        ..SimOptions::default()
    };
    let simulator = Simulator::start(cx, state(), options).await.unwrap();
    let good = {
        let other = Simulator::start(cx, state(), SimOptions::default()).await.unwrap();
        let got = get(cx, &other, ISSUES).await;
        other.stop().await;
        got
    };
    let limit = if matches!(fault, Fault::OversizeBody | Fault::EndlessBody) {
        300_000
    } else {
        4 << 20
    };
    // Several faults only show on the second page of a list.
    if fault == Fault::RepeatedPage {
        simulator.set_faults(FaultPlan::none().with(Rule::new(fault, "*/issues?*", When::Nth(2))));
        get(cx, &simulator, ISSUES).await;
        let second = get(cx, &simulator, &format!("{ISSUES}&page=2")).await;
        assert_eq!(second.body(), good.body());
        assert_eq!(second.header("x-page").unwrap(), "2");
        simulator.stop().await;
        return;
    }
    let asked = cx
        .timeout(Duration::from_secs(2), ask(cx, &simulator, "GET", ISSUES, limit))
        .await;
    let Ok(bad) = asked else {
        assert!(matches!(fault, Fault::Stall | Fault::StallInBody), "{fault:?}");
        assert_eq!(simulator.stats().faults.get(fault.name()), Some(&1), "{fault:?}");
        simulator.stop().await;
        return;
    };
    check(fault, &bad, &good, &simulator);
    assert_eq!(simulator.stats().faults.get(fault.name()), Some(&1), "{fault:?}");
    // A rule for the first request leaves the second alone.
    let next = get(cx, &simulator, ISSUES).await;
    assert_eq!((next.status(), next.rows().len()), (200, 20), "{fault:?}");
    simulator.stop().await;
}

fn check(fault: Fault, bad: &Got, good: &Got, simulator: &Simulator) {
    let announced = bad
        .header("content-length")
        .and_then(|length| length.parse::<usize>().ok());
    let unreadable = serde_json::from_slice::<Value>(bad.body()).is_err();
    let first = good.rows()[0]["iid"].as_i64().unwrap();
    let right = match fault {
        Fault::TooManyRequests => bad.status() == 429 && bad.header("retry-after").as_deref() == Some("1"),
        Fault::Unavailable => bad.status() == 503 && bad.header("retry-after").is_some(),
        Fault::InternalError => bad.status() == 500,
        Fault::BadGateway => bad.status() == 502,
        Fault::Unauthorized => bad.status() == 401,
        Fault::Forbidden => bad.status() == 403,
        Fault::CloseBeforeHead => bad.whole && bad.bytes.is_empty(),
        Fault::ResetBeforeHead => !bad.whole && bad.bytes.is_empty(),
        Fault::CloseInHead => bad.bytes.starts_with(b"HTTP/1.1 200") && bad.body().is_empty(),
        Fault::CloseInBody => bad.whole && announced.unwrap() > bad.body().len() && !bad.body().is_empty(),
        // What was sent before a reset may be lost with it.
        Fault::ResetInBody => !bad.whole && bad.body().len() < good.body().len(),
        Fault::CloseInChunks => bad.whole && !bad.bytes.ends_with(b"0\r\n\r\n") && announced.is_none(),
        Fault::LongLength => announced.unwrap() > bad.body().len() && bad.body() == good.body(),
        Fault::ShortLength => announced.unwrap() < bad.body().len(),
        Fault::TruncatedJson => announced.unwrap() == bad.body().len() && unreadable,
        Fault::MalformedJson => bad.status() == 200 && unreadable,
        Fault::HtmlPage => bad.status() == 200 && bad.header("content-type").as_deref() == Some("text/html"),
        Fault::WrongContentType => {
            bad.body() == good.body() && bad.header("content-type").as_deref() == Some("text/plain")
        }
        Fault::NotModifiedUnasked => bad.status() == 304 && bad.body().is_empty(),
        Fault::SlowBytes => bad.body() == good.body(),
        Fault::SmallChunks => bad.bytes.ends_with(b"\r\n0\r\n\r\n") && announced.is_none(),
        Fault::OversizeBody => announced.unwrap() > 64 << 20 && bad.bytes.len() >= 300_000,
        Fault::EndlessBody => announced.is_none() && bad.bytes.len() >= 300_000,
        Fault::GzipBomb => bad.header("content-encoding").as_deref() == Some("gzip") && bad.bytes.len() < 1 << 20,
        Fault::RedirectOnce => bad.status() == 302 && bad.header("location").unwrap().ends_with("&redirected=once"),
        Fault::RedirectLoop => bad.header("location").unwrap() == format!("{}{ISSUES}", simulator.url()),
        Fault::RedirectElsewhere => bad.header("location").unwrap().starts_with("http://localhost:"),
        Fault::WrongTotals => bad.header("x-total").unwrap() == "1" && bad.body() == good.body(),
        Fault::NoTotals => bad.header("x-total").is_none() && bad.header("link").is_some(),
        Fault::NoPagingHeaders => bad.header("x-page").is_none() && bad.header("link").is_none(),
        Fault::NoLink => bad.header("x-next-page").is_some() && bad.header("link").is_none(),
        Fault::NoValidator => bad.header("etag").is_none() && bad.body() == good.body(),
        Fault::RowMoves => {
            simulator.with_state(|state| state.head(Key::issue(first)).unwrap().updated_at == state.now())
        }
        Fault::ItemEdited => simulator.with_state(|state| {
            state
                .keys()
                .any(|key| state.head(key).unwrap().title.starts_with("Edited while"))
        }),
        Fault::DuplicateRow => bad.rows().len() == 21 && bad.rows()[0] == bad.rows()[20],
        Fault::NextIsHere => bad.header("link").unwrap() == format!("<{}{ISSUES}>; rel=\"next\"", simulator.url()),
        Fault::ForeignNext => bad.header("link").unwrap().starts_with("<http://localhost:"),
        Fault::EmptyList => bad.body() == b"[]",
        Fault::ItemWithoutId => bad.rows()[0].get("id").is_none() && bad.rows()[1].get("id").is_some(),
        Fault::ItemOfWrongType => bad.rows()[0]["iid"].is_string() && bad.rows()[1]["iid"].is_i64(),
        Fault::ItemNotAnObject => bad.rows()[0].is_string() && bad.rows()[1].is_object(),
        Fault::Stall | Fault::StallInBody | Fault::RepeatedPage => false,
    };
    assert!(
        right,
        "{fault:?}: {} bytes, whole {}, head:\n{}",
        bad.bytes.len(),
        bad.whole,
        bad.head()
    );
}

#[test]
fn a_redirect_once_leads_to_the_same_rows() {
    everywhere(|cx| async move {
        let faults = FaultPlan::none().with(Rule::new(Fault::RedirectOnce, "*/issues?*", When::Always));
        let simulator = Simulator::start(
            &cx,
            state(),
            SimOptions {
                faults,
                ..SimOptions::default()
            },
        )
        .await
        .unwrap();
        let location = get(&cx, &simulator, ISSUES).await.header("location").unwrap();
        let there = location.strip_prefix(&simulator.url()).unwrap();
        assert_eq!(get(&cx, &simulator, there).await.rows().len(), 20);
        simulator.stop().await;
    });
}

#[test]
fn what_retry_after_says_can_be_chosen() {
    everywhere(|cx| async move {
        let context = Context {
            retry_after: "-7".to_owned(),
            ..Context::default()
        };
        let options = SimOptions {
            faults: plan(Fault::TooManyRequests),
            context,
            ..SimOptions::default()
        };
        let simulator = Simulator::start(&cx, state(), options).await.unwrap();
        assert_eq!(get(&cx, &simulator, ISSUES).await.header("retry-after").unwrap(), "-7");
        simulator.stop().await;
    });
}

#[test]
fn every_fault_has_a_name_of_its_own_and_some_are_transient() {
    let names: std::collections::BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    for fault in Fault::ALL {
        assert_eq!(Fault::from_name(fault.name()), Some(*fault));
        assert_eq!(fault.is_transient(), fault.effect() == Effect::Retried);
    }
    assert_eq!(Fault::from_name("none"), None);
}
