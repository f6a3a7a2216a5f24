//! A file of requests that parsers have stumbled over: both servers refuse each of them, in the same bytes.
//!
//! On tokio the two are hyper behind the gate and the adapter's own loop; where the backend has no server of its own both are
//! the loop, and the test is about the statuses.

use std::fmt::Write as _;

use annals_net_adapter::Cx;

use crate::escapes::bytes;
use crate::{Engine, Server};

annals_net_adapter::on_every_runtime!(malformed_requests_get_byte_equal_refusals);

const FILE: &str = include_str!("refusals.txt");

struct Case {
    status: u16,
    name: &'static str,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let lines = FILE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (status, rest) = line.split_once(' ').unwrap();
            let (name, text) = rest.split_once(' ').unwrap();
            Case {
                status: status.parse().unwrap(),
                name,
                bytes: bytes(text.trim_start()),
            }
        })
        .collect()
}

/// All that the server says to `case` and to a sound request behind it, with the date taken out.
async fn words(cx: &Cx, server: &Server, case: &Case) -> Vec<u8> {
    let mut client = server.client(cx).await;
    let behind = b"GET /evil HTTP/1.1\r\nHost: test\r\n\r\n";
    client.try_send(cx, [case.bytes.as_slice(), behind].concat()).await;
    let said = client.everything(cx).await;
    let start = said.windows(6).position(|window| window == b"date: ");
    let Some(start) = start else { return said };
    let length = said[start..].iter().position(|byte| *byte == b'\r').unwrap();
    [&said[..start], b"date: now", &said[start + length..]].concat()
}

async fn malformed_requests_get_byte_equal_refusals(cx: Cx) {
    let (backend, own) = (
        Server::start(&cx, Engine::Backend).await,
        Server::start(&cx, Engine::Own).await,
    );
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let (one, other) = (words(&cx, &backend, case).await, words(&cx, &own, case).await);
        let shown = String::from_utf8_lossy(&one);
        if one != other {
            writeln!(
                wrong,
                "{}: {shown:?} is not {:?}",
                case.name,
                String::from_utf8_lossy(&other)
            )
            .unwrap();
        }
        let answers = shown.matches("\r\ncontent-length: ").count();
        let right = shown.starts_with(&format!("HTTP/1.1 {} ", case.status));
        if !right || answers != 1 || !shown.contains("\r\nconnection: close\r\n") {
            writeln!(
                wrong,
                "{}: {answers} answers, not one {}: {shown:?}",
                case.name, case.status
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    for server in [backend, own] {
        assert_eq!(
            server.journal.all(),
            [""; 0],
            "bytes behind a refused request were read as one"
        );
        let report = server.stop(&cx).await;
        assert_eq!(report.panicked, 0);
    }
}
