//! H26: thousands of damaged requests, to both servers: the same answers, the same end.

use std::num::NonZeroUsize;
use std::time::Duration;

use annals_net_adapter::http::server::ServerLimits;
use annals_net_adapter::{Cancelled, Cx, Outcome, map_bounded};

use crate::client::Client;
use crate::{Engine, Server};

annals_net_adapter::on_every_runtime!(h26_damaged_requests_meet_the_same_server);

/// Mutations, as the specification has them; `ANNALS_MUTATIONS` sets another number.
const MUTATIONS: u64 = 10_000;

const VALID: [&str; 7] = [
    "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
    "POST /ignore HTTP/1.1\r\nHost: test\r\nContent-Length: 12\r\nX-Y: z\r\n\r\nGET /evil HT",
    "GET /target?q=1 HTTP/1.1\r\nHost: test:80\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
    "GET http://real.example/target HTTP/1.1\r\nHost: other\r\n\r\n",
    "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n",
];

/// What parsers have stumbled over before.
const TRAPS: [&str; 18] = [
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "0",
    "-1",
    "ffffffffffffffffff",
    "chunked",
    "\u{e9}",
    "\"",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
];

/// Wyrand's steps would do as well: any fixed sequence that looks random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

fn damaged(seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = VALID[dice.below(VALID.len())].as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(4) {
            0 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            1 => {
                bytes.remove(at);
            }
            2 => {
                let trap = TRAPS[dice.below(TRAPS.len())].bytes();
                bytes.splice(at..at, trap);
            }
            _ => {
                let end = at + dice.below(bytes.len() - at);
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

/// The statuses a damaged request and a sound one behind it are answered with, until the connection ends.
async fn answers(cx: &Cx, server: &Server, bytes: &[u8]) -> Vec<u16> {
    let mut client = Client::connect(cx, server.at).await;
    let last = b"GET /peer HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    client.try_send(cx, [bytes, last].concat()).await;
    let mut statuses = Vec::new();
    // A damaged method may still be HEAD; its answer is read by its head alone.
    let head = bytes.trim_ascii_start().starts_with(b"HEAD ");
    while let Some(answer) = client
        .try_answer(cx, if head && statuses.is_empty() { "HEAD" } else { "GET" })
        .await
    {
        statuses.push(answer.status);
        if answer.status >= 400 && head {
            break;
        }
    }
    statuses
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long to look is the caller's wish, not the product's"
)]
fn mutations() -> u64 {
    let wished = std::env::var("ANNALS_MUTATIONS").ok();
    wished.and_then(|count| count.parse().ok()).unwrap_or(MUTATIONS)
}

async fn h26_damaged_requests_meet_the_same_server(cx: Cx) {
    let count = mutations();
    let wait = Duration::from_secs(2);
    let limits = ServerLimits {
        head_time: wait,
        body_idle: wait,
        keep_alive: wait,
        ..ServerLimits::default().sped_up(20)
    };
    let servers = [
        Server::with(&cx, Engine::Backend, limits.clone()).await,
        Server::with(&cx, Engine::Own, limits).await,
    ];
    let servers = std::sync::Arc::new(servers);
    let shared = servers.clone();
    let many = NonZeroUsize::new(96).unwrap();
    let all = map_bounded(&cx, many, 0..count, move |cx: Cx, seed| {
        let servers = shared.clone();
        async move {
            let bytes = damaged(seed);
            let one = answers(&cx, &servers[0], &bytes).await;
            let other = answers(&cx, &servers[1], &bytes).await;
            assert_eq!(one, other, "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
            Ok::<_, Cancelled>(one)
        }
    })
    .await;
    let mut refused = 0;
    for outcome in all {
        let Outcome::Ok(statuses) = outcome else {
            panic!("{outcome:?}")
        };
        refused += usize::from(statuses.first().is_some_and(|status| *status >= 400));
    }
    assert!(refused > 0, "nothing was damaged");
    let servers = std::sync::Arc::into_inner(servers).unwrap();
    for server in servers {
        assert_eq!(server.journal.all(), [""; 0], "bytes of a body were read as a request");
        let report = server.stop(&cx).await;
        assert_eq!(report.panicked, 0);
    }
}
