//! Which redirects are followed, and what another origin gets to see.

use annals_core::NetworkErrorKind::{RedirectRefused, TooManyRedirects};
use annals_net_adapter::http::{FinalUrl, Phase, ReqBody, ReqOpts};
use annals_net_adapter::{Cx, on_every_host};

use super::support::{Conn, Site, With, client, client_with, get, kind_of, ok, request};

on_every_host!(
    parity_redirects,
    redirects_are_bounded,
    a_zero_limit_delivers_the_redirect,
    a_body_never_crosses_origins,
    parity_header_stripping,
    what_was_stripped_stays_stripped,
);

/// `/to/301/x` redirects to `/x`; everything else answers.
async fn redirecting(mut conn: Conn) {
    while let Some(asked) = conn.ask().await {
        let answer = match asked.target.strip_prefix("/to/") {
            Some(rest) => {
                let (status, location) = rest.split_at(3);
                format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nmove")
            }
            None => ok(&asked.method),
        };
        conn.say(answer).await;
    }
}

async fn parity_redirects(cx: Cx) {
    let site = Site::open(&cx, redirecting).await;
    let client = client(&cx);
    for (method, status, after, body) in [
        ("GET", 301, "GET", ""),
        ("GET", 308, "GET", ""),
        ("POST", 301, "GET", ""),
        ("POST", 302, "GET", ""),
        ("POST", 303, "GET", ""),
        ("POST", 307, "POST", "payload"),
        ("POST", 308, "POST", "payload"),
        ("PUT", 302, "PUT", "payload"),
        ("PUT", 303, "GET", ""),
        ("HEAD", 303, "HEAD", ""),
    ] {
        let mut asked = request(method, &site.url(&format!("/to/{status}/end?q=1"))).header("x-kept", "yes");
        if method.starts_with('P') {
            asked = asked.header("content-type", "text/plain").body("payload".to_owned());
        }

        let response = client.send(&cx, asked, &ReqOpts::default()).await.unwrap();

        assert_eq!(response.status(), 200);
        assert_eq!(
            response.extensions().get::<FinalUrl>().unwrap().0.as_str(),
            site.url("/end?q=1")
        );
        let last = site.seen().asked.pop().unwrap();
        assert_eq!(
            (last.method.as_str(), last.target.as_str()),
            (after, "/end?q=1"),
            "{method} {status}"
        );
        assert_eq!(String::from_utf8(last.body.clone()).unwrap(), body, "{method} {status}");
        assert_eq!(
            last.header("content-type").is_some(),
            !body.is_empty(),
            "{method} {status}"
        );
        assert_eq!(last.header("x-kept"), Some("yes"));
        drop(response);
    }
}

async fn redirects_are_bounded(cx: Cx) {
    let site = Site::open(&cx, |mut conn: Conn| async move {
        while let Some(asked) = conn.ask().await {
            let next = match asked.target.as_str() {
                "/circle/a" => "/circle/b".to_owned(),
                "/circle/b" => "/circle/a".to_owned(),
                "/self" => "/self".to_owned(),
                down => match down.trim_start_matches("/down/").parse::<u32>().unwrap() {
                    0 => {
                        conn.say(ok("ground")).await;
                        continue;
                    }
                    n => format!("/down/{}", n - 1),
                },
            };
            conn.say(format!(
                "HTTP/1.1 302 Found\r\nLocation: {next}\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        }
    })
    .await;
    let client = client(&cx);
    for (path, expected, requests) in [
        ("/down/10", Ok(6), 11),
        ("/down/11", Err(TooManyRedirects), 11),
        ("/circle/a", Err(TooManyRedirects), 2),
        ("/self", Err(TooManyRedirects), 1),
    ] {
        let before = site.seen().asked.len();
        let result = kind_of(&cx, &client, request("GET", &site.url(path)), &ReqOpts::default()).await;
        assert_eq!(result, expected, "{path}");
        assert_eq!(site.seen().asked.len() - before, requests, "{path}");
    }
    // Every redirect's body was empty, so all of it went over one connection.
    assert_eq!(site.seen().connections, 1);
}

async fn a_zero_limit_delivers_the_redirect(cx: Cx) {
    let site = Site::open(&cx, redirecting).await;
    let opts = ReqOpts {
        redirects: 0,
        ..ReqOpts::default()
    };
    let response = client(&cx)
        .send(&cx, request("GET", &site.url("/to/302/end")), &opts)
        .await
        .unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["location"].to_str().unwrap()
        ),
        (302, "/end")
    );
}

async fn a_body_never_crosses_origins(cx: Cx) {
    let other = Site::open(&cx, redirecting).await;
    let site = Site::open(&cx, redirecting).await;
    let client = client(&cx);
    let stream = || -> ReqBody {
        ReqBody::Stream(Box::pin(futures_util::stream::iter([Ok(bytes::Bytes::from_static(
            b"SECRET",
        ))])))
    };
    for (method, status, to, body) in [
        ("POST", 307, other.url("/end"), ReqBody::from(b"SECRET".to_vec())),
        ("POST", 308, other.url("/end"), ReqBody::from(b"SECRET".to_vec())),
        ("PUT", 301, other.url("/end"), ReqBody::from(b"SECRET".to_vec())),
        ("POST", 307, "/again".to_owned(), stream()),
        ("GET", 302, "ftp://elsewhere/".to_owned(), ReqBody::Empty),
        ("GET", 302, "http://user:pass@elsewhere/".to_owned(), ReqBody::Empty),
    ] {
        let asked = request(method, &site.url(&format!("/to/{status}{to}"))).body(body);
        let error = client.send(&cx, asked, &ReqOpts::default()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.phase),
            (RedirectRefused, Phase::Redirect),
            "{method} {status} {to}"
        );
    }
    assert_eq!(other.seen().connections, 0);
    // A method that becomes GET leaves its body behind and may go on.
    let asked = request("POST", &site.url(&format!("/to/303{}", other.url("/end")))).body(stream());
    assert_eq!(
        client.send(&cx, asked, &ReqOpts::default()).await.unwrap().status(),
        200
    );
    assert!(other.seen().asked[0].body.is_empty());
}

/// Twelve ways to carry a secret in a header.
const SECRETS: [&str; 12] = [
    "authorization",
    "cookie",
    "private-token",
    "job-token",
    "x-gitlab-token",
    "x-api-key",
    "deploy-token",
    "x-csrf-token",
    "referer",
    "origin",
    "if-none-match",
    "x-anything-else",
];

async fn parity_header_stripping(cx: Cx) {
    let other = Site::open(&cx, redirecting).await;
    let site = Site::open(&cx, redirecting).await;
    let client = client_with(&cx, |config| config.user_agent = "annals-test".to_owned());
    let asked = |to: &str| {
        let mut asked = request("GET", &site.url(&format!("/to/302{to}")))
            .header("accept", "application/json")
            .header("accept-language", "en");
        for name in SECRETS {
            asked = asked.header(name, "SECRET");
        }
        asked
    };

    client
        .send(&cx, asked(&other.url("/end?q=1")), &ReqOpts::default())
        .await
        .unwrap();
    client.send(&cx, asked("/end"), &ReqOpts::default()).await.unwrap();

    let [crossed] = &other.seen().asked[..] else {
        panic!("one request")
    };
    let mut names: Vec<_> = crossed.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["accept", "accept-encoding", "accept-language", "host", "user-agent"]
    );
    assert!(!format!("{crossed:?}").contains("SECRET"));
    assert_eq!(crossed.header("host"), Some(other.addr.to_string().as_str()));
    assert_eq!(crossed.header("user-agent"), Some("annals-test"));
    assert_eq!(crossed.header("accept"), Some("application/json"));
    // The first server saw all twelve, and so did the second request to it.
    let home = site.seen().asked;
    let arrived = |n: usize| {
        SECRETS
            .iter()
            .filter(|name| home[n].header(name) == Some("SECRET"))
            .count()
    };
    assert_eq!((arrived(0), arrived(1), arrived(2)), (12, 12, 12));
}

async fn what_was_stripped_stays_stripped(cx: Cx) {
    let site = Site::open(&cx, redirecting).await;
    let other = Site::open(&cx, redirecting).await;
    let back = format!("/to/302{}", site.url("/home"));
    let there = site.url(&format!("/to/302{}", other.url(&back)));
    let asked = request("GET", &there).header("private-token", "SECRET");
    client(&cx).send(&cx, asked, &ReqOpts::default()).await.unwrap();
    let home = site.seen().asked;
    assert_eq!(
        (home[0].header("private-token"), home[1].header("private-token")),
        (Some("SECRET"), None)
    );
    assert_eq!(get(&cx, &client(&cx), &site.url("/end")).await.unwrap().status(), 200);
}
